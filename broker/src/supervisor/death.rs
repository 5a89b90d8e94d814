//! How a worker ended, and what the host hears about its workers.

use std::fmt;
use std::time::Duration;

use cloison_msg::{Gone, Name, Text};
use cloison_sandbox::{Exit, LaunchError};

use crate::broker::TooFewDescriptors;
use crate::router::Violation;

/// How a worker ended: what the system says, and why, if it was our doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Death {
    /// By itself: a crash, a forbidden system call, or its own end.
    Itself(Exit),
    /// It broke the protocol, and the broker killed it.
    Evicted(Violation),
    /// The host killed it, for this reason.
    ByHost(Text),
    /// It closed its socket and went on; the broker killed it.
    HungUp,
    /// It could not be started again.
    NotStarted(Text),
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself(exit) => write!(f, "{exit}"),
            Self::Evicted(violation) => write!(f, "evicted: {violation}"),
            Self::ByHost(why) => write!(f, "killed by the host: {why}"),
            Self::HungUp => write!(f, "it closed its socket and lived on"),
            Self::NotStarted(why) => write!(f, "it could not be started: {why}"),
        }
    }
}

impl Death {
    /// What those who talked to it are told.
    pub(super) fn as_gone(&self) -> Gone {
        match self {
            Self::Evicted(violation) => Gone::Evicted(Text::new(&violation.to_string())),
            other => Gone::Crashed(Text::new(&other.to_string())),
        }
    }
}

/// What the host hears about its workers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// It runs, confined.
    Started {
        /// Its role.
        role: Name,
        /// Its process, as the host's pid namespace numbers it.
        pid: u32,
    },
    /// It ended, and not because it was asked to.
    Died {
        /// Its role.
        role: Name,
        /// How.
        death: Death,
        /// The message that it was handling, as it noted itself before: it may have been taken over, and have noted what it liked.
        during: Option<String>,
        /// The last lines it printed, oldest first, escaped and capped.
        last_words: Vec<Text>,
    },
    /// It is started again.
    Restarting {
        /// Its role.
        role: Name,
        /// Which attempt in a row.
        attempt: u32,
        /// How many there may be.
        most: u32,
        /// After how long.
        pause: Duration,
    },
    /// Its restart budget is used up.
    GivenUp {
        /// Its role.
        role: Name,
        /// How often it died in a row.
        deaths: u32,
        /// How it died the last time.
        death: Death,
    },
    /// An input has killed too often, and is not to be tried again.
    Quarantined {
        /// The role of the last worker it killed.
        role: Name,
        /// The host's own number for it.
        input: u64,
    },
}

/// Why a worker was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// A worker of this role runs already.
    #[error("a worker of the role {0} runs already")]
    Taken(Name),
    /// The system, or the confinement that the host demands, would not.
    #[error("the worker {role} could not be launched: {why}")]
    Launch {
        /// Its role.
        role: Name,
        /// Why.
        why: LaunchError,
    },
    /// The limit on open descriptors is too small for one more worker.
    #[error("no descriptors for the worker {role}: {why}")]
    Descriptors {
        /// Its role.
        role: Name,
        /// What to raise, and to how much.
        why: TooFewDescriptors,
    },
    /// No socket for it.
    #[error("no socket for the worker {role}: {why}")]
    Socket {
        /// Its role.
        role: Name,
        /// Why.
        why: std::io::Error,
    },
    /// The broker has ended.
    #[error("the broker has ended")]
    BrokerEnded,
}
