//! What comes out of the router.

use std::time::Duration;

use cloison_msg::control::{PoolId, PoolShape, RequestId, ToWorker};
use cloison_msg::{
    Denial, Destination, Failure, Gone, Header, HeaderError, Key, Kind, Name, Overdraft, Receipt, Route, RpcIndex, Text,
};

use crate::policy::Model;

/// Send the message just handled on, behind this header and with its descriptors.
///
/// If it carries links, first do what [`poll`](super::Router::poll) says (the receiver hears of the links before it gets
/// them), then write their names over the sender's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The receiver's port.
    pub to: Key,
    /// The header as the receiver is to see it.
    pub header: Header,
    /// The receiver's names for the links that the message carries.
    pub links: Vec<Destination>,
}

/// What whoever drives the router is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "nearly all are `Send`, and a box would be an allocation for each")]
pub enum Output<D> {
    /// Send a message of the broker's own.
    Send {
        /// The receiver's port.
        to: Key,
        /// Its header; the length of the payload is not known yet.
        header: Header,
        /// Its payload.
        body: Body,
        /// What travels with it.
        descriptors: Vec<D>,
    },
    /// Kill the worker at this port. Nothing more of what it sent is to be handled.
    Evict {
        /// The port.
        port: Key,
        /// What it did.
        violation: Violation,
    },
    /// Make the socket pair of a direct link, keep a duplicate of both ends, and call `handle_pair`.
    MakePair {
        /// The link.
        link: Key,
    },
    /// Shut down the writing half of one end of a direct link's pair: what was sent by it can still be read. The link itself
    /// may have ended, if it was revoked.
    Shut {
        /// The link.
        link: Key,
        /// Which of the two that `handle_pair` was given.
        end: usize,
    },
    /// Drop the kept duplicates of a link that is relayed now; its holders may still read what was sent.
    Unpair {
        /// The link.
        link: Key,
    },
    /// Shut down the kept duplicates of a direct link that has ended, and drop them.
    Cut {
        /// The link.
        link: Key,
        /// Whether what is still queued is to be thrown away first.
        empty: bool,
    },
    /// Nothing more is delivered over the links of [`revoke`](super::Router::revoke).
    Revoked {
        /// Which of the revocations.
        ticket: u64,
    },
    /// Ask the host whether a link is to be given, and call `handle_decision`.
    Ask {
        /// To be named in the decision.
        question: Key,
        /// Who asks.
        from: Name,
        /// Whom it means to call.
        to: Name,
        /// Which interface it means to use.
        interface: Name,
    },
    /// A worker has recorded something of itself; nobody has read it.
    Traced {
        /// The worker.
        port: Key,
        /// Encoded records.
        records: Vec<u8>,
    },
    /// Make a pool and call `handle_pool`.
    MakePool(PoolTicket),
    /// Something that the host, or the audit log, may want to know.
    Tell(Event),
}

/// The payload of a message of the broker's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// A control word.
    Word(ToWorker),
    /// The answer to a call that was not delivered.
    Failure(Failure),
    /// A credit for messages that were not delivered.
    Credit(Receipt),
}

/// A word of the broker's own for `to`.
pub(super) fn word<D>(to: Key, word: ToWorker, descriptors: Vec<D>) -> Output<D> {
    let count = u8::try_from(descriptors.len()).unwrap_or(u8::MAX);
    let header = Header { kind: Kind::Control, descriptors: count, ..Header::default() };
    Output::Send { to, header, body: Body::Word(word), descriptors }
}

/// A pool that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolTicket {
    /// Who asked.
    pub(super) port: Key,
    /// Its name for the request.
    pub(super) request: RequestId,
    /// The link the buffers will be lent over.
    pub(super) link: Key,
    /// The pool's name to be.
    pub(super) pool: PoolId,
    /// What is wanted.
    pub shape: PoolShape,
}

/// Something that the host, or the audit log, may want to know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// A worker has said hello.
    Ready {
        /// Its role.
        role: Name,
    },
    /// A link was given.
    Granted {
        /// The link.
        link: Key,
        /// Who asked.
        from: Name,
        /// Whom it reaches.
        to: Name,
        /// Whether it runs over a socket of its own.
        direct: bool,
    },
    /// A worker has given another a copy of one of its links.
    Copied {
        /// The new link.
        link: Key,
        /// Who gave it.
        by: Name,
        /// Who got it.
        to: Name,
        /// Whom it reaches.
        peer: Name,
    },
    /// A worker has given another one of its links for good.
    Moved {
        /// The link.
        link: Key,
        /// Who gave it.
        by: Name,
        /// Who got it.
        to: Name,
        /// Whom it reaches.
        peer: Name,
    },
    /// A link runs by another route now.
    Switched {
        /// The link.
        link: Key,
        /// Who asked for the link.
        from: Name,
        /// Whom it reaches.
        to: Name,
        /// The route it runs now.
        route: Route,
        /// How long that took, from the announcement to the last confirmation.
        took: Duration,
    },
    /// The model has changed.
    Model {
        /// The one that is in force now.
        model: Model,
    },
    /// A new policy leaves the holders of a link less than they had.
    Attenuated {
        /// The link.
        link: Key,
        /// Who asked for it.
        from: Name,
        /// Whom it reaches.
        to: Name,
    },
    /// A link has ended.
    Closed {
        /// The link.
        link: Key,
        /// Who asked for it.
        from: Name,
        /// Whom it reached.
        to: Name,
        /// Why.
        why: Gone,
    },
    /// A link was asked for that the policy does not grant.
    Refused {
        /// Who asked.
        from: Name,
        /// Whom it wanted to reach.
        to: Name,
        /// By which interface.
        interface: Name,
    },
    /// A message was not delivered, since its sender has no right to it.
    Denied {
        /// The sender.
        from: Name,
        /// The receiver it did not reach.
        to: Name,
        /// The method.
        rpc: RpcIndex,
        /// Why.
        denial: Denial,
    },
    /// One worker says that another broke the protocol of a direct link, which was cut.
    Accused {
        /// Who says so.
        by: Name,
        /// Who is said to have done it.
        of: Name,
        /// What.
        what: String,
    },
    /// A worker broke the protocol and was removed.
    Evicted {
        /// Its role.
        role: Name,
        /// What it did.
        violation: Violation,
    },
    /// A worker told what it sent over direct links so far.
    Counted {
        /// Which.
        port: Key,
        /// Its role.
        role: Name,
        /// Messages.
        messages: u64,
        /// Bytes, headers included.
        bytes: u64,
    },
}

/// How a worker broke the protocol. None of this can come from the runtime that workers are built on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Bytes that are no message.
    #[error("malformed message: {0}")]
    Header(#[from] HeaderError),
    /// A packet that was larger than any may be, or lost descriptors on its way.
    #[error("a packet that arrived incomplete")]
    Truncated,
    /// Not as many descriptors as the header says.
    #[error("{found} descriptors arrived with a message that announces {announced}")]
    Descriptors {
        /// What the header says.
        announced: u8,
        /// What came.
        found: usize,
    },
    /// A destination that was never granted.
    #[error("a message to {0}, which was never granted")]
    Forged(Destination),
    /// A control word that cannot be read.
    #[error("a control word that cannot be read")]
    Word,
    /// A message before `Hello`, or a second `Hello`.
    #[error("hello was not the first word, or not the only one")]
    Hello,
    /// Another version of the protocol.
    #[error("it speaks version {0} of the protocol, not {version}", version = cloison_msg::control::PROTOCOL_VERSION)]
    Version(u16),
    /// More than the credits allow, or an answer without a call.
    #[error("{0}")]
    Overdraft(#[from] Overdraft),
    /// A message over the broker on a link that is direct, for no reason that there is.
    #[error("a message over the broker on a direct link")]
    Route,
    /// A word about a change of route that is not due.
    #[error("a word about a change of route that is not due")]
    Switch,
    /// Something was not confirmed in time.
    #[error("{0} was not confirmed in time")]
    Late(&'static str),
    /// A call whose id does not follow on the last one's.
    #[error("a call whose id does not follow on the last one's")]
    Call,
    /// Carried links that cannot be read.
    #[error("a carried link that cannot be read")]
    Links,
    /// A pool that is not its own.
    #[error("it gave up a pool that is not its own")]
    Pool,
    /// A buffer that it lent the host without having it, or having lent it already.
    #[error("{0}")]
    Buffer(Text),
    /// What its peer, the host, could not accept: more of a stream than there was credit for, or credit for nothing.
    #[error("the host says of it: {0}")]
    Host(Text),
    /// Unread words pile up at a worker that keeps asking for more.
    #[error("more than {0} bytes wait for it, which it does not read")]
    Backlog(usize),
    /// It closed its socket and lives on.
    #[error("it closed its socket")]
    HungUp,
}
