//! The consumer's side of a pool.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cloison_msg::control::{PoolId, PoolShape};

use super::BufferRef;
use super::shape::{Layout, MapPoolError};
use crate::memory::ReadableMemory;

/// A pool whose buffers another process fills and lends to this one.
///
/// The producer can go on writing a buffer it has lent. So nothing of it is ever shown as a slice: it is copied out.
#[derive(Debug)]
pub struct ReadablePool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: PoolId,
    layout: Layout,
    memory: ReadableMemory,
    /// Bit `i` is set while buffer `i` is borrowed.
    borrowed: AtomicU64,
}

/// Why a buffer cannot be borrowed. From another process it is a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BorrowError {
    /// The buffer is said to be of another pool.
    #[error("a buffer of pool {found} was lent as one of pool {expected}")]
    OtherPool {
        /// This pool.
        expected: PoolId,
        /// The one that was named.
        found: PoolId,
    },
    /// There is no such buffer.
    #[error("buffer {index} was lent from a pool of {count}")]
    NoSuchBuffer {
        /// The buffer's number.
        index: u16,
        /// How many buffers there are.
        count: u16,
    },
    /// More bytes than a buffer has.
    #[error("{len} bytes of a buffer of {max} were lent")]
    TooLong {
        /// How many were named.
        len: u32,
        /// How many there are.
        max: usize,
    },
    /// It is borrowed already: it was lent twice without having been given back.
    #[error("buffer {index} was lent twice")]
    LentTwice {
        /// The buffer's number.
        index: u16,
    },
}

impl ReadablePool {
    /// Checks and maps a pool: sealed, of this shape, open for reading only. That costs the same for a pool of any size;
    /// reading a buffer for the first time costs page faults, reading it again costs none. The descriptor is closed.
    ///
    /// # Errors
    /// [`MapPoolError`].
    pub fn map(fd: OwnedFd, id: PoolId, shape: PoolShape) -> Result<Self, MapPoolError> {
        let layout = Layout::of(shape)?;
        let memory = ReadableMemory::new(fd.as_fd(), layout.bytes())?;
        Ok(Self(Arc::new(Inner { id, layout, memory, borrowed: AtomicU64::new(0) })))
    }

    /// Its number, as the broker gave it.
    #[must_use]
    pub fn id(&self) -> PoolId {
        self.0.id
    }

    /// Takes over a buffer that the producer says it has lent.
    ///
    /// # Errors
    /// [`BorrowError`].
    pub fn borrow(&self, reference: BufferRef) -> Result<Borrowed, BorrowError> {
        let BufferRef { pool, index, len } = reference;
        let Layout { buffer_len, count, .. } = self.0.layout;
        if pool != self.0.id {
            return Err(BorrowError::OtherPool { expected: self.0.id, found: pool });
        }
        if index >= count {
            return Err(BorrowError::NoSuchBuffer { index, count });
        }
        let used = usize::try_from(len).unwrap_or(usize::MAX);
        if used > buffer_len {
            return Err(BorrowError::TooLong { len, max: buffer_len });
        }
        let bit = 1 << index;
        if self.0.borrowed.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return Err(BorrowError::LentTwice { index });
        }
        Ok(Borrowed { pool: Arc::clone(&self.0), index, len: used })
    }
}

/// Why bytes cannot be copied out of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is to be copied does not lie within the {len} bytes of the buffer, or does not fill its destination")]
pub struct OutOfRange {
    /// How many bytes of the buffer are used.
    pub len: usize,
}

/// Rows of equal length at equal distances, as in one plane of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Where the first row starts, in bytes from the buffer's start.
    pub offset: usize,
    /// From the start of one row to that of the next, in bytes.
    pub stride: usize,
    /// Length of each row, in bytes.
    pub width: usize,
    /// How many rows.
    pub count: usize,
}

/// A buffer lent to this process. [`give_back`](Self::give_back) it, and tell its producer.
#[derive(Debug)]
#[must_use = "a buffer that is not given back is missing in its pool"]
pub struct Borrowed {
    pool: Arc<Inner>,
    index: u16,
    len: usize,
}

impl Borrowed {
    /// How many bytes of it are used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pool it belongs to.
    #[must_use]
    pub fn pool(&self) -> PoolId {
        self.pool.id
    }

    /// Copies all of it.
    ///
    /// # Errors
    /// [`OutOfRange`] if the destination is not exactly as long.
    pub fn copy_to(&self, destination: &mut [u8]) -> Result<(), OutOfRange> {
        if destination.len() != self.len {
            return Err(self.out_of_range());
        }
        self.copy_range_to(0, destination)
    }

    /// Copies from `offset` on until the destination is full.
    ///
    /// # Errors
    /// [`OutOfRange`] if the buffer ends before that.
    pub fn copy_range_to(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
        let end = offset.checked_add(destination.len());
        if end.is_none_or(|end| end > self.len) {
            return Err(self.out_of_range());
        }
        self.copy(offset, destination);
        Ok(())
    }

    /// Copies rows, and packs them one behind the other.
    ///
    /// # Errors
    /// [`OutOfRange`] if the last row ends behind the buffer's end, or the rows do not fill the destination exactly.
    /// Nothing is copied then.
    pub fn copy_rows_to(&self, rows: Rows, destination: &mut [u8]) -> Result<(), OutOfRange> {
        if rows.packed_len() != Some(destination.len()) || rows.end().is_none_or(|end| end > self.len) {
            return Err(self.out_of_range());
        }
        if rows.width == rows.stride {
            self.copy(rows.offset, destination);
        } else if rows.width > 0 {
            for (i, row) in destination.chunks_exact_mut(rows.width).enumerate() {
                self.copy(rows.offset + i * rows.stride, row);
            }
        }
        Ok(())
    }

    /// Ends the loan here, and returns the buffer's number, which its producer awaits.
    #[must_use = "the producer must be told"]
    pub fn give_back(self) -> u16 {
        self.index
    }

    /// `offset + destination.len()` is at most `self.len`.
    fn copy(&self, offset: usize, destination: &mut [u8]) {
        self.pool.memory.copy(self.pool.layout.stride * usize::from(self.index) + offset, destination);
    }

    fn out_of_range(&self) -> OutOfRange {
        OutOfRange { len: self.len }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        self.pool.borrowed.fetch_and(!(1 << self.index), Ordering::Relaxed);
    }
}

impl Rows {
    /// Length of all rows without the gaps between them.
    fn packed_len(&self) -> Option<usize> {
        self.width.checked_mul(self.count)
    }

    /// Where the last row ends, `offset` if there is none.
    fn end(&self) -> Option<usize> {
        match self.count.checked_sub(1) {
            Some(gaps) => self.stride.checked_mul(gaps)?.checked_add(self.width)?.checked_add(self.offset),
            None => Some(self.offset),
        }
    }
}
