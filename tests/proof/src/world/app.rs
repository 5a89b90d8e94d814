//! What applications do: they take requests, answer calls, and follow their agendas.

use cloison_msg::control::ToBroker;
use cloison_msg::{
    CallFrame, Caller, ChainId, DEADLINE_MAX, Destination, Gone, Header, Kind, LinkRef, Rights, RightsFlags, Room,
    RpcIndex, RpcSet, Shape, Streams, Transfer,
};

use super::worker::Rest;
use super::{Act, Fault, Packet, World};

impl World {
    /// An application takes the oldest request, and answers it if it is a call.
    pub(super) fn serve(&mut self, at: usize) {
        let Some(queued) = self.workers[at].queue.pop_front() else { return };
        let header = queued.header;
        self.ledger.deliver(self.workers[at].port, header.destination);
        self.note_request(at, header.destination, header.rpc);
        if let Some(via) = queued.via {
            self.note_taken(at, via, &header);
        }
        self.confirm_given(at, header.destination);
        if header.kind != Kind::Call {
            return;
        }
        self.give_item(at, &header);
        let end = self.workers[at].ends.get_mut(header.destination);
        // Nobody waits for it if the caller has given the link away.
        if let Some(answer) = end.and_then(|end| end.link.answer(&header, false, Shape::default()).ok()) {
            self.post_said(at, Packet::bare(answer));
        }
    }

    /// One item before the answer, of a call that takes some.
    fn give_item(&mut self, at: usize, call: &Header) {
        let Some(end) = self.workers[at].ends.get_mut(call.destination) else { return };
        if end.link.room(call.call, Caller::Peer) == Room::Free
            && let Ok(header) = end.link.item(call.call, Caller::Peer, Shape::default())
        {
            self.post_said(at, Packet::bare(header));
        }
    }

    /// The next thing on the agenda, if it can be done now.
    pub(super) fn can_act(&self, at: usize) -> bool {
        let Some(&act) = self.workers[at].agenda.front() else { return false };
        let name = |link: usize| self.workers[at].names.get(link).copied();
        let has_room = |link, shape| {
            name(link).is_some_and(|name| {
                self.workers[at].ends.get(name).is_none_or(|end| {
                    let mut end = end.link.clone();
                    end.oneway(RpcIndex(0), shape, ChainId(0)).is_ok()
                })
            })
        };
        match act {
            Act::Oneway { link, size } | Act::Call { link, size } => has_room(link, payload(size)),
            Act::Stream { link } | Act::Item { link } => has_room(link, Shape::default()),
            Act::Say { link, is_call, descriptors, .. } => {
                let shape = Shape { descriptors, ..Shape::default() };
                let callable = |end: &super::worker::End| {
                    let frame = self.frame(0);
                    end.link.clone().call(RpcIndex(0), shape, frame, 0).is_ok()
                };
                let end = name(link).map(|name| self.workers[at].ends.get(name));
                has_room(link, shape) && (!is_call || end.is_some_and(|end| end.is_none_or(callable)))
            }
            Act::Cancel { link } => name(link).is_some(),
            Act::Close { link } => {
                let end = name(link).map(|name| self.workers[at].ends.get(name));
                end.is_some_and(|end| end.is_none_or(|end| end.outbox.is_empty()))
            }
            Act::Carry { by, link, transfer, .. } => {
                let end = name(link).map(|name| self.workers[at].ends.get(name));
                let is_ready = |rest| match rest {
                    Rest::No => true,
                    Rest::Asked => self.has(Fault::MoveUnrested),
                    Rest::Given => self.can_carry(at, by, has_room(by, carrying())),
                };
                match (end, transfer) {
                    (None, _) => false,
                    (Some(Some(end)), Transfer::Move) => is_ready(end.rest),
                    (Some(_), _) => self.can_carry(at, by, has_room(by, carrying())),
                }
            }
        }
    }

    fn can_carry(&self, at: usize, by: usize, has_room: bool) -> bool {
        has_room && self.workers[at].names.get(by).is_some_and(|&by| self.has_way(at, by))
    }

    /// Does the next thing on the agenda, or what has to come before it.
    pub(super) fn act(&mut self, at: usize) {
        let Some(&act) = self.workers[at].agenda.front() else { return };
        let names = self.workers[at].names.clone();
        match act {
            Act::Oneway { link, size } => self.act_oneway(at, names[link], RpcIndex(0), payload(size)),
            Act::Call { link, size } => self.act_call(at, names[link], RpcIndex(0), payload(size), Streams::empty()),
            Act::Stream { link } => {
                let streams = Streams::FEED | Streams::ITEMS;
                self.act_call(at, names[link], RpcIndex(0), Shape::default(), streams);
            }
            Act::Item { link } => self.act_item(at, names[link]),
            Act::Say { link, is_call, rpc, descriptors } => {
                let (name, shape) = (names[link], Shape { descriptors, ..Shape::default() });
                match is_call {
                    true => self.act_call(at, name, RpcIndex(rpc), shape, Streams::empty()),
                    false => self.act_oneway(at, name, RpcIndex(rpc), shape),
                }
            }
            Act::Carry { by, link, transfer, methods } => {
                let rights = Rights { methods, ..everything() };
                if !self.act_carry(at, names[by], LinkRef { link: names[link], transfer, rights }) {
                    return;
                }
            }
            Act::Cancel { link } => self.act_cancel(at, names[link]),
            Act::Close { link } => {
                if self.workers[at].ends.get(names[link]).is_some() {
                    self.say(at, &ToBroker::Close { link: names[link] });
                    self.workers[at].closed.insert(names[link]);
                    self.depart(at, names[link], Gone::Closed);
                }
            }
        }
        self.workers[at].agenda.pop_front();
    }

    /// For workers that do not keep the rules.
    pub(super) fn act_if_possible(&mut self, at: usize) {
        if self.can_act(at) {
            self.act(at);
        }
    }

    fn act_oneway(&mut self, at: usize, name: Destination, rpc: RpcIndex, shape: Shape) {
        if let Some(header) = self.oneway(at, name, rpc, shape) {
            self.post_said(at, Packet::bare(header));
        }
    }

    fn act_call(&mut self, at: usize, name: Destination, rpc: RpcIndex, shape: Shape, streams: Streams) {
        let number = self.workers[at].calls_made + 1;
        let frame = self.frame(number);
        self.workers[at].calls_made = number;
        let Some(end) = self.workers[at].ends.get_mut(name) else {
            return self.note_outcome(at, name, number, super::Outcome::Gone);
        };
        if let Ok(header) = end.link.call_streaming(rpc, shape, frame, streams, number) {
            self.workers[at].calls.insert(number);
            self.post_said(at, Packet::bare(header));
        }
    }

    /// Whatever becomes of the call, its caller has heard all that it will hear.
    fn act_cancel(&mut self, at: usize, name: Destination) {
        let Some(end) = self.workers[at].ends.get_mut(name) else { return };
        let Some((header, pending)) = end.link.find_call(|_| true).and_then(|call| end.link.cancel(call)) else {
            return;
        };
        self.note_outcome(at, name, pending.context, super::Outcome::Gone);
        self.conclude(at, &pending);
        self.post_cancel(at, Packet::bare(header));
    }

    /// Feeds the last call that was made, if that goes on.
    fn act_item(&mut self, at: usize, name: Destination) {
        let Some(end) = self.workers[at].ends.get_mut(name) else { return };
        let call = end.link.last_made();
        if end.link.room(call, Caller::Own) == Room::Free
            && let Ok(header) = end.link.item(call, Caller::Own, Shape::default())
        {
            self.post_said(at, Packet::bare(header));
        }
    }

    fn frame(&self, number: u8) -> CallFrame {
        CallFrame { now: self.now, deadline: self.now.after(DEADLINE_MAX), chain: ChainId(0), depth: number }
    }

    /// Sends a link in a message; false if it has to come to rest first.
    fn act_carry(&mut self, at: usize, by: Destination, carried: LinkRef) -> bool {
        let LinkRef { link, transfer, .. } = carried;
        let is_rested = !self.has(Fault::MoveUnrested);
        let ends = &mut self.workers[at].ends;
        let is_there = ends.get(by).is_some();
        let Some(end) = ends.get_mut(link).filter(|_| is_there) else { return true };
        if transfer == Transfer::Move && end.rest == Rest::No && is_rested {
            end.rest = Rest::Asked;
            self.say(at, &ToBroker::Rest { link });
            return false;
        }
        let Some(header) = self.oneway(at, by, RpcIndex(0), carrying()) else { return true };
        self.post_said(at, Packet { links: vec![carried], ..Packet::bare(header) });
        if transfer == Transfer::Move {
            self.depart(at, link, Gone::Moved);
        }
        true
    }
}

const fn payload(size: u32) -> Shape {
    Shape { payload: size, descriptors: 0, links: 0 }
}

const fn carrying() -> Shape {
    Shape { payload: 0, descriptors: 0, links: 1 }
}

fn everything() -> Rights {
    Rights { flags: RightsFlags::all(), ..Rights::methods(RpcSet::ALL) }
}
