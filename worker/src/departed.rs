//! The links that are gone, and why.

use std::collections::VecDeque;
use std::rc::Rc;

use cloison_msg::{Destination, Gone, Name};

use crate::lending::PeerPool;

/// How many of the links that are gone are remembered.
pub(crate) const REMEMBERED_MAX: usize = 256;

/// The links that are gone: the newest [`REMEMBERED_MAX`] of them.
#[derive(Default)]
pub(crate) struct Departed {
    links: VecDeque<DepartedLink>,
    /// Whether any of them still has its pools.
    has_pools: bool,
}

struct DepartedLink {
    name: Destination,
    /// The role that was at the other end.
    peer: Rc<Name>,
    why: Gone,
    /// What the peer had lent; kept until the last request that may name a buffer of it was served.
    pools: Vec<PeerPool>,
}

impl Departed {
    pub(crate) fn push(&mut self, name: Destination, peer: Rc<Name>, why: Gone, pools: Vec<PeerPool>) {
        if self.links.len() >= REMEMBERED_MAX {
            self.links.pop_front();
        }
        self.has_pools |= !pools.is_empty();
        self.links.push_back(DepartedLink { name, peer, why, pools });
    }

    /// Why the link of that name is gone. One that was forgotten was closed; that much is certain.
    pub(crate) fn why(&self, name: Destination) -> Gone {
        self.find(name).map_or(Gone::Closed, |link| link.why.clone())
    }

    /// Who was at the other end of the link of that name, if it is remembered.
    pub(crate) fn peer(&self, name: Destination) -> Option<&Rc<Name>> {
        self.find(name).map(|link| &link.peer)
    }

    /// Whether the link of that name was given away. What its peer had said before is still to be taken.
    pub(crate) fn was_moved(&self, name: Destination) -> bool {
        self.find(name).is_some_and(|link| link.why == Gone::Moved)
    }

    /// What the peer had lent over the link of that name.
    pub(crate) fn pools(&self, name: Destination) -> &[PeerPool] {
        self.find(name).map_or(&[], |link| &link.pools)
    }

    /// Gives up the pools of links for which `needed` says no.
    pub(crate) fn drop_pools(&mut self, needed: impl Fn(Destination) -> bool) {
        if !self.has_pools {
            return;
        }
        for link in &mut self.links {
            if !needed(link.name) {
                link.pools = Vec::new();
            }
        }
        self.has_pools = self.links.iter().any(|link| !link.pools.is_empty());
    }

    fn find(&self, name: Destination) -> Option<&DepartedLink> {
        self.links.iter().rev().find(|link| link.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_remembered() {
        let name = |index| Destination { index, generation: 1 };
        let mut departed = Departed::default();
        let peer = Rc::new(Name::new("peer").unwrap());
        for index in 0..300 {
            departed.push(name(index), Rc::clone(&peer), Gone::Revoked, Vec::new());
        }
        assert_eq!(departed.links.len(), REMEMBERED_MAX);
        assert_eq!((departed.why(name(0)), departed.why(name(299))), (Gone::Closed, Gone::Revoked));
    }
}
