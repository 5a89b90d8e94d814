//! What a message is.

use bitflags::bitflags;

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A call; exactly one reply or error follows.
    Call = 1,
    /// The answer to a call.
    Reply = 2,
    /// The answer to a call that failed; the payload is a [`Failure`](crate::Failure).
    Error = 3,
    /// A message that nobody answers.
    #[default]
    Oneway = 4,
    /// More may be sent; the payload is a [`Receipt`](crate::Receipt).
    Credit = 5,
    /// A lent buffer goes back to its owner.
    Release = 6,
    /// A word of [`control`](crate::control), on destination 0 only.
    Control = 7,
    /// What its sender says next on this link comes by the other route.
    Switch = 8,
    /// Its sender waits no more for the answer to a call of its own. The call is answered all the same, once.
    Cancel = 9,
    /// Asks whether a call of its sender's waits for itself; the payload is a [`Probe`](crate::Probe).
    Probe = 10,
    /// One item of a stream, or the end of one that a caller feeds. It belongs to a call that is unanswered.
    Item = 11,
    /// The reader of a stream has room for more items, or wants none. The payload is a [`Drawn`](crate::Drawn).
    Demand = 12,
}

bitflags! {
    /// Which stream of a call is meant, and what of it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Streams: u8 {
        /// From whoever calls to whoever serves. A call with it is followed by items.
        const FEED = 1 << 0;
        /// From whoever serves to whoever calls. A call with it takes items before its answer, which ends them.
        const ITEMS = 1 << 1;
        /// Nothing follows: of an item, from whoever calls; of a demand, no more is wanted.
        const END = 1 << 2;
    }
}

impl Streams {
    /// The direction alone.
    #[must_use]
    pub const fn direction(self) -> Self {
        self.intersection(Self::FEED.union(Self::ITEMS))
    }

    /// Whether this may stand in a header of that kind.
    pub(crate) fn fits(self, kind: Kind, payload: u32) -> bool {
        let is_one_way = self.direction() == Self::FEED || self.direction() == Self::ITEMS;
        let is_end = self.contains(Self::END);
        match kind {
            Kind::Call => self == self.direction(),
            Kind::Item if is_end => self.direction() == Self::FEED && payload == 0,
            Kind::Item | Kind::Demand => is_one_way,
            _ => self.is_empty(),
        }
    }
}

impl Kind {
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Call,
            2 => Self::Reply,
            3 => Self::Error,
            4 => Self::Oneway,
            5 => Self::Credit,
            6 => Self::Release,
            7 => Self::Control,
            8 => Self::Switch,
            9 => Self::Cancel,
            10 => Self::Probe,
            11 => Self::Item,
            12 => Self::Demand,
            _ => return None,
        })
    }
}
