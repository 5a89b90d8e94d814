//! The trusted side: decides who may talk to whom, routes what they say, and supervises the workers.
//!
//! It is *not* about media, nor about what a worker may do to the system (that is `cloison-sandbox`), and it never decodes a
//! payload that it only forwards.
//!
//! A host embeds one [`Broker`] (or several). The policy says who may reach whom; the [`Model`] whether their messages
//! pass the broker or take a socket of their own. Worker code never learns which.
//!
//! ```no_run
//! use cloison_broker::msg::{Interface, Message, RpcIndex};
//! use cloison_broker::{Broker, HOST, Model, Rules, WorkerSpec};
//!
//! const ECHO: Interface = Interface::new("echo", &["say"]);
//! const SAY: RpcIndex = ECHO.method("say");
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let policy = Rules::new().allow(HOST, "echo", &ECHO);
//!     let (broker, _inbox) = Broker::start(policy, Model::Broker)?;
//!     broker.spawn(WorkerSpec::program("echo", "/usr/libexec/my-player/echo")?)?;
//!     let echo = broker.open("echo", &ECHO)?;
//!     let mut message = Message::new();
//!     message.append("hello")?;
//!     let reply = echo.call(SAY, message)?;
//!     println!("{}", reply.value::<&str>()?);
//!     Ok(())
//! }
//! ```
//!
//! With a trait that is an [`interface`](macro@interface), calls read like calls. Here the host's own executable is its
//! worker's too; the [`guide`] has every way to call, in programs that run, and `examples/calls` has larger ones.
//!
//! ```standalone_crate
//! use cloison_broker::{Answer, Broker, HOST, Model, Rules, WorkerSpec, interface};
//!
//! #[interface]
//! trait Echo {
//!     fn say(&self, words: &str) -> Answer<String>;
//! }
//!
//! struct Loud;
//!
//! impl Echo for Loud {
//!     fn say(&self, words: &str) -> Answer<String> {
//!         Ok(words.to_uppercase())
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Does not return in the process that is the worker.
//!     cloison_worker::roles(&[("echo", |worker| worker.serve(EchoServer::new(Loud)))]);
//!
//!     let policy = Rules::new().allow_contract(HOST, "echo", &ECHO);
//!     let (broker, _inbox) = Broker::start(policy, Model::Broker)?;
//!     broker.spawn(WorkerSpec::own("echo")?)?;
//!     let echo = EchoClient::bind(&broker, "echo")?;
//!     assert_eq!(echo.say("hello")?, "HELLO");
//!     Ok(())
//! }
//! ```
//!
//! | you want to | use |
//! |---|---|
//! | say who may reach whom | [`Rules`], or a [`Policy`] of your own |
//! | let descriptors pass, or buffers be lent | [`Rules::allow_with`] and [`msg::Rights`] |
//! | start a worker | [`Broker::spawn`] with a [`WorkerSpec`] |
//! | call a worker | [`Broker::open`], then [`HostLink::call`], or [`HostLink::start`] and await it |
//! | give a call up | drop its [`PendingCall`]; [`HostLink::cancel`] what was posted |
//! | not wait for what lends a buffer | [`PendingCall::detach`], or a contract's [`Call::detach`](msg::contract::Call::detach) |
//! | know whether a worker still waits for an answer | [`Incoming::is_cancelled`] |
//! | call a worker by a trait that is an [`interface`](macro@interface) | its client's `bind`, or `bind_async` |
//! | allow what such a trait needs | [`Rules::allow_contract`] |
//! | serve such a trait to workers | [`Incoming::serve`] |
//! | give a worker something to call | its client's `offer`, of the broker or of [`Objects`], and [`Incoming::serve_object`] |
//! | pass a descriptor to a worker | [`msg::Message::attach`] an [`ipc::Passed`] made from an `OwnedFd` |
//! | be called by a worker, take a picture | [`Item::Message`] in the [`Inbox`], [`Incoming::borrow`] |
//! | give a worker a link to another | [`msg::Message::append_link`], [`msg::Message::move_link`]; it comes out of [`Incoming::recv_link`] |
//! | ask your user before a link is given | [`Decision::Defer`], then [`Item::Question`] |
//! | let workers talk directly, or not, while they run | [`Broker::set_model`], [`LinkHandle::set_route`] |
//! | take a link back, or replace the policy | [`LinkHandle::revoke`], [`Broker::set_policy`] |
//! | know who holds what, and why it is relayed | [`Broker::explain`] |
//! | hear of a worker's death | [`Item::Worker`] in the [`Inbox`] |
//! | know what runs, and how confined | [`Broker::workers`] |
//! | see what workers do, beneath the calls that caused it | [`Broker::set_trace_level`], [`Broker::trace_to`] |
#![forbid(unsafe_code)]

mod broker;
mod driver;
pub mod guide;
mod host;
mod policy;
pub mod router;
mod supervisor;
mod trace;
mod wait;

pub use cloison_ipc as ipc;
pub use cloison_macros::interface_of_broker as interface;
pub use cloison_msg as msg;
pub use cloison_msg::contract::{Answer, Answers, Contract, MethodError, Placed, Stream};
pub use cloison_sandbox as sandbox;

pub use broker::{
    Broker, Change, DESCRIPTORS_HEADROOM, DESCRIPTORS_PER_BROKER, DESCRIPTORS_PER_DIRECT_LINK, DESCRIPTORS_PER_WORKER,
    LinkHandle, Size, StartError, Suspension, TooFewDescriptors,
};
#[doc(hidden)]
pub use driver::harness;
pub use driver::{BACKLOG_MAX, HostMessage};
pub use host::{
    BorrowError, Borrowed, CALL_DEADLINE, HOST_FED_BYTES_MAX, HostFlow, HostLink, HostSink, Inbox, Incoming, Item,
    Objects, OpenError, PendingCall, Question, Started, Ticket,
};
pub use policy::{Ask, Decision, Grant, HOST, Model, Policy, Rules};
pub use router::{COPIES_PER_WORKER, LinkId, LinkView, RELEASE_WITHIN, SWITCH_WITHIN, WhyRelayed};
pub use supervisor::{
    Death, QUARANTINE_AFTER, Quarantined, RESTART_PAUSE, RESTART_PAUSE_MAX, RESTARTS, SpawnError, WorkerEvent,
    WorkerSpec, WorkerState, WorkerStatus,
};
pub use trace::{TRACE_BYTES_PER_SECOND, TRACE_RECORDS_PER_SECOND, TraceProcess, TraceRecord};
