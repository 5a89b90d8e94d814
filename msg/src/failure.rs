//! How a call can fail, and what a link's end can hear about the other.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AppendError, Circle, Denial, MethodName, Name, RecvError, RpcIndex, Text};

/// How the other side answers a call that it could not, or would not, serve. Travels in an error message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// The method's own error.
    #[error("{text} (code {code})")]
    Remote {
        /// A number that the interface gives a meaning.
        code: u32,
        /// For people.
        text: Text,
    },
    /// The peer serves no such method.
    #[error("no such method")]
    NoSuchMethod,
    /// The peer could not read the arguments.
    #[error("the arguments could not be read: {0}")]
    Undecodable(Text),
    /// The caller has no right to it.
    #[error("denied: {0}")]
    Denied(Denial),
    /// Serving it would take more nested calls than a chain may have, or wait for itself: the text says by which way.
    #[error("it would wait for itself: {0}")]
    WouldDeadlock(Text),
    /// The answer would not fit into a message.
    #[error("the answer could not be sent: {0}")]
    Unanswerable(Text),
    /// The caller gave the call up before it was served, or while it was.
    #[error("the call was given up")]
    Cancelled,
    /// It would wait for itself, in a circle of workers that are known by number. So says one runtime to another, and the
    /// caller's makes [`WouldDeadlock`](Self::WouldDeadlock) of it, with the names that its own worker may know.
    #[error("it would wait for itself")]
    Circle(Circle),
}

impl Failure {
    /// The code of a failure that is another call's, made to answer this one.
    pub const NESTED: u32 = u32::MAX;

    /// A method's own error.
    #[must_use]
    pub fn remote(code: u32, text: impl AsRef<str>) -> Self {
        Self::Remote { code, text: Text::new(text.as_ref()) }
    }
}

impl From<RecvError> for Failure {
    fn from(error: RecvError) -> Self {
        Self::Undecodable(Text::new(&error.to_string()))
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        Self::Unanswerable(Text::new(&error.to_string()))
    }
}

/// A service whose own call failed can hand that on with `?`; the code is [`Failure::NESTED`].
impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::remote(Self::NESTED, error.to_string())
    }
}

/// Why the other end of a link is no longer there. Said by the broker, which knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Gone {
    /// The peer died: of which signal, forbidden system call or exit code. It is being started again.
    #[error("peer crashed: {0}")]
    Crashed(Text),
    /// The broker removed the peer for breaking the protocol. It is being started again.
    #[error("peer evicted: {0}")]
    Evicted(Text),
    /// The right to use the link was taken back.
    #[error("link revoked")]
    Revoked,
    /// The other end was closed by its holder, or the peer ended in good order.
    #[error("peer closed the link")]
    Closed,
    /// The link's end was given to somebody else in the middle of it, by this side or by the other.
    #[error("the link was moved to another holder")]
    Moved,
    /// The other side says that something on the direct link broke the protocol.
    #[error("link cut off: {0}")]
    CutOff(Text),
    /// The whole broker ended.
    #[error("the broker has ended")]
    BrokerEnded,
    /// The peer died, or was removed, and is not started again: it has done so too often in a row.
    #[error("peer died for good: {0}")]
    GivenUp(Text),
}

/// Why a link or a pool was not given.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// There is no such peer, or it is not for the asker to see. The two are not told apart.
    #[error("no such peer, or none that the policy grants")]
    NotFound,
    /// The peer exists but does not run, and will not be started again.
    #[error("the peer has ended for good: {0}")]
    PeerGone(Gone),
    /// A named limit is reached.
    #[error("limit reached: {0}")]
    Limit(Text),
    /// The link's rights do not cover it.
    #[error("not among the rights granted")]
    Denied,
    /// The system would not.
    #[error("the system refused: {0}")]
    System(Text),
}

/// The one outcome of a call that brought no reply: which peer and method, after how long, and why. Or why an object was not
/// offered, for which the broker is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} failed after {after:.1?}: {why}", What(peer, *method, *rpc))]
pub struct CallError {
    /// The role of the peer that was called; of an object that was to be offered, its maker's.
    pub peer: Name,
    /// The method's number, or [`RpcIndex::OFFER`].
    pub rpc: RpcIndex,
    /// What the method is called, if a contract's client made the call. Who calls by hand knows numbers alone.
    pub method: Option<&'static MethodName>,
    /// How long after the call began.
    pub after: Duration,
    /// What happened.
    pub why: CallFailure,
}

impl CallError {
    /// Of a call by number.
    #[must_use]
    pub const fn new(peer: Name, rpc: RpcIndex, after: Duration, why: CallFailure) -> Self {
        Self { peer, rpc, method: None, after, why }
    }

    /// The same, of a call that a contract's client made of that method. Asked for only when a call has failed: one that
    /// succeeds carries no name.
    #[must_use]
    pub(crate) fn of(self, rpc: RpcIndex, method: &'static MethodName) -> Self {
        // A call that is fed fails of what its feed has failed of, which may be another call.
        let is_others = self.method.is_some() || self.rpc != rpc;
        if is_others { self } else { Self { method: Some(method), ..self } }
    }
}

/// What has failed: a call of whom, and of which method, as well as it is known.
struct What<'a>(&'a Name, Option<&'static MethodName>, RpcIndex);

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(peer, ..) = self;
        match self {
            Self(_, Some(method), _) => write!(f, "call of {peer}, method {method},"),
            Self(_, None, RpcIndex::BIND) => write!(f, "call of {peer}, asking for its contract,"),
            Self(_, None, RpcIndex::OFFER) => write!(f, "offering an object of {peer}"),
            Self(_, None, rpc) => write!(f, "call of {peer}, method {},", rpc.0),
        }
    }
}

/// What happened to a call that brought no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// The peer answered with an error.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// No answer in time.
    #[error("deadline passed without an answer")]
    Deadline,
    /// The peer is gone, or the link is, for good.
    #[error(transparent)]
    Gone(Gone),
    /// The peer died, of what is said here, and is being started again. The call may have been served: once, in part, or not
    /// at all. A client that is bound again calls the peer's successor.
    #[error("{0}; it is being started again")]
    PeerRestarted(Gone),
    /// There was no room for the call before its deadline: the peer does not take what it was sent before.
    #[error("overloaded: the peer is not taking its messages")]
    Overloaded,
    /// There are more descriptors in the call than may be sent, or it is otherwise not sendable as it stands.
    #[error("not sendable: {0}")]
    Unsendable(Text),
    /// The reply came, and is not what the contract says. The call was served.
    #[error("the reply could not be read: {0}")]
    Unreadable(Text),
    /// It was made to answer a call that its own caller has given up meanwhile, or it was given up by name.
    #[error("cancelled: nobody waits for it any more")]
    Cancelled,
}

impl From<Gone> for CallFailure {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Crashed(_) | Gone::Evicted(_) => Self::PeerRestarted(gone),
            _ => Self::Gone(gone),
        }
    }
}

/// Why a link was not opened for a call that is made again.
impl From<Refusal> for CallFailure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::PeerGone(gone) => Self::Gone(gone),
            // It was granted before.
            Refusal::NotFound | Refusal::Denied => Self::Gone(Gone::Revoked),
            other => Self::Unsendable(Text::new(&other.to_string())),
        }
    }
}
