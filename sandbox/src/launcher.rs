//! Starting confined children.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, openat};
use thiserror::Error;

use crate::cause;
use crate::child::{Child, Exit};
use crate::filter::{self, FilterError, Filters};
use crate::group::Parent;
use crate::handshake::Handshake;
use crate::profile::{Profile, ProfileError};
use crate::report::{FULL_NEEDS, Layer, Report, Tier};
use crate::spawner::{self, Spawner};
use crate::user;
use crate::wire;
use crate::wire::UserChange;

/// Which program a child runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// This very executable again, as it was when the [`Launcher`] was made.
    Own,
    /// Another one.
    Path(PathBuf),
}

/// What to start, and how confined.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program; its `main` calls [`enter`](crate::enter).
    pub program: Program,
    /// The role's name: the child's `argv[1]` and its name in `ps`.
    pub name: String,
    /// What the child may still do.
    pub profile: Profile,
    /// The least confinement that is accepted; less is [`LaunchError::TooWeak`].
    pub least: Tier,
    /// How long the child may take to be confined.
    pub ready_within: Duration,
    /// The most that is tried. Below [`Tier::Full`] for tests; [`Tier::Off`] switches confinement off.
    pub most: Tier,
}

impl Launch {
    /// The strictest launch of this very executable in the role `name`: [`Profile::decoder`], [`Tier::NoUserNs`] at
    /// least, within ten seconds: a launch takes two milliseconds, but a machine may be busy.
    pub fn own(name: impl Into<String>) -> Self {
        Self {
            program: Program::Own,
            name: name.into(),
            profile: Profile::decoder(),
            least: Tier::NoUserNs,
            ready_within: Duration::from_secs(10),
            most: Tier::Full,
        }
    }
}

/// Starts confined children, from one thread that lasts as long as this and all its children.
#[derive(Clone, Debug)]
pub struct Launcher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    spawner: Arc<Spawner>,
    /// This executable, so that it can be started again also after its file has been replaced.
    own: OwnedFd,
    filters: Mutex<HashMap<(Profile, bool), Arc<Filters>>>,
    /// Why this system allows no [`Tier::Full`], once that is known.
    no_full: Mutex<Option<Vec<(Layer, String)>>>,
    /// Where workers get control groups of their own, if anywhere.
    groups: Parent,
    /// The answer of [`Launcher::probe`].
    probed: Mutex<Option<Report>>,
}

impl Launcher {
    /// Starts the spawner thread. Workers get control groups of their own if the host lives below a group that was
    /// delegated to it.
    ///
    /// # Errors
    /// No thread can be started, or `/proc` is not mounted.
    pub fn new() -> io::Result<Self> {
        Self::with(Parent::find())
    }

    /// Like [`new`](Self::new), with control groups of the workers' own below `directory`: a control group of version 2 in
    /// which no process lives, and which this user may change. [`Layer::MemoryGroup`] and [`Layer::PidsGroup`] say what
    /// came of it; [`Profile::demand`] makes it a condition.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn in_group(directory: impl Into<PathBuf>) -> io::Result<Self> {
        Self::with(Parent::named(directory.into()))
    }

    fn with(groups: Parent) -> io::Result<Self> {
        let own = openat(CWD, "/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let own = spawner::out_of_the_way(own)?;
        let spawner = Arc::new(Spawner::new()?);
        let (filters, no_full, probed) = Default::default();
        let shared = Shared { spawner, own, filters, no_full, groups, probed };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Starts a child and returns once its confinement has been checked and accepted. `channel` becomes its descriptor 3.
    ///
    /// Tries the strongest tier that `launch` allows, and a weaker one only where the system refuses a stronger one and
    /// the host accepts the weaker. Nothing of a failed try is left behind.
    ///
    /// # Errors
    /// [`LaunchError`]; no process is left.
    pub fn launch(&self, launch: Launch, channel: OwnedFd) -> Result<Child, LaunchError> {
        self.start(&launch, channel, false)
    }

    fn start(&self, launch: &Launch, channel: OwnedFd, throwaway: bool) -> Result<Child, LaunchError> {
        launch.profile.validate()?;
        // A worker that could not show the directory would lack its root, and the launch fall to a weaker tier.
        if let Some(absent) = launch.profile.readable.iter().find(|directory| !directory.is_dir()) {
            return Err(ProfileError::Directory(absent.clone()).into());
        }
        if launch.least > launch.most {
            return Err(LaunchError::Contradiction { least: launch.least, most: launch.most });
        }
        let deadline = Instant::now() + launch.ready_within;
        let mut attempt = Attempt { deadline, throwaway, lacking: Vec::new() };
        for tier in [Tier::Full, Tier::NoUserNs, Tier::Off] {
            if tier > launch.most || tier < launch.least {
                continue;
            }
            if let (Tier::Full, Some(known)) = (tier, self.known_without_full(launch)) {
                attempt.lacking = known;
                continue;
            }
            let channel = channel.try_clone().map_err(LaunchError::Descriptors)?;
            match self.attempt(launch, tier, channel, &attempt) {
                Err(LaunchError::TooWeak { missing, .. }) => {
                    let explained = |(layer, why)| (layer, cause::explain(layer, why));
                    let missing: Vec<_> = missing.into_iter().map(explained).collect();
                    if tier == Tier::Full {
                        self.remember_without_full(launch, &missing);
                    }
                    attempt.lacking.extend(missing);
                }
                outcome => return outcome,
            }
        }
        Err(LaunchError::TooWeak { least: launch.least, missing: attempt.lacking })
    }

    /// From now on nothing is started, and launches that are under way fail with [`LaunchError::Stopped`] at once. For a
    /// host that ends.
    pub fn stop(&self) {
        self.shared.spawner.stop();
    }

    /// What this system gives: confines a throwaway copy of this executable as far as possible, and says how far that is.
    /// The answer is kept; what has become impossible since is noticed by [`launch`](Self::launch).
    ///
    /// # Errors
    /// As for [`launch`](Self::launch); that not even [`Tier::NoUserNs`] is possible is one.
    pub fn probe(&self) -> Result<Report, LaunchError> {
        let mut known = self.shared.probed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(report) = &*known {
            return Ok(report.clone());
        }
        let null = openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let null = null.map_err(|error| LaunchError::Descriptors(error.into()))?;
        let child = self.start(&Launch::own("probe"), null, true)?;
        Ok(known.insert(child.report().clone()).clone())
    }

    fn attempt(&self, launch: &Launch, tier: Tier, channel: OwnedFd, attempt: &Attempt) -> Result<Child, LaunchError> {
        let user = user::change();
        let alone = tier == Tier::Full || matches!(user, UserChange::Become(_));
        let filters = self.filters(&launch.profile, !alone)?;
        let setup = wire::Setup {
            tier,
            role: launch.name.clone(),
            limits: launch.profile.limits,
            readable: launch.profile.readable.clone(),
            user,
            filter: filters.notify.clone(),
            host_counts_threads: !alone,
            learning: launch.profile.learning,
            simulated: launch.profile.simulated.clone(),
            throwaway: attempt.throwaway,
        };
        let program = match &launch.program {
            Program::Own => spawner::path_of(self.shared.own.as_fd()),
            Program::Path(path) => path.clone(),
        };
        let handshake = Handshake::start(&self.shared.spawner, &program, setup, channel, attempt.deadline)?;
        let child =
            handshake.finish(launch.profile.rules(), &filters.fallback, &self.shared.groups, &attempt.lacking)?;
        let missing = child.report().unmet(&launch.profile.demands);
        if missing.is_empty() { Ok(child) } else { Err(LaunchError::Unmet { missing }) }
    }

    fn filters(&self, profile: &Profile, host_counts_threads: bool) -> Result<Arc<Filters>, LaunchError> {
        let key = (profile.clone(), host_counts_threads);
        let mut known = self.shared.filters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filters) = known.get(&key) {
            return Ok(Arc::clone(filters));
        }
        let filters = Arc::new(filter::compile(&profile.rules(), host_counts_threads, profile.learning)?);
        known.insert(key, Arc::clone(&filters));
        Ok(filters)
    }

    fn known_without_full(&self, launch: &Launch) -> Option<Vec<(Layer, String)>> {
        let real = launch.profile.simulated.is_empty();
        let known = self.shared.no_full.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone().filter(|_| real)
    }

    fn remember_without_full(&self, launch: &Launch, missing: &[(Layer, String)]) {
        let namespaces = missing.iter().any(|(layer, _)| FULL_NEEDS.contains(layer));
        if namespaces && launch.profile.simulated.is_empty() {
            *self.shared.no_full.lock().unwrap_or_else(PoisonError::into_inner) = Some(missing.to_vec());
        }
    }
}

/// Hosts launch from whatever thread they like.
const _: () = {
    const fn anywhere<T: Send + Sync>() {}
    anywhere::<Launcher>();
    anywhere::<Child>();
};

/// What the tries of one launch share.
struct Attempt {
    deadline: Instant,
    throwaway: bool,
    /// What stronger tiers lacked.
    lacking: Vec<(Layer, String)>,
}

/// Why no child was started. Whatever had been started is gone.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// No worker could live under this profile.
    #[error("profile: {0}")]
    Profile(#[from] ProfileError),
    /// The profile's rules do not compile.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// More is demanded than is tried.
    #[error("at least {least} is demanded, but at most {most} is to be tried")]
    Contradiction {
        /// [`Launch::least`].
        least: Tier,
        /// [`Launch::most`].
        most: Tier,
    },
    /// This system gives less confinement than the host accepts.
    #[error("the system gives less confinement than {least}: without {}", list(missing))]
    TooWeak {
        /// What the host accepts.
        least: Tier,
        /// The layers that are missing, and why.
        missing: Vec<(Layer, String)>,
    },
    /// A layer is missing, or not to be seen, that the profile demands beyond what the tier does.
    #[error("the profile demands more than the system gives: {}", list(missing))]
    Unmet {
        /// The layers, and what is the matter with them.
        missing: Vec<(Layer, String)>,
    },
    /// A worker claims a layer that the host sees not to be there.
    #[error("the worker claims {layer}, but {seen}")]
    FalseClaim {
        /// What it claims.
        layer: Layer,
        /// What the host sees.
        seen: String,
    },
    /// No pipes or sockets could be made for the child.
    #[error("descriptors for the child: {0}")]
    Descriptors(#[source] io::Error),
    /// The program could not be started.
    #[error("starting {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The child took too long.
    #[error("the child was not confined in time ({stage})")]
    TooLate {
        /// What was awaited.
        stage: &'static str,
    },
    /// The child ended before it was confined: it does not call `enter`, or could not go on.
    #[error("the child ended before it was confined ({stage}): {exit}{}", said(stderr))]
    Died {
        /// What was awaited.
        stage: &'static str,
        /// How it ended.
        exit: Exit,
        /// The start of what it wrote on its standard error, escaped.
        stderr: String,
    },
    /// [`Launcher::stop`] was called meanwhile.
    #[error("the launcher was stopped")]
    Stopped,
    /// The child spoke out of turn on the launch channel.
    #[error("the child broke the launch protocol ({stage})")]
    Protocol {
        /// What was awaited.
        stage: &'static str,
    },
    /// No thread could be started that listens to the child's forbidden calls.
    #[error("listening to the child: {0}")]
    Watch(#[source] io::Error),
    /// The launch channel failed.
    #[error("launch channel: {0}")]
    Channel(#[source] io::Error),
}

fn list(missing: &[(Layer, String)]) -> String {
    missing.iter().map(|(layer, why)| format!("{layer} ({why})")).collect::<Vec<_>>().join(", ")
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; it said: {stderr}") }
}
