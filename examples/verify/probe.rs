//! What a probe is, what may come of it, and what is wanted.

use std::fmt;

/// One attempt at something.
pub struct Probe {
    pub group: &'static str,
    pub name: &'static str,
    pub wanted: Wanted,
    pub attempt: fn(&World) -> Outcome,
}

/// What came of an attempt, as the worker itself tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded(u64),
    Failed(i32),
    /// How often something succeeded.
    Counted(u64),
}

impl Outcome {
    /// Goes on to `next` after a success.
    pub fn then(self, next: impl FnOnce(u64) -> Outcome) -> Self {
        if let Self::Succeeded(value) = self { next(value) } else { self }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded(_) => f.write_str("succeeds"),
            Self::Failed(errno) => write!(f, "{:?}", nix::errno::Errno::from_raw(*errno)),
            Self::Counted(count) => write!(f, "{count}"),
        }
    }
}

/// What must come of an attempt in a confined worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A decoder needs it.
    Works,
    /// Refused with this very errno, which libraries cope with.
    Errno(i32),
    /// Refused as if there were nothing there: ENOENT or EPERM.
    Hidden,
    /// Refused with EPERM or ENOSYS, and the host hears of it.
    Reported,
    /// The worker dies, and the host can name the call.
    Kills,
    /// Succeeds at most so often.
    AtMost(u64),
    /// Governed by the system's own settings, and only shown.
    System,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works => f.write_str("works"),
            Self::Errno(errno) => write!(f, "{:?}", nix::errno::Errno::from_raw(*errno)),
            Self::Hidden => f.write_str("ENOENT/EPERM"),
            Self::Reported => f.write_str("refused + report"),
            Self::Kills => f.write_str("kill + report"),
            Self::AtMost(count) => write!(f, "at most {count}"),
            Self::System => f.write_str("(system setting)"),
        }
    }
}

/// What there is to attack.
#[derive(Clone, Debug)]
pub struct World {
    /// A process of the host's user.
    pub victim: u64,
    /// Another confined worker.
    pub sibling: u64,
    /// A directory with a file `secret` and a listening socket `socket`.
    pub directory: String,
    /// A shared-memory segment that anybody may attach.
    pub segment: u64,
    /// The root directory as a descriptor, passed by mistake. Only in a worker.
    pub root: u64,
}

impl World {
    pub fn to_line(&self) -> String {
        format!("{} {} {} {}", self.victim, self.sibling, self.segment, self.directory)
    }

    pub fn from_line(line: &str, root: u64) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let mut number = || words.next()?.parse().ok();
        let (victim, sibling, segment) = (number()?, number()?, number()?);
        Some(Self { victim, sibling, segment, directory: words.next()?.to_owned(), root })
    }
}
