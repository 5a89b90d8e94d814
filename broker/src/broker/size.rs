//! How many descriptors a broker needs, and whether its process may have as many.

use std::{fs, io};

use rustix::process::{Resource, getrlimit};

/// Descriptors that a broker needs whatever it does: those of its three threads, and of the program it starts workers from.
pub const DESCRIPTORS_PER_BROKER: u64 = 24;

/// Descriptors that a broker keeps for each worker: its control socket, the pipes of its two outputs, the listener that
/// reports forbidden system calls, the page on which it notes what it is busy with, and four that name its process and the stub around it for good.
pub const DESCRIPTORS_PER_WORKER: u64 = 9;

/// Descriptors that a broker keeps for each direct link: a duplicate of both its ends, so that it can cut it.
pub const DESCRIPTORS_PER_DIRECT_LINK: u64 = 2;

/// Descriptors that are in use for a moment only: of a worker that is being started, and those that messages bring.
pub const DESCRIPTORS_HEADROOM: u64 = 40;

/// How large a broker may become, as far as its host knows at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Workers at a time.
    pub workers: u32,
    /// Direct links between them at a time.
    pub direct_links: u32,
}

/// A player with a handful of workers.
impl Default for Size {
    fn default() -> Self {
        Self { workers: 8, direct_links: 16 }
    }
}

impl Size {
    /// How many descriptors a broker of this size needs.
    #[must_use]
    pub const fn descriptors(self) -> u64 {
        DESCRIPTORS_PER_BROKER
            + DESCRIPTORS_PER_WORKER * self.workers as u64
            + DESCRIPTORS_PER_DIRECT_LINK * self.direct_links as u64
            + DESCRIPTORS_HEADROOM
    }
}

/// The process may not have as many descriptors open as its broker needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may have {limit} descriptors open and has {open}; the broker needs {needed} more: \
     raise RLIMIT_NOFILE (`ulimit -n`) to at least {least}", least = open + needed
)]
pub struct TooFewDescriptors {
    /// What `RLIMIT_NOFILE` allows.
    pub limit: u64,
    /// How many are open already.
    pub open: u64,
    /// How many more are needed.
    pub needed: u64,
}

/// Why a broker was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// This process was itself started as a worker. It would start workers without end.
    #[error("this process is to be the worker {0}: call cloison_worker::roles first in main")]
    IsWorker(String),
    /// The limit on open descriptors is too small for the size that was declared.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// The system gives no thread or descriptor, or `/proc` is not mounted.
    #[error("the system gives the broker no thread or descriptor, or /proc is not mounted: {0}")]
    System(#[from] io::Error),
}

/// Whether so many more descriptors can be opened. Where `/proc` does not tell how many there are, nothing is refused.
pub(crate) fn check_descriptors(needed: u64) -> Result<(), TooFewDescriptors> {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return Ok(()) };
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Ok(()) };
    // The directory that is being read is one of them.
    let open = (entries.count() as u64).saturating_sub(1);
    if open + needed > limit { Err(TooFewDescriptors { limit, open, needed }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_small_a_limit_says_what_to_raise_and_to_how_much() {
        assert_eq!(check_descriptors(1), Ok(()));
        let error = check_descriptors(1 << 40).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("RLIMIT_NOFILE") && text.contains(&(error.open + (1 << 40)).to_string()), "{text}");
        assert_eq!(Size { workers: 200, direct_links: 1000 }.descriptors(), 24 + 1800 + 2000 + 40);
    }
}
