//! How messages travel: one socket, and the descriptors that pass through it.
//!
//! This crate is *not* about what is said: it sees packets as bytes, and never looks into one. It takes no decision
//! either: it says of which class a descriptor is, and somebody else whether that class is allowed.
//!
//! # You hold X → use Y
//!
//! | you hold | use |
//! |---|---|
//! | nothing yet | [`ProcessIpc::pair`] |
//! | a socket somebody gave you | [`ProcessIpc::from_fd`] |
//! | a packet to send, and a thread that may wait | [`ProcessIpc::send`] |
//! | a packet to send, and a loop that may not | [`ProcessIpc::try_send`] |
//! | a descriptor that arrived, or that you mean to send | [`Passed`] |
//!
//! # Invariants
//!
//! - Every descriptor is owned at every instant: on any error, whatever arrived is closed.
//! - Everything this crate makes or receives is close-on-exec.
//! - No call here allocates, once the vector that takes the descriptors in has room for [`DESCRIPTORS_MAX`] of them.
//!
//! [`DESCRIPTORS_MAX`]: cloison_msg::DESCRIPTORS_MAX
#![forbid(unsafe_code)]

mod passed;
mod recv;
mod send;
mod socket;
mod wait;

pub use passed::Passed;
pub use recv::RecvError;
pub use send::SendError;
pub use socket::{AdoptError, ProcessIpc};

use wait::Wait;
