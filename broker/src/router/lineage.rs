//! Where links come from, and on whose account they are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cloison_msg::control::RequestId;
use cloison_msg::{Key, Name};

/// Where a link comes from.
#[derive(Clone, Debug, Hash)]
pub(super) struct Lineage {
    /// What the policy was asked, for this link or for the one it is derived from.
    pub(super) ask: Asked,
    /// The asker's name for its request, until that is answered.
    pub(super) request: Option<RequestId>,
    /// The link that this one is a copy of.
    pub(super) parent: Option<Key>,
    /// That link, and all that it came of, also those that have ended since. At most [`COPIES_DEEP`](super::link::COPIES_DEEP).
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
