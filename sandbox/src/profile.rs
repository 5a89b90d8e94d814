//! What a worker may still do to the system, as data.

use std::path::{Component, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::report::Layer;
use crate::rules::{self, Rule};

/// Address space of [`Profile::decoder`], in bytes. Eight decoder threads were seen to reserve 531 MB of it for 41 MB
/// of resident memory; below 2 GB the arenas of the C library run out first.
pub const DECODER_MEMORY: u64 = 4 << 30;
/// CPU time of [`Profile::decoder`]: a day of work, many times that of the longest film decoded by software.
pub const DECODER_CPU: Duration = Duration::from_secs(24 * 3600);
/// Threads of [`Profile::decoder`], the first one included.
pub const DECODER_THREADS: u32 = 16;
/// Descriptors of [`Profile::decoder`]: its link, its pools and an event descriptor or two per thread.
pub const DECODER_DESCRIPTORS: u32 = 256;
/// The least address space with which a worker gets as far as its own `main`, in bytes.
pub const MEMORY_FLOOR: u64 = 64 << 20;
/// The least number of descriptors: the standard three, the channel, the launch channel and one to spare.
pub const DESCRIPTOR_FLOOR: u32 = 6;

/// What a worker may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Address space in bytes (`RLIMIT_AS`). At least [`MEMORY_FLOOR`].
    pub memory: u64,
    /// CPU time in whole seconds, all threads together (`RLIMIT_CPU`). At least 1.
    pub cpu_seconds: u64,
    /// Threads, the first one included. At least 1.
    pub threads: u32,
    /// Open descriptors (`RLIMIT_NOFILE`). At least [`DESCRIPTOR_FLOOR`].
    pub descriptors: u32,
}

/// A worker's confinement, as data: what it may use up, and the named widenings of the strict rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    pub(crate) limits: Limits,
    pub(crate) readable: Vec<PathBuf>,
    pub(crate) demands: Vec<(Layer, Demand)>,
    pub(crate) simulated: Vec<(Layer, Simulated)>,
}

/// How sure of a layer a host wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Demand {
    InForce,
    Verified,
}

/// A layer that a test makes to be missing, or to be claimed without being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Simulated {
    /// The worker does not put the layer on, and says so.
    Missing,
    /// The worker does not put the layer on, and claims that it did.
    Lied,
}

impl Profile {
    /// The strict profile of a demuxer or decoder: memory, threads, time, and the descriptors it was given.
    pub fn decoder() -> Self {
        let limits = Limits {
            memory: DECODER_MEMORY,
            cpu_seconds: DECODER_CPU.as_secs(),
            threads: DECODER_THREADS,
            descriptors: DECODER_DESCRIPTORS,
        };
        Self { limits, readable: Vec::new(), demands: Vec::new(), simulated: Vec::new() }
    }

    /// The system calls that the worker may make, and those that fail without being reported. What no rule matches is
    /// reported, and kills if no decoder ever does it.
    pub fn rules(&self) -> Vec<Rule> {
        if self.readable.is_empty() { rules::decoder() } else { rules::reader() }
    }

    /// The profile in words: limits, then one line for each rule with its conditions and the reason for it.
    pub fn explain(&self) -> String {
        let Limits { memory, cpu_seconds, threads, descriptors } = self.limits;
        let megabytes = memory >> 20;
        let limits = format!(
            "at most {megabytes} MiB of address space, {cpu_seconds} s of CPU time, {threads} threads, {descriptors} descriptors"
        );
        let readable = self.readable.iter().map(|directory| format!("reads what is below {}", directory.display()));
        let rules = self.rules().into_iter().map(|rule| rule.to_string());
        let rest = "every other call fails and is reported; one that no decoder makes kills".to_owned();
        std::iter::once(limits).chain(readable).chain(rules).chain([rest]).collect::<Vec<_>>().join("\n")
    }

    /// What the worker may use up.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The same profile with `bytes` of address space.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.limits.memory = bytes;
        self
    }

    /// The same profile with `seconds` of CPU time, all threads together.
    pub fn cpu_seconds(mut self, seconds: u64) -> Self {
        self.limits.cpu_seconds = seconds;
        self
    }

    /// The same profile with at most `count` threads, the first one included.
    pub fn threads(mut self, count: u32) -> Self {
        self.limits.threads = count;
        self
    }

    /// The same profile with at most `count` open descriptors.
    pub fn descriptors(mut self, count: u32) -> Self {
        self.limits.descriptors = count;
        self
    }

    /// The same profile, widened by `directory`, which the worker may list and whose files it may read, at the same path
    /// as the host. An absolute path, outside `/proc`.
    ///
    /// Opens to the worker: whatever the host's user can read below it; the calls `openat` (reading only), `newfstatat`,
    /// `getdents64` and `lseek`, which look at paths in the kernel; and in [`Tier::Full`](crate::Tier::Full) the mounts
    /// below the directory. Landlock and the root, not the filter, keep all other paths out then.
    pub fn readable(mut self, directory: impl Into<PathBuf>) -> Self {
        self.readable.push(directory.into());
        self
    }

    /// The same profile, refused where `layer` is not in force. For layers that the tiers do not demand by themselves.
    pub fn demand(mut self, layer: Layer) -> Self {
        self.demands.push((layer, Demand::InForce));
        self
    }

    /// The same profile, refused where the host can not see from outside that `layer` is in force.
    pub fn demand_verified(mut self, layer: Layer) -> Self {
        self.demands.push((layer, Demand::Verified));
        self
    }

    /// For tests: pretends that the system lacks `layer`, or that the worker lies about having put it on.
    pub fn simulate(mut self, layer: Layer, how: Simulated) -> Self {
        self.simulated.push((layer, how));
        self
    }

    /// Says what is contradictory about the profile, if anything is.
    ///
    /// # Errors
    /// The first limit with which no worker could live.
    pub fn validate(&self) -> Result<(), ProfileError> {
        let Limits { memory, cpu_seconds, threads, descriptors } = self.limits;
        if memory < MEMORY_FLOOR {
            return Err(ProfileError::Memory(memory));
        }
        if cpu_seconds == 0 {
            return Err(ProfileError::Cpu);
        }
        if threads == 0 {
            return Err(ProfileError::Threads);
        }
        if descriptors < DESCRIPTOR_FLOOR {
            return Err(ProfileError::Descriptors(descriptors));
        }
        let unfit = |directory: &&PathBuf| {
            let ordinary = |part| matches!(part, Component::RootDir | Component::Normal(_));
            let below_root = directory.is_absolute() && directory.parent().is_some();
            !below_root || directory.starts_with("/proc") || !directory.components().all(ordinary)
        };
        if let Some(directory) = self.readable.iter().find(unfit) {
            return Err(ProfileError::Directory(directory.clone()));
        }
        Ok(())
    }
}

/// Why no worker could live under a profile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Too little address space.
    #[error("{0} bytes of memory are too few: a worker needs at least {MEMORY_FLOOR} to start")]
    Memory(u64),
    /// No CPU time.
    #[error("a worker without a second of CPU time can do nothing")]
    Cpu,
    /// No thread.
    #[error("a worker needs at least one thread, the one it starts with")]
    Threads,
    /// A directory that can not be shown to a worker.
    #[error("{} can not be readable: name an existing directory below the root, absolute, outside /proc", .0.display())]
    Directory(PathBuf),
    /// Too few descriptors.
    #[error("{0} descriptors are too few: a worker starts with {DESCRIPTOR_FLOOR}")]
    Descriptors(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strict_profile_is_sound() {
        assert_eq!(Profile::decoder().validate(), Ok(()));
    }

    #[test]
    fn every_rule_is_explained() {
        let explained = Profile::decoder().explain();
        assert_eq!(explained.lines().count(), Profile::decoder().rules().len() + 2);
        assert!(explained.contains("allow   mmap               arg2 within 0x3, arg3 within"), "{explained}");
        assert!(explained.contains("ENOSYS  clone3"), "{explained}");
    }

    #[test]
    fn limits_nobody_can_live_with_are_named() {
        assert_eq!(Profile::decoder().memory(1).validate(), Err(ProfileError::Memory(1)));
        assert_eq!(Profile::decoder().cpu_seconds(0).validate(), Err(ProfileError::Cpu));
        assert_eq!(Profile::decoder().threads(0).validate(), Err(ProfileError::Threads));
        for unfit in ["fonts", "/", "/proc/1", "/usr/../etc"] {
            let refused = Profile::decoder().readable(unfit).validate();
            assert_eq!(refused, Err(ProfileError::Directory(unfit.into())));
        }
        assert_eq!(Profile::decoder().readable("/usr/share/fonts").validate(), Ok(()));
        assert_eq!(Profile::decoder().descriptors(3).validate(), Err(ProfileError::Descriptors(3)));
    }
}
