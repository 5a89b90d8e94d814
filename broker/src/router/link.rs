//! One link: two ends, what each may do, how it runs, and how much is on its way.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cloison_msg::control::{PoolId, PoolShape, RequestId, ToWorker};
use cloison_msg::{CallId, Credit, Descriptor, Destination, Gone, Key, Meter, Name, Rights, Time, Use};

use super::routes::{Way, Wish};
use super::{Event, Output, Router};

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

/// Where a link comes from.
#[derive(Clone, Debug, Hash)]
pub(super) struct Lineage {
    /// What the policy was asked, for this link or for the one it is derived from.
    pub(super) ask: Asked,
    /// The asker's name for its request, until that is answered.
    pub(super) request: Option<RequestId>,
    /// The link that this one is a copy of.
    pub(super) parent: Option<Key>,
    /// That link, and all that it came of, also those that have ended since. At most [`COPIES_DEEP`].
    pub(super) ancestors: Vec<Key>,
    /// The copies of this one.
    pub(super) children: Vec<Key>,
    /// Who made the copy.
    pub(super) giver: Option<Giver>,
    /// On whose account it is, whoever holds it now.
    pub(super) cause: Cause,
}

/// How a link has come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// It was asked for.
    Asked,
    /// It is a copy.
    Copied,
    /// Somebody has made it to himself, to give the asker's end away.
    Offered,
}

/// Who has caused a link: asked for it, made it by handing a copy on, or to give it away.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Cause {
    pub(super) origin: Origin,
    pub(super) port: Key,
    /// Whom it reached then.
    pub(super) peer: Key,
    /// Whether descriptors could pass.
    pub(super) with_descriptors: bool,
}

/// The links that exist because of one port.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Caused {
    /// Those that it asked for, by whom they reached.
    pub(super) asked: BTreeMap<Key, usize>,
    /// Those of them over which descriptors could pass.
    pub(super) asked_with_descriptors: usize,
    /// Those that are copies which it made.
    pub(super) copies: usize,
    /// Those of them over which descriptors could pass.
    pub(super) copies_with_descriptors: usize,
    /// Those that it made to itself, by whom it has given them to; by its own port those that it still has.
    pub(super) offered: BTreeMap<Key, usize>,
}

impl Caused {
    /// Notes a link that has just been made.
    pub(super) fn note(&mut self, cause: Cause) {
        let with_descriptors = usize::from(cause.with_descriptors);
        match cause.origin {
            Origin::Copied => {
                self.copies += 1;
                self.copies_with_descriptors += with_descriptors;
            }
            Origin::Asked => {
                *self.asked.entry(cause.peer).or_default() += 1;
                self.asked_with_descriptors += with_descriptors;
            }
            Origin::Offered => {
                *self.offered.entry(cause.peer).or_default() += 1;
                self.asked_with_descriptors += with_descriptors;
            }
        }
    }

    /// Takes back what [`note`](Self::note) has noted.
    pub(super) fn forget(&mut self, cause: Cause) {
        let with_descriptors = usize::from(cause.with_descriptors);
        match cause.origin {
            Origin::Copied => {
                self.copies -= 1;
                self.copies_with_descriptors -= with_descriptors;
            }
            Origin::Asked => {
                self.asked_with_descriptors -= with_descriptors;
                one_less(&mut self.asked, cause.peer);
            }
            Origin::Offered => {
                self.asked_with_descriptors -= with_descriptors;
                one_less(&mut self.offered, cause.peer);
            }
        }
    }
}

fn one_less(counts: &mut BTreeMap<Key, usize>, of: Key) {
    if let Entry::Occupied(mut count) = counts.entry(of) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// Who made a copy of a link.
#[derive(Clone, Debug, Hash)]
pub(super) struct Giver {
    pub(super) port: Key,
    pub(super) role: Name,
}

/// What a policy was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) from: Name,
    pub(super) to: Name,
    pub(super) interface: Name,
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
    /// Takes a link and all that was derived from it back from all holders. [`Output::Revoked`] with this `ticket` comes
    /// when nothing more is delivered over any of them: a holder that does not confirm that in time is evicted.
    pub fn revoke(&mut self, link: Key, ticket: u64, now: Time) {
        let mut doomed = self.heirs(link);
        let (mut awaited, mut pairs) = (Vec::new(), Vec::new());
        while let Some(key) = doomed.pop() {
            let Some(link) = self.links.get(key) else { continue };
            doomed.extend(&link.lineage.children);
            let held = Side::BOTH.map(|side| (link.holder(side).port, link.holder(side).name));
            awaited.extend(held.into_iter().filter(|(port, _)| *port != self.host));
            pairs.extend(link.way.has_pair().then_some(key));
            let former = link.former.clone();
            for &(port, name) in &former {
                self.say(port, ToWorker::Closed { link: name, why: Gone::Revoked }, Vec::new());
            }
            awaited.extend(former.into_iter().filter(|(port, _)| *port != self.host));
            self.close_link(key, &Side::BOTH, &Gone::Revoked);
        }
        self.await_release(awaited, pairs, ticket, now);
    }

    /// Ends a link and tells the holders on `sides` why. What was derived from it lives on, as derived from what it was
    /// derived from itself.
    pub(super) fn close_link(&mut self, key: Key, sides: &[Side], why: &Gone) {
        let Some(link) = self.links.remove(key) else { return };
        self.forget_switch(key, &link.way);
        for (port, name) in &link.former {
            if let Some(port) = self.ports.get_mut(*port) {
                port.given.remove(name);
            }
        }
        match why {
            _ if !link.way.has_pair() => {}
            // What is queued on the socket may come before what is queued for its reader elsewhere, so it stays until the
            // reader has confirmed that it reads neither.
            Gone::Revoked => self.outputs.extend([0, 1].map(|end| Output::Shut { link: key, end })),
            _ => self.outputs.push_back(Output::Cut { link: key, empty: false }),
        }
        self.orphan(key, &link.lineage);
        let (from, to) = (self.role_name(link.asker.port), self.role_name(link.asked.port));
        self.tell(Event::Closed { link: key, from, to, why: why.clone() });
        for pool in &link.pools {
            self.return_pool_bytes(link.holder(pool.owner).port, pool.shape);
        }
        for side in Side::BOTH {
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

    /// Where taking a link back begins: with the link, or if that has ended, with whatever came of it.
    fn heirs(&self, link: Key) -> Vec<Key> {
        if self.links.get(link).is_some() {
            return vec![link];
        }
        let heirs = self.links.iter().filter(|(_, other)| other.lineage.ancestors.contains(&link));
        heirs.map(|(key, _)| key).collect()
    }

    /// Takes a link that ends out of the tree of grants.
    fn orphan(&mut self, key: Key, lineage: &Lineage) {
        for &child in &lineage.children {
            if let Some(child) = self.links.get_mut(child) {
                child.lineage.parent = lineage.parent;
            }
        }
        if let Some(parent) = lineage.parent.and_then(|parent| self.links.get_mut(parent)) {
            parent.lineage.children.retain(|&child| child != key);
            parent.lineage.children.extend(&lineage.children);
        }
        if let Some(port) = self.ports.get_mut(lineage.cause.port) {
            port.caused.forget(lineage.cause);
        }
    }

    /// Ends every link of one port and tells those at the other ends.
    pub(super) fn close_links_of(&mut self, port: Key, why: &Gone) {
        let Some(closed) = self.ports.get(port) else { return };
        let (ends, why) = (closed.ends(), &closed.epitaph(why));
        for end in ends {
            self.close_link(end.link, &[end.side.other()], why);
        }
    }
}
