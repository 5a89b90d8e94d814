//! The worker's side: from the start of `main` to a confined process with one channel.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::setsid;
use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, SocketType, recv, sockopt};
use rustix::process::{Signal, set_parent_process_death_signal};
use sendfd::SendWithFd;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::cause::SIMULATED;
use crate::filter::Program;
use crate::layers::namespaces::{self, Entered};
use crate::layers::{Dressing, landlocked, limits, privileges, root};
use crate::note;
use crate::report::{Layer, Tier};
use crate::sys::{self, Cloned};
use crate::wire::{self, Claim, FromWorker, PACKET_MAX, Setup, ToWorker, UserChange};

/// `argv[0]` of every process that a [`Launcher`](crate::Launcher) starts.
pub const MARKER: &str = "cloison-worker";

/// How long to wait before a descriptor is sent again for which there was no room.
const RETRY_AFTER: Duration = Duration::from_millis(2);

/// The role's name, if this process was started by a [`Launcher`](crate::Launcher).
///
/// An executable that is both host and worker asks this first and calls [`enter`] if the answer is `Some`.
pub fn is_worker() -> Option<String> {
    let mut arguments = std::env::args_os();
    if arguments.next()? != MARKER {
        return None;
    }
    let role = arguments.next()?.into_string().ok()?;
    sys::inherited(sys::CHANNEL)?;
    let launch = sys::inherited(sys::LAUNCH)?;
    (sockopt::socket_type(launch).ok()? == SocketType::SEQPACKET).then_some(role)
}

/// Confines this process and returns its channel to the host. The first thing that a worker's `main` does.
///
/// Returns in a different process from the one that called it (the first one has exited), single-threaded, after the
/// host has accepted the confinement. No file can be opened any more; see [`enter_after`] for what needs some.
///
/// # Errors
/// [`EnterError`]; the worker should exit, and the host has been told.
pub fn enter() -> Result<OwnedFd, EnterError> {
    enter_after(|| ())
}

/// Like [`enter`], with something that runs first, while files can still be opened: loading libraries, counting
/// processors.
///
/// `warm_up` runs in the process that the launcher started, as the host's own user; the worker gets a copy of its
/// memory. It must leave no thread behind, since a copy would lack it, and no descriptor open.
///
/// # Errors
/// [`EnterError`]; the worker should exit, and the host has been told.
pub fn enter_after(warm_up: impl FnOnce()) -> Result<OwnedFd, EnterError> {
    let (channel, launch) = sys::adopt().ok_or(EnterError::NotLaunched)?;
    note::adopt();
    sys::close_ungiven()?;
    // The standard library has no type for SOCK_SEQPACKET; the calls are the same.
    let launch = UnixDatagram::from(launch);
    let setup: Setup = hear(&launch)?;
    warm_up();
    if threads()? != 1 {
        return Err(EnterError::Threads);
    }
    let mut dressing = Dressing::new(setup.simulated.clone());
    become_worker(&setup, &launch, &mut dressing)?;
    if !dressing.put_on(Layer::ParentDeath, || set_parent_process_death_signal(Some(Signal::KILL)))
        && dressing.simulation(Layer::ParentDeath).is_none()
    {
        return Err(EnterError::Step {
            layer: Layer::ParentDeath,
            why: "the kernel does not tell of a host's end".into(),
        });
    }
    say(&launch, &FromWorker::Look, None)?;
    name_process(&setup.role);
    if setup.tier == Tier::Off {
        expect(&launch, &ToWorker::Close)?;
        say(&launch, &FromWorker::Ready(Vec::new()), None)?;
    } else {
        confine(&setup, &launch, dressing)?;
    }
    expect(&launch, &ToWorker::Go)?;
    if setup.throwaway {
        sys::exit_now(0);
    }
    Ok(channel)
}

/// Why a worker did not come to be confined.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnterError {
    /// This process was not started by a launcher, or entered before.
    #[error("this process was not started by a launcher, or has entered already")]
    NotLaunched,
    /// Threads are running that some layers would not cover.
    #[error("other threads are running; confine first, start threads later")]
    Threads,
    /// A step without which nothing goes on failed; the host has been told.
    #[error("{layer}: {why}")]
    Step {
        /// What was being put on.
        layer: Layer,
        /// What the system said.
        why: String,
    },
    /// The host said something that has no place here, or gave up.
    #[error("the host broke off the launch")]
    OutOfTurn,
    /// The launch channel failed.
    #[error("launch channel: {0}")]
    Channel(#[from] io::Error),
}

/// Goes from the stub, which exits here, to the worker.
fn become_worker(setup: &Setup, launch: &UnixDatagram, dressing: &mut Dressing) -> Result<(), EnterError> {
    let mut namespaces = Entered::default();
    let mut swapped = false;
    if setup.tier != Tier::Off {
        change_user(setup, dressing)?;
    }
    if setup.tier == Tier::Full {
        namespaces = namespaces::enter(dressing);
        // A host with the right to mount has it over its own mounts too: never touch those.
        let swap = || if namespaces.own_mounts { root::swap(&setup.readable) } else { Err(Errno::EPERM.into()) };
        swapped = dressing.put_on(Layer::EmptyRoot, swap);
    }
    match sys::clone_worker(namespaces.for_clone) {
        Ok(Cloned::Worker) => Ok(()),
        Ok(Cloned::Stub(pidfd)) => {
            let told = say(launch, &FromWorker::Handover, Some(pidfd));
            let detached = if swapped { root::detach_old() } else { Ok(()) };
            sys::exit_now(i32::from(told.is_err() || detached.is_err()))
        }
        Err(error) => {
            let why = format!("clone: {error}");
            say(launch, &FromWorker::Failed(Claim::new(Layer::PidNamespace, Err(why.clone()))), None)?;
            Err(EnterError::Step { layer: Layer::PidNamespace, why })
        }
    }
}

fn change_user(setup: &Setup, dressing: &mut Dressing) -> Result<(), EnterError> {
    if setup.tier == Tier::NoUserNs {
        // Later the right to do it is gone; with a user namespace it comes back.
        privileges::lock_down(dressing);
    }
    match &setup.user {
        UserChange::Keep => privileges::stay_dumpable()?,
        UserChange::Become(number) => drop(dressing.put_on(Layer::User, || privileges::become_user(*number))),
        UserChange::Impossible(why) => drop(dressing.put_on(Layer::User, || Err(why.clone()))),
    }
    Ok(())
}

/// Puts on everything that a single process can, in the order in which each step is still possible.
fn confine(setup: &Setup, launch: &UnixDatagram, mut dressing: Dressing) -> Result<(), EnterError> {
    let d = &mut dressing;
    for layer in [Layer::Environment, Layer::Descriptors] {
        d.put_on(layer, || Ok::<_, io::Error>(()));
    }
    d.put_on(Layer::Session, || setsid().map(drop));
    if setup.tier == Tier::Full {
        privileges::lock_down(d);
    }
    d.put_on(Layer::Capabilities, privileges::drop_capabilities);
    d.put_on(Layer::NoNewPrivileges, || rustix::thread::set_no_new_privs(true));
    d.put_on(Layer::ResourceLimits, || limits::apply(&setup.limits));
    if !setup.host_counts_threads {
        d.put_on(Layer::ThreadLimit, || limits::threads(&setup.limits));
    }
    d.put_on(Layer::WriteXorExecute, sys::refuse_exec_gain);
    privileges::stop_speculation(d);
    // While the host looks; and before the filter, which need not allow it.
    sys::trim_heap();
    expect(launch, &ToWorker::Close)?;

    d.put_on(Layer::NotDumpable, privileges::hide);
    landlocked::restrict(d, &setup.readable);
    let listener = filter(d, launch, &setup.filter);
    if setup.host_counts_threads {
        let counted = listener.is_some();
        d.put_on(Layer::ThreadLimit, || counted.then_some(()).ok_or("the host can not count them, nor can the kernel"));
    }
    say(launch, &FromWorker::Ready(dressing.claims), listener)
}

/// Installs the system-call filters, the last layer. Returns the listener for the host.
fn filter(dressing: &mut Dressing, launch: &UnixDatagram, program: &Program) -> Option<OwnedFd> {
    let mut listener = Err("no filter".to_owned());
    let unheard = dressing.simulation(Layer::SeccompNotify).is_some();
    dressing.put_on(Layer::Seccomp, || {
        let installed = match unheard {
            true => Err(io::Error::other(SIMULATED)),
            false => sys::install_filter(program, true),
        };
        match installed {
            Ok(fd) => listener = fd.ok_or_else(|| "the kernel gave no listener".to_owned()),
            Err(error) => {
                listener = Err(format!("no listener is possible here, there may be one already: {error}"));
                say(launch, &FromWorker::Unheard, None)?;
                let ToWorker::Fallback(program) = hear(launch)? else { return Err(EnterError::OutOfTurn) };
                sys::install_filter(&program, false)?;
            }
        }
        Ok::<_, EnterError>(())
    });
    let installed = dressing.claims.last().is_some_and(|claim| claim.missing.is_none());
    dressing.put_on(Layer::SeccompRules, || installed.then_some(()).ok_or("no filter"));
    let (outcome, listener) = match listener {
        Ok(listener) => (Ok(()), Some(listener)),
        Err(why) => (Err(why), None),
    };
    dressing.put_on(Layer::SeccompNotify, || outcome);
    listener
}

fn expect(launch: &UnixDatagram, word: &ToWorker) -> Result<(), EnterError> {
    let said: ToWorker = hear(launch)?;
    if said == *word { Ok(()) } else { Err(EnterError::OutOfTurn) }
}

/// Shows the role's first letters in `ps`; without effect on anything else, so that a failure does not matter.
fn name_process(role: &str) {
    if let Ok(name) = std::ffi::CString::new(role) {
        let _ = rustix::thread::set_name(&name);
    }
}

/// How many threads this process has: the links of its task directory, less the two that every directory has.
fn threads() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/self/task")?.nlink().saturating_sub(2))
}

fn hear<T: DeserializeOwned>(launch: &UnixDatagram) -> Result<T, EnterError> {
    // Not filled before: pages that nobody touches take no memory.
    let mut packet = Vec::with_capacity(PACKET_MAX);
    loop {
        match recv(launch, spare_capacity(&mut packet), RecvFlags::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            received => {
                received.map_err(io::Error::from)?;
                break;
            }
        }
    }
    wire::decode(&packet).map_err(|_| EnterError::OutOfTurn)
}

fn say(launch: &UnixDatagram, message: &FromWorker, descriptor: Option<OwnedFd>) -> Result<(), EnterError> {
    let packet = wire::encode(message).map_err(io::Error::other)?;
    let Some(descriptor) = descriptor else {
        launch.send(&packet)?;
        return Ok(());
    };
    loop {
        match launch.send_with_fd(&packet, &[descriptor.as_raw_fd()]) {
            // Other processes of this user have many descriptors under way. The host's patience ends this in any case.
            Err(error) if error.raw_os_error() == Some(nix::libc::ETOOMANYREFS) => std::thread::sleep(RETRY_AFTER),
            sent => return sent.map(drop).map_err(EnterError::from),
        }
    }
}
