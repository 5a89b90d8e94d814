//! The ways that the two directions of a link take, and how they change.

use super::{Caller, LinkEnd, Passage, Socket, Via};
use crate::calls::{CallId, Pending};
use crate::{Header, Kind, Name, Route, RpcIndex, Shape};

impl<C> LinkEnd<C> {
    /// How the message with this header leaves, if it is no credit.
    #[must_use]
    pub const fn passage(&self, header: &Header) -> Passage {
        match self.outbound {
            Route::Direct if header.links > 0 => Passage::Excursion,
            route => Passage::By(route),
        }
    }

    /// The header of the word that what this end says next comes by the other route.
    #[must_use]
    pub fn switch(&self) -> Header {
        self.header(Kind::Switch, RpcIndex::default(), Shape::default())
    }

    /// From now on messages leave by `route`; for the direct one there is a socket from now on. The caller sends a
    /// [`switch`](Self::switch) over the broker first when the new route is the direct one, and tells the broker that it
    /// has left when it is the relayed one; what could not leave by the old socket goes by the new route, and is counted
    /// there with [`resend`](Self::resend).
    pub fn reroute(&mut self, route: Route) {
        if route == Route::Direct && self.socket == Socket::Absent {
            self.socket = Socket::Announced;
        }
        self.outbound = route;
        self.switching = true;
    }

    /// A message that was to leave by the direct route leaves by the relayed one.
    pub fn resend(&mut self, header: &Header) {
        self.sent.divert(header.kind, header.shape());
    }

    /// Nothing more comes by the socket: whatever follows comes over the broker.
    pub fn handle_end(&mut self) {
        self.socket = Socket::Ended;
        self.inbound = Route::Relayed;
    }

    /// Whether a change of routes has just been completed, in both directions as far as this end is concerned. If the
    /// link is relayed then, its socket is of no more use.
    pub fn take_settled(&mut self) -> bool {
        let is_complete = match self.outbound {
            Route::Direct => self.socket == Socket::Open,
            Route::Relayed => matches!(self.socket, Socket::Absent | Socket::Ended),
        };
        let settled = self.switching && is_complete;
        if settled {
            self.switching = false;
            if self.outbound == Route::Relayed {
                self.socket = Socket::Absent;
            }
        }
        settled
    }

    /// Whether a relayed message may have overtaken what is to be read on the socket before it. A credit, too: one for what
    /// came by the direct route is behind those that went by the socket, and totals never go back.
    #[must_use]
    pub fn may_outrun(&self) -> bool {
        self.inbound == Route::Direct
    }

    /// The peer's end has another holder, and the link is relayed. Calls of this end's up to `own` went to the former one,
    /// who will not answer them: they are given back, to fail. The former one's calls are not answered any more.
    pub fn handle_move(&mut self, peer: Name, own: CallId) -> Vec<Pending<C>> {
        self.peer = peer;
        self.peer_moves = self.peer_moves.saturating_add(1);
        self.orphans = self.last_call;
        self.received.hand_over();
        self.received.set_calls(0);
        self.sent.hand_over();
        self.sent.set_calls(self.calls.minted_after(own));
        self.taken.hand_over();
        self.streams.close_all(|call, caller| caller == Caller::Peer || call <= own);
        self.calls.finish_up_to(own)
    }

    /// What to remember of a message that arrives by `route` now, for [`taken`](Self::taken).
    #[must_use]
    pub const fn via(&self, route: Route) -> Via {
        Via { route, peer_moves: self.peer_moves }
    }
}
