//! Pictures that workers lend to the host.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloison_ipc::{self as ipc, BufferRef, MapPoolError, ReadablePool};
use cloison_msg::control::{PoolId, PoolShape};

use super::LinkCore;

/// The pools whose buffers are lent to the host over one link.
#[derive(Debug, Default)]
pub(crate) struct LinkPools {
    pools: Mutex<HashMap<PoolId, ReadablePool>>,
}

impl LinkPools {
    /// Checks and maps a pool, once for all its buffers.
    pub(crate) fn add(&self, pool: PoolId, memory: OwnedFd, shape: PoolShape) -> Result<(), MapPoolError> {
        let mapped = ReadablePool::map(memory, pool, shape)?;
        self.pools().insert(pool, mapped);
        Ok(())
    }

    /// The memory goes when the last buffer that the host still holds does.
    pub(crate) fn remove(&self, pool: PoolId) {
        self.pools().remove(&pool);
    }

    fn pools(&self) -> MutexGuard<'_, HashMap<PoolId, ReadablePool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a buffer that a worker says it lends cannot be had. The worker made it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BorrowError {
    /// There is no such pool on the link.
    #[error("pool {0} was never announced on this link")]
    NoSuchPool(PoolId),
    /// There is no such buffer in the pool, or it is lent already.
    #[error(transparent)]
    Buffer(#[from] ipc::BorrowError),
}

/// A buffer that a worker has lent to the host. Its producer gets it back when this is dropped.
#[derive(Debug)]
pub struct Borrowed {
    buffer: Option<ipc::Borrowed>,
    core: Arc<LinkCore>,
}

impl Borrowed {
    pub(super) fn new(core: &Arc<LinkCore>, reference: BufferRef) -> Result<Self, BorrowError> {
        let pools = core.pools.pools();
        let pool = pools.get(&reference.pool).ok_or(BorrowError::NoSuchPool(reference.pool))?;
        Ok(Self { buffer: Some(pool.borrow(reference)?), core: core.clone() })
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
