//! What is said: the header and payload of a message, the rights that allow it, and the state both ends of a link keep.
//!
//! This crate is *not* about how a message travels: it performs no I/O, reads no clock, draws no random number and holds
//! no descriptor of its own (descriptors are a type parameter). Everything here can be driven from a unit test.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | link | a two-way connection between two workers, or between a worker and the host |
//! | [`Destination`] | the name by which one holder knows a link; meaningless in any other process |
//! | interface | a numbered set of methods; a method's number is its [`RpcIndex`] |
//! | [`Message`] | what a sender builds: values appended in order, descriptors attached |
//! | [`Reader`] | what a receiver reads: the same values in the same order, then [`Reader::finish`] |
//! | [`Rights`] | what the holder of a link's end may do with it |
//! | [`decide`] | the one function that says whether a message is allowed |
//! | [`Meter`] | how much one direction of a link has in flight, and how much more it may send |
//! | [`Streams`] | which streams a call has: items between it and its answer, from whoever calls, or to it |
//! | [`LinkEnd`] | everything one holder keeps about its end of one link |
//! | [`Route`] | the way that one direction of a link takes at this moment |
//! | [`LinkRef`] | a link that a message carries to another holder |
//! | [`Ends`] | all the link ends of one holder, by destination |
//! | [`Contract`] | an interface that is a trait: [`interface`](macro@interface) makes its client and its server |
//! | [`Probe`] | what travels after a call to find out whether it waits for itself |
//! | [`control`] | the words a worker and its broker exchange on destination 0 |
#![forbid(unsafe_code)]

mod calls;
pub mod contract;
pub mod control;
mod decide;
mod destination;
mod ends;
mod failure;
mod header;
mod interface;
mod kind;
mod link_end;
mod link_ref;
mod message;
mod meter;
mod name;
mod probe;
mod reader;
mod rights;
mod route;
mod table;
mod text;
mod time;
pub mod trace;
mod work;

pub use calls::{CallId, ChainId, Pending};
pub use cloison_macros::interface;
pub use contract::{Answer, Contract, MethodError};
pub use decide::{BINDS_MAX, Denial, Use, Verdict, decide};
pub use destination::{Destination, RpcIndex};
pub use ends::Ends;
pub use failure::{CallError, CallFailure, Failure, Gone, Refusal};
pub use header::{DEADLINE_MAX, HEADER_LEN, Header, HeaderError, Shape};
pub use interface::{Interface, METHODS_MAX, MethodName};
pub use kind::{Kind, Streams};
pub use link_end::{
    Arrival, Balance, Breach, CALL_DEPTH_MAX, CallFrame, Caller, Drawn, LinkEnd, Passage, Room, STREAM_BYTES,
    STREAM_ITEMS, Via,
};
pub use link_ref::{LINK_REF_LEN, LINKS_MAX, LinkRef, LinkRefError, Transfer};
pub use message::{AppendError, DESCRIPTORS_MAX, Descriptor, Message, Named, PACKET_MAX, PAYLOAD_MAX};
pub use meter::{
    Account, CALLS_IN_FLIGHT, Credit, Meter, Overdraft, Receipt, Taken, WINDOW_BYTES, WINDOW_DESCRIPTORS,
    WINDOW_MESSAGES,
};
pub use name::{HOST, NAME_MAX, Name, NameError};
pub use probe::{Age, Circle, PROBE_LEN_MAX, Probe};
pub use reader::{Messages, Reader, RecvError, decode_whole};
pub use rights::{DescriptorClasses, Relayed, Rights, RightsFlags, RpcSet};
pub use route::Route;
pub use table::{Entry, Key, Table};
pub use text::{TEXT_MAX, Text};
pub use time::Time;
pub use work::Work;
