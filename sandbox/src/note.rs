//! What a worker says it is busy with: a page of memory that the worker writes and its host reads.
//!
//! A worker that was taken over writes what it likes there, or nothing. So a note is a hint for whoever looks into an
//! incident, and never evidence; nothing is decided by it. It costs the worker a few stores, and no system call.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, ftruncate, memfd_create};
use rustix::io::{Errno, pread};

use crate::{spawner, sys};

/// How many words a note has.
pub const NOTE_WORDS: usize = 16;

/// A note as its host found it. The words mean whatever host and worker have agreed on; any value is possible.
pub type Note = [u64; NOTE_WORDS];

/// Length of the page, in bytes.
const LENGTH: usize = 4096;

/// The words in this process, once it has entered.
static HERE: OnceLock<&'static [AtomicU64; NOTE_WORDS]> = OnceLock::new();

/// Where a worker writes what it is busy with, for its host to read when it makes a forbidden call or dies.
#[derive(Clone, Copy, Debug)]
pub struct Notepad(&'static [AtomicU64; NOTE_WORDS]);

impl Notepad {
    /// This process's own; `None` in one that no launcher started, and before [`enter`](crate::enter).
    pub fn of_this_process() -> Option<Self> {
        HERE.get().copied().map(Self)
    }

    /// Writes `words` from word `at` on; those that lie beyond [`NOTE_WORDS`] are left out. The host may see some of them
    /// written and others not yet.
    pub fn write(self, at: usize, words: &[u64]) {
        for (place, word) in self.0.iter().skip(at).zip(words) {
            place.store(*word, Ordering::Relaxed);
        }
    }
}

/// Takes the page that the launcher gave this process. Without one there is no notepad, and nothing else is missing.
pub(crate) fn adopt() {
    let Some(fd) = sys::inherited(sys::NOTES) else { return };
    // Of a file that could shrink, a word might be gone when it is written.
    if fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
        && let Ok(words) = sys::map_notes(fd)
    {
        let _ = HERE.set(words);
    }
}

/// The host's hold on the page. It never maps it, so that nothing a worker does to it can harm the host.
#[derive(Debug)]
pub(crate) struct Page(OwnedFd);

impl Page {
    pub fn new() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = match memfd_create("cloison-note", flags | MemfdFlags::NOEXEC_SEAL) {
            // Before Linux 6.3.
            Err(Errno::INVAL) => memfd_create("cloison-note", flags),
            made => made,
        }?;
        ftruncate(&fd, LENGTH as u64)?;
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self(fd))
    }

    /// For the worker.
    pub fn give(&self) -> io::Result<OwnedFd> {
        spawner::out_of_the_way(self.0.as_fd().try_clone_to_owned()?)
    }

    /// What stands there now; `None` if nothing was ever written.
    pub fn read(&self) -> Option<Note> {
        let mut bytes = [0; NOTE_WORDS * size_of::<u64>()];
        let whole = pread(&self.0, &mut bytes, 0).is_ok_and(|length| length == bytes.len());
        let mut note = [0; NOTE_WORDS];
        for (word, bytes) in note.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        (whole && note != [0; NOTE_WORDS]).then_some(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_beyond() {
        let page = Page::new().unwrap();
        assert_eq!(page.read(), None);
        let given = page.give().unwrap();
        let pad = Notepad(sys::map_notes(given.as_fd()).unwrap());
        pad.write(14, &[7, 8, 9]);
        let note = page.read().unwrap();
        assert_eq!((note[14], note[15], note[0]), (7, 8, 0));
        pad.write(NOTE_WORDS, &[1]);
        pad.write(0, &[1; 100]);
        assert_eq!(page.read(), Some([1; NOTE_WORDS]));
        assert!(ftruncate(&given, 0).is_err(), "nobody takes the page from under the worker");
    }
}
