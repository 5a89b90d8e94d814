//! Making a pool: the broker's part.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use cloison_msg::control::PoolShape;
use rustix::fs::{MemfdFlags, Mode, OFlags, fchmod, fcntl_add_seals, ftruncate, memfd_create, open};
use rustix::io::Errno;

use super::shape::{Layout, ShapeError};
use crate::memory::SEALS_REQUIRED;

/// A pool's memory, not yet mapped by anybody.
#[derive(Debug)]
pub struct NewPool {
    /// For the producer, and for it alone: hand it on and keep no duplicate.
    pub writable: OwnedFd,
    /// For consumers: each may have a duplicate.
    pub read_only: OwnedFd,
}

/// Why no pool was made.
#[derive(Debug, thiserror::Error)]
pub enum NewPoolError {
    /// The shape is impossible.
    #[error("cannot make a pool: {0}")]
    Shape(#[from] ShapeError),
    /// The system refused.
    #[error("cannot make a pool: {0}")]
    System(#[source] io::Error),
}

impl From<Errno> for NewPoolError {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

/// Makes the memory of a pool: zeroed, sealed against shrinking and growing, never executable, closed on exec.
///
/// It is not sealed against writing yet: its producer does that by mapping it, which can be done once. A pool whose
/// producer died is dropped with it; the next producer gets a new one, and nothing of what its predecessor saw.
///
/// The read-only descriptor is opened through `/proc/self/fd`. The file's mode lets no holder open it again for
/// writing, short of `CAP_DAC_OVERRIDE`.
///
/// # Errors
/// [`NewPoolError`].
pub fn create_pool(shape: PoolShape) -> Result<NewPool, NewPoolError> {
    let layout = Layout::of(shape)?;
    let writable = memory_file()?;
    ftruncate(&writable, layout.bytes() as u64)?;
    fcntl_add_seals(&writable, SEALS_REQUIRED)?;
    fchmod(&writable, Mode::RUSR)?;
    let read_only = read_only_twin(writable.as_fd())?;
    Ok(NewPool { writable, read_only })
}

fn memory_file() -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("cloison-pool", flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3. The mode that is set later has no execute bit either.
        Err(Errno::INVAL) => memfd_create("cloison-pool", flags),
        other => other,
    }
}

fn read_only_twin(fd: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    open(format!("/proc/self/fd/{}", fd.as_raw_fd()), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}
