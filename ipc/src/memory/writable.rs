//! Memory that this process writes, and nobody else.

use std::ops::{Deref, DerefMut};
use std::os::fd::BorrowedFd;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{SealFlags, fcntl_add_seals, fcntl_get_seals};
use rustix::io::Errno;

use super::map::{Access, Map, MapError};

/// The one writable map of a memory file, divided into parts.
#[derive(Debug)]
pub struct WritableMemory {
    map: Map,
    part_len: usize,
    stride: usize,
    count: u16,
    /// Bit `i` is set while part `i` is out.
    out: AtomicU64,
}

impl WritableMemory {
    /// Maps `count` parts of `part_len` bytes, `stride` bytes apart, then seals the file against any further writing
    /// but through this map.
    ///
    /// # Errors
    /// [`MapError`]; `AlreadyMapped` if somebody has done so before.
    ///
    /// # Panics
    /// If parts overlap, or there are more than 64.
    pub fn new(fd: BorrowedFd<'_>, part_len: usize, stride: usize, count: u16) -> Result<Arc<Self>, MapError> {
        assert!(part_len <= stride, "parts of {part_len} bytes overlap if they are {stride} apart");
        assert!(u32::from(count) <= u64::BITS, "one bit a part");
        let len = stride.checked_mul(usize::from(count)).expect("memory is no longer than a usize can say");
        let map = Map::new(fd, len, Access::Write).map_err(|error| explain(error, fd))?;
        // Of two that mapped at the same time, the second to come here fails: the first has added F_SEAL_SEAL.
        fcntl_add_seals(fd, SealFlags::FUTURE_WRITE | SealFlags::SEAL).map_err(|error| explain(error.into(), fd))?;
        Ok(Arc::new(Self { map, part_len, stride, count, out: AtomicU64::new(0) }))
    }

    /// Part `index`, unless it is out already or there is no such part.
    pub fn take(self: &Arc<Self>, index: u16) -> Option<Part> {
        if index >= self.count {
            return None;
        }
        let bit = 1 << index;
        // Acquire, with the release in `drop`: what the last holder wrote is seen by the next.
        let before = self.out.fetch_or(bit, Ordering::Acquire);
        (before & bit == 0).then(|| Part { memory: Arc::clone(self), index })
    }
}

/// One part of a [`WritableMemory`], held by whoever has this value.
#[derive(Debug)]
pub struct Part {
    memory: Arc<WritableMemory>,
    index: u16,
}

impl Part {
    /// Which part it is.
    pub const fn index(&self) -> u16 {
        self.index
    }

    fn start(&self) -> *mut u8 {
        let offset = self.memory.stride * usize::from(self.index);
        // SAFETY: index < count, so that the offset lies within the map of stride * count bytes.
        unsafe { self.memory.map.start().as_ptr().add(offset) }
    }
}

impl Deref for Part {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY:
        // - Within the map: index < count and part_len <= stride. The map lives as long as `self.memory`, and its
        //   file cannot shrink, so no access traps. Bytes that nobody wrote are zero, hence initialised.
        // - Nobody else writes here. In other processes and through other maps of this one: the kernel refused every
        //   writable map and every write to the file since F_SEAL_FUTURE_WRITE was set, F_SEAL_SEAL proves that we
        //   set it, and before that only the broker held a writable descriptor, which it gave to this process alone.
        //   Through this map: parts do not overlap, and the bit in `out` makes `self` the only value for this part.
        // - Other processes may read at any time; reading changes nothing that a reference promises.
        unsafe { slice::from_raw_parts(self.start(), self.memory.part_len) }
    }
}

impl DerefMut for Part {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; and `&mut self` makes this the only reference derived from `self`.
        unsafe { slice::from_raw_parts_mut(self.start(), self.memory.part_len) }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.memory.out.fetch_and(!(1 << self.index), Ordering::Release);
    }
}

/// EPERM is what the seals of an earlier writer look like, but also a confined process that may not seal.
fn explain(error: MapError, fd: BorrowedFd<'_>) -> MapError {
    match error {
        MapError::System(io) if Errno::from_io_error(&io) == Some(Errno::PERM) => match fcntl_get_seals(fd) {
            Ok(seals) if seals.contains(SealFlags::SEAL) => MapError::AlreadyMapped,
            _ => MapError::System(io),
        },
        other => other,
    }
}
