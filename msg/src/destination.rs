//! Which link, and which method.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::table::Key;

/// The name by which one holder knows one of its links.
///
/// Minted by the broker and meaningful only in the table of the holder it was granted to; there is nothing to guess,
/// since writing another number reaches another of one's *own* links, or none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Destination {
    /// The place in the holder's table; 0 is the broker itself.
    pub index: u32,
    /// Which tenant of that place.
    pub generation: u32,
}

impl Destination {
    /// The broker itself, in everybody's table.
    pub const BROKER: Self = Self { index: 0, generation: 0 };

    /// The key in the holder's table, unless this is the broker.
    #[must_use]
    pub const fn key(self) -> Option<Key> {
        match self.index.checked_sub(1) {
            Some(index) => Some(Key { index, generation: self.generation }),
            None => None,
        }
    }
}

impl Default for Destination {
    fn default() -> Self {
        Self::BROKER
    }
}

impl From<Key> for Destination {
    fn from(key: Key) -> Self {
        Self { index: key.index + 1, generation: key.generation }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::BROKER { f.write_str("broker") } else { write!(f, "link {}.{}", self.index, self.generation) }
    }
}

/// The number of a method within its interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RpcIndex(pub u16);

impl RpcIndex {
    /// No method of any interface, for those end at 63: by it is asked which contract the other side serves
    /// ([`contract::bind`](crate::contract::bind)). It may be called by whoever may use any method.
    pub const BIND: Self = Self(64);

    /// Nor is this one, and nobody calls it: it stands in the error of who wanted to offer an object, and called nothing
    /// ([`contract::Offer`](crate::contract::Offer)).
    pub const OFFER: Self = Self(65);
}
