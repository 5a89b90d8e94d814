//! Pictures that workers lend to the host.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloison_ipc::{self as ipc, BufferRef, MapPoolError, ReadablePool};
use cloison_msg::Text;
use cloison_msg::control::{PoolId, PoolShape};

use super::LinkCore;
use crate::driver::Command;

/// The pools whose buffers are lent to the host over one link.
#[derive(Debug, Default)]
pub(crate) struct LinkPools {
    /// `None` stands for one that could not be mapped here, which is not its producer's fault.
    pools: Mutex<HashMap<PoolId, Option<ReadablePool>>>,
}

impl LinkPools {
    /// Checks and maps a pool, once for all its buffers.
    pub(crate) fn add(&self, pool: PoolId, memory: OwnedFd, shape: PoolShape) -> Result<(), MapPoolError> {
        let mapped = ReadablePool::map(memory, pool, shape);
        let (kept, result) = mapped.map_or_else(|error| (None, Err(error)), |mapped| (Some(mapped), Ok(())));
        self.pools().insert(pool, kept);
        result
    }

    /// The memory goes when the last buffer that the host still holds does.
    pub(crate) fn remove(&self, pool: PoolId) {
        self.pools().remove(&pool);
    }

    fn borrow(&self, reference: BufferRef) -> Result<ipc::Borrowed, BorrowError> {
        match self.pools().get(&reference.pool) {
            Some(Some(pool)) => Ok(pool.borrow(reference)?),
            Some(None) => Err(BorrowError::Unmapped(reference.pool)),
            None => Err(BorrowError::NoSuchPool(reference.pool)),
        }
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<PoolId, Option<ReadablePool>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
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
