//! What a worker does with what it hears: the same rules as in the shipped worker, and nothing else of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cloison_broker::router::Body;
use cloison_msg::control::{ToBroker, ToWorker};
use cloison_msg::{
    Arrival, Balance, CallId, Denial, DescriptorClasses, Destination, Ends, Failure, Gone, Header, Key, Kind, LinkEnd,
    Pending, Route, Shape, Via, decode_whole,
};

use super::sockets::Read;
use super::{Act, Fault, Heard, Outcome, Packet, Plug, World, encode, length};

/// One worker.
#[derive(Clone, Hash)]
pub(super) struct Worker {
    pub(super) port: Key,
    pub(super) life: Life,
    /// What it said to the broker.
    pub(super) up: VecDeque<Packet>,
    /// What the broker said to it.
    pub(super) down: VecDeque<Heard>,
    pub(super) ends: Ends<End>,
    /// The links that it had, and why they are gone.
    pub(super) departed: BTreeMap<Destination, Gone>,
    /// The links that it closed itself.
    pub(super) closed: BTreeSet<Destination>,
    /// Links that it gave away, over which nothing more comes, and from which it has yet to take what had come.
    pub(super) given: BTreeSet<Destination>,
    /// Names that came in a message before the broker had said what they are.
    pub(super) unheard: BTreeSet<Destination>,
    /// Its links in the order in which it got them.
    pub(super) names: Vec<Destination>,
    /// Requests that its application has not taken.
    pub(super) queue: VecDeque<Queued>,
    /// What its application has yet to do.
    pub(super) agenda: VecDeque<Act>,
    /// Its calls that have no outcome yet, by its own numbers.
    pub(super) calls: BTreeSet<u8>,
    pub(super) calls_made: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Runs,
    /// It stands still and says nothing more.
    Frozen,
    /// It is dead, and the broker does not know.
    Dead,
    Buried,
}

/// A worker's end of a link.
#[derive(Clone, Hash)]
pub(super) struct End {
    pub(super) link: LinkEnd<u8>,
    pub(super) socket: Option<Plug>,
    /// Whether the socket has ended.
    pub(super) has_ended: bool,
    /// What the socket has no room for.
    pub(super) outbox: VecDeque<Packet>,
    pub(super) rest: Rest,
}

/// Whether a link may be given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rest {
    No,
    Asked,
    Given,
}

/// A request that has arrived.
#[derive(Clone, Copy, Hash)]
pub(super) struct Queued {
    pub(super) header: Header,
    /// By which way it came; `None` if its link had been given away.
    pub(super) via: Option<Via>,
}

impl Worker {
    pub(super) fn new(port: Key, agenda: &[Act]) -> Self {
        Self {
            port,
            life: Life::Runs,
            up: VecDeque::new(),
            down: VecDeque::new(),
            ends: Ends::new(),
            departed: BTreeMap::new(),
            closed: BTreeSet::new(),
            given: BTreeSet::new(),
            unheard: BTreeSet::new(),
            names: Vec::new(),
            queue: VecDeque::new(),
            agenda: agenda.iter().copied().collect(),
            calls: BTreeSet::new(),
            calls_made: 0,
        }
    }
}

impl End {
    /// Whether the socket is to be read.
    pub(super) fn reads(&self, fault: Option<Fault>) -> Option<Plug> {
        let reads = self.link.inbound() == Route::Direct || fault == Some(Fault::ReadEarly);
        self.socket.filter(|_| reads && !self.has_ended)
    }
}

impl World {
    /// A worker takes in one packet from the broker; false if there is none.
    pub(super) fn hear(&mut self, at: usize) -> bool {
        let Some(heard) = self.workers[at].down.pop_front() else { return false };
        match heard {
            Heard::Own(_, Body::Word(word), plugs) => self.take_word(at, word, plugs.first().copied()),
            Heard::Own(header, Body::Credit(receipt), _) => {
                let payload = encode(&receipt);
                let header = Header { payload: length(&payload), ..header };
                self.take_relayed(at, &Packet { payload, ..Packet::bare(header) }, false);
            }
            Heard::Own(header, Body::Failure(failure), _) => {
                let payload = encode(&failure);
                let header = Header { payload: length(&payload), ..header };
                self.take_relayed(at, &Packet { payload, ..Packet::bare(header) }, false);
            }
            Heard::Forwarded(packet) => self.take_relayed(at, &packet, true),
        }
        true
    }

    fn take_relayed(&mut self, at: usize, packet: &Packet, is_peers: bool) {
        let name = packet.header.destination;
        let end = self.workers[at].ends.get(name);
        if end.is_some_and(|end| end.link.may_outrun()) && !self.has(Fault::NoDrain) {
            self.drain(at, name);
        }
        let worker = &mut self.workers[at];
        let carried = packet.links.iter().map(|carried| carried.link);
        worker.unheard.extend(carried.filter(|link| !worker.names.contains(link)));
        let is_awaited = worker.ends.get(name).is_some() || worker.departed.get(&name) == Some(&Gone::Moved);
        let is_unheard_of = !worker.names.contains(&name);
        if is_peers && packet.is_said() && (is_awaited || is_unheard_of) {
            self.ledger.arrive(self.workers[at].port, name, packet.header.chain.0);
        }
        self.take(at, Route::Relayed, packet);
    }

    /// A worker reads one packet, or the end, from a link's own socket; false if there is neither.
    pub(super) fn read(&mut self, at: usize, name: Destination) -> bool {
        let reads = self.workers[at].ends.get(name).and_then(|end| end.reads(self.fault));
        match reads.map_or(Read::Nothing, |plug| self.sockets.read(plug)) {
            Read::Nothing => false,
            Read::End => {
                if let Some(end) = self.workers[at].ends.get_mut(name) {
                    end.has_ended = true;
                    end.link.handle_end();
                }
                self.note_switched(at, name);
                true
            }
            Read::Packet(mut packet) => {
                packet.header.destination = name;
                if packet.is_said() {
                    self.ledger.arrive(self.workers[at].port, name, packet.header.chain.0);
                }
                self.take(at, Route::Direct, &packet);
                true
            }
        }
    }

    /// What the peer said on the socket comes before what it said over the broker afterwards.
    fn drain(&mut self, at: usize, name: Destination) {
        while self.workers[at].ends.get(name).is_some_and(|end| end.link.inbound() == Route::Direct)
            && self.read(at, name)
        {}
    }

    fn take(&mut self, at: usize, route: Route, packet: &Packet) {
        let (header, now) = (packet.header, self.now);
        let name = header.destination;
        let worker = &mut self.workers[at];
        let Some(end) = worker.ends.get_mut(name) else { return self.take_belated(at, header) };
        let via = end.link.via(route);
        let classes = if header.descriptors > 0 { DescriptorClasses::PIPE } else { DescriptorClasses::empty() };
        match end.link.handle(route, &header, &packet.payload, classes, now) {
            Ok(Arrival::Request) => worker.queue.push_back(Queued { header, via: Some(via) }),
            Ok(Arrival::Outcome(pending)) => {
                if pending.context != header.depth {
                    self.ledger.wrong("an answer to another call");
                }
                self.ledger.deliver(self.workers[at].port, name);
                self.note_outcome(at, name, pending.context, outcome_of(packet));
                self.conclude(at, &pending);
                self.note_taken(at, via, &header);
            }
            Ok(Arrival::Late | Arrival::Stray) => self.note_taken(at, via, &header),
            Ok(Arrival::Item) => {
                self.ledger.deliver(self.workers[at].port, name);
                self.note_taken(at, via, &header);
            }
            Ok(Arrival::Cancel) => {
                self.note_taken(at, via, &header);
                self.answer_cancelled(at, name, header.call);
            }
            Ok(Arrival::Switched) => self.note_switched(at, name),
            Ok(Arrival::Probe) => self.note_taken(at, via, &header),
            Ok(Arrival::Credit | Arrival::Release | Arrival::Demand) => {}
            Ok(Arrival::Denied(denial)) if self.denies => self.deny(at, via, &header, denial),
            Ok(Arrival::Denied(denial)) => self.ledger.wrong(format!("an honest message was denied: {denial}")),
            Err(breach) => self.ledger.wrong(format!("an honest worker is accused: {breach}")),
        }
    }

    /// A request that came over a direct link without right: what the broker would do on a relayed one.
    fn deny(&mut self, at: usize, via: Via, header: &Header, denial: Denial) {
        self.note_taken(at, via, header);
        let payload = encode(&Failure::Denied(denial));
        let shape = Shape { payload: length(&payload), ..Shape::default() };
        let end = self.workers[at].ends.get_mut(header.destination).filter(|_| header.kind == Kind::Call);
        if let Some(answer) = end.and_then(|end| end.link.answer(header, true, shape).ok()) {
            self.post_said(at, Packet { payload, ..Packet::bare(answer) });
        }
    }

    /// What was on its way when the link was given away is still to be served.
    fn take_belated(&mut self, at: usize, header: Header) {
        let worker = &mut self.workers[at];
        let is_request = matches!(header.kind, Kind::Call | Kind::Oneway);
        match worker.departed.get(&header.destination) {
            Some(Gone::Moved) if is_request => worker.queue.push_back(Queued { header, via: None }),
            Some(_) => {}
            None => self.ledger.wrong("a message on a link of which its receiver had not heard"),
        }
    }

    /// A call has its outcome.
    pub(super) fn conclude(&mut self, at: usize, pending: &Pending<u8>) {
        if !self.workers[at].calls.remove(&pending.context) {
            self.ledger.wrong("a call that ended twice");
        }
    }

    /// A call that was given up before the application took it is answered at once.
    fn answer_cancelled(&mut self, at: usize, name: Destination, call: CallId) {
        let is_it = |queued: &Queued| (queued.header.destination, queued.header.call) == (name, call);
        let serves = self.has(Fault::ServeCancelled);
        let queue = &mut self.workers[at].queue;
        let place = queue.iter().position(is_it);
        let Some(queued) = place.and_then(|at| if serves { queue.get(at).copied() } else { queue.remove(at) }) else {
            return;
        };
        if let Some(via) = queued.via {
            self.note_taken(at, via, &queued.header);
        }
        let payload = encode(&Failure::Cancelled);
        let shape = Shape { payload: length(&payload), ..Shape::default() };
        let answer =
            self.workers[at].ends.get_mut(name).and_then(|end| end.link.answer(&queued.header, true, shape).ok());
        if let Some(answer) = answer {
            self.post_said(at, Packet { payload, ..Packet::bare(answer) });
        }
    }

    fn take_word(&mut self, at: usize, word: ToWorker, plug: Option<Plug>) {
        match word {
            ToWorker::Granted { link, peer, peer_rights, route, balance, .. } => {
                let forgetful = self.has(Fault::ReuseCallIds);
                let balance = if forgetful { Balance { moves: 0, ..balance } } else { balance };
                let link_end = LinkEnd::new(link, peer, route, peer_rights).resume(balance);
                let (outbox, rest) = (VecDeque::new(), Rest::No);
                let end = End { link: link_end, socket: plug, has_ended: false, outbox, rest };
                if self.workers[at].unheard.contains(&link) {
                    self.ledger.wrong("a message carried a link of which its receiver had not heard");
                }
                self.workers[at].ends.insert(link, end);
                self.workers[at].names.push(link);
            }
            ToWorker::Reroute { link, route: Route::Direct } => self.go_direct(at, link, plug),
            ToWorker::Reroute { link, route: Route::Relayed } => self.leave(at, link),
            ToWorker::AtRest { link } => {
                if let Some(end) = self.workers[at].ends.get_mut(link) {
                    end.rest = Rest::Given;
                }
            }
            ToWorker::Moved { link, peer, own } if !self.has(Fault::MoveUnheard) => {
                let Some(end) = self.workers[at].ends.get_mut(link) else { return };
                for pending in end.link.handle_move(peer, own) {
                    self.note_outcome(at, link, pending.context, Outcome::Gone);
                    self.conclude(at, &pending);
                }
            }
            ToWorker::Attenuated { link, peer_rights, .. } => {
                if let Some(end) = self.workers[at].ends.get_mut(link) {
                    end.link.set_peer_rights(peer_rights);
                }
            }
            ToWorker::Closed { link, why: Gone::Revoked } => self.release(at, link),
            ToWorker::Closed { link, why: Gone::Moved } => {
                self.workers[at].given.insert(link);
                self.confirm_given(at, link);
            }
            ToWorker::Closed { link, why } => {
                if !self.has(Fault::NoLastDrain) {
                    self.drain(at, link);
                }
                self.depart(at, link, why);
            }
            _ => {}
        }
    }

    /// A link was taken back: nothing that came over it is delivered from here on.
    fn release(&mut self, at: usize, name: Destination) {
        self.depart(at, name, Gone::Revoked);
        if !self.has(Fault::DeliverAfterRelease) {
            self.workers[at].queue.retain(|queued| queued.header.destination != name);
        }
        self.say(at, &ToBroker::Released { link: name });
    }

    /// Says so when all that came over a link that was given away was taken.
    pub(super) fn confirm_given(&mut self, at: usize, name: Destination) {
        let worker = &mut self.workers[at];
        if worker.queue.iter().all(|queued| queued.header.destination != name) && worker.given.remove(&name) {
            self.say(at, &ToBroker::Released { link: name });
        }
    }

    /// A worker's end of a link is gone.
    pub(super) fn depart(&mut self, at: usize, name: Destination, why: Gone) {
        let Some(mut end) = self.workers[at].ends.remove(name) else { return };
        self.workers[at].departed.insert(name, why);
        for pending in end.link.close().collect::<Vec<_>>() {
            self.note_outcome(at, name, pending.context, Outcome::Gone);
            self.conclude(at, &pending);
        }
        if let Some(plug) = end.socket {
            self.sockets.close(plug);
        }
    }

    /// A worker dies at once. What it had sent is still there.
    pub(super) fn kill(&mut self, at: usize) {
        let worker = &mut self.workers[at];
        worker.life = Life::Dead;
        worker.down.clear();
        worker.queue.clear();
        worker.agenda.clear();
        worker.calls.clear();
        for (_, end) in std::mem::take(&mut worker.ends).iter() {
            if let Some(plug) = end.socket {
                self.sockets.close(plug);
            }
        }
    }
}

fn outcome_of(answer: &Packet) -> Outcome {
    match decode_whole(&answer.payload) {
        Ok(Failure::Denied(denial)) if answer.header.kind == Kind::Error => Outcome::Denied(denial),
        _ => Outcome::Replied,
    }
}
