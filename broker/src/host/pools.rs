//! Pictures that workers lend to the host.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use cloison_ipc::{self as ipc, BufferRef, MapPoolError, ReadablePool};
use cloison_msg::Text;
use cloison_msg::control::{PoolId, PoolShape};

use super::LinkCore;
use crate::driver::Command;

/// Memory of so many bytes and more is let go of on a thread of its own. The kernel was seen to need 140 ms for 512 MiB,
/// which the router's thread has not: the size is a worker's choice.
const LARGE: u64 = 1 << 20;

/// The pools whose buffers are lent to the host over one link.
#[derive(Debug, Default)]
pub(crate) struct LinkPools {
    pools: Mutex<HashMap<PoolId, Announced>>,
}

/// A pool of which the host was told.
#[derive(Debug)]
struct Announced {
    shape: PoolShape,
    /// `None` if it could not be mapped here, which is not its producer's fault.
    mapped: Option<ReadablePool>,
}

impl LinkPools {
    /// Checks and maps a pool, once for all its buffers.
    pub(crate) fn add(&self, pool: PoolId, memory: OwnedFd, shape: PoolShape) -> Result<(), MapPoolError> {
        let mapped = ReadablePool::map(memory, pool, shape);
        let (mapped, result) = mapped.map_or_else(|error| (None, Err(error)), |mapped| (Some(mapped), Ok(())));
        self.pools().insert(pool, Announced { shape, mapped });
        result
    }

    /// The memory goes when the last buffer that the host still holds does.
    pub(crate) fn remove(&self, pool: PoolId) {
        drop(self.pools().remove(&pool));
    }

    fn borrow(&self, reference: BufferRef) -> Result<ipc::Borrowed, BorrowError> {
        let pools = self.pools();
        let announced = pools.get(&reference.pool).ok_or(BorrowError::NoSuchPool(reference.pool))?;
        let pool = announced.mapped.as_ref().ok_or(BorrowError::Unmapped(reference.pool))?;
        Ok(pool.borrow(reference)?)
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<PoolId, Announced>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let Some(pool) = self.mapped.take() else { return };
        if self.shape.bytes() >= LARGE {
            // Without a thread it is let go of here.
            let _ = thread::Builder::new().name("cloison-release".into()).spawn(move || drop(pool));
        }
    }
}

/// Why a buffer that a worker says it lends cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BorrowError {
    /// There is no such pool on the link.
    #[error("pool {0} was never announced on this link")]
    NoSuchPool(PoolId),
    /// There is no such buffer in the pool, or it is lent already.
    #[error(transparent)]
    Buffer(#[from] ipc::BorrowError),
    /// The pool could not be mapped when it was announced, as the log says. The worker has done nothing wrong.
    #[error("pool {0} could not be mapped in the host")]
    Unmapped(PoolId),
}

/// A buffer that a worker has lent to the host. Its producer gets it back when this is dropped.
///
/// Its bytes are never shown in place, for the worker could change them meanwhile: they are copied out.
///
/// ```
/// # use cloison_broker::Incoming;
/// # fn take(mut message: Incoming) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
/// let picture = message.borrow(message.value()?)?;
/// let mut bytes = vec![0; picture.len()];
/// picture.copy_to(&mut bytes)?;
/// # Ok(bytes)
/// # }
/// ```
#[derive(Debug)]
pub struct Borrowed {
    buffer: Option<ipc::Borrowed>,
    core: Arc<LinkCore>,
}

impl Borrowed {
    /// A worker that made the reference up is evicted.
    pub(super) fn new(core: &Arc<LinkCore>, reference: BufferRef) -> Result<Self, BorrowError> {
        let borrowed = core.pools.borrow(reference);
        if let Err(error @ (BorrowError::NoSuchPool(_) | BorrowError::Buffer(_))) = &borrowed {
            let what = Text::new(&error.to_string());
            core.commands.give(Command::MadeUpBuffer { link: core.name, what });
        }
        Ok(Self { buffer: Some(borrowed?), core: core.clone() })
    }
}

impl std::ops::Deref for Borrowed {
    type Target = ipc::Borrowed;

    fn deref(&self) -> &ipc::Borrowed {
        self.buffer.as_ref().expect("only drop takes it")
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let pool = buffer.pool();
            self.core.give_back(pool, buffer.give_back());
        }
    }
}
