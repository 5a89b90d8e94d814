//! One shared map, what must hold before it is made, and its end.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::fs::{OFlags, SealFlags, fcntl_get_seals, fcntl_getfl, fstat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Without these a file could shrink under its reader, who would die of SIGBUS.
pub const SEALS_REQUIRED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// Why memory cannot be mapped.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The memory could still shrink or grow.
    #[error("shared memory is not sealed against shrinking and growing")]
    NotSealed,
    /// The memory is not as long as it was said to be.
    #[error("shared memory has {found} bytes, not {expected}")]
    WrongSize {
        /// What was said, in bytes.
        expected: u64,
        /// What there is, in bytes.
        found: u64,
    },
    /// A reader was given a descriptor it could write with.
    #[error("shared memory for reading came with a descriptor that is not read-only")]
    NotReadOnly,
    /// A writer was given a descriptor it cannot write with.
    #[error("shared memory for writing came with a descriptor that is not open for reading and writing")]
    NotWritable,
    /// The memory has had its one writer.
    #[error("shared memory has been mapped for writing before; a new writer needs new memory")]
    AlreadyMapped,
    /// The system refused.
    #[error("shared memory cannot be mapped: {0}")]
    System(#[source] io::Error),
}

impl From<Errno> for MapError {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

/// What a map is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading alone, and the descriptor allows no more.
    Read,
    /// Reading and writing.
    Write,
}

/// A shared map of the whole of a file that can neither shrink nor grow. Unmapped on drop.
#[derive(Debug)]
pub struct Map {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a map belongs to the process, not to a thread; the type itself reads and writes nothing of it.
unsafe impl Send for Map {}
// SAFETY: as above; those who do read or write have to say why they may.
unsafe impl Sync for Map {}

impl Map {
    /// Maps a file of `len` bytes. For a writer the kernel fills the page tables at once, so that later accesses cause no
    /// page fault; for a reader it does so page by page as they are read, since the length is somebody else's choice.
    pub fn new(fd: BorrowedFd<'_>, len: usize, access: Access) -> Result<Self, MapError> {
        check(fd, len, access)?;
        let (protection, flags) = match access {
            Access::Read => (ProtFlags::READ, MapFlags::SHARED),
            Access::Write => (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE),
        };
        // SAFETY: without MAP_FIXED the kernel puts a new map where nothing else is.
        let start = unsafe { mmap(ptr::null_mut(), len, protection, flags, fd, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(Errno::ADDRNOTAVAIL)?;
        Ok(Self { start, len })
    }

    /// Where it starts. Valid for `len` bytes, as long as this value lives.
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Its length in bytes.
    pub const fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: made by `new`, of this length; whoever points into it borrows this value or shares its ownership.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

/// Access, seals, length: in this order, since without the seals the length would mean nothing a moment later.
fn check(fd: BorrowedFd<'_>, len: usize, access: Access) -> Result<(), MapError> {
    match (access, fcntl_getfl(fd)? & (OFlags::RWMODE | OFlags::PATH)) {
        (Access::Read, OFlags::RDONLY) | (Access::Write, OFlags::RDWR) => {}
        (Access::Read, _) => return Err(MapError::NotReadOnly),
        (Access::Write, _) => return Err(MapError::NotWritable),
    }
    match fcntl_get_seals(fd) {
        Ok(seals) if seals.contains(SEALS_REQUIRED) => {}
        Ok(_) | Err(Errno::INVAL) => return Err(MapError::NotSealed),
        Err(error) => return Err(error.into()),
    }
    let expected = len as u64;
    let found = u64::try_from(fstat(fd)?.st_size).unwrap_or(0);
    if found != expected {
        return Err(MapError::WrongSize { expected, found });
    }
    Ok(())
}
