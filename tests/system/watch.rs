//! What a process holds, and whether a process is gone.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Longer than anything takes that happens by itself, on a busy machine too.
pub const SOON: Duration = Duration::from_secs(30);

/// Waits until `look` finds something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "in {SOON:?} it did not come true that {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process of somebody else's, named for good: its number may be used again, this handle never means another.
#[derive(Debug)]
pub struct Witness {
    pid: u32,
    pidfd: OwnedFd,
}

impl Witness {
    /// The process that has this number now.
    pub fn of(pid: u32) -> Self {
        let number = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        Self { pid, pidfd: pidfd_open(number, PidfdFlags::empty()).unwrap() }
    }

    /// Whether it has ended and was waited for, so that nothing of it is left.
    pub fn is_gone(&self) -> bool {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.pidfd.as_raw_fd())).unwrap();
        info.lines().any(|line| line.split_whitespace().eq(["Pid:", "-1"]))
    }

    /// Whether it has ended, though perhaps nobody has waited for it yet.
    pub fn has_ended(&self) -> bool {
        self.is_gone() || matches!(self.state(), None | Some('Z' | 'X'))
    }

    /// Sends it a signal from outside.
    pub fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.pidfd, signal).unwrap();
    }

    /// Lets it stand still, and returns when it does.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        eventually("it stands still", || (self.state() == Some('T')).then_some(()));
    }

    /// The state letter of the process, as `ps` shows it.
    pub fn state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    }
}

/// What tokio calls the threads that it keeps for a while for blocking work.
const LAUNCHING: &str = "tokio-rt-worker";

/// What this process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Open descriptors, by what they are, and how many of each.
    pub descriptors: BTreeMap<String, usize>,
    /// Threads, by name; but not those that wait a while for another launch and then end.
    pub threads: BTreeMap<String, usize>,
    /// Including those that have ended and were not waited for.
    pub children: usize,
}

impl Holdings {
    /// What this process holds now.
    pub fn now() -> Self {
        let mut descriptors = BTreeMap::new();
        for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
            if let Ok(target) = fs::read_link(entry.path()) {
                *descriptors.entry(kind_of(&target.to_string_lossy())).or_default() += 1;
            }
        }
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let mut holdings = Self { descriptors, threads: BTreeMap::new(), children: 0 };
        for task in tasks {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            if name.trim() != LAUNCHING {
                *holdings.threads.entry(name.trim().to_owned()).or_default() += 1;
            }
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            holdings.children += children.split_whitespace().count();
        }
        holdings
    }

    /// What this process holds once that no longer changes: what a start leaves behind for a moment is gone then.
    pub fn steady() -> Self {
        let mut last = Self::now();
        let mut since = Instant::now();
        eventually("this process holds what it held before", || {
            let now = Self::now();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            (since.elapsed() > Duration::from_millis(100)).then(|| last.clone())
        })
    }

    /// Whether there is no more of anything than in `other`.
    fn is_within(&self, other: &Self) -> bool {
        let is_within = |these: &BTreeMap<String, usize>, others: &BTreeMap<String, usize>| {
            these.iter().all(|(kind, count)| others.get(kind).is_some_and(|most| count <= most))
        };
        is_within(&self.descriptors, &other.descriptors)
            && is_within(&self.threads, &other.threads)
            && self.children <= other.children
    }

    /// The numbers of this process's children whose role is `role`.
    pub fn children_named(role: &str) -> Vec<u32> {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let children: Vec<String> =
            tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok()).collect();
        let numbers = children.iter().flat_map(|list| list.split_whitespace()).filter_map(|pid| pid.parse().ok());
        let plays = |pid: &u32| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments.split(|&byte| byte == 0).nth(1) == Some(role.as_bytes())
        };
        numbers.filter(plays).collect()
    }
}

/// Waits until this process holds no more than what it held before. Fewer is no leak: on a busy machine, what was to be let
/// go of may have been counted still.
pub fn settles_at(before: &Holdings) {
    let deadline = Instant::now() + SOON;
    loop {
        let now = Holdings::now();
        if now.is_within(before) {
            return;
        }
        assert!(Instant::now() < deadline, "it held {before:#?}\nand now holds {now:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `socket:[123]` and `/memfd:name (deleted)` are of the kinds `socket` and `/memfd:name (deleted)`.
fn kind_of(target: &str) -> String {
    match target.split_once(":[") {
        Some((kind, _)) => kind.to_owned(),
        None => target.to_owned(),
    }
}

/// The largest resident memory this process ever had, in bytes.
pub fn peak_memory() -> u64 {
    status_of_memory("VmHWM:")
}

/// The resident memory of this process, in bytes.
pub fn resident_memory() -> u64 {
    status_of_memory("VmRSS:")
}

fn status_of_memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
