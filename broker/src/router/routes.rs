//! How links run, and how that changes while they are in use.
//!
//! A change is announced to both ends ([`ToWorker::Reroute`]). To the direct route, each end says a last relayed word, a
//! switch, which the broker passes on, and goes on by the socket. To the relayed route, each end tells the broker that it
//! has left; the broker shuts that half of the socket, so that its end stands behind the last message on it. When both
//! ends have settled, the link is at rest again, and only then may its route change once more.

use std::time::Duration;

use cloison_msg::control::ToWorker;
use cloison_msg::{CALLS_IN_FLIGHT, CallId, Descriptor, Gone, Key, Relayed, Route, Time, WINDOW_MESSAGES};

use super::due::Due;
use super::link::{Link, Side};
use super::port::End;
use super::{Event, Output, Router, Violation};
use crate::policy::Model;

/// How long a worker has to do its part when a link changes its route. Whoever has not by then is evicted.
pub const SWITCH_WITHIN: Duration = Duration::from_secs(5);

/// How a link runs at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// Nobody was told of the link yet: its socket pair is being made.
    Unannounced,
    /// Over the broker.
    Relayed,
    /// Over the broker, while a socket pair is being made.
    Pairing,
    /// On its way from relayed to direct.
    ToDirect(Turn),
    /// Over a socket of its own.
    Direct,
    /// On its way from direct to relayed.
    ToRelayed(Turn),
}

/// How far a change of routes has come. Both arrays are by [`Side`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Turn {
    /// When whoever has not done its part is evicted.
    pub(super) until: Time,
    /// When it was announced.
    pub(super) since: Time,
    /// Which ends have said their last word by the old route.
    pub(super) left: [bool; 2],
    /// Which ends have seen the last word of the other, too.
    pub(super) settled: [bool; 2],
}

impl Turn {
    const fn new(now: Time, until: Time) -> Self {
        Self { until, since: now, left: [false; 2], settled: [false; 2] }
    }
}

impl Way {
    /// Whether what the end on `side` says comes over a socket of the link's own.
    pub(super) const fn runs_direct(&self, side: Side) -> bool {
        match self {
            Self::Unannounced | Self::Relayed | Self::Pairing => false,
            Self::ToDirect(turn) => turn.left[side.index()],
            Self::Direct => true,
            Self::ToRelayed(turn) => !turn.left[side.index()],
        }
    }

    /// Whether answers to what the end on `side` calls come over the broker, as the calls do.
    pub(super) const fn answers_are_seen(&self, side: Side) -> bool {
        !self.runs_direct(side) && !self.runs_direct(side.other())
    }

    /// Whether there is, or is about to be, a socket pair.
    pub(super) const fn has_pair(&self) -> bool {
        match self {
            Self::Relayed => false,
            Self::ToRelayed(turn) => !turn.left[0] || !turn.left[1],
            Self::Unannounced | Self::Pairing | Self::ToDirect(_) | Self::Direct => true,
        }
    }

    /// The route it runs, or is on its way to.
    pub(super) const fn route(&self) -> Route {
        match self {
            Self::Relayed | Self::ToRelayed(_) => Route::Relayed,
            Self::Unannounced | Self::Pairing | Self::ToDirect(_) | Self::Direct => Route::Direct,
        }
    }
}

/// What is wished for one link beyond the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    /// The host's own wish.
    pub(super) host: Option<Route>,
    /// Which holders have asked that it be relayed so that it can be moved, by [`Side`].
    pub(super) rest: [bool; 2],
}

/// Why a link is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WhyRelayed {
    /// The model is the broker's.
    #[error("the model is Broker")]
    Model,
    /// The host asked for it.
    #[error("the host has set its route")]
    Wish,
    /// One of its ends is the host, in the broker's own process.
    #[error("it ends in the host, which is the broker's own process")]
    Host,
    /// A right on it protects third parties.
    #[error(transparent)]
    Guard(#[from] Relayed),
    /// A holder is about to move its end.
    #[error("a holder is about to give its end away")]
    Rest,
}

/// How many demands a holder may send over the broker for what came by the socket: of each stream of each call, what its credit
/// can be divided into, and that no more is wanted.
const DEMANDS_AFTER_DIRECT: u64 = 4 * 2 * CALLS_IN_FLIGHT as u64;

impl<D: Descriptor> Router<D> {
    /// Builds links by another model from now on, also those that there are.
    pub fn set_model(&mut self, model: Model, now: Time) {
        if self.model != model {
            self.model = model;
            self.tell(Event::Model { model });
            self.steer_all(now);
        }
    }

    /// The model in force.
    #[must_use]
    pub const fn model(&self) -> Model {
        self.model
    }

    /// Lets one link run by this route whatever the model says, or again as the model says. Rights that only the broker
    /// can enforce keep it relayed all the same. False if there is no such link.
    pub fn set_route(&mut self, key: Key, route: Option<Route>, now: Time) -> bool {
        let Some(link) = self.links.get_mut(key) else { return false };
        link.wish.host = route;
        self.steer(key, now);
        true
    }

    /// Whether that link, or any at all, is on its way from one route to the other.
    #[must_use]
    pub fn is_changing(&self, link: Option<Key>) -> bool {
        match link {
            None => self.due.iter().any(|(_, due)| matches!(due, Due::Switch(_))),
            Some(key) => self
                .links
                .get(key)
                .is_some_and(|link| matches!(link.way, Way::Pairing | Way::ToDirect(_) | Way::ToRelayed(_))),
        }
    }

    pub(super) fn steer_all(&mut self, now: Time) {
        let all: Vec<Key> = self.links.iter().map(|(key, _)| key).collect();
        for key in all {
            self.steer(key, now);
        }
    }

    /// Why a link is to be relayed; `None` if it is to be direct. The one place where the model is asked for.
    pub(super) fn why_relayed(&self, link: &Link) -> Option<WhyRelayed> {
        let with_host = link.asker.port == self.host || link.asked.port == self.host;
        let guard = link.asker.rights.relayed().or(link.asked.rights.relayed());
        match (guard, link.wish.host, self.model) {
            _ if with_host => Some(WhyRelayed::Host),
            (Some(guard), ..) => Some(guard.into()),
            _ if link.wish.rest != [false; 2] => Some(WhyRelayed::Rest),
            (None, Some(Route::Relayed), _) => Some(WhyRelayed::Wish),
            (None, None, Model::Broker) => Some(WhyRelayed::Model),
            (None, Some(Route::Direct), _) | (None, None, Model::Orchestrator) => None,
        }
    }

    /// Begins a change of routes if one is due. Only a link at rest changes; one that does not is looked at again when
    /// it has come to rest.
    pub(super) fn steer(&mut self, key: Key, now: Time) {
        let Some(link) = self.links.get(key) else { return };
        let wanted = if self.why_relayed(link).is_some() { Route::Relayed } else { Route::Direct };
        match (link.way, wanted) {
            (Way::Relayed, Route::Direct) => {
                self.set_way(key, Way::Pairing);
                self.outputs.push_back(Output::MakePair { link: key });
            }
            (Way::Direct, Route::Relayed) => {
                self.begin_turn(key, Way::ToRelayed, now);
                for side in Side::BOTH {
                    self.say_reroute(key, side, Route::Relayed, None);
                }
            }
            _ => {}
        }
    }

    /// The socket pair of a link was made, or could not be: then the link is relayed, which asks for no socket.
    pub fn handle_pair(&mut self, key: Key, pair: Option<[D; 2]>, now: Time) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.was_direct |= pair.is_some();
        match (link.way, pair) {
            (Way::Unannounced, pair) => {
                self.set_way(key, if pair.is_some() { Way::Direct } else { Way::Relayed });
                self.announce(key, pair);
            }
            (Way::Pairing, Some(pair)) => {
                self.begin_turn(key, Way::ToDirect, now);
                for (side, socket) in Side::BOTH.into_iter().zip(pair) {
                    self.say_reroute(key, side, Route::Direct, Some(socket));
                }
            }
            (Way::Pairing, None) => {
                self.set_way(key, Way::Relayed);
                self.say_at_rest(key);
            }
            _ => {}
        }
    }

    fn set_way(&mut self, key: Key, way: Way) {
        if let Some(link) = self.links.get_mut(key) {
            link.way = way;
        }
    }

    fn begin_turn(&mut self, key: Key, way: fn(Turn) -> Way, now: Time) {
        let until = now.after(SWITCH_WITHIN);
        self.due.insert((until, Due::Switch(key)));
        self.set_way(key, way(Turn::new(now, until)));
    }

    fn say_reroute(&mut self, key: Key, side: Side, route: Route, socket: Option<D>) {
        let Some(link) = self.links.get(key) else { return };
        let (port, name) = (link.holder(side).port, link.holder(side).name);
        self.say(port, ToWorker::Reroute { link: name, route }, socket.into_iter().collect());
    }

    /// The link has come to rest: answers whoever has asked for that.
    fn say_at_rest(&mut self, key: Key) {
        let Some(link) = self.links.get(key) else { return };
        for side in Side::BOTH {
            if link.wish.rest[side.index()] {
                let (port, name) = (link.holder(side).port, link.holder(side).name);
                self.outputs.push_back(super::output::word(port, ToWorker::AtRest { link: name }, Vec::new()));
            }
        }
    }

    /// Nothing more comes by the socket from this end.
    pub(super) fn handle_left(&mut self, end: End, calls: CallId, now: Time) {
        let port = self.links.get(end.link).map(|link| link.holder(end.side).port);
        let Some(link) = self.links.get_mut(end.link) else { return };
        let Way::ToRelayed(turn) = &mut link.way else { return self.evict_at(port, Violation::Switch) };
        if std::mem::replace(&mut turn.left[end.side.index()], true) {
            return self.evict_at(port, Violation::Switch);
        }
        let (both, all) = (turn.left == [true; 2], turn.left == [true; 2] && turn.settled == [true; 2]);
        link.holder_mut(end.side.other()).unseen_calls = CALLS_IN_FLIGHT;
        let holder = link.holder_mut(end.side);
        holder.foreign_receipts = WINDOW_MESSAGES;
        holder.receipts_are_stale = false;
        // What came by the socket was counted by nobody here.
        holder.demands = holder.demands.saturating_add(DEMANDS_AFTER_DIRECT);
        // What it says here comes back to it alone, if its peer's end is moved.
        holder.last_said = calls;
        self.outputs.push_back(Output::Shut { link: end.link, end: end.side.index() });
        if both {
            self.outputs.push_back(Output::Unpair { link: end.link });
        }
        if all {
            self.complete(end.link, now);
        }
    }

    /// As far as this end is concerned, the change is complete.
    pub(super) fn handle_settled(&mut self, end: End, now: Time) {
        let Some(link) = self.links.get_mut(end.link) else { return };
        let port = link.holder(end.side).port;
        let at = end.side.index();
        let (Way::ToDirect(turn) | Way::ToRelayed(turn)) = &mut link.way else {
            return self.evict_at(Some(port), Violation::Switch);
        };
        // The other may have shut its socket down without a word, so only what this end has done itself is held against it.
        if !turn.left[at] || std::mem::replace(&mut turn.settled[at], true) {
            return self.evict_at(Some(port), Violation::Switch);
        }
        if turn.left == [true; 2] && turn.settled == [true; 2] {
            self.complete(end.link, now);
        }
    }

    fn complete(&mut self, key: Key, now: Time) {
        let Some(link) = self.links.get_mut(key) else { return };
        let old = link.way;
        let (new, took) = match old {
            Way::ToDirect(turn) => (Way::Direct, now.since(turn.since)),
            Way::ToRelayed(turn) => (Way::Relayed, now.since(turn.since)),
            _ => return,
        };
        link.way = new;
        if new == Way::Direct {
            for side in Side::BOTH {
                link.holder_mut(side).meter.set_calls(0);
            }
        }
        let (asker, asked) = (link.asker.port, link.asked.port);
        self.forget_switch(key, &old);
        let (from, to) = (self.role_name(asker), self.role_name(asked));
        self.tell(Event::Switched { link: key, from, to, route: new.route(), took });
        if new == Way::Relayed {
            self.say_at_rest(key);
        }
        self.steer(key, now);
    }

    /// A holder asks that its link be at rest.
    pub(super) fn handle_rest(&mut self, end: End, now: Time) {
        let Some(link) = self.links.get_mut(end.link) else { return };
        link.wish.rest[end.side.index()] = true;
        if link.way == Way::Relayed {
            // The other holder may have asked before, and was answered then.
            let (port, name) = (link.holder(end.side).port, link.holder(end.side).name);
            return self.say(port, ToWorker::AtRest { link: name }, Vec::new());
        }
        self.steer(end.link, now);
    }

    /// The time for a change of routes is up. Whoever has not said its last word by the old route is evicted, and so is who
    /// has not seen the last relayed word of the other. But who has not seen the end of a socket may wait for a word that
    /// the other one owes it by that socket, where the broker sees nothing: that link is cut, and nobody is evicted. Nor is
    /// who had to change its route only because the other asked for rest: a worker that computes for seconds is none that
    /// any peer may bring down.
    pub(super) fn expire_switch(&mut self, key: Key) {
        let Some(link) = self.links.get(key) else { return };
        let (Way::ToDirect(turn) | Way::ToRelayed(turn)) = link.way else { return };
        let has_left = turn.left == [true; 2];
        if link.way.route() == Route::Relayed && (has_left || self.is_for_rest_of_others(link, turn)) {
            let why = Gone::CutOff("its change of route was not completed in time".into());
            return self.close_link(key, &Side::BOTH, &why);
        }
        let done = if has_left { turn.settled } else { turn.left };
        let late = Side::BOTH.into_iter().filter(|side| !done[side.index()]);
        let late: Vec<Key> = late.map(|side| link.holder(side).port).collect();
        for port in late {
            self.evict(port, Violation::Late("a change of route"));
        }
    }

    /// Whether it is for the sake of those that have left already that a link is to be relayed.
    fn is_for_rest_of_others(&self, link: &Link, turn: Turn) -> bool {
        let late_one_asked = Side::BOTH.iter().any(|side| !turn.left[side.index()] && link.wish.rest[side.index()]);
        self.why_relayed(link) == Some(WhyRelayed::Rest) && !late_one_asked
    }

    /// No more time is kept for a link's change of routes.
    pub(super) fn forget_switch(&mut self, key: Key, way: &Way) {
        if let Way::ToDirect(turn) | Way::ToRelayed(turn) = way {
            self.due.remove(&(turn.until, Due::Switch(key)));
        }
    }

    fn evict_at(&mut self, port: Option<Key>, violation: Violation) {
        if let Some(port) = port {
            self.evict(port, violation);
        }
    }
}

/// A switch marker passed by: the end on `side` goes on by the socket. Whether it may.
pub(super) fn handle_switch(link: &mut Link, side: Side) -> Result<(), Violation> {
    let at = side.index();
    match &mut link.way {
        Way::ToDirect(turn) if !turn.left[at] => {
            turn.left[at] = true;
            link.holder_mut(side).unseen_calls = CALLS_IN_FLIGHT;
            Ok(())
        }
        way if way.runs_direct(side) => {
            let holder = link.holder_mut(side);
            Ok(holder.meter.send(Route::Relayed, cloison_msg::Kind::Switch, cloison_msg::Shape::default())?)
        }
        _ => Err(Violation::Switch),
    }
}
