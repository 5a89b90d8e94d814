//! A confined child as its host holds it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::pidfd_send_signal;

pub use rustix::process::Signal;

use crate::group::Group;
use crate::lesson::Learned;
use crate::note::{Note, Page};
use crate::report::Report;
use crate::spawner::Spawner;
use crate::sys;
use crate::violation::Violations;
use crate::watch::{Sentence, Watch};

/// A confined process. Dropping it kills and reaps the process.
#[derive(Debug)]
pub struct Child {
    process: Process,
    /// Dropped after the process, since a group with a process in it stays.
    group: Option<Group>,
    pid: u32,
    report: Report,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    ended: Option<Ended>,
    watch: Option<Watch>,
    notes: Arc<Page>,
    /// The child dies with the thread that spawned it, so that thread must live.
    _spawner: Arc<Spawner>,
}

impl Child {
    pub(crate) fn new(
        process: Process,
        group: Option<Group>,
        pid: u32,
        report: Report,
        output: [OwnedFd; 2],
        (watch, notes): (Option<Watch>, Arc<Page>),
        spawner: Arc<Spawner>,
    ) -> Self {
        let [stdout, stderr] = output.map(Some);
        Self { process, group, pid, report, stdout, stderr, ended: None, watch, notes, _spawner: spawner }
    }

    /// The process number as the host sees it; always above 1.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Becomes readable when the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.pidfd.as_fd()
    }

    /// The layers in force.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The read end of the child's standard output, once.
    pub fn take_stdout(&mut self) -> Option<OwnedFd> {
        self.stdout.take()
    }

    /// The read end of the child's standard error, once.
    pub fn take_stderr(&mut self) -> Option<OwnedFd> {
        self.stderr.take()
    }

    /// Ends the process, also one that is stopped or ignores everything else. Harmless if it has ended.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Sends `signal`, for instance to stop and continue the process in a test.
    ///
    /// A worker in [`Tier::Full`](crate::Tier::Full) is process 1 of its namespace and ignores signals for which it has
    /// no handler, other than `KILL` and `STOP`.
    ///
    /// # Errors
    /// What the kernel says; `ESRCH` if the process has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.process.pidfd, signal)?)
    }

    /// How the child ended, if it has; reaps it.
    ///
    /// # Errors
    /// What the kernel says about the wait, which no child causes.
    pub fn try_wait(&mut self) -> io::Result<Option<Ended>> {
        if self.ended.is_none() {
            let (watch, group) = (self.watch.as_ref(), self.group.as_ref());
            self.ended = self.process.try_reap()?.map(|ended| explain(ended, watch, group));
        }
        Ok(self.ended.clone())
    }

    /// Waits at most `within` for the child to end.
    ///
    /// # Errors
    /// What the kernel says about the wait, which no child causes.
    pub fn wait(&mut self, within: Duration) -> io::Result<Option<Ended>> {
        if self.ended.is_none() && self.process.ended_by(Instant::now().checked_add(within))? {
            return self.try_wait();
        }
        Ok(self.ended.clone())
    }

    /// The forbidden calls that the child has made so far. Empty too where the host can not listen, which
    /// [`Layer::SeccompNotify`](crate::Layer::SeccompNotify) tells.
    pub fn violations(&self) -> Violations {
        self.watch.as_ref().map(Watch::violations).unwrap_or_default()
    }

    /// What a child under a [learning](crate::Profile::learning) profile was seen to need so far; `{}` prints it as code.
    /// Empty for every other child.
    pub fn learned(&self) -> Learned {
        self.watch.as_ref().map(Watch::learned).unwrap_or_default()
    }

    /// What the child says it is busy with, or was when it ended, if it ever said anything: see [`Notepad`](crate::Notepad).
    /// A hint: a child that was taken over says what it likes.
    pub fn note(&self) -> Option<Note> {
        self.notes.read()
    }

    /// What the living child has used so far; `None` once it has ended.
    pub fn usage_now(&self) -> Option<Usage> {
        let alive = self.ended.is_none() && !self.process.ended_by(Some(Instant::now())).ok()?;
        alive.then(|| crate::outside::usage(self.pid)).flatten()
    }
}

/// A child process by its pidfd, killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub pidfd: OwnedFd,
    reaped: bool,
}

impl Process {
    pub fn new(pidfd: OwnedFd) -> Self {
        Self { pidfd, reaped: false }
    }

    pub fn kill(&self) {
        // The only possible failure is that there is nothing left to kill.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Reaps the process if it has ended.
    pub fn try_reap(&mut self) -> io::Result<Option<Ended>> {
        let ended = match sys::reap(self.pidfd.as_fd()) {
            Ok(None) => return Ok(None),
            Ok(Some(waited)) => Ended::from(waited),
            // Somebody else has reaped it: the host ignores SIGCHLD, or waits for any child.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                if !self.ended_by(Some(Instant::now()))? {
                    return Ok(None);
                }
                let exit = sys::ended(self.pidfd.as_fd()).map_or(Exit::Lost, |(code, status)| Exit::new(code, status));
                Ended { exit, usage: Usage::default() }
            }
            Err(error) => return Err(error),
        };
        self.reaped = true;
        Ok(Some(ended))
    }

    /// Waits until the process has ended, or `deadline` has passed; `None` is no deadline. Returns whether it has ended.
    pub fn ended_by(&self, deadline: Option<Instant>) -> io::Result<bool> {
        wait_readable(&[self.pidfd.as_fd()], deadline).map(|ready| !ready[0].is_empty())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        self.kill();
        // A killed process ends; if the kernel keeps it for a while (a dump, a device), this waits for it.
        if self.ended_by(None).is_ok() {
            let _ = self.try_reap();
        }
    }
}

/// Waits until one of `descriptors` is readable or hung up, or `deadline` has passed; what each is.
pub(crate) fn wait_readable(descriptors: &[BorrowedFd<'_>], deadline: Option<Instant>) -> io::Result<Vec<PollFlags>> {
    let mut polled: Vec<_> = descriptors.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec::try_from(left).unwrap_or(FOREVER));
        match poll(&mut polled, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => {
                outcome?;
                return Ok(polled.iter().map(PollFd::revents).collect());
            }
        }
    }
}

/// Longer than any host runs.
const FOREVER: Timespec = Timespec { tv_sec: 1 << 40, tv_nsec: 0 };

/// How a child ended, and what it had used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub exit: Exit,
    /// What it had used.
    pub usage: Usage,
}

/// What a child has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all its threads.
    pub cpu: Duration,
    /// Largest resident memory, in bytes.
    pub peak_memory: u64,
}

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// It ended itself with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number. In [`Tier::Full`](crate::Tier::Full), where the child is process 1, `abort()` shows as
        /// `SIGSEGV` if the host can not listen to the child's system calls.
        signal: i32,
        /// Whether the kernel wrote a core file.
        core: bool,
    },
    /// It made a system call that no decoder makes, and was killed for it.
    ForbiddenCall {
        /// The call's name.
        name: String,
        /// Arguments, address and thread, for a log.
        details: String,
    },
    /// It, all of it together, used more memory than its control group may, and the kernel killed it.
    OutOfMemory,
    /// It has ended, but something else in the host took its status: `SIGCHLD` is ignored, or somebody waits for any
    /// child. Only before Linux 6.15; since then the status can still be had, though not what the child had used.
    Lost,
}

impl Exit {
    /// From a `CLD_*` code, and what came with it.
    fn new(code: libc::c_int, status: libc::c_int) -> Self {
        match code {
            libc::CLD_EXITED => Self::Code(status),
            code => Self::Signal { signal: status, core: code == libc::CLD_DUMPED },
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal { signal, core } => {
                match nix::sys::signal::Signal::try_from(*signal) {
                    Ok(named) => write!(f, "killed by {named}")?,
                    Err(_) => write!(f, "killed by signal {signal}")?,
                }
                if *signal == libc::SIGSYS {
                    f.write_str(", a forbidden system call that nobody could name")?;
                }
                if *core { f.write_str(" (core dumped)") } else { Ok(()) }
            }
            Self::ForbiddenCall { name, .. } => write!(f, "forbidden system call {name}"),
            Self::OutOfMemory => f.write_str("killed by the kernel for using more memory than it may"),
            Self::Lost => f.write_str("ended, but its status was taken by something else in the host"),
        }
    }
}

/// Says why the host killed the child, if it did. Only a kill is explained: a child may die of something else first.
fn explain(mut ended: Ended, watch: Option<&Watch>, group: Option<&Group>) -> Ended {
    ended.exit = match (ended.exit, watch.and_then(Watch::sentence)) {
        (Exit::Signal { signal: libc::SIGKILL, .. }, Some(Sentence::Forbidden(violation))) => {
            Exit::ForbiddenCall { name: violation.call.clone(), details: violation.to_string() }
        }
        (Exit::Signal { signal: libc::SIGKILL, .. }, Some(Sentence::Abort)) => {
            Exit::Signal { signal: libc::SIGABRT, core: false }
        }
        (Exit::Signal { signal: libc::SIGKILL, .. }, None) if group.is_some_and(Group::ran_out_of_memory) => {
            Exit::OutOfMemory
        }
        // With a listener, only a call of another architecture is killed by the filter itself.
        (Exit::Signal { signal: libc::SIGSYS, .. }, _) if watch.is_some() => {
            Exit::ForbiddenCall { name: "of another architecture".to_owned(), details: String::new() }
        }
        (exit, _) => exit,
    };
    ended
}

impl From<sys::Waited> for Ended {
    fn from(waited: sys::Waited) -> Self {
        let exit = Exit::new(waited.code, waited.status);
        Self { exit, usage: Usage { cpu: waited.cpu, peak_memory: waited.peak_memory } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_read_well() {
        let segv = Exit::Signal { signal: libc::SIGSEGV, core: false };
        assert_eq!(segv.to_string(), "killed by SIGSEGV");
        let forbidden = Exit::ForbiddenCall { name: "ptrace".into(), details: String::new() };
        assert_eq!(forbidden.to_string(), "forbidden system call ptrace");
        assert_eq!(Exit::Code(3).to_string(), "exit code 3");
    }
}
