//! Which core a process runs on.

use std::fmt;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where the processes of a row run. What wakes whom across cores costs more than all the rest of a small call, so that
/// a figure without its placement means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All on one.
    OneCore,
    /// Neighbours on different ones.
    TwoCores,
}

impl Placement {
    /// Those this machine has room for.
    pub fn all() -> Vec<Self> {
        match cores().len() {
            1 => vec![Self::OneCore],
            _ => vec![Self::OneCore, Self::TwoCores],
        }
    }

    /// The core of the process that is `steps` hops away from the caller: 0 for the caller itself.
    pub fn core(self, steps: usize) -> usize {
        let cores = cores();
        match self {
            Self::OneCore => cores[0],
            Self::TwoCores => cores[steps % 2],
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OneCore => "one core",
            Self::TwoCores => "two cores",
        })
    }
}

/// Pins a process, all its threads and those they will start; `None` for this thread and those it will start.
pub fn pin(process: Option<u32>, core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let Some(process) = process else {
        return sched_setaffinity(None, &set).expect("a thread may choose among its own cores");
    };
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process is alive");
    for thread in threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()) {
        sched_setaffinity(Pid::from_raw(thread), &set).expect("the thread is alive, and of this user");
    }
}

/// The cores that this process was given at its start.
fn cores() -> &'static [usize] {
    static CORES: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    CORES.get_or_init(|| {
        let set = sched_getaffinity(None).expect("a thread may ask for its own cores");
        (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
    })
}
