//! How messages and pictures travel: one socket, the descriptors that pass through it, and pools of shared memory.
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
//! | the wish for shared memory, in the broker | [`create_pool`] |
//! | a pool's writable descriptor | [`WritablePool::map`], then [`WritablePool::acquire`] for each picture |
//! | a pool's read-only descriptor | [`ReadablePool::map`], then [`ReadablePool::borrow`] for each [`BufferRef`] |
//!
//! # Invariants
//!
//! - Every descriptor is owned at every instant: on any error, whatever arrived is closed.
//! - Everything this crate makes or receives is close-on-exec.
//! - Sending, receiving, lending and borrowing allocate nothing, once the vector that takes descriptors in has room for
//!   [`DESCRIPTORS_MAX`] of them.
//! - Memory that another process can write is never shown as `&[u8]`; it is copied out.
//! - `unsafe` stands in the private module `memory` and nowhere else.
//!
//! [`DESCRIPTORS_MAX`]: cloison_msg::DESCRIPTORS_MAX
#![deny(unsafe_code)]

mod memory;
mod passed;
mod pool;
mod recv;
mod send;
mod socket;
mod wait;

pub use cloison_msg::control::{PoolId, PoolShape};
pub use memory::MapError;
pub use passed::Passed;
pub use pool::{
    BUFFERS_MAX, BorrowError, Borrowed, BufferMut, BufferRef, MapPoolError, NewPool, NewPoolError, OutOfRange,
    POOL_BYTES_MAX, ReadablePool, ReturnError, Rows, ShapeError, WritablePool, create_pool,
};
pub use recv::RecvError;
pub use send::SendError;
pub use socket::{AdoptError, BRIEF_WAIT_MAX, ProcessIpc};

use wait::Wait;
