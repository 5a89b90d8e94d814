//! The host's side of a launch: from the spawn to an accepted report.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, SocketFlags,
    SocketType, recvmsg, send, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::Serialize;

use crate::cause::SIMULATED;
use crate::child::{Child, Exit, Process, wait_readable};
use crate::filter::Program;
use crate::group::{Group, Parent};
use crate::launcher::LaunchError;
use crate::note::Page;
use crate::outside::{Bare, Look, Place, Seen};
use crate::report::{FULL_NEEDS, Layer, Report, Standing, Tier};
use crate::rule::{Effect, Rule};
use crate::spawner::Spawner;
use crate::stub::Stub;
use crate::watch::{Prepared, Subject, Watch};
use crate::wire::{self, Claim, FromWorker, PACKET_MAX, Setup, ToWorker, UserChange};

/// How much of a failed child's standard error is kept, in bytes.
const LAST_WORDS_MAX: usize = 512;

/// A launch under way. Dropping it ends the stub and the worker.
pub(crate) struct Handshake {
    socket: OwnedFd,
    stub: Stub,
    worker: Option<Process>,
    /// Of the worker, after which it is dropped.
    group: Option<Group>,
    setup: Setup,
    stdout: OwnedFd,
    stderr: OwnedFd,
    deadline: Instant,
    spawner: Arc<Spawner>,
    watch: Prepared,
    notes: Arc<Page>,
    bare: Bare,
}

impl Handshake {
    /// Spawns the stub; its instructions are waiting for it when it starts.
    pub fn start(
        spawner: &Arc<Spawner>,
        program: &Path,
        setup: Setup,
        channel: OwnedFd,
        deadline: Instant,
    ) -> Result<Self, LaunchError> {
        let made = |error: rustix::io::Errno| LaunchError::Descriptors(error.into());
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map_err(made)?;
        let (stdout, their_stdout) = pipe_with(PipeFlags::CLOEXEC).map_err(made)?;
        let (stderr, their_stderr) = pipe_with(PipeFlags::CLOEXEC).map_err(made)?;
        let null = openat(CWD, "/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(made)?;
        say(&socket, &setup)?;
        let notes = Page::new().map_err(LaunchError::Descriptors)?;
        let page = notes.give().map_err(LaunchError::Descriptors)?;
        let descriptors = [null, their_stdout, their_stderr, channel, theirs, page];
        let failed = |source| LaunchError::Spawn { program: program.to_owned(), source };
        let pid = spawner.spawn(program, &setup.role, descriptors).map_err(failed)?;
        let kernel_counts = setup.tier != Tier::Off && !setup.host_counts_threads;
        let threads = kernel_counts.then_some(setup.limits.threads);
        let stub = Stub::open(pid, threads).map_err(failed)?;
        let spawner = Arc::clone(spawner);
        let notes = Arc::new(notes);
        // While the stub starts there is nothing to wait for yet.
        let watch = Watch::prepare(notes.clone()).map_err(LaunchError::Watch)?;
        let bare = Bare::look(pid.as_raw().unsigned_abs());
        Ok(Self {
            socket,
            stub,
            worker: None,
            group: None,
            setup,
            stdout,
            stderr,
            deadline,
            spawner,
            watch,
            notes,
            bare,
        })
    }

    /// Follows the worker until it is confined, checks its claims, and lets it go.
    pub fn finish(
        mut self,
        rules: Vec<Rule>,
        fallback: &Program,
        groups: &Parent,
        lacking: &[(Layer, String)],
    ) -> Result<Child, LaunchError> {
        let mut seen = Seen::default();
        let (pid, place) = self.meet(&mut seen)?;
        if let Some(mut look) = self.look(place.as_ref(), &mut seen) {
            look.early();
        }
        say(&self.socket, &ToWorker::Close)?;
        if let Some(mut look) = self.look(place.as_ref(), &mut seen) {
            look.meanwhile();
        }
        let mut said = self.hear("the confinement")?;
        if let (FromWorker::Unheard, None) = said {
            say(&self.socket, &ToWorker::Fallback(fallback.clone()))?;
            said = self.hear("the confinement")?;
        }
        let (FromWorker::Ready(claims), listener) = said else {
            return Err(LaunchError::Protocol { stage: "the confinement" });
        };
        if let Some(place) = &place {
            self.look_late(place, &mut seen)?;
        }
        let grouped = self.enclose(pid, groups);
        let report = judge(&self.setup, &claims, &grouped, seen, lacking)?;
        say(&self.socket, &ToWorker::Go)?;
        let Some(worker) = self.worker else { return Err(LaunchError::Protocol { stage: "the end" }) };
        let watch = match listener {
            Some(listener) => Some(watch(self.watch, &self.setup, rules, listener, &worker, pid, self.stub)?),
            None => {
                self.stub.settle(pid);
                None
            }
        };
        Ok(Child::new(worker, self.group, pid, report, [self.stdout, self.stderr], (watch, self.notes), self.spawner))
    }

    /// Waits for the worker, and until it wants to be looked at. Returns its number, and its place if there is anything to see.
    fn meet(&mut self, seen: &mut Seen) -> Result<(u32, Option<Place>), LaunchError> {
        let confined = self.setup.tier != Tier::Off;
        let mut met = None;
        let mut asked = false;
        while met.is_none() || !asked {
            match self.hear("the start")? {
                (FromWorker::Handover, Some(pidfd)) if met.is_none() => {
                    self.worker = Some(Process::new(pidfd));
                    let pid = self.worker_pid()?;
                    let place = if confined { Place::of(pid).ok() } else { None };
                    if let Some(mut look) = self.look(place.as_ref(), seen) {
                        look.first();
                    }
                    met = Some((pid, place));
                }
                (FromWorker::Look, None) if !asked => asked = true,
                (FromWorker::Failed(Claim { layer, missing }), None) => {
                    let why = missing.unwrap_or_default();
                    return Err(LaunchError::TooWeak { least: self.setup.tier, missing: vec![(layer, why)] });
                }
                _ => return Err(LaunchError::Protocol { stage: "the start" }),
            }
        }
        met.ok_or(LaunchError::Protocol { stage: "the start" })
    }

    /// The next message, or what became of the child that should have sent it.
    fn hear(&mut self, stage: &'static str) -> Result<(FromWorker, Option<OwnedFd>), LaunchError> {
        self.wait_for(self.socket.as_fd(), stage)?;
        match receive(&self.socket) {
            Ok(Some(said)) => Ok(said),
            Ok(None) => Err(self.obituary(stage)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(self.obituary(stage)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(LaunchError::Protocol { stage }),
            Err(error) => Err(LaunchError::Channel(error)),
        }
    }

    /// Waits until `fd` is readable, unless time is up or nothing is to be started any more.
    fn wait_for(&self, fd: BorrowedFd<'_>, stage: &'static str) -> Result<(), LaunchError> {
        let ready = wait_readable(&[fd, self.spawner.stopped()], Some(self.deadline)).map_err(LaunchError::Channel)?;
        match ready[..] {
            [_, stopped] if !stopped.is_empty() => Err(LaunchError::Stopped),
            [awaited, _] if !awaited.is_empty() => Ok(()),
            _ => Err(LaunchError::TooLate { stage }),
        }
    }

    /// How the child ended that closed its launch channel, and what it said before.
    fn obituary(&mut self, stage: &'static str) -> LaunchError {
        let pidfd = self.worker.as_ref().map_or_else(|| self.stub.pidfd(), |worker| Some(worker.pidfd.as_fd()));
        if let Some(Err(error)) = pidfd.map(|pidfd| self.wait_for(pidfd, stage)) {
            return error;
        }
        let reaped = match &mut self.worker {
            Some(worker) => worker.try_reap(),
            None => self.stub.try_reap(),
        };
        let exit = reaped.ok().flatten().map_or(Exit::Lost, |ended| ended.exit);
        LaunchError::Died { stage, exit, stderr: last_words(&self.stderr) }
    }

    /// The worker's process number as this process sees it, as the kernel tells it.
    fn worker_pid(&self) -> Result<u32, LaunchError> {
        use std::os::fd::AsRawFd;
        let worker = self.worker.as_ref().ok_or(LaunchError::Protocol { stage: "the start" })?;
        let info = format!("/proc/self/fdinfo/{}", worker.pidfd.as_raw_fd());
        let info = std::fs::read_to_string(info).map_err(LaunchError::Channel)?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<u32>().ok());
        pid.filter(|&pid| pid > 1).ok_or(LaunchError::Protocol { stage: "the start" })
    }

    /// Puts the worker into a control group of its own, where there can be one.
    fn enclose(&mut self, pid: u32, groups: &Parent) -> Vec<(Layer, Standing)> {
        let missing = |layer| self.setup.simulated.iter().any(|(l, _)| *l == layer);
        if self.setup.tier == Tier::Off {
            return Vec::new();
        }
        let mut standings = match groups.enclose(pid, &self.setup.limits) {
            Ok(group) => self.group.insert(group).standings.clone(),
            Err(why) => Parent::absent(&why),
        };
        for (layer, standing) in &mut standings {
            if missing(*layer) {
                *standing = Standing::Unavailable { why: SIMULATED.to_owned() };
            }
        }
        standings
    }

    fn look<'a>(&'a self, place: Option<&'a Place>, seen: &'a mut Seen) -> Option<Look<'a>> {
        Some(Look { place: place?, setup: &self.setup, bare: &self.bare, seen })
    }

    /// Looks at the finished worker; waits for the stub if that has not taken the old root away yet.
    fn look_late(&self, place: &Place, seen: &mut Seen) -> Result<(), LaunchError> {
        Look { place, setup: &self.setup, bare: &self.bare, seen }.late();
        if matches!(seen.layers.get(&Layer::EmptyRoot), Some(Err(_))) {
            if !self.stub.ended_by(Some(self.deadline)).map_err(LaunchError::Channel)? {
                return Err(LaunchError::TooLate { stage: "the end of the stub" });
            }
            Look { place, setup: &self.setup, bare: &self.bare, seen }.late();
        }
        Ok(())
    }
}

/// Listens to the worker's forbidden calls from now on.
fn watch(
    prepared: Prepared,
    setup: &Setup,
    rules: Vec<Rule>,
    listener: OwnedFd,
    worker: &Process,
    pid: u32,
    stub: Stub,
) -> Result<Watch, LaunchError> {
    let pidfd = worker.pidfd.try_clone().map_err(LaunchError::Descriptors)?;
    // In a process namespace of its own it is process 1.
    let own_pid = if setup.tier == Tier::Full { 1 } else { pid };
    let threads_allowed = rules.iter().any(|rule| rule.call == "clone" && rule.effect == Effect::Allow);
    let counts = setup.host_counts_threads && threads_allowed;
    let threads = counts.then_some(setup.limits.threads);
    let learning = setup.learning.then_some(rules);
    prepared.start(Subject { listener, pidfd, pid, own_pid, threads, learning, stub }).map_err(LaunchError::Watch)
}

/// Compares what the worker claims with what the host has seen.
fn judge(
    setup: &Setup,
    claims: &[Claim],
    grouped: &[(Layer, Standing)],
    seen: Seen,
    lacking: &[(Layer, String)],
) -> Result<Report, LaunchError> {
    let mut layers = Vec::new();
    for &layer in Layer::ALL {
        if layer == Layer::User && setup.user == UserChange::Keep {
            continue;
        }
        if let Some(standing) = grouped.iter().find(|(l, _)| *l == layer) {
            layers.push(standing.clone());
            continue;
        }
        let standing = match claims.iter().find(|claim| claim.layer == layer) {
            // The filter asks the host about what no rule matches, and the host lets it through.
            Some(_) if setup.learning && layer == Layer::SeccompRules => Standing::Off,
            Some(Claim { missing: Some(why), .. }) => Standing::Unavailable { why: why.clone() },
            Some(Claim { missing: None, .. }) => match seen.layers.get(&layer) {
                Some(Ok(how)) => Standing::Verified { how: how.clone() },
                Some(Err(seen)) => return Err(LaunchError::FalseClaim { layer, seen: seen.clone() }),
                None => Standing::Attested,
            },
            None => lacking
                .iter()
                .find(|(l, _)| *l == layer || (FULL_NEEDS.contains(&layer) && FULL_NEEDS.contains(l)))
                .map_or(Standing::Off, |(_, why)| Standing::Unavailable { why: why.clone() }),
        };
        layers.push((layer, standing));
    }
    let report = Report::new(layers, setup.learning && setup.tier != Tier::Off);
    if report.tier < setup.tier {
        let missing = report.missing_for(setup.tier);
        return Err(LaunchError::TooWeak { least: setup.tier, missing });
    }
    Ok(report)
}

fn say<T: Serialize>(socket: &OwnedFd, message: &T) -> Result<(), LaunchError> {
    let packet = wire::encode(message).map_err(|error| LaunchError::Channel(io::Error::other(error)))?;
    match send(socket, &packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(_) => Ok(()),
        // The end of the child is noticed, and told in full, by the next thing that is awaited of it.
        Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(()),
        Err(error) => Err(LaunchError::Channel(error.into())),
    }
}

/// One message and at most one descriptor; `None` is the end.
fn receive(socket: &OwnedFd) -> io::Result<Option<(FromWorker, Option<OwnedFd>)>> {
    let mut packet = vec![0; PACKET_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut packet)], &mut control, flags)?;
    let mut descriptor = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptor = descriptors.last();
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    let message = wire::decode(&packet[..received.bytes]).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Some((message, descriptor)))
}

/// What is waiting in a child's standard error, as one printable line.
fn last_words(stderr: &OwnedFd) -> String {
    let mut bytes = [0; LAST_WORDS_MAX];
    let waiting = wait_readable(&[stderr.as_fd()], Some(Instant::now())).is_ok_and(|ready| !ready[0].is_empty());
    let length = if waiting { rustix::io::read(stderr, &mut bytes).unwrap_or(0) } else { 0 };
    String::from_utf8_lossy(&bytes[..length]).trim_end().escape_debug().to_string()
}
