//! The confined side: a worker starts, is locked down, opens links, calls and serves. It is *not* about policy: a worker
//! never learns which model is in force, what others may do, or why it was refused.
//!
//! A worker that serves, and calls another worker for it:
//!
//! ```no_run
//! use std::os::fd::OwnedFd;
//! use std::process::ExitCode;
//!
//! use cloison_worker::msg::{Failure, Interface, Message};
//! use cloison_worker::{Request, Worker};
//!
//! const VIDEO: Interface = Interface::new("video", &["decode"]);
//!
//! fn serve(worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
//!     let packet: &[u8] = request.recv()?;
//!     let failed = |error: &dyn std::error::Error| Failure::remote(1, &error.to_string());
//!     let video = worker.open("video", &VIDEO).map_err(|error| failed(&error))?;
//!     let mut message = Message::new();
//!     message.append_bytes(packet)?;
//!     let answer = video.call(VIDEO.method("decode"), &mut message).map_err(|error| failed(&error))?;
//!     reply.append(&answer.value::<u32>()?)?;
//!     Ok(())
//! }
//!
//! fn main() -> ExitCode {
//!     cloison_worker::run(|worker| worker.serve(serve))
//! }
//! ```
//!
//! | you want to | use |
//! |---|---|
//! | be a program that is a worker and nothing else | [`run`] |
//! | be a worker inside the host's own executable | [`roles`], first thing in `main` |
//! | load a library before the doors close | [`run_after`], [`roles_after`] |
//! | answer requests | [`Worker::serve`] with a function or a [`Service`] |
//! | have a loop of your own | [`Worker::provide`], then [`Worker::serve_once`] |
//! | call another worker, or the host (role `host`) | [`Worker::open`], then [`Link::call`], [`Link::start`] or [`Link::oneway`] |
//! | pass a descriptor | [`Message::attach`](msg::Message::attach) here, [`Request::descriptor`] there |
//! | send a picture | [`Link::pool`], [`Pool::acquire`], [`BufferMut::lend`], and append the [`BufferRef`] |
//! | take a picture | [`Request::recv_buffer`], then [`copy_to`](struct.Borrowed.html#method.copy_to) of the [`Borrowed`] |
//!
//! Links, descriptors and buffers are there only as far as the host's policy grants them.
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
