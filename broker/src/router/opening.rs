//! Links that are asked for.

use cloison_msg::control::{RequestId, ToWorker};
use cloison_msg::{Balance, Descriptor, Key, Name, Refusal, Route};

use super::lineage::{Asked, Cause, Lineage, Origin};
use super::link::{
    DESCRIPTOR_LINKS_PER_WORKER, Holder, LINKS_BY_OTHERS, LINKS_PER_PAIR, LINKS_PER_WORKER, Link, Side,
    pass_descriptors,
};
use super::port::End;
use super::routes::Way;
use super::{Event, Output, Role, Router};
use crate::policy::{Ask, Decision, Grant};

/// Most links that one worker may wait for at a time, those about which the host is being asked included.
pub const OPENS_WAITING: usize = 16;

/// A link that was asked for and waits for somebody to play its role, or for the host's decision.
#[derive(Clone, Debug, Hash)]
pub(super) struct Opening {
    pub(super) request: RequestId,
    pub(super) role: Name,
    pub(super) interface: Name,
    /// What the host has decided, when it was asked.
    pub(super) decided: Option<Grant>,
}

/// A link about which the host is being asked.
#[derive(Clone, Debug, Hash)]
pub(super) struct Question {
    from: Key,
    opening: Opening,
}

impl Question {
    /// Whether it is asked on behalf of the worker at that port.
    pub(super) fn is_of(&self, port: Key) -> bool {
        self.from == port
    }
}

/// What can be done about a link that was asked for.
enum Step {
    Done,
    Wait,
    Ask,
}

impl<D: Descriptor> Router<D> {
    /// A port asks for a link. The host asks by this too; its answer comes out like a worker's.
    pub fn handle_open(&mut self, from: Key, request: RequestId, role: Name, interface: Name) {
        self.open(from, Opening { request, role, interface, decided: None });
    }

    fn open(&mut self, from: Key, opening: Opening) {
        match self.try_open(from, &opening) {
            Ok(Step::Done) => {}
            Ok(Step::Wait) => self.wait(from, opening),
            Ok(Step::Ask) => self.ask(from, opening),
            Err(refusal) => self.refuse(from, opening.request, refusal),
        }
    }

    /// A port no longer waits for the link it asked for.
    pub fn handle_open_cancelled(&mut self, from: Key, request: RequestId) {
        if let Some(port) = self.ports.get_mut(from) {
            port.cancel_opening(request);
        }
        self.forget_questions(|question| question.from == from && question.opening.request == request);
    }

    /// The host has decided about a link; `None` refuses it. A question that is no longer open is none.
    pub fn handle_decision(&mut self, question: Key, grant: Option<Grant>) {
        let Some(Question { from, opening }) = self.questions.remove(question) else { return };
        match grant {
            Some(grant) => self.open(from, Opening { decided: Some(grant), ..opening }),
            None => {
                self.tell_refused(from, &opening);
                self.refuse(from, opening.request, Refusal::NotFound);
            }
        }
    }

    pub(super) fn forget_questions(&mut self, doomed: impl Fn(&Question) -> bool) {
        let forgotten: Vec<Key> =
            self.questions.iter().filter(|(_, question)| doomed(question)).map(|(key, _)| key).collect();
        for key in forgotten {
            self.questions.remove(key);
        }
    }

    /// Whoever waits for `role` can be answered now.
    pub(super) fn settle_opens(&mut self, role: &Name) {
        let waiting: Vec<_> = self
            .ports
            .iter_mut()
            .flat_map(|(key, port)| port.openings_for(role).into_iter().map(move |o| (key, o)))
            .collect();
        for (from, opening) in waiting {
            self.open(from, opening);
        }
    }

    /// Connects the two if policy and state allow it now.
    fn try_open(&mut self, from: Key, opening: &Opening) -> Result<Step, Refusal> {
        let Some(asker) = self.ports.get(from) else { return Ok(Step::Done) };
        let asker_role = asker.role().clone();
        let ask = Ask { from: &asker_role, to: &opening.role, interface: &opening.interface };
        let Some(role) = self.roles.get(&opening.role) else {
            self.tell_refused(from, opening);
            return Err(Refusal::NotFound);
        };
        let decision = opening.decided.clone().map_or_else(|| self.policy.decide(&ask), Decision::Grant);
        let grant = match decision {
            Decision::Grant(grant) => grant,
            Decision::Defer => return Ok(Step::Ask),
            Decision::Refuse => {
                self.tell_refused(from, opening);
                return Err(Refusal::NotFound);
            }
        };
        match role {
            Role::Ended(why) => Err(Refusal::PeerGone(why.clone())),
            Role::Played(to) if self.ports.get(*to).is_some_and(|port| port.is_open() && !port.is_crowded()) => {
                let to = *to;
                self.connect(from, to, grant, opening).map(|()| Step::Done)
            }
            Role::Played(_) | Role::Awaited => Ok(Step::Wait),
        }
    }

    fn tell_refused(&mut self, from: Key, opening: &Opening) {
        if let Some(port) = self.ports.get(from) {
            let (from, to, interface) = (port.role().clone(), opening.role.clone(), opening.interface.clone());
            self.tell(Event::Refused { from, to, interface });
        }
    }

    /// Asks the host, as long as the asker does not wait for too much already.
    fn ask(&mut self, from: Key, opening: Opening) {
        let asked = self.questions.iter().filter(|(_, question)| question.from == from).count();
        let Some(port) = self.ports.get(from) else { return };
        if !port.is_host() && port.waiting.len() + asked >= OPENS_WAITING {
            return self.refuse_more(from, opening.request);
        }
        let (role, to, interface) = (port.role().clone(), opening.role.clone(), opening.interface.clone());
        let question = self.questions.insert(Question { from, opening });
        self.outputs.push_back(Output::Ask { question, from: role, to, interface });
    }

    fn refuse_more(&mut self, from: Key, request: RequestId) {
        let limit = format!("a worker waits for at most {OPENS_WAITING} links at a time");
        self.refuse(from, request, Refusal::Limit(limit.into()));
    }

    fn wait(&mut self, from: Key, opening: Opening) {
        let request = opening.request;
        let Some(port) = self.ports.get_mut(from) else { return };
        if port.waiting.len() < OPENS_WAITING || port.is_host() {
            port.waiting.push(opening);
        } else {
            self.refuse_more(from, request);
        }
    }

    fn refuse(&mut self, from: Key, request: RequestId, refusal: Refusal) {
        self.say(from, ToWorker::Opened { request, link: Err(refusal) }, Vec::new());
    }

    fn connect(&mut self, from: Key, to: Key, grant: Grant, opening: &Opening) -> Result<(), Refusal> {
        let ask = Asked { from: self.role_name(from), to: opening.role.clone(), interface: opening.interface.clone() };
        let request = Some(opening.request);
        let with_descriptors = pass_descriptors(&grant.rights, &grant.back);
        let cause = Cause { origin: Origin::Asked, port: from, peer: to, with_descriptors };
        let lineage =
            Lineage { ask, request, parent: None, ancestors: Vec::new(), children: Vec::new(), giver: None, cause };
        let mut link = Link::new(Holder::new(from, grant.rights), Holder::new(to, grant.back), lineage);
        self.check_limits(&link)?;
        let is_direct = self.why_relayed(&link).is_none();
        if is_direct {
            link.way = Way::Unannounced;
        }
        let link = self.links.insert(link);
        if let Some(port) = self.ports.get_mut(from) {
            port.caused.note(cause);
        }
        self.name_ends(link);
        if is_direct {
            self.outputs.push_back(Output::MakePair { link });
        } else {
            self.announce(link, None);
        }
        Ok(())
    }

    /// Whether there may be one more such link. The host is bound by none of this.
    fn check_limits(&self, link: &Link) -> Result<(), Refusal> {
        let (from, to) = (link.asker.port, link.asked.port);
        let limit = |text: String| Err(Refusal::Limit(text.into()));
        for port in [from, to] {
            let role = self.ports.get(port).ok_or(Refusal::NotFound)?.role();
            if !self.may_have(port, 1, from) {
                return limit(format!("{role} has {LINKS_PER_WORKER} links already, or {LINKS_BY_OTHERS} by others"));
            }
        }
        // Those that it has given away since are among them.
        let caused = &self.ports.get(from).ok_or(Refusal::NotFound)?.caused;
        if from == self.host {
            Ok(())
        } else if caused.asked.get(&to).is_some_and(|&links| links >= LINKS_PER_PAIR) {
            limit(format!("{LINKS_PER_PAIR} links lead to that peer already"))
        } else if link.passes_descriptors() && caused.asked_with_descriptors >= DESCRIPTOR_LINKS_PER_WORKER {
            limit(format!("descriptors pass over {DESCRIPTOR_LINKS_PER_WORKER} links of the asker's already"))
        } else {
            Ok(())
        }
    }

    pub(super) fn name_ends(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(key) else { return };
        for side in [Side::Asker, Side::Asked] {
            let holder = link.holder_mut(side);
            if let Some(port) = self.ports.get_mut(holder.port) {
                holder.name = port.name(End { link: key, side });
            }
        }
    }

    /// Tells both ends that the link is there, and the asker that it has what it asked for.
    pub(super) fn announce(&mut self, key: Key, pair: Option<[D; 2]>) {
        self.introduce_with(key, pair);
        let Some(link) = self.links.get_mut(key) else { return };
        let request = link.lineage.request.take();
        let (asker, asked, name) = (link.asker.port, link.asked.port, link.asker.name);
        let direct = link.way.route() == Route::Direct;
        if let Some(request) = request {
            self.say(asker, ToWorker::Opened { request, link: Ok(name) }, Vec::new());
        }
        let (from, to) = (self.role_name(asker), self.role_name(asked));
        self.tell(Event::Granted { link: key, from, to, direct });
    }

    /// Tells both ends of a relayed link that it is there.
    pub(super) fn introduce(&mut self, key: Key) {
        self.introduce_with(key, None);
    }

    /// The asked one hears of it first, so that it knows the link when the first message comes.
    fn introduce_with(&mut self, key: Key, pair: Option<[D; 2]>) {
        let Some(link) = self.links.get(key) else { return };
        let words = [Side::Asker, Side::Asked].map(|side| self.granted(link, side, Balance::default()));
        let (asker, asked) = (link.asker.port, link.asked.port);
        let [asker_word, asked_word] = words;
        let [asker_end, asked_end] = pair.map_or([None, None], |pair| pair.map(Some));
        self.say(asked, asked_word, asked_end.into_iter().collect());
        self.say(asker, asker_word, asker_end.into_iter().collect());
    }

    pub(super) fn granted(&self, link: &Link, side: Side, balance: Balance) -> ToWorker {
        let (own, peer) = (link.holder(side), link.holder(side.other()));
        ToWorker::Granted {
            link: own.name,
            peer: self.role_name(peer.port),
            interface: link.lineage.ask.interface.clone(),
            rights: own.rights.clone(),
            peer_rights: peer.rights.clone(),
            route: if link.way == Way::Direct { Route::Direct } else { Route::Relayed },
            balance,
            copy_of: self.original(link, side),
        }
    }

    /// What the holder on that side calls the link that this one is a copy of, if it holds the same side of that.
    fn original(&self, link: &Link, side: Side) -> Option<cloison_msg::Destination> {
        let parent = self.links.get(link.lineage.parent?)?;
        let holder = parent.holder(side);
        (holder.port == link.holder(side).port).then_some(holder.name)
    }

    pub(super) fn role_name(&self, port: Key) -> Name {
        self.ports.get(port).expect("a link's holders are there as long as the link").role().clone()
    }
}
