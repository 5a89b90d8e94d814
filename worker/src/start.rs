//! The start and the end of a worker's process.

use std::fmt::Display;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use cloison_ipc::ProcessIpc;
use cloison_msg::Text;

use crate::Worker;
use crate::error::{Disconnect, StartError};

/// The exit code of a worker whose main, or whose start, failed.
pub const EXIT_FAILED: u8 = 1;

/// The exit code of an executable that is asked to play a role it does not have.
pub const EXIT_NO_SUCH_ROLE: u8 = 2;

/// The exit code of a worker that panicked: what Rust's own would be.
pub const EXIT_PANICKED: u8 = 101;

/// A role that an executable can play: its name, and the worker's main.
pub type Role<'a, E> = (&'a str, fn(&Worker) -> Result<(), E>);

/// The whole main of a program that is a worker and nothing else: confines the process, says hello to the broker, runs
/// `main`, and turns what comes of it into an exit code.
///
/// An error of `main` becomes one line on standard error and [`EXIT_FAILED`], a panic one line and [`EXIT_PANICKED`].
/// When the broker has ended or told the worker to end, whatever `main` makes of that is a success, quietly.
///
/// ```no_run
/// use cloison_worker::{ServeError, Worker};
/// # use cloison_worker::{Request, msg::{Failure, Message}};
/// # use std::os::fd::OwnedFd;
///
/// fn main() -> std::process::ExitCode {
///     cloison_worker::run(|worker| worker.serve(echo))
/// }
/// # fn echo(_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
/// #     reply.append(request.recv::<&str>()?)?;
/// #     Ok(())
/// # }
/// ```
pub fn run<E: Display>(main: impl FnOnce(&Worker) -> Result<(), E>) -> ExitCode {
    run_after(|| (), main)
}

/// Like [`run`], with something that runs before the doors close: loading libraries, counting processors. It must leave
/// no thread behind, and no descriptor open.
pub fn run_after<E: Display>(warm_up: impl FnOnce(), main: impl FnOnce(&Worker) -> Result<(), E>) -> ExitCode {
    ExitCode::from(play(warm_up, main))
}

/// Called first in the main of a host whose own executable is its workers' too. Returns at once if this process is the
/// host. Otherwise it plays its role as [`run`] does, and never returns.
///
/// ```no_run
/// # use cloison_worker::{ServeError, Worker};
/// # fn demux(_: &Worker) -> Result<(), ServeError> { Ok(()) }
/// # fn video(_: &Worker) -> Result<(), ServeError> { Ok(()) }
/// fn main() {
///     cloison_worker::roles(&[("demux", demux), ("video", video)]);
///     // From here on this is the host.
/// }
/// ```
pub fn roles<E: Display>(roles: &[Role<'_, E>]) {
    roles_after(|| (), roles);
}

/// Like [`roles`], with something that runs in a worker before the doors close, as in [`run_after`].
pub fn roles_after<E: Display>(warm_up: impl FnOnce(), roles: &[Role<'_, E>]) {
    let Some(role) = cloison_sandbox::is_worker() else { return };
    let code = match roles.iter().find(|(name, _)| *name == role) {
        Some((_, main)) => play(warm_up, main),
        None => {
            complain(&role, &"this executable plays no such role");
            EXIT_NO_SUCH_ROLE
        }
    };
    std::process::exit(code.into());
}

fn play<E: Display>(warm_up: impl FnOnce(), main: impl FnOnce(&Worker) -> Result<(), E>) -> u8 {
    // Asked now: once confined, a process cannot find out any more.
    let role = cloison_sandbox::is_worker().unwrap_or_else(|| "worker".to_owned());
    let panicked = role.clone();
    std::panic::set_hook(Box::new(move |panic| complain(&panicked, panic)));
    catch_unwind(AssertUnwindSafe(|| match start_and_finish(warm_up, main) {
        Ok(()) => 0,
        Err(error) => {
            complain(&role, &error);
            EXIT_FAILED
        }
    }))
    .unwrap_or(EXIT_PANICKED)
}

/// From the start to the end; an error is what is to be said of it.
fn start_and_finish<E: Display>(
    warm_up: impl FnOnce(),
    main: impl FnOnce(&Worker) -> Result<(), E>,
) -> Result<(), String> {
    let worker = match start(warm_up) {
        Ok(worker) => worker,
        Err(StartError::Disconnected(Disconnect::Ended)) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let result = main(&worker);
    worker.say_farewell();
    match (result, worker.disconnected()) {
        (_, Some(Disconnect::Ended)) | (Ok(()), None) => Ok(()),
        (Ok(()), Some(why)) => Err(why.to_string()),
        (Err(error), _) => Err(error.to_string()),
    }
}

fn start(warm_up: impl FnOnce()) -> Result<Worker, StartError> {
    let control = cloison_sandbox::enter_after(|| {
        // The first reading finds the vDSO through a file; without it, every later one would be a system call.
        crate::clock::now();
        warm_up();
    })?;
    let worker = Worker::over(ProcessIpc::from_fd(control)?)?;
    worker.trace();
    Ok(worker)
}

/// One line on standard error, of bounded length, without anything that a terminal could obey.
fn complain(role: &str, what: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "{role}: {}", Text::new(&what.to_string()));
}
