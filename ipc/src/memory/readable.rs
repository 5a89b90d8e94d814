//! Memory that another process may be writing.

use std::os::fd::BorrowedFd;
use std::ptr;

use super::map::{Access, Map, MapError};

/// A read-only map of a memory file whose writer is not to be trusted.
#[derive(Debug)]
pub struct ReadableMemory(Map);

impl ReadableMemory {
    /// Maps memory of `len` bytes.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn new(fd: BorrowedFd<'_>, len: usize) -> Result<Self, MapError> {
        Map::new(fd, len, Access::Read).map(Self)
    }

    /// Where it starts: for those who try to make it writable.
    #[cfg(test)]
    pub fn start(&self) -> ptr::NonNull<u8> {
        self.0.start()
    }

    /// Copies from `offset` on until `destination` is full. What another process writes meanwhile may arrive in part.
    ///
    /// # Panics
    /// If that would read past the end.
    pub fn copy(&self, offset: usize, destination: &mut [u8]) {
        let end = offset.checked_add(destination.len());
        assert!(end.is_some_and(|end| end <= self.0.len()), "a copy ends past the end of the map");
        let source = self.0.start().as_ptr().cast_const().wrapping_add(offset);
        // SAFETY: as just checked, `destination.len()` bytes from `source` lie within the map, which lives as long as
        // `self`; no access traps, since its file cannot shrink. No Rust object lies there: it is shown to nobody.
        unsafe { copy_volatile(source, destination) }
    }
}

/// Width of one access. Pictures come from the outer caches or from memory, where 8 bytes at a time are as fast as
/// `memcpy` within a tenth.
type Word = u64;
const WORD: usize = size_of::<Word>();

/// Fills `destination` from `source`.
///
/// Each byte is read exactly once, by a volatile access. An ordinary copy would be undefined behaviour, as the compiler
/// may assume that nobody writes what it reads, and may read twice; volatile accesses to memory outside every Rust
/// allocation mean what the machine does with them, here a load of whatever bytes are there at that instant.
///
/// # Safety
/// `destination.len()` bytes from `source` must be mapped readable, and lie outside every Rust allocation.
unsafe fn copy_volatile(source: *const u8, destination: &mut [u8]) {
    let head_len = source.align_offset(WORD).min(destination.len());
    let (head, rest) = destination.split_at_mut(head_len);
    let (words, tail) = rest.as_chunks_mut::<WORD>();
    let word_source = source.wrapping_add(head_len).cast::<Word>();
    let tail_source = word_source.wrapping_add(words.len()).cast::<u8>();
    // SAFETY: head, words and tail are as long together as `destination`, and read from where it does.
    unsafe { copy_bytes(source, head) };
    for (i, word) in words.iter_mut().enumerate() {
        // SAFETY: as above; where there is a word at all, `word_source` is aligned.
        *word = unsafe { ptr::read_volatile(word_source.wrapping_add(i)) }.to_ne_bytes();
    }
    // SAFETY: as above.
    unsafe { copy_bytes(tail_source, tail) };
}

/// Fills `destination` from `source`, byte by byte.
///
/// # Safety
/// As for [`copy_volatile`].
unsafe fn copy_bytes(source: *const u8, destination: &mut [u8]) {
    for (i, byte) in destination.iter_mut().enumerate() {
        // SAFETY: required of the caller; bytes are always aligned.
        *byte = unsafe { ptr::read_volatile(source.wrapping_add(i)) };
    }
}
