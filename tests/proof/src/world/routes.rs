//! How a worker sends, and how it changes the route of a link.

use cloison_msg::control::ToBroker;
use cloison_msg::{ChainId, Destination, Header, Passage, Route, RpcIndex, Shape, Via};

use super::sockets::Unsent;
use super::worker::Rest;
use super::{Fault, Packet, Plug, World, encode, length};

impl World {
    /// The last relayed word says that the next ones come by the socket.
    pub(super) fn go_direct(&mut self, at: usize, name: Destination, plug: Option<Plug>) {
        let Some(end) = self.workers[at].ends.get_mut(name) else {
            return plug.into_iter().for_each(|plug| self.sockets.close(plug));
        };
        if end.socket.is_some() {
            return self.ledger.wrong("a second socket for a link");
        }
        (end.socket, end.has_ended, end.rest) = (plug, false, Rest::No);
        let switch = Packet::bare(end.link.switch());
        end.link.reroute(Route::Direct);
        if self.has(Fault::SwitchLate) {
            self.act_if_possible(at);
        }
        if !self.has(Fault::NoSwitch) {
            self.post(at, Route::Relayed, switch);
        }
        self.check_settled(at, name);
    }

    /// Nothing is written to the socket any more. What could not leave by it goes the new way, before all that follows.
    pub(super) fn leave(&mut self, at: usize, name: Destination) {
        let Some(end) = self.workers[at].ends.get_mut(name) else { return };
        if end.link.outbound() != Route::Direct {
            return;
        }
        let left = ToBroker::Left { link: name, calls: end.link.last_made() };
        end.link.reroute(Route::Relayed);
        let mut outbox = std::mem::take(&mut end.outbox);
        if self.has(Fault::LoseOutbox) {
            outbox.clear();
        }
        if self.has(Fault::LeftLate) {
            self.act_if_possible(at);
        }
        self.say(at, &left);
        if self.has(Fault::OutboxBehind) {
            self.act_if_possible(at);
        }
        for packet in outbox {
            if let Some(end) = self.workers[at].ends.get_mut(name)
                && self.fault != Some(Fault::OutboxUncounted)
            {
                end.link.resend(&packet.header);
            }
            self.post(at, Route::Relayed, packet);
        }
        self.check_settled(at, name);
    }

    pub(super) fn note_switched(&mut self, at: usize, name: Destination) {
        self.check_settled(at, name);
        self.say_due(at, name);
    }

    fn check_settled(&mut self, at: usize, name: Destination) {
        let is_early = self.has(Fault::SettleEarly);
        let Some(end) = self.workers[at].ends.get_mut(name) else { return };
        let settles = end.link.take_settled();
        if settles && end.link.outbound() == Route::Relayed {
            end.socket.take().into_iter().for_each(|plug| self.sockets.close(plug));
        }
        if settles != is_early {
            self.say(at, &ToBroker::Settled { link: name });
        }
    }

    pub(super) fn note_taken(&mut self, at: usize, via: Via, header: &Header) {
        if let Some(end) = self.workers[at].ends.get_mut(header.destination) {
            end.link.taken(via, header);
            self.say_due(at, header.destination);
        }
    }

    /// Says what was taken, as far as that is due.
    fn say_due(&mut self, at: usize, name: Destination) {
        while let Some((receipt, end)) =
            self.workers[at].ends.get_mut(name).and_then(|end| Some((end.link.due()?, end)))
        {
            let payload = encode(&receipt);
            let shape = Shape { payload: length(&payload), ..Shape::default() };
            let (header, mut route) = end.link.credit(receipt, shape);
            if self.fault == Some(Fault::ReceiptUnseen) {
                route = end.link.outbound();
            }
            self.post(at, route, Packet { payload, ..Packet::bare(header) });
        }
    }

    pub(super) fn say(&mut self, at: usize, word: &ToBroker) {
        self.post(at, Route::Relayed, Packet::word(word));
    }

    /// Sends what an application says, which is its end's next message.
    pub(super) fn post_said(&mut self, at: usize, mut packet: Packet) {
        let (port, name) = (self.workers[at].port, packet.header.destination);
        packet.header.chain.0 = self.ledger.send(port, name);
        let Some(end) = self.workers[at].ends.get(name) else { return };
        match end.link.passage(&packet.header) {
            Passage::By(route) => self.post(at, route, packet),
            Passage::Excursion if self.has(Fault::NoExcursion) => self.post(at, Route::Relayed, packet),
            Passage::Excursion => {
                let switch = Packet::bare(end.link.switch());
                self.post(at, Route::Direct, switch.clone());
                self.post(at, Route::Relayed, packet);
                self.post(at, Route::Relayed, switch);
            }
        }
    }

    /// Sends word that a call is given up.
    pub(super) fn post_cancel(&mut self, at: usize, mut packet: Packet) {
        if !self.has(Fault::CancelAstray) {
            return self.post_said(at, packet);
        }
        packet.header.chain.0 = self.ledger.send(self.workers[at].port, packet.header.destination);
        self.post(at, Route::Relayed, packet);
    }

    /// Sends a packet now, or as soon as there is room.
    fn post(&mut self, at: usize, route: Route, packet: Packet) {
        let name = packet.header.destination;
        if route == Route::Direct {
            if let Some(end) = self.workers[at].ends.get_mut(name) {
                end.outbox.push_back(packet);
            }
            return self.flush(at, name);
        }
        if self.burn() {
            self.note_left(at, &packet);
            self.workers[at].up.push_back(packet);
        }
    }

    /// Writes what waits for a socket, as far as there is room.
    pub(super) fn flush(&mut self, at: usize, name: Destination) {
        loop {
            let Some(end) = self.workers[at].ends.get_mut(name) else { return };
            let (Some(plug), Some(packet)) = (end.socket, end.outbox.front().cloned()) else { return };
            if self.sockets.can_write(plug, self.room) == Err(Unsent::Full) {
                return;
            }
            end.outbox.pop_front();
            if self.burn() && self.sockets.write(plug, packet.clone(), self.room).is_ok() {
                self.note_left(at, &packet);
            }
        }
    }

    fn note_left(&mut self, at: usize, packet: &Packet) {
        if packet.is_said() {
            self.ledger.leave(self.workers[at].port, packet.header.destination, packet.header.chain.0);
        }
    }

    /// Whether whoever sends is still alive.
    fn burn(&mut self) -> bool {
        let Some(fuse) = &mut self.fuse else { return true };
        match fuse.left.checked_sub(1) {
            Some(left) => fuse.left = left,
            None => fuse.has_blown = true,
        }
        !fuse.has_blown
    }

    /// Whether there is room for an excursion's first word: it must be the next on the socket.
    pub(super) fn has_way(&self, at: usize, by: Destination) -> bool {
        let Some(end) = self.workers[at].ends.get(by) else { return true };
        let is_free = |plug: Plug| self.sockets.can_write(plug, self.room) != Err(Unsent::Full);
        let is_direct = end.link.outbound() == Route::Direct && self.fault != Some(Fault::ExcursionAhead);
        !is_direct || (end.outbox.is_empty() && end.socket.is_none_or(is_free))
    }

    /// An application's message, unless its link has no room for it.
    pub(super) fn oneway(&mut self, at: usize, name: Destination, rpc: RpcIndex, shape: Shape) -> Option<Header> {
        self.workers[at].ends.get_mut(name)?.link.oneway(rpc, shape, ChainId(0)).ok()
    }
}
