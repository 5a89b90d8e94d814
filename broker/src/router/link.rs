//! One link: two ends, what each may do, and how much is on its way.

use cloison_msg::control::{PoolId, PoolShape, RequestId, ToWorker};
use cloison_msg::{Credit, Descriptor, Destination, Gone, Key, Meter, Name, Rights, Route, Use};

use super::{Output, Router};

/// Most links that one worker has at a time. With two windows each, that bounds what can wait for it.
pub const LINKS_PER_WORKER: usize = 64;

/// Most links that one worker asks for to the same peer, so that no asker takes up all the links its peer may have.
pub const LINKS_PER_PAIR: usize = 8;

/// Most links over which descriptors may pass that one worker asks for. With the windows of both directions, that bounds
/// what can be under way because of it.
pub const DESCRIPTOR_LINKS_PER_WORKER: usize = 4;

/// One of the two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Of whoever asked for the link.
    Asker,
    /// Of whoever was asked for.
    Asked,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Asker => Self::Asked,
            Self::Asked => Self::Asker,
        }
    }
}

/// What the broker keeps about one holder of a link.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) port: Key,
    /// The holder's own name for the link.
    pub(super) name: Destination,
    pub(super) rights: Rights,
    pub(super) used: Use,
    /// What this holder has sent.
    pub(super) meter: Meter,
    /// What this holder has sent and the other never saw, since it was denied. Added to every credit that comes back.
    pub(super) denied: Credit,
}

impl Holder {
    pub(super) fn new(port: Key, rights: Rights) -> Self {
        let (name, used) = (Destination::BROKER, Use::default());
        Self { port, name, rights, used, meter: Meter::default(), denied: Credit::default() }
    }
}

/// A pool whose buffers are lent over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkPool {
    pub(super) pool: PoolId,
    pub(super) owner: Side,
    pub(super) shape: PoolShape,
}

/// A two-way connection between two ports.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) asker: Holder,
    pub(super) asked: Holder,
    pub(super) opened: Opened,
    /// What it was granted for.
    pub(super) interface: Name,
    pub(super) pools: Vec<LinkPool>,
    pub(super) pools_made: PoolId,
}

/// How a link came to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    pub(super) route: Route,
    /// The asker's name for its request.
    pub(super) request: RequestId,
}

impl Link {
    pub(super) const fn new(asker: Holder, asked: Holder, opened: Opened, interface: Name) -> Self {
        Self { asker, asked, opened, interface, pools: Vec::new(), pools_made: 0 }
    }

    pub(super) const fn holder(&self, side: Side) -> &Holder {
        match side {
            Side::Asker => &self.asker,
            Side::Asked => &self.asked,
        }
    }

    pub(super) const fn holder_mut(&mut self, side: Side) -> &mut Holder {
        match side {
            Side::Asker => &mut self.asker,
            Side::Asked => &mut self.asked,
        }
    }

    /// Whether descriptors may pass, in whichever direction.
    pub(super) fn passes_descriptors(&self) -> bool {
        !self.asker.rights.classes.is_empty() || !self.asked.rights.classes.is_empty()
    }
}

impl<D: Descriptor> Router<D> {
    /// Takes a link back from both its holders. Nothing more is delivered over it.
    pub fn revoke(&mut self, link: Key) {
        self.close_link(link, &[Side::Asker, Side::Asked], &Gone::Revoked);
    }

    /// Ends a link and tells the holders on `sides` why.
    pub(super) fn close_link(&mut self, key: Key, sides: &[Side], why: &Gone) {
        let Some(link) = self.links.remove(key) else { return };
        if link.opened.route == Route::Direct {
            self.outputs.push_back(Output::Cut { link: key });
        }
        for pool in &link.pools {
            self.return_pool_bytes(link.holder(pool.owner).port, pool.shape);
        }
        for side in [Side::Asker, Side::Asked] {
            let holder = link.holder(side);
            if let Some(port) = self.ports.get_mut(holder.port) {
                port.forget(holder.name);
            }
        }
        for &side in sides {
            let holder = link.holder(side);
            if self.ports.get(holder.port).is_some_and(|port| !port.is_condemned()) {
                self.say(holder.port, ToWorker::Closed { link: holder.name, why: why.clone() }, Vec::new());
            }
        }
    }

    /// Ends every link of one port and tells those at the other ends.
    pub(super) fn close_links_of(&mut self, port: Key, why: &Gone) {
        let ends = self.ports.get(port).map(super::port::Port::ends).unwrap_or_default();
        for end in ends {
            self.close_link(end.link, &[end.side.other()], why);
        }
    }
}
