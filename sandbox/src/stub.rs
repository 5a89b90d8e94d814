//! The host's hold on a stub: the process that makes the namespaces and the worker, and then takes the old root away.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use nix::unistd::Pid;
use rustix::process::{PidfdFlags, Resource, Rlimit, pidfd_open, prlimit};

use crate::child::{Ended, Process};

/// A stub under way, ended and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Stub {
    /// `None` if it ended at once and the kernel reaped it, as it does for a host that ignores SIGCHLD.
    process: Option<Process>,
    /// The worker's limit of threads, where the kernel counts them: it counts the stub too, so that the worker was
    /// allowed one more for as long as the stub lives.
    threads: Option<u32>,
}

impl Stub {
    /// Takes hold of a process that was just spawned. It has not been reaped, so its number still means it.
    pub fn open(pid: Pid, threads: Option<u32>) -> io::Result<Self> {
        let pid = rustix::process::Pid::from_raw(pid.as_raw()).ok_or(io::ErrorKind::NotFound)?;
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Some(Process::new(pidfd)),
            Err(rustix::io::Errno::SRCH) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { process, threads })
    }

    /// Becomes readable when the stub has ended; `None` if nothing is left of it.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref().map(|process| process.pidfd.as_fd())
    }

    /// Waits for the stub's end, at most until `deadline`. Returns whether it has ended.
    pub fn ended_by(&self, deadline: Option<Instant>) -> io::Result<bool> {
        self.process.as_ref().map_or(Ok(true), |process| process.ended_by(deadline))
    }

    /// How the stub ended, if it has; reaps it.
    pub fn try_reap(&mut self) -> io::Result<Option<Ended>> {
        self.process.as_mut().map_or(Ok(None), Process::try_reap)
    }

    /// Waits for the stub's end, reaps it, and takes the thread back that it stood for.
    pub fn settle(&mut self, worker: u32) {
        let reaped = self.ended_by(None).is_ok() && self.try_reap().is_ok();
        let worker = i32::try_from(worker).ok().and_then(rustix::process::Pid::from_raw);
        if let (true, Some(worker), Some(threads)) = (reaped, worker, self.threads) {
            let most = Some(threads.into());
            // Only a worker that has ended already can make this fail.
            let _ = prlimit(Some(worker), Resource::Nproc, Rlimit { current: most, maximum: most });
        }
    }
}
