//! The worker's end of one link.

use std::rc::Rc;

use cloison_msg::{LinkEnd, Name, Rights, Route};
use rustix::event::PollFlags;

use crate::carry::Rest;
use crate::lending::Lending;
use crate::wire::Wire;

/// The worker's end of one link.
pub(crate) struct End {
    /// The machine. Its calls are numbered by their place among [`Session::outcomes`](super::Session::outcomes).
    pub(crate) link: LinkEnd<usize>,
    pub(crate) peer: Rc<Name>,
    /// What the link was granted for.
    pub(crate) interface: Name,
    /// Whether the peer is the host, whose requests begin chains of their own.
    pub(crate) is_host: bool,
    pub(crate) rights: Rights,
    /// The link's own socket, as long as either direction may use it. Which does, [`LinkEnd`] knows.
    pub(crate) wire: Option<Wire>,
    pub(crate) rest: Rest,
    pub(crate) lending: Lending,
}

impl End {
    /// Whether the link's own socket is to be read: what is there early waits in the kernel.
    pub(crate) fn reads(&self) -> bool {
        self.link.inbound() == Route::Direct && self.wire.as_ref().is_some_and(|wire| !wire.has_ended())
    }

    /// What to wait for on the link's own socket.
    pub(crate) fn interest(&self) -> PollFlags {
        self.wire.as_ref().map_or(PollFlags::empty(), |wire| wire.interest(self.reads()))
    }

    /// How many packets wait for the link's own socket.
    pub(crate) fn waiting(&self) -> usize {
        self.wire.as_ref().map_or(0, Wire::waiting)
    }
}
