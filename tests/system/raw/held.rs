//! A link as an attacker keeps it: as much of the protocol as it takes to go along with a change of routes, or not to.

use cloison_broker::msg::control::{ToBroker, ToWorker};
use cloison_broker::msg::{CallId, Credit, Destination, Header, Kind, Receipt, Route};
use cloison_ipc::{Passed, ProcessIpc};
use serde::{Deserialize, Serialize};

use super::{Heard, Raw, Via, packet};
use crate::words::encoded;

/// A link as its attacker knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RawLink {
    pub name: Destination,
    pub peer: String,
    pub is_direct: bool,
    pub is_closed: bool,
}

pub struct Held {
    pub shown: RawLink,
    pub socket: Option<ProcessIpc>,
    /// By which route the peer's next message comes.
    pub inbound: Route,
    /// Whether the socket is at its end.
    ended: bool,
    /// What was taken, by route.
    relayed: Credit,
    direct: Credit,
}

impl Held {
    fn new(shown: RawLink, socket: Option<ProcessIpc>, relayed: Credit) -> Self {
        let inbound = if shown.is_direct { Route::Direct } else { Route::Relayed };
        Self { shown, socket, inbound, ended: false, relayed, direct: Credit::default() }
    }

    /// Whether its own socket is to be read now.
    pub fn reads(&self) -> bool {
        self.inbound == Route::Direct && self.socket.is_some() && !self.ended
    }
}

impl Raw {
    pub fn hear_of_links(&mut self, word: ToWorker, passed: Option<Passed>) {
        let socket = passed.and_then(|passed| ProcessIpc::from_fd(passed.into_fd()).ok());
        match word {
            ToWorker::Granted { link, peer, route, balance, .. } => {
                let is_direct = route == Route::Direct;
                let shown = RawLink { name: link, peer: peer.to_string(), is_direct, is_closed: false };
                self.links.push(Held::new(shown, socket, balance.received));
            }
            ToWorker::Closed { link, .. } => {
                if let Some(at) = self.place_of(link) {
                    self.links[at].shown.is_closed = true;
                    self.links[at].socket = None;
                }
                // An honest worker says so where the link was revoked; of any other link it is no news, and no harm.
                self.say(&ToBroker::Released { link });
            }
            ToWorker::Moved { link, peer, .. } => {
                if let Some(at) = self.place_of(link) {
                    self.links[at].shown.peer = peer.to_string();
                    self.links[at].direct = Credit::default();
                }
            }
            ToWorker::Reroute { link, route } if self.cooperates => {
                if let Some(at) = self.place_of(link) {
                    self.change_route(at, route, socket);
                }
            }
            ToWorker::Reroute { link, .. } => {
                // It keeps the socket, and does nothing with it.
                if let Some((at, socket)) = self.place_of(link).zip(socket) {
                    self.links[at].socket = Some(socket);
                }
            }
            _ => {}
        }
    }

    pub fn place_of(&self, link: Destination) -> Option<usize> {
        self.links.iter().rposition(|held| held.shown.name == link)
    }

    fn change_route(&mut self, at: usize, route: Route, socket: Option<ProcessIpc>) {
        let name = self.links[at].shown.name;
        match route {
            Route::Direct => {
                let switch = Header { destination: name, kind: Kind::Switch, ..Header::default() };
                let _ = self.send(Via::Control, &packet(&switch, &[]), &[]);
                let held = &mut self.links[at];
                (held.socket, held.shown.is_direct, held.ended) = (socket, true, false);
            }
            Route::Relayed => {
                self.say(&ToBroker::Left { link: name, calls: CallId(self.last_call) });
                self.links[at].shown.is_direct = false;
                self.check_settled(at);
            }
        }
    }

    /// The peer goes on by the other route.
    pub fn hear_switch(&mut self, at: usize, heard: &Heard) {
        let held = &mut self.links[at];
        let is_first = held.inbound == Route::Relayed && held.direct == Credit::default() && heard.direct.is_none();
        held.inbound = if heard.direct.is_some() { Route::Relayed } else { Route::Direct };
        if is_first && self.cooperates {
            self.say(&ToBroker::Settled { link: self.links[at].shown.name });
        }
    }

    pub fn hear_end(&mut self, at: usize) {
        self.links[at].ended = true;
        self.links[at].inbound = Route::Relayed;
        self.check_settled(at);
    }

    fn check_settled(&mut self, at: usize) {
        let held = &mut self.links[at];
        if self.cooperates && held.ended && !held.shown.is_direct && held.socket.take().is_some() {
            self.say(&ToBroker::Settled { link: self.links[at].shown.name });
        }
    }

    /// Gives a message's place in the window back.
    pub fn credit(&mut self, at: usize, heard: &Heard) {
        let held = &mut self.links[at];
        let (route, total) = match heard.direct {
            Some(_) => (Route::Direct, &mut held.direct),
            None => (Route::Relayed, &mut held.relayed),
        };
        *total = total.plus(Credit::of(heard.header.kind, heard.header.shape()));
        let receipt = encoded(&Receipt { route, taken: *total });
        let by_socket = route == Route::Direct && held.shown.is_direct && held.socket.is_some();
        let header = Header {
            destination: held.shown.name,
            kind: Kind::Credit,
            payload: u32::try_from(receipt.len()).expect("short"),
            ..Header::default()
        };
        let via = if by_socket { Via::Direct(at) } else { Via::Control };
        let _ = self.send(via, &packet(&header, &receipt), &[]);
    }

    /// The way that the next message of the attacker's takes.
    pub fn via(&self, at: usize) -> Via {
        let held = &self.links[at];
        if held.shown.is_direct && held.socket.is_some() { Via::Direct(at) } else { Via::Control }
    }
}
