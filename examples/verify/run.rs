//! Runs probes, one confined worker each, and judges what came of them.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloison_sandbox::{Child, Exit, Launch, LaunchError, Launcher, Layer, Profile, Report, Tier, Violations};

use crate::probe::{Outcome, Probe, Wanted, World};
use crate::victim::Victim;
use crate::worker;

/// Workers at the same time.
const AT_ONCE: usize = 8;
/// Longer than any probe takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that stays the same from probe to probe.
pub struct Stage {
    launcher: Launcher,
    tier: Option<Tier>,
    victim: Victim,
    root: OwnedFd,
    /// A descriptor that the host does not close on execution, by mistake.
    _leak: OwnedFd,
    sibling: Child,
    _sibling_channel: UnixStream,
}

/// One row of the table.
pub struct Row {
    pub group: &'static str,
    pub name: String,
    pub wanted: String,
    pub happened: String,
    pub stopped_by: &'static str,
    pub held: bool,
}

/// What became of one worker.
pub struct Happened {
    pub outcome: Option<Outcome>,
    /// One for each part of the order that was carried out.
    pub outcomes: Vec<Outcome>,
    pub exit: Exit,
    pub violations: Violations,
}

impl Stage {
    pub fn set(tier: Option<Tier>) -> Result<Self, String> {
        let told = |error: std::io::Error| error.to_string();
        let launcher = Launcher::new().map_err(told)?;
        let victim = Victim::set_up().map_err(told)?;
        let root: OwnedFd = File::open("/").map_err(told)?.into();
        let leak = rustix::io::dup(&root).map_err(|error| told(error.into()))?;
        let (sibling, channel) = start(&launcher, plan(tier)).map_err(|error| error.to_string())?;
        Ok(Self { launcher, tier, victim, root, _leak: leak, sibling, _sibling_channel: channel })
    }

    /// The confinement that all probes of this run meet.
    pub fn report(&self) -> &Report {
        self.sibling.report()
    }

    pub fn is_confined(&self) -> bool {
        self.report().tier != Tier::Off
    }

    /// The tier that every worker of this run is in.
    pub fn tier(&self) -> Tier {
        self.report().tier
    }

    pub fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    pub fn run(&self, probes: &[Probe]) -> Vec<Row> {
        self.in_parallel(probes, |probe| match self.attempt(probe.name) {
            Ok(happened) => self.judge(probe, &happened),
            Err(error) => broken(probe.group, probe.name, error),
        })
    }

    /// Does something for each item, several at once, and keeps the order.
    pub fn in_parallel<T: Sync, R: Send>(&self, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let take = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(index) else { return done };
                done.push((index, work(item)));
            }
        };
        let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(take)).collect();
            let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            joined.flatten().collect()
        });
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Has a fresh worker try `name`.
    pub fn attempt(&self, name: &str) -> Result<Happened, String> {
        self.attempt_under(Profile::decoder(), name)
    }

    /// Has a fresh worker under `profile` try `name`.
    pub fn attempt_under(&self, profile: Profile, name: &str) -> Result<Happened, String> {
        let (child, channel) = self.launch(Launch { profile, ..plan(self.tier) })?;
        self.order(&channel, name)?;
        outcome_of(child, channel)
    }

    /// Starts a worker that waits for its order.
    pub fn launch(&self, launch: Launch) -> Result<(Child, UnixStream), String> {
        start(&self.launcher, launch).map_err(|error| error.to_string())
    }

    /// A launch as all of this run are.
    pub fn plan(&self) -> Launch {
        plan(Some(self.tier()))
    }

    /// Tells a worker what to try.
    pub fn order(&self, channel: &UnixStream, name: &str) -> Result<(), String> {
        let world = World {
            victim: self.victim.pid(),
            sibling: self.sibling.pid().into(),
            directory: self.victim.directory.display().to_string(),
            segment: self.victim.segment,
            root: 0,
        };
        worker::order(channel, name, &world, self.root.as_fd()).map_err(|error| error.to_string())
    }

    fn judge(&self, probe: &Probe, happened: &Happened) -> Row {
        let listening = self.report().standing(Layer::SeccompNotify).in_force();
        let named = matches!(happened.exit, Exit::ForbiddenCall { .. });
        let killed = named || matches!(happened.exit, Exit::Signal { signal: libc::SIGSYS, .. });
        let reported = !happened.violations.calls().is_empty();
        let refused = |errnos: &[i32]| matches!(happened.outcome, Some(Outcome::Failed(e)) if errnos.contains(&e));
        let held = match probe.wanted {
            Wanted::Works => matches!(happened.outcome, Some(Outcome::Succeeded(_))),
            Wanted::Errno(errno) => refused(&[errno]),
            Wanted::Hidden => refused(&[libc::ENOENT, libc::EPERM]),
            Wanted::Reported => refused(&[libc::ENOSYS, libc::EPERM]) && (reported || !listening),
            // Without a listener, what is hostile only by its arguments merely fails.
            Wanted::Kills => named || (!listening && (killed || refused(&[libc::EPERM, libc::EBADF]))),
            Wanted::AtMost(most) => matches!(happened.outcome, Some(Outcome::Counted(count)) if count <= most),
            Wanted::System => true,
        };
        Row {
            group: probe.group,
            name: probe.name.to_owned(),
            wanted: probe.wanted.to_string(),
            happened: happened.in_words(),
            stopped_by: happened.stopped_by(),
            held,
        }
    }
}

impl Happened {
    /// The outcome and what the host heard.
    pub fn in_words(&self) -> String {
        let heard: Vec<&str> = self.violations.calls().iter().map(|violation| violation.call.as_str()).collect();
        match (&self.outcome, heard.as_slice()) {
            (Some(outcome), []) => outcome.to_string(),
            (Some(outcome), calls) => format!("{outcome}, reported {}", calls.join(" ")),
            (None, _) => self.exit.to_string(),
        }
    }

    fn stopped_by(&self) -> &'static str {
        match (&self.outcome, &self.exit) {
            (None, Exit::ForbiddenCall { .. }) => "seccomp + host",
            (None, _) => "the kernel",
            (Some(Outcome::Succeeded(_)), _) => "",
            (Some(Outcome::Failed(libc::ENOMEM)), _) => "resource-limits",
            (Some(Outcome::Failed(_)), _) if !self.violations.calls().is_empty() => "seccomp + host",
            (Some(Outcome::Failed(_)), _) => "seccomp",
            (Some(Outcome::Counted(_)), _) => "launch and limits",
        }
    }
}

/// What came of the order that a worker was given.
pub fn outcome_of(mut child: Child, mut channel: UnixStream) -> Result<Happened, String> {
    let mut said = String::new();
    if channel.read_to_string(&mut said).is_err() {
        child.kill();
    }
    let ended = child.wait(PATIENCE).map_err(|error| error.to_string())?.ok_or("a worker does not end")?;
    let outcomes: Vec<Outcome> = said.lines().filter_map(worker::parse).collect();
    Ok(Happened { outcome: outcomes.first().copied(), outcomes, exit: ended.exit, violations: child.violations() })
}

/// A launch of the strictest kind, in `tier` or the strongest that there is.
pub fn plan(tier: Option<Tier>) -> Launch {
    let strictest = Launch { ready_within: PATIENCE, ..Launch::own("probe") };
    match tier {
        Some(tier) => Launch { least: tier, most: tier, ..strictest },
        None => strictest,
    }
}

/// Starts a worker that waits for its order.
pub fn start(launcher: &Launcher, launch: Launch) -> Result<(Child, UnixStream), LaunchError> {
    let (ours, theirs) = UnixStream::pair().map_err(LaunchError::Descriptors)?;
    ours.set_read_timeout(Some(PATIENCE)).map_err(LaunchError::Descriptors)?;
    launcher.launch(launch, theirs.into()).map(|child| (child, ours))
}

/// The row of what could not be tried at all.
pub fn broken(group: &'static str, name: &str, error: String) -> Row {
    Row { group, name: name.to_owned(), wanted: "a verdict".to_owned(), happened: error, stopped_by: "", held: false }
}
