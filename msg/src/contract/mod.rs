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
//! # On the wire
//!
//! A call's payload is its arguments, one after the other, as [`Message::append`](crate::Message::append) writes them;
//! descriptors travel beside it, in the same order. The reply of a method without an error of its own is its value, a
//! tuple's elements one after the other; of a method with one, a `Result` of the two. So the raw interface can call what a
//! contract serves, and serve what a contract calls.
//!
//! [`RpcIndex::BIND`](crate::RpcIndex::BIND) is no method: by it a client asks whether the other side means the same
//! contract ([`bind`](mod@bind)).

mod answer;
pub mod bind;
mod call;
mod carrier;
mod description;
mod placed;
mod serve;
mod sketch;
mod stub;

pub use answer::{Answer, MethodError, Never};
pub use call::{Answers, Call, Ready, View};
pub use carrier::{Bind, BindAsync, Carrier, Client, Pending, Poll};
pub use description::{Contract, Method};
pub use placed::Placed;
pub use serve::{Dispatch, Serve, Server};
pub use sketch::Sketch;
pub use stub::Stub;

/// What the code that `interface` makes calls; not for anybody else.
#[doc(hidden)]
pub mod made {
    pub use super::serve::{admit, descriptor, fail, failed, finish, succeed};
}
