//! Links that change their route while everything runs, and what order costs.
//!
//! The machine at the end of a link ([`LinkEnd`](cloison_msg::LinkEnd)) knows by which route each direction runs. Here it is
//! obeyed: what it wants said is said, and its socket is read when, and only when, the peer's next word comes by it.

use cloison_ipc::{Passed, ProcessIpc};
use cloison_msg::control::ToBroker;
use cloison_msg::{Destination, Messages, Route, Text};

use crate::carry::Rest;
use crate::receive::{Look, Received};
use crate::session::{End, Session};
use crate::wire::{OUTBOX_MAX, Wire};

impl Session {
    /// The broker wants a link to run by this route. Each direction changes in its own time.
    pub(crate) fn take_reroute(&mut self, name: Destination, route: Route, socket: Option<Passed>) {
        match route {
            Route::Relayed => self.leave(name),
            Route::Direct => match adopt(socket) {
                Ok(wire) => self.go_direct(name, wire),
                Err(what) => self.breach(Destination::BROKER, what.as_str()),
            },
        }
    }

    /// The last relayed word says that the next ones come by the socket.
    fn go_direct(&mut self, name: Destination, wire: Wire) {
        // The word may come after the link is gone.
        let Some(end) = self.ends.get_mut(name) else { return };
        if end.wire.is_some() {
            return self.breach(Destination::BROKER, "a second socket for a link");
        }
        end.wire = Some(wire);
        end.rest = Rest::No;
        let switch = end.link.switch();
        end.link.reroute(Route::Direct);
        let message = self.spare_message();
        self.post_own_by(Route::Relayed, &switch, message);
        self.check_settled(name);
    }

    /// Nothing is written to the socket any more: its end tells the peer that what follows is relayed. What could not
    /// leave by it goes the new way, before all that is said from now on.
    fn leave(&mut self, name: Destination) {
        let direct = self.ends.get(name).filter(|end| end.link.outbound() == Route::Direct);
        let Some(calls) = direct.map(|end| end.link.last_made()) else { return };
        self.say(&ToBroker::Left { link: name, calls });
        let Some(end) = self.ends.get_mut(name) else { return };
        end.link.reroute(Route::Relayed);
        for parcel in end.wire.as_mut().map(Wire::take_outbox).unwrap_or_default() {
            for (_, header) in Messages::new(&parcel.bytes).flatten() {
                end.link.resend(&header);
                self.sent.messages -= 1;
                self.sent.bytes -= header.message_len() as u64;
            }
            self.control.pass_on(parcel);
        }
        self.flush(Destination::BROKER);
        self.check_settled(name);
    }

    /// The peer goes on by the other route, or its socket has ended.
    pub(crate) fn note_switched(&mut self, name: Destination) {
        self.check_settled(name);
        self.send_due(name);
    }

    /// Nothing more comes by a link's own socket. That alone says only that what follows is relayed; if the link is gone,
    /// the broker will say so.
    pub(crate) fn end_socket(&mut self, name: Destination) {
        let Some(end) = self.ends.get_mut(name) else { return };
        end.link.handle_end();
        self.note_switched(name);
    }

    fn check_settled(&mut self, name: Destination) {
        let Some(end) = self.ends.get_mut(name) else { return };
        if end.link.take_settled() {
            if end.link.outbound() == Route::Relayed {
                end.wire = None;
            }
            self.say(&ToBroker::Settled { link: name });
        }
    }

    /// Takes in what the peer said by the link's own socket before it said something over the broker. This is what makes
    /// order exact: whatever is relayed behind a change of routes comes after the peer's last word on the socket (a switch,
    /// or the socket's end), which was there before the broker got to relay anything. So the socket is read until that
    /// word, and never beyond it.
    ///
    /// A peer that died before its last word has none: its socket is read to the end, as far as it was to be read at all.
    pub(crate) fn drain(&mut self, name: Destination) {
        let mut packets = 0;
        while self.ends.get(name).is_some_and(End::reads) && self.receive(name, Look::Try) == Received::Packet {
            packets += 1;
            if packets > OUTBOX_MAX {
                return self.accuse(name, "more on the link's socket than it may have in flight");
            }
        }
    }
}

/// Makes the socket that came with a word a link's own.
pub(crate) fn adopt(socket: Option<Passed>) -> Result<Wire, Text> {
    let socket = socket.ok_or_else(|| Text::new("a direct link without a socket"))?;
    ProcessIpc::from_fd(socket.into_fd()).map(Wire::direct).map_err(|error| Text::new(&error.to_string()))
}
