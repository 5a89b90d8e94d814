//! Runs probes, one confined worker each, and judges what came of them.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cloison_sandbox::{Child, Exit, Launch, Launcher, Layer, Report, Tier, Violations};

use crate::probe::{Outcome, Probe, Wanted, World};
use crate::victim::Victim;
use crate::worker;

/// Workers at the same time.
const AT_ONCE: usize = 8;
/// Longer than any probe takes.
const PATIENCE: Duration = Duration::from_secs(20);

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
        let (sibling, channel) = launch(&launcher, tier)?;
        Ok(Self { launcher, tier, victim, root, _leak: leak, sibling, _sibling_channel: channel })
    }

    /// The confinement that all probes of this run meet.
    pub fn report(&self) -> &Report {
        self.sibling.report()
    }

    pub fn run(&self, probes: &[Probe]) -> Vec<Row> {
        self.in_parallel(probes, |probe| {
            let happened = self.attempt(probe.name)?;
            Ok(self.judge(probe, &happened))
        })
    }

    /// Does something for each item, several at once, and keeps the order. What can not be done at all is a failed row.
    pub fn in_parallel<T: Sync>(&self, items: &[T], work: impl Fn(&T) -> Result<Row, String> + Sync) -> Vec<Row> {
        let next = AtomicUsize::new(0);
        let take = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(index) else { return done };
                done.push((index, work(item).unwrap_or_else(broken)));
            }
        };
        let mut rows: Vec<(usize, Row)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
        });
        rows.sort_by_key(|(index, _)| *index);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// Has a fresh worker try `name`.
    pub fn attempt(&self, name: &str) -> Result<Happened, String> {
        let (mut child, mut channel) = launch(&self.launcher, self.tier)?;
        let world = World {
            victim: self.victim.pid(),
            sibling: self.sibling.pid().into(),
            directory: self.victim.directory.display().to_string(),
            segment: self.victim.segment,
            root: 0,
        };
        let told = |error: std::io::Error| error.to_string();
        worker::order(&channel, name, &world, self.root.as_fd()).map_err(told)?;
        let mut said = String::new();
        let heard = channel.read_to_string(&mut said);
        if heard.is_err() {
            child.kill();
        }
        let ended = child.wait(PATIENCE).map_err(told)?.ok_or("a worker does not end")?;
        Ok(Happened { outcome: worker::parse(&said), exit: ended.exit, violations: child.violations() })
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

fn launch(launcher: &Launcher, tier: Option<Tier>) -> Result<(Child, UnixStream), String> {
    let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
    ours.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    let strictest = Launch { ready_within: PATIENCE, ..Launch::own("probe") };
    let launch = match tier {
        Some(tier) => Launch { least: tier, most: tier, ..strictest },
        None => strictest,
    };
    let child = launcher.launch(launch, theirs.into()).map_err(|error| error.to_string())?;
    Ok((child, ours))
}

fn broken(error: String) -> Row {
    let (name, wanted) = ("(broken)".to_owned(), String::new());
    Row { group: "", name, wanted, happened: error, stopped_by: "", held: false }
}
