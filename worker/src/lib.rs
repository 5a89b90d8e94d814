//! The confined side: a worker starts, is locked down, opens links, calls and serves. It is *not* about policy: a worker
//! never learns which model is in force, what others may do, or why it was refused.
#![forbid(unsafe_code)]

mod buffers;
mod clock;
mod departed;
mod error;
mod lending;
mod link;
mod pending;
mod poll;
mod pools;
mod receive;
mod request;
mod send;
mod serve;
mod session;
mod start;
mod wire;
mod words;
mod worker;

pub use cloison_ipc::{BufferMut, BufferRef, OutOfRange, Passed, PoolShape, ProcessIpc, ReturnError, Rows};
pub use cloison_msg as msg;
pub use error::{AcquireError, BorrowError, Disconnect, OpenError, OpenFailure, PoolError, ServeError, StartError};
pub use link::Link;
pub use pending::{Incoming, PendingCall};
pub use pools::{Borrowed, Pool};
pub use request::Request;
pub use serve::Service;
pub use start::{EXIT_FAILED, EXIT_NO_SUCH_ROLE, EXIT_PANICKED, Role, roles, roles_after, run, run_after};
pub use worker::{DEFAULT_DEADLINE, Worker};
