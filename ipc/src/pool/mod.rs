//! Pools: a few buffers of shared memory, allocated once and used again and again.
//!
//! The broker makes a pool ([`create_pool`]) and gives its writable descriptor to the producer and read-only ones to
//! consumers. From then on a picture travels as a [`BufferRef`], a dozen bytes, and comes back as an index:
//!
//! ```
//! # use cloison_ipc::{PoolShape, ReadablePool, WritablePool, create_pool};
//! let shape = PoolShape { buffer_size: 1920 * 1080 * 3 / 2, count: 8 };
//! let new = create_pool(shape)?;                                        // broker
//! let producer = WritablePool::map(new.writable, 1, shape)?;            // one worker
//! let consumer = ReadablePool::map(new.read_only, 1, shape)?;           // another
//!
//! let mut buffer = producer.acquire().expect("none is lent yet");
//! buffer[..7].copy_from_slice(b"picture");
//! let reference = buffer.lend(7);                                       // travels in a message
//!
//! let borrowed = consumer.borrow(reference)?;
//! let mut picture = [0; 7];
//! borrowed.copy_to(&mut picture)?;
//! assert_eq!(&picture, b"picture");
//!
//! producer.returned(borrowed.give_back())?;                             // travels back
//! assert!(producer.is_idle());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod create;
mod readable;
mod shape;
mod slots;
mod writable;

use cloison_msg::control::PoolId;
pub use create::{NewPool, NewPoolError, create_pool};
pub use readable::{BorrowError, Borrowed, OutOfRange, ReadablePool, Rows};
use serde::{Deserialize, Serialize};
pub use shape::{BUFFERS_MAX, MapPoolError, POOL_BYTES_MAX, ShapeError};
pub use slots::ReturnError;
pub use writable::{BufferMut, WritablePool};

/// A lent buffer, as it is named in a message. Nothing in it is to be believed before whoever borrows the buffer has had
/// it checked, as `borrow` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BufferRef {
    /// The pool it belongs to.
    pub pool: PoolId,
    /// Which buffer of the pool.
    pub index: u16,
    /// How many bytes of it are used, from its start.
    pub len: u32,
}
