//! Sending by routes: over the broker, or by a link's own socket.

use std::io;
use std::os::fd::OwnedFd;

use cloison_msg::control::ToBroker;
use cloison_msg::{Destination, Header, Kind, Message, Route};
use serde::Serialize;

use super::Session;
use crate::error::Disconnect;
use crate::wire::{Posted, Wire};

/// Messages and their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Session {
    /// Sends a message by the way that its link takes at this moment, and clears it.
    ///
    /// # Errors
    /// The system's, if it refuses this very message.
    pub(crate) fn post(&mut self, header: &Header, message: &mut Message<OwnedFd>) -> io::Result<Posted> {
        if header.links > 0 {
            return self.post_carrying(header, message);
        }
        self.post_by(self.outbound(header.destination), header, message)
    }

    /// Sends a message by this route, and clears it.
    ///
    /// # Errors
    /// The system's, if it refuses this very message.
    pub(crate) fn post_by(
        &mut self,
        route: Route,
        header: &Header,
        message: &mut Message<OwnedFd>,
    ) -> io::Result<Posted> {
        let now = self.time;
        let shares = self.batched.contains(&header.destination);
        let wire = self.wire_by(route, header.destination);
        let posted = if shares { wire.gather(header, message, now)? } else { wire.post(header, message, now)? };
        self.note_posted(route, header, posted);
        Ok(posted)
    }

    /// A message of the runtime's own, which consists of one short value.
    pub(crate) fn message_of(&mut self, value: &impl Serialize) -> Message<OwnedFd> {
        let mut message = self.spare_message();
        message.append(value).expect("what the runtime itself says is short");
        message
    }

    /// Sends a message of the runtime's own by the way that its link takes at this moment.
    pub(crate) fn post_own(&mut self, header: &Header, message: Message<OwnedFd>) {
        self.post_own_by(self.outbound(header.destination), header, message);
    }

    /// Sends a message of the runtime's own by this route.
    pub(crate) fn post_own_by(&mut self, route: Route, header: &Header, mut message: Message<OwnedFd>) {
        let now = self.time;
        let posted = self.wire_by(route, header.destination).insist(header, &mut message, now);
        self.note_posted(route, header, posted);
        self.return_message(message);
    }

    fn outbound(&self, name: Destination) -> Route {
        self.ends.get(name).map_or(Route::Relayed, |end| end.link.outbound())
    }

    fn wire_by(&mut self, route: Route, name: Destination) -> &mut Wire {
        match (route, self.ends.get_mut(name).and_then(|end| end.wire.as_mut())) {
            (Route::Direct, Some(wire)) => wire,
            _ => &mut self.control,
        }
    }

    fn note_posted(&mut self, route: Route, header: &Header, posted: Posted) {
        if posted == Posted::Lost {
            if self.control.is_deaf() {
                self.end(Disconnect::Ended);
            }
        } else if route == Route::Direct {
            self.sent.messages += 1;
            self.sent.bytes += header.message_len() as u64;
        }
    }

    /// Says something to the broker itself.
    pub(crate) fn say(&mut self, word: &ToBroker) {
        let message = self.message_of(word);
        let header = Header { kind: Kind::Control, payload: message.payload_len(), ..Header::default() };
        self.post_own(&header, message);
    }

    /// The socket of that name: a direct link's own, or the control socket under the broker's name.
    pub(crate) fn wire(&self, name: Destination) -> Option<&Wire> {
        match name {
            Destination::BROKER => Some(&self.control),
            link => self.ends.get(link)?.wire.as_ref(),
        }
    }

    /// The socket of that name, to be used.
    pub(crate) fn wire_mut(&mut self, name: Destination) -> Option<&mut Wire> {
        match name {
            Destination::BROKER => Some(&mut self.control),
            link => self.ends.get_mut(link)?.wire.as_mut(),
        }
    }

    /// Whether anything that was accepted for sending by either route of this link has not left yet.
    pub(crate) fn has_unsent_to(&self, name: Destination) -> bool {
        self.control.waiting() > 0 || self.ends.get(name).is_some_and(|end| end.waiting() > 0)
    }

    /// Whether anything at all that was accepted for sending has not left yet.
    pub(crate) fn has_unsent(&self) -> bool {
        self.control.waiting() > 0 || self.ends.iter().any(|(_, end)| end.waiting() > 0)
    }
}
