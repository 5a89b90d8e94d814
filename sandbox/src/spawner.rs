//! The one thread from which workers are spawned.
//!
//! `PR_SET_PDEATHSIG` tells a child of the end of the *thread* that made it, so that thread must last as long as the
//! children do.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc;

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::SigSet;
use nix::unistd::Pid;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::fcntl_dupfd_cloexec;

use crate::enter::MARKER;

/// Descriptors a worker is started with, 0 to 5.
const GIVEN: usize = 6;

/// Spawns from a thread of its own, which ends when this is dropped.
pub(crate) struct Spawner {
    orders: mpsc::Sender<Order>,
    /// Readable once nothing is to be started any more.
    stop: OwnedFd,
}

struct Order {
    program: CString,
    role: CString,
    descriptors: [OwnedFd; GIVEN],
    answer: mpsc::Sender<io::Result<Pid>>,
}

impl Spawner {
    pub fn new() -> io::Result<Self> {
        let (orders, taken) = mpsc::channel::<Order>();
        let serve = move || {
            for order in taken {
                let spawned = spawn(&order);
                drop(order.descriptors);
                // Whoever ordered this waits for it.
                let _ = order.answer.send(spawned);
            }
        };
        std::thread::Builder::new().name("cloison-spawner".to_owned()).spawn(serve)?;
        Ok(Self { orders, stop: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// From now on nothing is to be started, and whoever waits for something that starts waits no more.
    pub fn stop(&self) {
        // The counter can only overflow after 2⁶⁴ stops, and a full one is readable all the same.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
    }

    /// Becomes readable, and stays so, when nothing is to be started any more.
    pub fn stopped(&self) -> BorrowedFd<'_> {
        self.stop.as_fd()
    }

    /// Starts `program` with `descriptors` as its 0 to 5, and an empty environment.
    pub fn spawn(&self, program: &Path, role: &str, descriptors: [OwnedFd; GIVEN]) -> io::Result<Pid> {
        let (answer, answered) = mpsc::channel();
        let program = CString::new(program.as_os_str().as_bytes())?;
        let order = Order { program, role: CString::new(role)?, descriptors, answer };
        let gone = |_| io::Error::other("the spawner thread has ended");
        self.orders.send(order).map_err(|_| gone(mpsc::RecvError))?;
        answered.recv().map_err(gone)?
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spawner")
    }
}

fn spawn(order: &Order) -> io::Result<Pid> {
    let mut actions = PosixSpawnFileActions::init()?;
    // A source below 6 would be overwritten by an earlier step; such ones are moved up first.
    let mut moved = Vec::new();
    for (target, descriptor) in order.descriptors.iter().enumerate() {
        let mut source = descriptor.as_raw_fd();
        if source < GIVEN_END {
            let copy = fcntl_dupfd_cloexec(descriptor, GIVEN_END)?;
            source = copy.as_raw_fd();
            moved.push(copy);
        }
        actions.add_dup2(source, i32::try_from(target).map_err(io::Error::other)?)?;
    }
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
    attributes.set_sigdefault(&SigSet::all())?;
    attributes.set_sigmask(&SigSet::empty())?;
    let marker = CString::new(MARKER)?;
    let arguments = [marker.as_c_str(), order.role.as_c_str()];
    let none: [&std::ffi::CStr; 0] = [];
    Ok(posix_spawn(order.program.as_c_str(), &actions, &attributes, &arguments, &none)?)
}

/// The first number a moved descriptor may have.
const GIVEN_END: i32 = 6;

/// The same descriptor under a number that no child's descriptor takes.
pub(crate) fn out_of_the_way(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    if descriptor.as_raw_fd() >= GIVEN_END { Ok(descriptor) } else { Ok(fcntl_dupfd_cloexec(descriptor, GIVEN_END)?) }
}

/// A path under which `executable` can be started, also when its file has been replaced.
pub(crate) fn path_of(executable: BorrowedFd<'_>) -> std::path::PathBuf {
    format!("/proc/self/fd/{}", executable.as_raw_fd()).into()
}
