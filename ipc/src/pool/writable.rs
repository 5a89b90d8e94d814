//! The producer's side of a pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloison_msg::control::{PoolId, PoolShape};

use super::BufferRef;
use super::shape::{Layout, MapPoolError};
use super::slots::{ReturnError, Slots};
use crate::memory::{Part, WritableMemory};

/// A pool whose buffers this process fills and lends.
///
/// A pool that is used up stays used up until a buffer comes back: that is how a slow consumer slows its producer down.
#[derive(Debug)]
pub struct WritablePool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: PoolId,
    shape: PoolShape,
    memory: Arc<WritableMemory>,
    slots: Mutex<Slots>,
}

impl WritablePool {
    /// Checks and maps a pool, once and for all: no process can map it for writing after this. Costs a page fault's
    /// work for each page of the pool; filling buffers costs none later. The descriptor is closed.
    ///
    /// # Errors
    /// [`MapPoolError`]. Needs `fcntl` for `F_GETFL`, `F_GET_SEALS` and `F_ADD_SEALS`.
    pub fn map(fd: OwnedFd, id: PoolId, shape: PoolShape) -> Result<Self, MapPoolError> {
        let layout = Layout::of(shape)?;
        let memory = WritableMemory::new(fd.as_fd(), layout.buffer_len, layout.stride, layout.count)?;
        Ok(Self(Arc::new(Inner { id, shape, memory, slots: Mutex::new(Slots::new(shape.count)) })))
    }

    /// Its number, as the broker gave it.
    #[must_use]
    pub fn id(&self) -> PoolId {
        self.0.id
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> PoolShape {
        self.0.shape
    }

    /// A buffer to fill, or `None` while all are lent or being filled: wait for one to come back. What stands in it is
    /// left over from its last use.
    #[must_use]
    pub fn acquire(&self) -> Option<BufferMut> {
        let index = self.0.slots().acquire()?;
        let part = self.0.memory.take(index)?;
        Some(BufferMut { part: Some(part), pool: Arc::clone(&self.0) })
    }

    /// A consumer gave a lent buffer back.
    ///
    /// # Errors
    /// [`ReturnError`], for a buffer that is not lent. From another process that is a violation.
    pub fn returned(&self, index: u16) -> Result<(), ReturnError> {
        self.0.slots().take_back(index)
    }

    /// The consumer is gone: every lent buffer is free again. Returns how many there were. A consumer that is *not*
    /// gone would see them change under it, and its own returns would count as violations.
    pub fn return_all(&self) -> u16 {
        self.0.slots().take_back_all()
    }

    /// How many buffers are lent.
    #[must_use]
    pub fn lent(&self) -> u16 {
        self.0.slots().lent()
    }

    /// Whether every buffer is free, so that the pool can be dropped without anybody missing it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.slots().is_idle()
    }
}

impl Inner {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        // No step of `Slots` leaves it half done.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that this process is filling: the whole of it, as bytes. Dropped without being lent, it is free again.
pub struct BufferMut {
    /// Taken out only at the end.
    part: Option<Part>,
    pool: Arc<Inner>,
}

impl BufferMut {
    /// Lends the first `len` bytes to the pool's consumer, who learns of it by the value returned.
    ///
    /// # Panics
    /// If the buffer is not that long, as slicing it would.
    #[must_use = "a lent buffer of which nobody is told never comes back"]
    pub fn lend(mut self, len: usize) -> BufferRef {
        assert!(len <= self.len(), "{len} bytes of a buffer of {}", self.len());
        let pool = Arc::clone(&self.pool);
        let index = self.part().index();
        // The part first: once the buffer is lent it can come back, and be wanted again, at any time.
        self.part = None;
        pool.slots().lend(index);
        BufferRef { pool: pool.id, index, len: u32::try_from(len).expect("buffer_size is a u32") }
    }

    fn part(&self) -> &Part {
        self.part.as_ref().expect("only `lend` and `drop` take it out, and nothing comes after them")
    }
}

impl Deref for BufferMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.part()
    }
}

impl DerefMut for BufferMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.part.as_mut().expect("only `lend` and `drop` take it out, and nothing comes after them")
    }
}

impl Drop for BufferMut {
    fn drop(&mut self) {
        if let Some(part) = self.part.take() {
            let index = part.index();
            drop(part);
            self.pool.slots().abandon(index);
        }
    }
}

impl fmt::Debug for BufferMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.part.as_ref().map(Part::index);
        f.debug_struct("BufferMut").field("pool", &self.pool.id).field("index", &index).finish()
    }
}
