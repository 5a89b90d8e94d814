//! How the operations of a worker fail.

use std::io;
use std::time::Duration;

use cloison_ipc::{AdoptError, MapPoolError};
use cloison_msg::{Failure, Gone, Name, NameError, RecvError, Refusal, Text};
use cloison_sandbox::EnterError;

use crate::crew::THREADS_MAX;

/// Why the broker is no longer there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disconnect {
    /// It has ended, or told this worker to end. A worker that hears this returns from its main in good order.
    #[error("the broker has ended")]
    Ended,
    /// What came over the control socket cannot have come from our broker.
    #[error("the control socket is unusable: {0}")]
    Broken(Text),
}

/// Why a worker did not come to run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It could not be confined.
    #[error("cannot be confined: {0}")]
    Confinement(#[from] EnterError),
    /// What should be the control socket is none.
    #[error("control socket: {0}")]
    Control(#[from] AdoptError),
    /// The broker said nothing in time.
    #[error("the broker did not say welcome within {0:?}")]
    Silence(Duration),
    /// The broker speaks another version of the protocol. Build host and worker from the same release.
    #[error("the broker speaks version {broker} of the protocol, this worker {worker}")]
    Version {
        /// The broker's.
        broker: u16,
        /// This worker's.
        worker: u16,
    },
    /// The broker went away meanwhile.
    #[error(transparent)]
    Disconnected(#[from] Disconnect),
    /// The system refused to send the first word.
    #[error("saying hello failed: {0}")]
    System(#[from] io::Error),
}

/// Why a link was not opened.
#[derive(Debug, thiserror::Error)]
#[error("link to {role:?} by {interface}: {why}")]
pub struct OpenError {
    /// The role it was to lead to, as the caller wrote it.
    pub role: String,
    /// The interface it was to be used by.
    pub interface: Name,
    /// What happened.
    pub why: OpenFailure,
}

/// What happened to a link that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum OpenFailure {
    /// The role is no name.
    #[error(transparent)]
    Role(#[from] NameError),
    /// The broker refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody played the role in time.
    #[error("not given within {0:?}")]
    Deadline(Duration),
    /// Nobody waits any more for the answer to what is being served. Return: what you return is not heard.
    #[error("it was wanted for a call that was given up")]
    Cancelled,
    /// There is no broker to ask.
    #[error(transparent)]
    Disconnected(#[from] Disconnect),
}

/// Why a worker serves no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// The broker is no longer there.
    #[error(transparent)]
    Disconnected(#[from] Disconnect),
    /// Serving was begun while a request is being served. Requests of the same chain are served by themselves while a
    /// call waits; others must wait until the first is done.
    #[error("a request is being served; others are served after it")]
    Nested,
    /// There is nothing to serve with: [`Worker::provide`](crate::Worker::provide) a service first.
    #[error("no service was provided")]
    NoService,
    /// The threads to serve on could not be started.
    #[error(transparent)]
    Threads(#[from] ThreadsError),
}

/// Why there are no threads to serve on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThreadsError {
    /// So many cannot be: none, or more than [`THREADS_MAX`].
    #[error("{0} threads to serve on: there may be 1 to {THREADS_MAX}")]
    Count(usize),
    /// The system gives no descriptor by which threads could wake the session.
    #[error("no descriptor to be woken by: {0}")]
    Bell(Text),
    /// The system starts no more threads.
    #[error("thread {number} of {count} was not started: {why}; in the way is the limit {limit}")]
    NotStarted {
        /// Which of them, from 1.
        number: usize,
        /// How many there were to be.
        count: usize,
        /// Of what the worker may have no more.
        limit: &'static str,
        /// What the system says.
        why: Text,
    },
}

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The broker refused it.
    #[error("no pool: {0}")]
    Refused(#[from] Refusal),
    /// The memory is not what it ought to be, or cannot be mapped.
    #[error("no pool: {0}")]
    Map(#[from] MapPoolError),
    /// The link is gone.
    #[error("no pool: {0}")]
    Gone(#[from] Gone),
    /// The broker did not answer in time.
    #[error("no pool within {0:?}")]
    Deadline(Duration),
    /// Nobody waits any more for the answer to what is being served. Return: what you return is not heard.
    #[error("no pool: it was wanted for a call that was given up")]
    Cancelled,
}

/// Why there is no buffer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcquireError {
    /// All are lent, and none came back in time: the consumer does not keep up.
    #[error("all buffers of the pool are lent, and none came back within {0:?}")]
    AllLent(Duration),
    /// The link is gone, and the pool with it.
    #[error("the pool is gone: {0}")]
    Gone(#[from] Gone),
    /// All are lent, and nobody waits any more for the answer to what is being served. Return: what you return is not heard.
    #[error("all buffers of the pool are lent, and one was wanted for a call that was given up")]
    Cancelled,
}

/// Why a buffer that a peer names cannot be borrowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BorrowError {
    /// The message names no buffer here.
    #[error("the message names no buffer here: {0}")]
    NoReference(#[from] RecvError),
    /// The peer has lent no such pool over this link.
    #[error("a buffer of a pool that was never lent over this link")]
    UnknownPool,
    /// The pool could not be mapped here.
    #[error("{0}")]
    Unmapped(Text),
    /// The peer broke the protocol. The link has been cut.
    #[error("{0}")]
    Breach(cloison_ipc::BorrowError),
}

impl From<BorrowError> for Failure {
    fn from(error: BorrowError) -> Self {
        Self::Undecodable(error.to_string().into())
    }
}
