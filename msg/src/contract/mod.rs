//! Contracts: traits whose methods are called in other processes.
//!
//! [`interface`](macro@crate::interface) turns a trait into a [`Contract`], a client that implements the trait, a view of
//! the client whose calls are begun and not waited for, and a server that has the trait's implementation answer. None of
//! it knows what a link is: a link is whatever is a [`Carrier`], and workers and hosts have one each.
//!
//! ```
//! use cloison_msg::{Answer, interface};
//!
//! /// Counts.
//! #[interface(version = 1)]
//! pub trait Counter {
//!     /// The count after `by` more.
//!     fn add(&self, by: u32) -> Answer<u32>;
//!     /// Starts again.
//!     #[oneway]
//!     fn reset(&self) -> Answer<()>;
//! }
//! assert_eq!(COUNTER.method("reset"), cloison_msg::RpcIndex(1));
//! assert!(COUNTER.methods()[1].oneway);
//! ```
//!
//! # You hold X → use Y
//!
//! | you hold | you want | use |
//! |---|---|---|
//! | a worker, or a broker | a client | `CounterClient::bind`; where there is an executor, `bind_async` |
//! | a client | an answer, now | the trait's methods |
//! | a client | to await answers | `client.start()`, whose methods give a [`Call`] each |
//! | a client | many in flight | the same, and [`Answers`] |
//! | a method | to give, or take, many things one after the other | [`Stream`]: `-> Stream<T, E>`, an argument `Stream<T>` |
//! | a method | to give a stream whose items need a buffer, while all may be lent | [`Stream::ready_when`] |
//! | a client | to feed a stream as its items come | `client.start()`, whose methods that take a stream give a [`Feeder`] beside their answer |
//! | a client | the items of a stream, to be awaited | `client.start()`, whose methods give [`Items`] |
//! | a [`Call`] that gives a `String` or bytes | to look at them without a copy | [`Call::view`] |
//! | a client | to give it away, or a copy of it | an argument or an answer of another contract: `OtherClient<L>`, `&OtherClient<L>` |
//! | an object | to give somebody a link to it | `OtherClient::offer`: it ends when no link leads to it any more |
//! | an implementation | to serve it | `CounterServer::new(implementation)`: a worker serves it like any service |
//! | the same, whose calls take long | to serve several at a time | a worker's `serve_on`, with `Threads` |
//! | the same, serving | to know whether anybody still waits, and for how long | [`serving`] |
//! | the same, of a method that is `#[idempotent]` | to know whether it may have been served before | [`serving::is_retry`] |
//! | the same | to call it where you are | the trait's methods: no link, no broker |
//! | a [`Call`], or [`Answers`] | to give up what was begun | drop it: the server is told |
//! | either, not known before the program runs | one type | [`Placed`] |
//! | a policy | the rights that a contract needs | [`Contract::rights`], [`Contract::rights_to`], [`Contract::answer_rights`] |
//! | a raw link that you know to lead to the right server | a client, unasked | [`Client::over`] a [`Stub`] |
//!
//! # You get X → do Y
//!
//! | you get | it means | do |
//! |---|---|---|
//! | [`BindError::Open`](bind::BindError::Open) | no such peer, or not for you; or it has ended for good; or nobody played the role in time | ask the policy's author; or start it; or wait longer |
//! | [`MethodError::Own`] | it was served, and this is what it says | what the contract says |
//! | [`MethodError::Call`] | something else became of the call | as follows |
//! | [`Deadline`](crate::CallFailure::Deadline) | no answer in time; it may still be served | again, if doing it twice does no harm |
//! | [`PeerRestarted`](crate::CallFailure::PeerRestarted) | the peer died, and is being started again; it may have been served, but not twice | bind again and call again, if doing it twice does no harm; mark such methods `#[idempotent]`, and the runtime does |
//! | [`Gone`](crate::CallFailure::Gone): [`GivenUp`](crate::Gone::GivenUp) | the peer died, and does not come back; it may have been served | do without |
//! | … [`Revoked`](crate::Gone::Revoked) | the right to it was taken back; it may have been served | do without, or ask for another |
//! | … [`Closed`](crate::Gone::Closed), [`Moved`](crate::Gone::Moved) | one of the two sides closed the link, or gave it away; it may have been served | bind again |
//! | … [`CutOff`](crate::Gone::CutOff) | a peer broke the protocol; it may have been served | distrust the peer |
//! | … [`BrokerEnded`](crate::Gone::BrokerEnded) | all is over | return |
//! | [`Overloaded`](crate::CallFailure::Overloaded) | it was not sent: the peer does not keep up | send less |
//! | [`Unsendable`](crate::CallFailure::Unsendable) | it was not sent: the arguments are too long, or do not travel | send less at once, or large things by a buffer |
//! | [`Unreadable`](crate::CallFailure::Unreadable) | it was served; the reply is not what the contract says | distrust the peer; build both sides from one release |
//! | [`Failed`](crate::CallFailure::Failed): [`Denied`](crate::Failure::Denied) | it was not served: there is no right to it | ask the policy's author for [`Contract::rights`] |
//! | … [`NoSuchMethod`](crate::Failure::NoSuchMethod) | it was not served: the server is older | ask `serves` before you call what is `#[optional]` |
//! | … [`Undecodable`](crate::Failure::Undecodable) | it was not served: the server could not read the arguments | build both sides from one release |
//! | … [`Unanswerable`](crate::Failure::Unanswerable) | it was served, or given up unserved; the answer did not fit, or came too late | ask for less, or earlier |
//! | … [`WouldDeadlock`](crate::Failure::WouldDeadlock) | it was not served: it would wait for itself, as the text shows | let go of what you serve, and try later; or make one direction oneways |
//! | … [`Remote`](crate::Failure::Remote) with [`NESTED`](crate::Failure::NESTED) | the server made a call of its own, which failed as the text says | as the peer would |
//! | [`Cancelled`](crate::CallFailure::Cancelled) | whoever asked for what you serve waits no more | return: what you return is not heard |
//! | [`BindError::Mismatch`](bind::BindError::Mismatch) | both sides, and the first method that differs | build both from one release, or add a new interface |
//! | [`BindError::Ask`](bind::BindError::Ask) | the server does not say what it serves | as its call's failure says |
//!
//! Each names who was called, which method by its name, after how long, and why.
//!
//! # How often it is served
//!
//! A call is served at most once. If its server dies, whoever waits for it hears of that at once, as
//! [`PeerRestarted`](crate::CallFailure::PeerRestarted) or [`GivenUp`](crate::Gone::GivenUp), and decides.
//!
//! A call of an `#[idempotent]` method is made again by the runtime, [`RETRIES_MAX`] times at most and within its deadline, if
//! the server dies and is started again: then it is served once at least. The arguments are kept until it is answered, so what
//! a message gives away cannot be among them, nor has such a method streams. It takes a client that was bound to a role; a link that came with a message leads
//! to an object, which ended with its maker. From then on the client, and all its clones, lead to the successor. Any other
//! client is bound again by its user. Who began a call, by `start`, has it made again when he waits for it.
//!
//! ```
//! # use cloison_msg::{Answer, interface};
//! #[interface]
//! pub trait Index {
//!     /// To set a value twice is to set it.
//!     #[idempotent]
//!     fn set(&self, key: &str, value: u32) -> Answer<()>;
//!     /// To append one twice is not.
//!     fn append(&self, value: u32) -> Answer<()>;
//! }
//! assert!(INDEX.methods()[0].idempotent);
//! ```
//!
//! # Links
//!
//! A contract may take and give clients of other contracts, and of itself. It is then a trait of `L`, the carrier of those
//! links where it is used:
//!
//! ```
//! # use cloison_msg::{Answer, interface};
//! #[interface]
//! pub trait Counter {
//!     fn add(&self, by: u32) -> Answer<u32>;
//! }
//! #[interface]
//! pub trait Shop<L> {
//!     /// A counter of the caller's own: it ends when nobody holds it any more.
//!     fn counter(&self) -> Answer<CounterClient<L>>;
//!     /// Gives a counter away.
//!     fn keep(&self, counter: CounterClient<L>) -> Answer<()>;
//!     /// Gives a copy.
//!     fn look_at(&self, counter: &CounterClient<L>) -> Answer<u32>;
//! }
//! ```
//!
//! By value a link is moved, by reference copied; what is given of it, and that a copy is given by value, too, can be said
//! of a client ([`Stub::giving`], [`Stub::shared`]). A client that came as an argument or an answer closes its link when its
//! last clone is dropped; one that was bound stays. An answer's link is, as a rule, one to a new object: `offer` makes it. A
//! new object can only be given by value, and not shared: its link is moved, once, to whom the policy is then asked about; a
//! copy of it is [denied](crate::Denial::Offered).
//!
//! What a receiver may do with it, the policy says: for a new object what it grants the receiver of the object's interface
//! and its maker's role; for other links what the giver has, if that is delegable.
//!
//! # Versions
//!
//! (With programs: `guide::versions` in the documentation of `cloison-broker`.)
//!
//! What both sides must agree on is the interface's name, its version, and the shape of every method that the client
//! knows: its name, the order and types of its arguments, its answer and its own error, down to the fields of structs and
//! the variants of enums; not the names of arguments or types. It is compared when a link is bound, and a mismatch names
//! both sides and the method. So:
//!
//! | you mean to | do |
//! |---|---|
//! | add a method | add it at the end. Older clients bind to newer servers. If newer clients are to bind to older servers, mark it `#[optional]`, and ask `serves("…")` before it is called |
//! | change what a method takes or gives | add a new method at the end, and let the old one call it. A changed one binds only to its like |
//! | change what a method does, without a change of its shape | raise `version` |
//! | remove a method | leave it, and have it fail: those behind it would get other numbers |
//! | add a field to a struct, a variant to an enum | that changes the shape of each method that has it: the same as the second row |
//! | change a deadline, a limit, descriptor classes | nothing: each side keeps its own |
//! | break with everything | give the new trait another name: both can be served side by side, by one worker (`Stages`) or by two roles |
//!
//! # On the wire
//!
//! A call's payload is its arguments, one after the other, as [`Message::append`](crate::Message::append) writes them;
//! descriptors travel beside it, in the same order. A stream's items are messages of their own, a value each. The reply of a method without an error of its own is its value, a
//! tuple's elements one after the other; of a method with one, a `Result` of the two. So the raw interface can call what a
//! contract serves, and serve what a contract calls.
//!
//! [`RpcIndex::BIND`](crate::RpcIndex::BIND) is no method: by it a client asks whether the other side means the same
//! contract ([`bind`](mod@bind)).

mod answer;
pub mod bind;
mod call;
mod carried;
mod carrier;
mod description;
mod feeder;
mod here;
mod no_flow;
mod placed;
mod retry;
mod serve;
pub mod serving;
mod sketch;
mod stream;
mod stub;

pub use answer::{Answer, MethodError, Never};
pub use call::{Answers, Call, Ready, View};
pub use carried::{Offer, Offers};
pub use carrier::{Bind, BindAsync, Carrier, Client, Pending, Poll};
pub use description::{Contract, Method};
pub use feeder::{FedCall, FeedError, Feeder, NoSink, PollSink, Sink};
pub use here::{Here, HereFlow, HereLink, HereSink, Served};
pub use no_flow::NoFlow;
pub use placed::Placed;
pub use retry::{RETRIES_MAX, Retry};
pub use serve::{Dispatch, Serve, Server};
pub use sketch::Sketch;
pub use stream::{Fed, Feed, Flow, Flows, Intake, Items, Output, Packet, PollFlow, Produced, ReadOne, Stream};
pub use stub::Stub;

/// What the code that `interface` makes calls; not for anybody else.
#[doc(hidden)]
pub mod made {
    pub use super::carried::{give, take};
    pub use super::serve::{admit, descriptor, fail, failed, finish, succeed};
    pub use super::stream::{feed, give_items, take_fed};
    pub use crate::CallError;
}
