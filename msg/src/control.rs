//! The words that a worker and its broker exchange on destination 0.
//!
//! Each is the postcard-encoded payload of one message of kind [`Control`](crate::Kind::Control), and nothing but it.

use serde::{Deserialize, Serialize};

use crate::trace::{TraceBatch, TraceLevel};
use crate::{Balance, CallId, Destination, Gone, Name, Refusal, Rights, Route, Text};

/// Version of the protocol: the header's layout and the meaning of these words. Both sides must speak the same.
pub const PROTOCOL_VERSION: u16 = 1;

/// Which of a worker's requests is answered. Minted by the worker, meaningful to it alone.
pub type RequestId = u32;

/// Which pool of a link. Minted by the broker; unique among the pools of one link.
pub type PoolId = u32;

/// The shape of a pool: how many buffers of which size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PoolShape {
    /// Bytes in each buffer.
    pub buffer_size: u32,
    /// How many buffers.
    pub count: u16,
}

/// Buffers of a pool start at multiples of this many bytes: no two share a cache line or, where pages are of the usual
/// size, a page.
pub const BUFFER_ALIGN: u32 = 4096;

impl PoolShape {
    /// Bytes of memory that all buffers take together, the gaps between them included.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        (self.buffer_size as u64).next_multiple_of(BUFFER_ALIGN as u64) * self.count as u64
    }
}

/// The two ends of a link that a worker has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OfferedEnds {
    /// The one by which the worker serves.
    pub own: Destination,
    /// The one to give away.
    pub given: Destination,
}

/// What a worker says to its broker. Hostile until proven otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToBroker {
    /// The first word.
    Hello {
        /// The worker's [`PROTOCOL_VERSION`].
        version: u16,
    },
    /// Asks for a link to a role.
    Open {
        /// To be named in the answer.
        request: RequestId,
        /// The role.
        role: Name,
        /// The interface that the worker means to call.
        interface: Name,
    },
    /// Asks for a new link to the worker itself, of which it has both ends, to give one of them away in a message. Nothing can
    /// be said by the end that is to be given before it is: what its receiver may do is for the policy to say then, as if it
    /// had asked for a link to this worker.
    Offer {
        /// To be named in the answer.
        request: RequestId,
        /// The interface that is served over the link.
        interface: Name,
    },
    /// Asks for a pool whose buffers are lent over a link.
    MakePool {
        /// To be named in the answer.
        request: RequestId,
        /// The link.
        link: Destination,
        /// What is wanted.
        shape: PoolShape,
    },
    /// Gives a pool up. All its buffers have come back.
    DropPool {
        /// The link it belongs to.
        link: Destination,
        /// The pool.
        pool: PoolId,
    },
    /// Closes the worker's end of a link.
    Close {
        /// The link.
        link: Destination,
    },
    /// Answers [`ToWorker::Reroute`] to the relayed route: nothing more leaves by the link's socket. Comes before the first
    /// message by the new route.
    Left {
        /// The link.
        link: Destination,
        /// The last call that the worker made on it.
        calls: CallId,
    },
    /// Answers [`ToWorker::Reroute`]: both directions run by the new route, as far as this end is concerned.
    Settled {
        /// The link.
        link: Destination,
    },
    /// Asks that a link be relayed, so that it can be moved; answered with [`ToWorker::AtRest`].
    Rest {
        /// The link.
        link: Destination,
    },
    /// Answers [`ToWorker::Closed`] with [`Gone::Revoked`]: nothing that came over the link is delivered any more. Also, in
    /// the worker's own time, with [`Gone::Moved`], which says that nothing more comes over a link that it gave away: all that
    /// had come was taken.
    Released {
        /// The link.
        link: Destination,
    },
    /// The peer on a direct link broke the protocol. One worker's word against another's: the link is cut, nobody evicted.
    Accuse {
        /// The link.
        link: Destination,
        /// What happened, for people.
        what: Text,
    },
    /// Answers [`ToWorker::Count`]: what the worker sent over direct links so far.
    Counted {
        /// Messages.
        messages: u64,
        /// Bytes, headers included.
        bytes: u64,
    },
    /// What the worker recorded of itself, as [`ToWorker::Trace`] asks.
    Traced {
        /// [`Record`](crate::trace::Record)s.
        records: TraceBatch,
    },
}

/// What a broker says to its worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ToWorker {
    /// Answers `Hello`.
    Welcome {
        /// The broker's [`PROTOCOL_VERSION`].
        version: u16,
        /// The worker's own role.
        role: Name,
        /// The worker's number, for its [`ChainId`](crate::ChainId)s.
        origin: u32,
    },
    /// A new link. On a direct route its socket is attached.
    Granted {
        /// The worker's name for it.
        link: Destination,
        /// The role at the other end.
        peer: Name,
        /// The interface for which the link was granted: it says what the numbers of its methods mean.
        interface: Name,
        /// What the worker may do.
        rights: Rights,
        /// What the peer may do.
        peer_rights: Rights,
        /// How the link runs.
        route: Route,
        /// How its accounts stand, if it had another holder before.
        balance: Balance,
        /// The worker's own name for the link that this one is a copy of: its peer has given that to somebody. `None` if the
        /// worker was not at the same end of that one.
        copy_of: Option<Destination>,
    },
    /// The link is to run by this route. For the direct one, its socket is attached.
    Reroute {
        /// The link.
        link: Destination,
        /// How it is to run.
        route: Route,
    },
    /// Answers `Rest`: the link is relayed, and stays so until it has moved.
    AtRest {
        /// The link.
        link: Destination,
    },
    /// The other end of a link has another holder.
    Moved {
        /// The link.
        link: Destination,
        /// The role of the new holder.
        peer: Name,
        /// The last of the worker's own calls that went to the former one.
        own: CallId,
    },
    /// What both ends of a link may do has become less.
    Attenuated {
        /// The link.
        link: Destination,
        /// What the worker may do.
        rights: Rights,
        /// What the peer may do.
        peer_rights: Rights,
    },
    /// Answers `Open`: the link was granted just before, or was refused.
    Opened {
        /// Which request.
        request: RequestId,
        /// The link's name, or why there is none.
        link: Result<Destination, Refusal>,
    },
    /// Answers `Offer`: both ends were granted just before, or were refused. The one that is to be given away is at rest.
    Offered {
        /// Which request.
        request: RequestId,
        /// Their names, or why there are none.
        ends: Result<OfferedEnds, Refusal>,
    },
    /// The other end of a link is gone; nothing more comes from it.
    Closed {
        /// The link.
        link: Destination,
        /// Why.
        why: Gone,
    },
    /// Answers `MakePool`: the memory is attached, writable.
    Pool {
        /// Which request.
        request: RequestId,
        /// The pool, or why there is none.
        pool: Result<PoolId, Refusal>,
    },
    /// The peer will lend buffers of a pool: the memory is attached, read-only.
    PeerPool {
        /// The link.
        link: Destination,
        /// The pool.
        pool: PoolId,
        /// Its shape.
        shape: PoolShape,
    },
    /// The peer has given a pool up.
    PoolDropped {
        /// The link.
        link: Destination,
        /// The pool.
        pool: PoolId,
    },
    /// Asks what was sent over direct links so far.
    Count,
    /// From now on the worker records this much of itself. Nothing, until that is said.
    Trace {
        /// How much.
        level: TraceLevel,
    },
}
