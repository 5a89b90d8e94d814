//! The confined side: a worker starts, is locked down, opens links, calls and serves. It is *not* about policy: a worker
//! never learns which model is in force, what others may do, or why it was refused.
//!
//! A worker is a library plus a one-line main:
//!
//! ```no_run
//! use std::os::fd::OwnedFd;
//!
//! use cloison_worker::msg::{Failure, Message};
//! use cloison_worker::{Request, Worker};
//!
//! fn shout(_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
//!     let words: &str = request.recv()?;
//!     request.finish()?;
//!     reply.append(&words.to_uppercase())?;
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     cloison_worker::run(|worker| worker.serve(shout))
//! }
//! ```
//!
//! # You hold X → use Y
//!
//! | you hold | you want | use |
//! |---|---|---|
//! | a program that is a worker and nothing else | its main | [`run`] |
//! | a host whose own executable is its workers' too | the first line of its main | [`roles`] |
//! | libraries that open files when first used | to use them before the doors close | [`run_after`], [`roles_after`] |
//! | a [`Worker`] | a link to another worker, or to the host | [`Worker::open`] |
//! | a [`Worker`] | to do what others ask, and nothing else | [`Worker::serve`] |
//! | a [`Worker`] with work of its own | to serve now and then | [`Worker::provide`], then [`Worker::serve_once`] in its loop |
//! | a trait that is an [`interface`](macro@interface) | a client of whoever plays a role | its client's `bind` |
//! | an implementation of it | to serve with it | [`Worker::serve`] or [`Worker::provide`] its server |
//! | the same | state for each link that leads here | [`PerLink`] |
//! | several implementations | to serve them all in one worker | [`Stages`] |
//! | an implementation whose calls take long, and could run side by side | to serve many at a time | [`Worker::serve_on`], with [`Threads`] |
//! | a [`Link`] | an answer | [`Link::call`] |
//! | a [`Link`] | several answers at a time | [`Link::start`], then [`PendingCall::wait`] |
//! | a [`Link`] | items, one after the other, or to send some | [`Link::stream`]; with a contract, a [`Stream`] |
//! | a [`Request`] | what its caller feeds; to answer by items | [`Request::fed`], [`Request::answer_by`] |
//! | a [`Link`] | to tell something | [`Link::oneway`] |
//! | a [`Link`] | to tell many small things at a time | [`Link::batch`] |
//! | a [`Stream`] | whose items come quickly one after the other | [`Stream::in_batches`] |
//! | a [`Worker`] | to tell all that play a role | [`Worker::oneway_to_all`] |
//! | a [`Link`] | to hand pictures over | [`Link::pool`], then [`Pool::acquire`], [`BufferMut::lend`] |
//! | a method of a contract | the link by which it is called, to lend over | [`Worker::link_served`] |
//! | a descriptor | to pass it, if the policy grants its class | [`Message::attach`](msg::Message::attach) |
//! | a [`Link`] that may be handed on | to let another worker use its peer, too | [`Message::append_link`](msg::Message::append_link) |
//! | a [`Link`] that may be handed on | to give it away | [`Message::move_link`](msg::Message::move_link) |
//! | a [`Request`] | its values | [`Request::recv`], [`Request::descriptor`], [`Request::recv_buffer`], [`Request::finish`] |
//! | a [`Request`], an [`Incoming`] reply | a link that it carries | [`Request::recv_link`], [`Incoming::recv_link`] |
//! | a [`Request`] | to know whether anybody still waits | [`Request::is_cancelled`]; in a contract's implementation, [`serving`](msg::contract::serving) |
//! | a [`PendingCall`] | not to wait for it any more | drop it; if it lends a buffer, [`PendingCall::detach`], or a contract's [`Call::detach`](msg::contract::Call::detach) |
//! | a [`Request`] | to know whether it may have been served before, by a worker that died | [`Request::is_retry`] |
//! | a [`Request`] | to call whoever asks back, or to tell it more later | [`Request::link`] |
//! | an [`Incoming`] reply | its values | [`Incoming::value`], [`Incoming::reader`] |
//! | a [`BufferRef`] that a peer named | what is in the buffer | [`Link::borrow`], then [`Borrowed`]'s `copy_to` |
//!
//! # You get X → do Y
//!
//! | you get | it means | do |
//! |---|---|---|
//! | [`OpenFailure::Cancelled`], [`PoolError::Cancelled`], [`AcquireError::Cancelled`] | whoever is being served has given up | return |
//! | [`OpenFailure::Refused`] | no such peer, or not for this worker; it has ended for good; or a limit is reached | what its [`Refusal`](msg::Refusal) says |
//! | [`CallFailure::Failed`](msg::CallFailure::Failed) | the peer answered, with an error | what the interface says |
//! | … [`WouldDeadlock`](msg::Failure::WouldDeadlock) | it was not served: it would wait for itself, as the text shows | let go of what you serve, and try again later; or make one direction oneways |
//! | [`CallFailure::Cancelled`](msg::CallFailure::Cancelled) | whoever asked for what you serve waits no more | return: what you return is not heard |
//! | [`CallFailure::Deadline`](msg::CallFailure::Deadline) | no answer in time; the peer may still serve it | try again only if doing it twice does no harm |
//! | [`CallFailure::PeerRestarted`](msg::CallFailure::PeerRestarted) | the peer died, and is being started again; it may have served the call | [`Worker::open`] again; call again, and [say so](msg::Message::mark_retry), if doing it twice does no harm |
//! | [`CallFailure::Gone`](msg::CallFailure::Gone) | the peer, the link or the broker is gone for good | [`Worker::open`] again if the link was [closed](msg::Gone::Closed); else do without |
//! | [`Gone::Moved`](msg::Gone::Moved) | this worker gave the link away; or its peer did, while the call was under way | nothing; or call again: the new peer may not have seen it, and the old one may have served it |
//! | [`CallFailure::Overloaded`](msg::CallFailure::Overloaded) | it was not sent: the peer does not keep up | send less; the message is as it was |
//! | [`CallFailure::Unsendable`](msg::CallFailure::Unsendable) | it was not sent: the system would not take it | look at the message, which is as it was |
//! | [`CallFailure::Unreadable`](msg::CallFailure::Unreadable) | the reply is not what the contract says; it was served | build both sides from one release; [binding](msg::contract::bind) would have said so |
//! | [`AcquireError::AllLent`] | the consumer of the pictures does not keep up | drop a picture, or wait longer |
//! | [`Disconnect::Ended`] | the host has ended, or told this worker to | return from main; it counts as success |
//!
//! # How it waits
//!
//! A worker has one thread, and this crate starts no other, but for [`Worker::serve_on`]. Whatever waits (for a reply, for
//! room, for a buffer) takes in what arrives meanwhile, on all its sockets. Requests of the same chain of nested calls are
//! served at once, so a worker may be called back by whom it calls, to a depth of [`CALL_DEPTH_MAX`](msg::CALL_DEPTH_MAX);
//! others wait in a queue that the links' windows bound. Nothing that the runtime itself sends ever waits for a peer to
//! read.
//!
//! [`Worker::serve_on`] hands calls to threads, many at a time. Then that one thread talks and runs no method, and what
//! waits is each thread for itself, in the same way: a chain that one waits for goes on on it.
//!
//! Workers that wait for each other in a circle, each on behalf of somebody else, find that out within some ten
//! milliseconds: one of the calls is refused as [`WouldDeadlock`](msg::Failure::WouldDeadlock), the others are served. If two
//! must call each other all the time, let one direction be oneways.
//!
//! Who drops a call gives it up: the peer is told, does not begin to serve it, and can ask while it does
//! ([`Request::is_cancelled`]); so can its own callees. The same becomes of the calls of a peer that dies. What waits on behalf
//! of such a call waits no longer: for an answer, a link, a pool, a buffer, an object.
//!
//! # What it records
//!
//! [`run`] and its kin make the runtime the `tracing` subscriber of the process: spans and events go to the host, if it asks for
//! them (`Broker::set_trace_level`), and are shown there beneath the call that is being served. It begins with nothing. Write
//! `tracing::info!` as anywhere else; texts are cut at 240 bytes, and who records more than the host takes loses records, which
//! are counted. A main that installs a subscriber of its own first is left with that.
//!
//! # Invariants
//!
//! - No message allocates, once the buffers have grown (`tests/allocations.rs`).
//! - No code of the worker's author runs while the session is borrowed: services may do everything that a worker can.
//! - Whatever a peer sends, the worst that follows is the end of the link to that peer (`tests/ends.rs`).
//! - On one link everything arrives once and in the order in which it was sent, whichever way it goes, and however often
//!   that changes (`tests/routes`, `tests/handing.rs`).
//! - A stream that nobody reads holds up what makes it, and nothing else (`tests/streams`).
//! - Every call ends in one reply or one typed error (`tests/calls.rs`, `tests/ends.rs`), also where workers wait for each
//!   other (`tests/circles.rs`).
//! - Nobody works for a caller that waits no more (`tests/cancel.rs`).
//! - All of this also on threads (`tests/threads/`); there a message may allocate.
#![forbid(unsafe_code)]

mod announce;
mod batch;
mod buffers;
mod cancel;
mod carry;
mod circle;
mod clock;
mod contract;
mod crew;
mod departed;
mod error;
mod lending;
mod link;
mod noting;
mod objects;
mod pending;
mod poll;
mod pools;
mod receive;
mod request;
mod routes;
mod send;
mod serve;
mod session;
mod start;
mod streams;
mod trace;
mod wanted;
mod wire;
mod words;
mod worker;

pub use batch::Batch;
pub use cloison_ipc::{BufferMut, BufferRef, OutOfRange, Passed, PoolShape, ProcessIpc, ReturnError, Rows};
pub use cloison_macros::interface_of_worker as interface;
pub use cloison_msg as msg;
pub use cloison_msg::contract::{Answer, Answers, Contract, MethodError, Placed, Stream};
pub use contract::{PerLink, Stages, Started};
pub use crew::{THREADS_MAX, Thread, ThreadCall, ThreadLink, Threads};
pub use error::{
    AcquireError, BorrowError, Disconnect, OpenError, OpenFailure, PoolError, ServeError, StartError, ThreadsError,
};
pub use link::Link;
pub use pending::{Incoming, PendingCall};
pub use pools::{Borrowed, Pool};
pub use request::Request;
pub use serve::Service;
pub use start::{EXIT_FAILED, EXIT_NO_SUCH_ROLE, EXIT_PANICKED, Role, roles, roles_after, run, run_after};
pub use streams::{FED_BYTES_MAX, LinkFlow, LinkSink};
pub use worker::{DEFAULT_DEADLINE, Worker};
