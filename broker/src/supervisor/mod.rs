//! Processes: started, watched, ended, and started again within a budget.
//!
//! One tokio runtime on a thread of its own; one task per role. The driver tells it what it sees on the sockets
//! ([`Notices`]), the host what it wants ([`Order`]); the pidfd alone says who is dead.

mod death;
mod incident;
mod restart;
mod roster;
mod spec;
mod tend;
mod words;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use cloison_sandbox::Launcher;
use tokio::runtime;
use tokio::sync::{Notify, oneshot};

pub use death::{Death, SpawnError, WorkerEvent};
pub use restart::{QUARANTINE_AFTER, Quarantined, RESTART_PAUSE, RESTART_PAUSE_MAX, RESTARTS};
pub(crate) use roster::{Notices, Order, Roster};
pub use roster::{WorkerState, WorkerStatus};
pub use spec::WorkerSpec;

use crate::driver::Commands;
use crate::host::Mailbox;

/// What every task needs.
#[derive(Clone)]
pub(crate) struct Office {
    pub(crate) launcher: Launcher,
    pub(crate) commands: Commands,
    pub(crate) mailbox: Mailbox,
    pub(crate) roster: Arc<Roster>,
}

/// The thread that supervises. Dropped, it ends every worker and waits until they are gone.
pub(crate) struct Supervisor {
    office: Office,
    runtime: runtime::Handle,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    pub(crate) fn start(office: Office) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (handle, stop) = (runtime.handle().clone(), Arc::new(Notify::new()));
        let (roster, stopping) = (office.roster.clone(), stop.clone());
        let thread = thread::Builder::new().name("cloison-supervisor".into()).spawn(move || {
            runtime.block_on(async {
                stopping.notified().await;
                roster.stop_all().await;
            });
        })?;
        Ok(Self { office, runtime: handle, stop, thread: Some(thread) })
    }

    /// Starts the worker of a role; the answer comes when it is confined and ready, or when it could not be started.
    pub(crate) fn spawn(&self, spec: WorkerSpec) -> oneshot::Receiver<Result<(), SpawnError>> {
        let (done, started) = oneshot::channel();
        match self.office.roster.enlist(&spec) {
            Ok(desk) => drop(self.runtime.spawn(tend::tend(self.office.clone(), spec, desk, done))),
            Err(error) => drop(done.send(Err(error))),
        }
        started
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.office.launcher.stop();
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed; whoever drops the broker can do nothing more about it.
            let _ = thread.join();
        }
    }
}
