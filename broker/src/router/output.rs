//! What comes out of the router.

use cloison_msg::control::{PoolId, PoolShape, RequestId, ToWorker};
use cloison_msg::{Credit, Denial, Failure, Header, HeaderError, Key, Name, Overdraft, RpcIndex};

/// Send the message just handled on, behind this header and with its descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The receiver's port.
    pub to: Key,
    /// The header as the receiver is to see it.
    pub header: Header,
}

/// What whoever drives the router is to do, in this order.
#[derive(Debug)]
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
    /// Shut down the kept duplicates of a direct link, and drop them.
    Cut {
        /// The link.
        link: Key,
    },
    /// Make a pool and call `handle_pool`.
    MakePool(PoolTicket),
    /// Something that the host, or the audit log, may want to know.
    Tell(Event),
}

/// The payload of a message of the broker's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A control word.
    Word(ToWorker),
    /// The answer to a call that was not delivered.
    Failure(Failure),
    /// A credit for messages that were not delivered.
    Credit(Credit),
}

/// A pool that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A worker has said hello.
    Ready {
        /// Its role.
        role: Name,
    },
    /// A link was given.
    Granted {
        /// Who asked.
        from: Name,
        /// Whom it reaches.
        to: Name,
        /// Whether it runs over a socket of its own.
        direct: bool,
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
        /// Its role.
        role: Name,
        /// Messages.
        messages: u64,
        /// Bytes, headers included.
        bytes: u64,
    },
}

/// How a worker broke the protocol. None of this can come from the runtime that workers are built on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    Forged(cloison_msg::Destination),
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
    /// A message over the broker on a link that is direct.
    #[error("a message over the broker on a direct link")]
    Route,
    /// A pool that is not its own.
    #[error("it gave up a pool that is not its own")]
    Pool,
    /// A buffer that it lent the host without having it, or having lent it already.
    #[error("{0}")]
    Buffer(cloison_msg::Text),
    /// Unread words pile up at a worker that keeps asking for more.
    #[error("more than {0} bytes wait for it, which it does not read")]
    Backlog(usize),
    /// It closed its socket and lives on.
    #[error("it closed its socket")]
    HungUp,
}
