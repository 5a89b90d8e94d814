//! One link: two ends, what each may do, how it runs, and how much is on its way.

use cloison_msg::control::{PoolId, PoolShape};
use cloison_msg::{CallId, Credit, Descriptor, Destination, Key, Meter, Rights, Use};

use super::Router;
use super::lineage::{Lineage, Origin};
use super::routes::{Way, Wish};

/// Most links that one worker has at a time. With two windows each, that bounds what can wait for it.
pub const LINKS_PER_WORKER: usize = 64;

/// Most of a worker's links that are there because of other workers, which asked for them, handed them on or moved them to
/// it. The rest is for what it asks for itself, and for the host: however many workers conspire, they do not cut it off.
pub const LINKS_BY_OTHERS: usize = 48;

/// Most links that one worker has asked for to the same peer and that still exist, whoever holds them now: so no asker takes
/// up all the links its peer may have.
pub const LINKS_PER_PAIR: usize = 8;

/// Most links over which descriptors may pass that one worker has asked for, and as many that it has made by handing copies
/// on, whoever holds them now. With the windows of both directions, that bounds what can be under way because of it.
pub const DESCRIPTOR_LINKS_PER_WORKER: usize = 4;

/// Most copies of its links that one worker has given to others, and that still exist.
pub const COPIES_PER_WORKER: usize = 16;

/// Most links that one worker has given away, that still exist, and of which it has not confirmed that it has delivered all
/// that had come over them.
pub const GIVEN_PER_WORKER: usize = 256;

/// Most links that one worker, or the host, has made to itself and given to the same receiver, and that still exist, whoever
/// holds them now: so many objects of one worker can one peer be given.
pub const OFFERS_PER_PAIR: usize = 16;

/// How long a row of copies of copies may be.
pub const COPIES_DEEP: usize = 8;

/// One of the two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    /// Of whoever asked for the link.
    Asker,
    /// Of whoever was asked for.
    Asked,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Asker, Self::Asked];

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Asker => Self::Asked,
            Self::Asked => Self::Asker,
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// What the broker keeps about one holder of a link.
#[derive(Clone, Debug, Hash)]
pub(super) struct Holder {
    pub(super) port: Key,
    /// The holder's own name for the link.
    pub(super) name: Destination,
    pub(super) rights: Rights,
    pub(super) used: Use,
    /// What this holder has sent over the broker.
    pub(super) meter: Meter,
    /// What this holder has sent and the other never saw, since it was denied. Added to every credit that comes back.
    pub(super) denied: Credit,
    /// How many holders this end had before.
    pub(super) moves: u16,
    /// The last call of this holder's that came over the broker.
    pub(super) last_call: CallId,
    /// The last call that this holder says it had made when it last left the direct route, some of which may have come over
    /// the broker after that.
    pub(super) last_said: CallId,
    /// How many answers may come to calls of this holder's that went by the direct route, where nobody counted them.
    pub(super) unseen_calls: u16,
    /// How many receipts for what came by the direct route this holder may still send over the broker.
    pub(super) foreign_receipts: u64,
    /// Whether they are about what a former holder of the other end had sent, whose account is closed.
    pub(super) receipts_are_stale: bool,
    /// How many demands this holder may still send: one for each item that was sent to it, and one to refuse a stream.
    pub(super) demands: u64,
}

impl Holder {
    pub(super) fn new(port: Key, rights: Rights) -> Self {
        Self {
            port,
            name: Destination::BROKER,
            rights,
            used: Use::default(),
            meter: Meter::default(),
            denied: Credit::default(),
            moves: 0,
            last_call: CallId::NONE,
            last_said: CallId::NONE,
            unseen_calls: 0,
            foreign_receipts: 0,
            receipts_are_stale: false,
            demands: 0,
        }
    }
}

/// A pool whose buffers are lent over a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LinkPool {
    pub(super) pool: PoolId,
    pub(super) owner: Side,
    pub(super) shape: PoolShape,
}

/// A two-way connection between two ports.
#[derive(Clone, Debug, Hash)]
pub(super) struct Link {
    pub(super) asker: Holder,
    pub(super) asked: Holder,
    pub(super) way: Way,
    /// Whether it ever had a socket of its own, by which its holders could say to each other what the broker did not count.
    pub(super) was_direct: bool,
    pub(super) wish: Wish,
    pub(super) lineage: Lineage,
    pub(super) pools: Vec<LinkPool>,
    pub(super) pools_made: PoolId,
    /// Which holders ever had a pool, by [`Side`]: to them buffers may go back.
    pub(super) has_lent: [bool; 2],
    /// Who has given an end of it away and may still deliver what had come before.
    pub(super) former: Vec<(Key, Destination)>,
}

impl Link {
    pub(super) fn new(asker: Holder, asked: Holder, lineage: Lineage) -> Self {
        Self {
            asker,
            asked,
            way: Way::Relayed,
            was_direct: false,
            wish: Wish::default(),
            lineage,
            pools: Vec::new(),
            pools_made: 0,
            has_lent: [false; 2],
            former: Vec::new(),
        }
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

    /// Whether it is one that a worker has made to itself, and of which it has both ends.
    pub(super) fn is_unclaimed(&self) -> bool {
        self.lineage.cause.origin == Origin::Offered && self.asker.moves == 0
    }

    /// Whether descriptors may pass, in whichever direction.
    pub(super) fn passes_descriptors(&self) -> bool {
        pass_descriptors(&self.asker.rights, &self.asked.rights)
    }
}

/// Whether rights let descriptors pass over a link, in whichever direction.
pub(super) fn pass_descriptors(asker: &Rights, asked: &Rights) -> bool {
    !asker.classes.is_empty() || !asked.classes.is_empty()
}

impl<D: Descriptor> Router<D> {
    /// Whether a port may have so many more links because of the one that causes them. The host is bound by no number.
    pub(super) fn may_have(&self, port: Key, more: usize, cause: Key) -> bool {
        let Some(holder) = self.ports.get(port) else { return false };
        let by_others = || {
            let causes = holder.ends().into_iter().filter_map(|end| self.links.get(end.link));
            causes.filter(|link| self.is_other(port, link.lineage.cause.port)).count()
        };
        let has_room = holder.link_count() + more <= LINKS_PER_WORKER;
        let is_fair = || !self.is_other(port, cause) || by_others() + more <= LINKS_BY_OTHERS;
        holder.is_host() || (has_room && is_fair())
    }

    /// Whether what this one causes counts as others' at a port.
    fn is_other(&self, port: Key, cause: Key) -> bool {
        cause != port && cause != self.host
    }
}
