//! What a worker may still do to the system, as data.

use std::path::{Component, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use syscalls::Sysno;
use thiserror::Error;

use crate::report::Layer;
use crate::rule::{Effect, Rule};
use crate::rules;
use crate::verdict;

/// Address space of [`Profile::decoder`], in bytes. Eight decoder threads were seen to reserve 531 MB of it for 41 MB
/// of resident memory; below 2 GB the arenas of the C library run out first.
pub const DECODER_MEMORY: u64 = 4 << 30;
/// Resident memory of [`Profile::decoder`], in bytes: twenty pictures of 8K with ten bits.
pub const DECODER_RESIDENT: u64 = 2 << 30;
/// CPU time of [`Profile::decoder`]: a day of work, many times that of the longest film decoded by software.
pub const DECODER_CPU: Duration = Duration::from_secs(24 * 3600);
/// Threads of [`Profile::decoder`], the first one included.
pub const DECODER_THREADS: u32 = 16;
/// Descriptors of [`Profile::decoder`]: its link, its pools and an event descriptor or two per thread.
pub const DECODER_DESCRIPTORS: u32 = 256;
/// The least address space with which a worker gets as far as its own `main`, in bytes.
pub const MEMORY_FLOOR: u64 = 64 << 20;
/// The least resident memory, in bytes: an idle worker has 2 MB, and shares most of it.
pub const RESIDENT_FLOOR: u64 = 8 << 20;
/// The least number of descriptors: the standard three, the channel, the launch channel and one to spare.
pub const DESCRIPTOR_FLOOR: u32 = 6;

/// What a worker may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Address space in bytes (`RLIMIT_AS`). At least [`MEMORY_FLOOR`].
    pub memory: u64,
    /// Memory that it may really have, and the kernel for it, in bytes; kept only where a control group was delegated to the
    /// host ([`Layer::MemoryGroup`]). At least [`RESIDENT_FLOOR`].
    pub resident: u64,
    /// CPU time in whole seconds, all threads together (`RLIMIT_CPU`). At least 1.
    pub cpu_seconds: u64,
    /// Threads, the first one included. At least 1.
    pub threads: u32,
    /// Open descriptors (`RLIMIT_NOFILE`). At least [`DESCRIPTOR_FLOOR`].
    pub descriptors: u32,
}

/// A worker's confinement, as data: which rules it begins with, what it may use up, and how it is widened.
///
/// It is composed of a beginning ([`decoder`](Self::decoder), [`hardware`](Self::hardware), [`of`](Self::of)) and of named
/// widenings ([`threads`](Self::threads), [`readable`](Self::readable), [`rule`](Self::rule)), each of which says what it
/// opens: [`widenings`](Self::widenings). There is one way to take something away: [`less`](Self::less).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    pub(crate) limits: Limits,
    pub(crate) readable: Vec<PathBuf>,
    pub(crate) demands: Vec<(Layer, Demand)>,
    pub(crate) simulated: Vec<(Layer, Simulated)>,
    pub(crate) learning: bool,
    beginning: Beginning,
    added: Vec<Rule>,
    removed: Vec<&'static str>,
}

/// The rules that a profile begins with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Beginning {
    Decoder,
    Hardware,
    Of(Vec<Rule>),
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
        Self::new(Beginning::Decoder)
    }

    /// A second, weaker kind of worker: one that decodes with the graphics processor. Kept apart from
    /// [`decoder`](Self::decoder), which no widening turns into it, and meant for workers that do nothing else.
    ///
    /// Opens to the worker, beyond the strict profile, the requests of the kernel's graphics drivers: `ioctl` of DRM, of
    /// DMA-BUF and of sync_file, on descriptors it was given. A worker so confined can reach bugs of those drivers. The
    /// worker opens no device: its host opens the render node (`/dev/dri/renderD128`) and passes the descriptor; the driver
    /// library is loaded before [`enter`](crate::enter) ([`enter_after`](crate::enter_after)), since later nothing can
    /// become executable.
    pub fn hardware() -> Self {
        Self::new(Beginning::Hardware)
    }

    /// A profile of these rules alone, with the limits of [`decoder`](Self::decoder). Without one that allows something it
    /// is empty, and an error.
    pub fn of(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self::new(Beginning::Of(rules.into_iter().collect()))
    }

    fn new(beginning: Beginning) -> Self {
        let limits = Limits {
            memory: DECODER_MEMORY,
            resident: DECODER_RESIDENT,
            cpu_seconds: DECODER_CPU.as_secs(),
            threads: DECODER_THREADS,
            descriptors: DECODER_DESCRIPTORS,
        };
        Self {
            limits,
            readable: Vec::new(),
            demands: Vec::new(),
            simulated: Vec::new(),
            learning: false,
            beginning,
            added: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// The system calls that the worker may make, and those that fail without being reported. What no rule matches is
    /// reported, and kills if no decoder ever does it.
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules = match &self.beginning {
            Beginning::Decoder => rules::decoder(),
            Beginning::Hardware => rules::hardware(),
            Beginning::Of(rules) => rules.clone(),
        };
        if !self.readable.is_empty() {
            rules = rules::reading(rules);
        }
        rules.extend(self.added.iter().cloned());
        rules.retain(|rule| !(rule.effect == Effect::Allow && self.removed.contains(&rule.call)));
        rules
    }

    /// What the profile opens beyond the strict one, a line for each widening. Empty for [`decoder`](Self::decoder), also
    /// with lower limits.
    pub fn widenings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match self.beginning {
            Beginning::Decoder => {}
            Beginning::Hardware => {
                lines.push("hardware: the kernel's graphics drivers, on descriptors it was given".into())
            }
            Beginning::Of(_) => lines.push("rules of the host's own, instead of the strict ones".into()),
        }
        let Limits { memory, resident, cpu_seconds, threads, descriptors } = self.limits;
        let mut more = |now: u64, strict: u64, what: &str| {
            if now > strict {
                lines.push(format!("{now} {what} instead of {strict}"));
            }
        };
        more(memory >> 20, DECODER_MEMORY >> 20, "MiB of address space");
        more(resident >> 20, DECODER_RESIDENT >> 20, "MiB of resident memory");
        more(cpu_seconds, DECODER_CPU.as_secs(), "s of CPU time");
        more(threads.into(), DECODER_THREADS.into(), "threads");
        more(descriptors.into(), DECODER_DESCRIPTORS.into(), "descriptors");
        for directory in &self.readable {
            lines.push(format!("readable: what the host's user can read below {}, by openat (reading only), newfstatat, getdents64 and lseek", directory.display()));
        }
        lines.extend(self.added.iter().map(|rule| format!("rule: {rule}")));
        if self.learning {
            lines.push(LEARNING.to_owned());
        }
        lines
    }

    /// The profile in words: limits, what it is widened by, then one line for each rule with its conditions and the reason
    /// for it.
    pub fn explain(&self) -> String {
        let Limits { memory, resident, cpu_seconds, threads, descriptors } = self.limits;
        let (megabytes, resident) = (memory >> 20, resident >> 20);
        let limits = format!(
            "at most {megabytes} MiB of address space ({resident} MiB resident, in a control group), {cpu_seconds} s of CPU time, {threads} threads, {descriptors} descriptors"
        );
        let widenings = self.widenings().into_iter().map(|opens| format!("widened by {opens}"));
        let rules = self.rules().into_iter().map(|rule| rule.to_string());
        let rest = "every other call fails and is reported; one that no decoder makes kills".to_owned();
        std::iter::once(limits).chain(widenings).chain(rules).chain([rest]).collect::<Vec<_>>().join("\n")
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

    /// The same profile with `bytes` of resident memory, where a control group was delegated to the host.
    pub fn resident(mut self, bytes: u64) -> Self {
        self.limits.resident = bytes;
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

    /// The same profile, widened by one rule, for instance one that [`learning`](Self::learning) has found. A call that no
    /// decoder makes, or that starts a process, can not be allowed.
    ///
    /// Opens to the worker: what the kernel does for the calls that the rule matches.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.added.push(rule);
        self
    }

    /// The same profile without any rule that allows `call`.
    pub fn less(mut self, call: &'static str) -> Self {
        self.removed.push(call);
        self
    }

    /// The same profile, for finding out what a worker needs: a call that no rule matches is noted **and let through**. One
    /// that no decoder makes still kills. What was noted is [`Child::learned`](crate::Child::learned), as rules to add.
    ///
    /// Only for inputs that are trusted. The [`Report`](crate::Report) says so in its first words, and
    /// [`Layer::SeccompRules`] is off. Refused where the host can not listen.
    pub fn learning(mut self) -> Self {
        self.learning = true;
        self.demand(Layer::SeccompNotify)
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
        let Limits { memory, resident, cpu_seconds, threads, descriptors } = self.limits;
        if memory < MEMORY_FLOOR {
            return Err(ProfileError::Memory(memory));
        }
        if resident < RESIDENT_FLOOR {
            return Err(ProfileError::Resident(resident));
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
        self.validate_rules()
    }

    fn validate_rules(&self) -> Result<(), ProfileError> {
        let own = if let Beginning::Of(rules) = &self.beginning { rules.as_slice() } else { &[] };
        for rule in own.iter().chain(&self.added) {
            let wrong = |why| Err(ProfileError::Rule { rule: rule.to_string(), why });
            let allows = rule.effect == Effect::Allow;
            if rule.call.parse::<Sysno>().is_err() {
                return wrong("this processor has no such call");
            }
            if rule.is_contradictory() {
                return wrong("its conditions contradict each other");
            }
            if allows && (verdict::DEADLY.contains(&rule.call) || verdict::NEVER.contains(&rule.call)) {
                return wrong("no worker is ever allowed that call");
            }
            if allows && rule.call == "clone" && own.is_empty() {
                return wrong("threads are allowed already, and processes never are");
            }
            if allows && self.removed.contains(&rule.call) {
                return wrong("the same profile takes that call away");
            }
        }
        let rules = self.rules();
        if !rules.iter().any(|rule| rule.effect == Effect::Allow) {
            return Err(ProfileError::Empty);
        }
        let untouched = Self { removed: Vec::new(), ..self.clone() }.rules();
        let idle = |call: &&&str| !untouched.iter().any(|rule| rule.effect == Effect::Allow && rule.call == **call);
        match self.removed.iter().find(idle) {
            Some(call) => Err(ProfileError::NothingLess(call)),
            None => Ok(()),
        }
    }
}

/// What is said of a profile that only learns.
const LEARNING: &str = "learning: every call but those that kill is let through, and noted";

/// Why no worker could live under a profile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Too little address space.
    #[error("{0} bytes of memory are too few: a worker needs at least {MEMORY_FLOOR} to start")]
    Memory(u64),
    /// Too little resident memory.
    #[error("{0} bytes of resident memory are too few: a worker needs at least {RESIDENT_FLOOR}")]
    Resident(u64),
    /// No CPU time.
    #[error("a worker without a second of CPU time can do nothing")]
    Cpu,
    /// No thread.
    #[error("a worker needs at least one thread, the one it starts with")]
    Threads,
    /// A directory that can not be shown to a worker.
    #[error("{} can not be readable: name an existing directory below the root, absolute, outside /proc", .0.display())]
    Directory(PathBuf),
    /// Nothing is allowed.
    #[error("the profile is empty: none of its rules allows a call")]
    Empty,
    /// A rule that makes no sense, or that no worker may have.
    #[error("the rule {rule:?} can not be: {why}")]
    Rule {
        /// The rule as [`Profile::explain`] writes it.
        rule: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A call is taken away that was not allowed.
    #[error("{0} can not be taken away: no rule allows it")]
    NothingLess(&'static str),
    /// Too few descriptors.
    #[error("{0} descriptors are too few: a worker starts with {DESCRIPTOR_FLOOR}")]
    Descriptors(u32),
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
