//! What a worker is to be.

use std::path::PathBuf;
use std::time::Duration;

use cloison_msg::{Name, NameError};
use cloison_sandbox::{Profile, Program, Tier};

use super::RESTARTS;

/// What a worker is to be: its role, its program, and how it is confined.
///
/// ```
/// # use cloison_broker::WorkerSpec;
/// # use cloison_broker::sandbox::{Profile, Tier};
/// let demux = WorkerSpec::own("demux")?.profile(Profile::decoder().threads(1)).least(Tier::NoUserNs);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct WorkerSpec {
    pub(crate) role: Name,
    pub(crate) program: Program,
    pub(crate) profile: Profile,
    pub(crate) least: Tier,
    pub(crate) most: Tier,
    pub(crate) ready_within: Duration,
    pub(crate) restarts: u32,
}

impl WorkerSpec {
    /// A worker that is this very executable again, which calls `cloison_worker::roles` first thing in `main`. Without
    /// that call each worker would be a host once more, which starts workers of its own.
    ///
    /// # Errors
    /// If the role is no [`Name`].
    pub fn own(role: &str) -> Result<Self, NameError> {
        Self::new(role, Program::Own)
    }

    /// A worker that is a program of its own.
    ///
    /// # Errors
    /// If the role is no [`Name`].
    pub fn program(role: &str, path: impl Into<PathBuf>) -> Result<Self, NameError> {
        Self::new(role, Program::Path(path.into()))
    }

    fn new(role: &str, program: Program) -> Result<Self, NameError> {
        Ok(Self {
            role: Name::new(role)?,
            program,
            profile: Profile::decoder(),
            least: Tier::NoUserNs,
            most: Tier::Full,
            ready_within: Duration::from_secs(5),
            restarts: RESTARTS,
        })
    }

    /// What it may do to the system; [`Profile::decoder`] unless said otherwise.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// The least confinement that is accepted; [`Tier::NoUserNs`] unless said otherwise.
    #[must_use]
    pub const fn least(mut self, least: Tier) -> Self {
        self.least = least;
        self
    }

    /// The most confinement that is tried; [`Tier::Full`] unless said otherwise. [`Tier::Off`] runs it unconfined, for
    /// a debugger.
    #[must_use]
    pub const fn most(mut self, most: Tier) -> Self {
        self.most = most;
        self
    }

    /// How long it may take to be confined and ready, each time it is started; five seconds unless said otherwise.
    #[must_use]
    pub const fn ready_within(mut self, within: Duration) -> Self {
        self.ready_within = within;
        self
    }

    /// How often it is started again in a row without a success in between.
    #[must_use]
    pub const fn restarts(mut self, restarts: u32) -> Self {
        self.restarts = restarts;
        self
    }
}
