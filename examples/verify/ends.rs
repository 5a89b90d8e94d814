//! What becomes of workers when their host ends, and when they are stopped. Each host here is this command again.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use cloison_sandbox::{Launch, Launcher, Layer, Profile, Signal, Simulated, Tier};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::probe::Outcome;
use crate::run::{self, PATIENCE, Row, Stage};
use crate::sweep;

/// The argument of a host that is there to end.
pub const WORD: &str = "--host";

const GROUP: &str = "ends";
/// What is promised.
const SECOND: Duration = Duration::from_secs(1);

/// Starts a worker in the tier that is named, with standard input as its channel, says its number and stays until it is
/// killed. With `orphan` the worker lives on.
pub fn main(words: &[String]) -> ExitCode {
    let host = || -> Result<(), String> {
        let tier = crate::tier(words.first().map_or("", |word| word))?;
        let profile = match words.get(1) {
            Some(_) => Profile::decoder().simulate(Layer::ParentDeath, Simulated::Missing),
            None => Profile::decoder(),
        };
        let channel = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
        let launcher = Launcher::new().map_err(|error| error.to_string())?;
        let launch = Launch { profile, ..run::plan(Some(tier)) };
        let child = launcher.launch(launch, channel).map_err(|error| error.to_string())?;
        println!("{}", child.pid());
        std::thread::sleep(2 * PATIENCE);
        Ok(())
    };
    match host() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

pub fn run(stage: &Stage) -> Vec<Row> {
    let trials = [
        ("stopped_worker", stopped_worker(stage)),
        ("host_killed", host_killed(stage, "host_killed", false)),
        ("host_killed_worker_stopped", host_killed(stage, "host_killed_worker_stopped", true)),
        ("listener_gone", listener_gone(stage)),
    ];
    trials.into_iter().map(|(name, row)| row.unwrap_or_else(|error| run::broken(GROUP, name, error))).collect()
}

fn row(name: &str, wanted: &str, happened: String, stopped_by: &'static str, held: bool) -> Row {
    Row { group: GROUP, name: name.to_owned(), wanted: wanted.to_owned(), happened, stopped_by, held }
}

/// A worker that is stopped, as a debugger would, can be killed.
fn stopped_worker(stage: &Stage) -> Result<Row, String> {
    let told = |error: std::io::Error| error.to_string();
    let (mut child, _channel) = stage.launch(stage.plan())?;
    child.signal(Signal::STOP).map_err(told)?;
    let killed = Instant::now();
    child.kill();
    let ended = child.wait(PATIENCE).map_err(told)?;
    let (taken, exit) = (killed.elapsed(), ended.map(|ended| ended.exit.to_string()));
    let held = taken < SECOND && exit.as_deref() == Some("killed by SIGKILL");
    Ok(row("stopped_worker", "dies", exit.unwrap_or_else(|| "lives".to_owned()), "pidfd", held))
}

/// A host with one worker, both ended when dropped.
struct Host {
    process: std::process::Child,
    worker: OwnedFd,
    channel: UnixStream,
}

impl Host {
    fn start(tier: Tier, orphan: bool) -> Result<Self, String> {
        let told = |error: std::io::Error| error.to_string();
        let (channel, theirs) = UnixStream::pair().map_err(told)?;
        channel.set_read_timeout(Some(PATIENCE)).map_err(told)?;
        let mut command = Command::new("/proc/self/exe");
        command.args([WORD, &tier.to_string()]).args(orphan.then_some("orphan"));
        let mut process =
            command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::piped()).spawn().map_err(told)?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(told)?;
        }
        let number = line.trim().parse().ok().filter(|&number| number > 1).and_then(Pid::from_raw);
        let opened = number.ok_or("the host starts no worker".to_owned()).and_then(|number| {
            pidfd_open(number, PidfdFlags::empty()).map_err(|error| format!("the worker can not be watched: {error}"))
        });
        match opened {
            Ok(worker) => Ok(Self { process, worker, channel }),
            Err(error) => {
                let _ = process.kill().and_then(|()| process.wait());
                Err(error)
            }
        }
    }

    fn kill(&mut self) -> Result<(), String> {
        self.process.kill().and_then(|()| self.process.wait()).map(drop).map_err(|error| error.to_string())
    }

    /// Whether the worker has ended, which may take until `within` has passed.
    fn worker_ends(&self, within: Duration) -> Result<bool, String> {
        let mut polled = [PollFd::new(&self.worker, PollFlags::IN)];
        let timeout = Timespec { tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
        poll(&mut polled, Some(&timeout)).map(|ready| ready == 1).map_err(|error| error.to_string())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = pidfd_send_signal(&self.worker, Signal::KILL);
    }
}

/// The host is killed by SIGKILL; its worker, perhaps a stopped one, goes with it.
fn host_killed(stage: &Stage, name: &str, stopped: bool) -> Result<Row, String> {
    let mut host = Host::start(stage.tier(), false)?;
    if stopped {
        pidfd_send_signal(&host.worker, Signal::STOP).map_err(|error| error.to_string())?;
    }
    let killed = Instant::now();
    host.kill()?;
    let ends = host.worker_ends(PATIENCE)?;
    let taken = killed.elapsed();
    let happened = if ends { format!("gone after {taken:.1?}") } else { "IT LIVES ON".to_owned() };
    Ok(row(name, "gone within 1 s", happened, "parent-death", ends && taken < SECOND))
}

/// A worker that outlives its host, since it never asked to be told of its end: nobody answers its calls any more.
fn listener_gone(stage: &Stage) -> Result<Row, String> {
    let mut host = Host::start(stage.tier(), true)?;
    host.kill()?;
    let lives = !host.worker_ends(Duration::ZERO)?;
    let getppid = i32::try_from(libc::SYS_getppid).unwrap_or_default();
    stage.order(&host.channel, &sweep::name(&[(getppid, [0; 6])]))?;
    let mut said = String::new();
    host.channel.read_to_string(&mut said).map_err(|error| error.to_string())?;
    let outcome = said.lines().next().and_then(crate::worker::parse);
    let listened = stage.report().standing(Layer::SeccompNotify).in_force();
    let wanted = if listened { libc::ENOSYS } else { libc::EPERM };
    let happened = outcome.map_or_else(|| "no answer".to_owned(), |outcome| outcome.to_string());
    Ok(row("listener_gone", "the call fails", happened, "seccomp", lives && outcome == Some(Outcome::Failed(wanted))))
}
