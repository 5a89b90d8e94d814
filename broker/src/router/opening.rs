//! Links that are asked for.

use cloison_msg::control::{RequestId, ToWorker};
use cloison_msg::{Descriptor, Key, Name, Refusal, Route};

use super::link::{DESCRIPTOR_LINKS_PER_WORKER, Holder, LINKS_PER_PAIR, LINKS_PER_WORKER, Link, Opened, Side};
use super::port::End;
use super::{Event, Output, Role, Router};
use crate::policy::{Ask, Grant, Model};

/// Most links that one worker may wait for at a time.
pub const OPENS_WAITING: usize = 16;

/// A link that was asked for and waits for somebody to play its role.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    pub(super) request: RequestId,
    pub(super) role: Name,
    pub(super) interface: Name,
}

impl<D: Descriptor> Router<D> {
    /// A port asks for a link. The host asks by this too; its answer comes out like a worker's.
    pub fn handle_open(&mut self, from: Key, request: RequestId, role: Name, interface: Name) {
        let opening = Opening { request, role, interface };
        match self.try_open(from, &opening) {
            Ok(true) => {}
            Ok(false) => self.wait(from, opening),
            Err(refusal) => self.refuse(from, request, refusal),
        }
    }

    /// A port no longer waits for the link it asked for.
    pub fn handle_open_cancelled(&mut self, from: Key, request: RequestId) {
        if let Some(port) = self.ports.get_mut(from) {
            port.cancel_opening(request);
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
            self.handle_open(from, opening.request, opening.role, opening.interface);
        }
    }

    /// Connects the two if policy and state allow it now; false if nobody plays the role at the moment.
    fn try_open(&mut self, from: Key, opening: &Opening) -> Result<bool, Refusal> {
        let Some(asker) = self.ports.get(from) else { return Ok(true) };
        let asker_role = asker.role().clone();
        let known = self.roles.get(&opening.role);
        let ask = Ask { from: &asker_role, to: &opening.role, interface: &opening.interface };
        let Some((role, grant)) = known.zip(self.policy.grant(&ask)) else {
            let (to, interface) = (opening.role.clone(), opening.interface.clone());
            self.tell(Event::Refused { from: asker_role, to, interface });
            return Err(Refusal::NotFound);
        };
        match role {
            Role::Ended(why) => Err(Refusal::PeerGone(why.clone())),
            Role::Played(to) if self.ports.get(*to).is_some_and(|port| port.is_open() && !port.is_crowded()) => {
                let to = *to;
                self.connect(from, to, grant, opening).map(|()| true)
            }
            Role::Played(_) | Role::Awaited => Ok(false),
        }
    }

    fn wait(&mut self, from: Key, opening: Opening) {
        let request = opening.request;
        let Some(port) = self.ports.get_mut(from) else { return };
        if port.waiting.len() < OPENS_WAITING || port.is_host() {
            port.waiting.push(opening);
        } else {
            let limit = format!("a worker waits for at most {OPENS_WAITING} links at a time");
            self.refuse(from, request, Refusal::Limit(limit.into()));
        }
    }

    fn refuse(&mut self, from: Key, request: RequestId, refusal: Refusal) {
        self.say(from, ToWorker::Opened { request, link: Err(refusal) }, Vec::new());
    }

    fn connect(&mut self, from: Key, to: Key, grant: Grant, opening: &Opening) -> Result<(), Refusal> {
        let route = self.route_for(from, to, &grant);
        let asker = Holder::new(from, grant.rights);
        let opened = Opened { route, request: opening.request };
        let link = Link::new(asker, Holder::new(to, grant.back), opened, opening.interface.clone());
        self.check_limits(&link)?;
        let link = self.links.insert(link);
        self.name_ends(link);
        match route {
            Route::Relayed => self.announce(link, None),
            Route::Direct => self.outputs.push_back(Output::MakePair { link }),
        }
        Ok(())
    }

    /// Whether there may be one more such link. The host is bound by none of this.
    fn check_limits(&self, link: &Link) -> Result<(), Refusal> {
        let (from, to) = (link.asker.port, link.asked.port);
        let limit = |text: String| Err(Refusal::Limit(text.into()));
        for port in [from, to] {
            let port = self.ports.get(port).ok_or(Refusal::NotFound)?;
            if port.link_count() >= LINKS_PER_WORKER && !port.is_host() {
                return limit(format!("{} has {LINKS_PER_WORKER} links already", port.role()));
            }
        }
        let asked_for = |fits: &dyn Fn(&Link) -> bool| {
            let ends = self.ports.get(from).map(super::port::Port::ends).unwrap_or_default();
            let own = ends.iter().filter(|end| end.side == Side::Asker);
            own.filter(|end| self.links.get(end.link).is_some_and(fits)).count()
        };
        if from == self.host {
            Ok(())
        } else if asked_for(&|link| link.asked.port == to) >= LINKS_PER_PAIR {
            limit(format!("{LINKS_PER_PAIR} links lead to that peer already"))
        } else if link.passes_descriptors() && asked_for(&Link::passes_descriptors) >= DESCRIPTOR_LINKS_PER_WORKER {
            limit(format!("descriptors pass over {DESCRIPTOR_LINKS_PER_WORKER} links of the asker's already"))
        } else {
            Ok(())
        }
    }

    /// The one place where the model is asked for. A link of the host's ends in the broker's own process: no route is
    /// shorter than that one.
    fn route_for(&self, from: Key, to: Key, grant: &Grant) -> Route {
        let with_host = from == self.host || to == self.host;
        let guarded = grant.rights.relayed().or(grant.back.relayed());
        match self.model {
            Model::Orchestrator if !with_host && guarded.is_none() => Route::Direct,
            Model::Orchestrator | Model::Broker => Route::Relayed,
        }
    }

    fn name_ends(&mut self, key: Key) {
        let Some(link) = self.links.get_mut(key) else { return };
        for side in [Side::Asker, Side::Asked] {
            let holder = link.holder_mut(side);
            if let Some(port) = self.ports.get_mut(holder.port) {
                holder.name = port.name(End { link: key, side });
            }
        }
    }

    /// The socket pair of a direct link was made, or could not be: then the link is relayed, which asks for no socket.
    pub fn handle_pair(&mut self, link: Key, pair: Option<[D; 2]>) {
        let Some(made) = self.links.get_mut(link) else { return };
        if pair.is_none() {
            made.opened.route = Route::Relayed;
        }
        self.announce(link, pair);
    }

    /// Tells both ends that the link is there: the asked one first, so that it knows the link when the first message
    /// comes.
    fn announce(&mut self, key: Key, pair: Option<[D; 2]>) {
        let Some(link) = self.links.get(key) else { return };
        let opened = link.opened;
        let [asker_word, asked_word] = [Side::Asker, Side::Asked].map(|side| self.granted(link, side));
        let (asker, asked) = (link.asker.port, link.asked.port);
        let (from, to, name) = (self.role_name(asker), self.role_name(asked), link.asker.name);
        let [asker_end, asked_end] = pair.map_or([None, None], |pair| pair.map(Some));
        self.say(asked, asked_word, asked_end.into_iter().collect());
        self.say(asker, asker_word, asker_end.into_iter().collect());
        self.say(asker, ToWorker::Opened { request: opened.request, link: Ok(name) }, Vec::new());
        self.tell(Event::Granted { from, to, direct: opened.route == Route::Direct });
    }

    fn granted(&self, link: &Link, side: Side) -> ToWorker {
        let (own, peer) = (link.holder(side), link.holder(side.other()));
        ToWorker::Granted {
            link: own.name,
            peer: self.role_name(peer.port),
            interface: link.interface.clone(),
            rights: own.rights.clone(),
            peer_rights: peer.rights.clone(),
            route: link.opened.route,
        }
    }

    fn role_name(&self, port: Key) -> Name {
        self.ports.get(port).expect("a link's holders are there as long as the link").role().clone()
    }
}
