//! The broker: what a host embeds.

mod change;
mod links;
mod size;
mod trace;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use cloison_msg::{Interface, Name, Refusal, Text};
use cloison_sandbox::Launcher;
use tokio::sync::oneshot;

use crate::driver::{Command, Commands, DriverThread};
use crate::host::{CALL_DEADLINE, HostLink, Inbox, Objects, OpenError};
use crate::policy::{Model, Policy};
use crate::supervisor::{
    Notices, Office, Order, Quarantined, Roster, SpawnError, Supervisor, WorkerSpec, WorkerState, WorkerStatus,
};
use crate::trace::Scribe;
use crate::wait::{wait, wait_for};

pub use change::Change;
pub use links::LinkHandle;
pub(crate) use size::check_descriptors;
pub use size::{
    DESCRIPTORS_HEADROOM, DESCRIPTORS_PER_BROKER, DESCRIPTORS_PER_DIRECT_LINK, DESCRIPTORS_PER_WORKER, Size,
    StartError, TooFewDescriptors,
};

/// How long [`Broker::workers`] waits for workers to say what they sent directly.
const COUNT_WITHIN: Duration = Duration::from_millis(50);

/// The trusted side: spawns workers, decides who may talk to whom, routes, and supervises.
///
/// It has threads of its own (one that routes, one that supervises, one that spawns) and installs no signal handler and
/// no global; a host may hold several. Dropped, it ends every worker and returns when all are gone.
///
/// | you want to | use |
/// |---|---|
/// | start a worker | [`spawn`](Self::spawn), [`spawn_async`](Self::spawn_async) |
/// | call a worker | [`open`](Self::open), then [`HostLink::call`] or [`HostLink::start`] |
/// | hear from workers | the [`Inbox`] |
/// | give a worker an object to call | the `offer` of its contract's client; [`objects`](Self::objects) |
/// | know what runs, and how confined | [`workers`](Self::workers) |
/// | know who may reach whom, and why | [`explain`](Self::explain), [`links`](Self::links) |
/// | let links run directly, or over the broker | [`set_model`](Self::set_model), [`LinkHandle::set_route`] |
/// | allow less, or more | [`set_policy`](Self::set_policy), [`LinkHandle::revoke`] |
/// | see what workers do | [`set_trace_level`](Self::set_trace_level), [`trace_to`](Self::trace_to) |
pub struct Broker {
    // The supervisor goes first: it ends the workers while the router still listens.
    supervisor: Supervisor,
    commands: Commands,
    objects: Objects,
    roster: Arc<Roster>,
    _driver: DriverThread,
    /// It goes last: it reads what the others leave behind.
    scribe: Mutex<Option<Scribe>>,
}

/// The router's thread stands still as long as this lives. Links that are direct do not notice.
#[derive(Debug)]
#[must_use = "the router goes on when this is dropped"]
pub struct Suspension {
    _hold: mpsc::SyncSender<()>,
}

impl Broker {
    /// Starts a broker with no workers yet, and the inbox of its host. Its process must be allowed the descriptors of a
    /// [`Size::default`]; see [`start_for`](Self::start_for) for a larger one.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(policy: impl Policy + 'static, model: Model) -> Result<(Self, Inbox), StartError> {
        Self::start_for(Size::default(), policy, model)
    }

    /// Starts a broker that may become so large, and makes sure that its process may have as many descriptors open. The
    /// size is no limit: whatever exceeds it is refused only when descriptors really run out. Then a worker is not
    /// started, and a link that would be direct is relayed.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start_for(size: Size, policy: impl Policy + 'static, model: Model) -> Result<(Self, Inbox), StartError> {
        if let Some(role) = cloison_sandbox::is_worker() {
            return Err(StartError::IsWorker(role));
        }
        check_descriptors(size.descriptors())?;
        let commands = Commands::new()?;
        let (mailbox, inbox) = Inbox::new(commands.clone());
        let objects = Objects::new(commands.clone(), &mailbox);
        let roster = Arc::new(Roster::default());
        let notices = Notices::new(roster.clone());
        let driver = DriverThread::start(Arc::new(policy), model, mailbox.clone(), notices, commands.clone())?;
        let launcher = Launcher::new()?;
        let office = Office { launcher, commands: commands.clone(), mailbox, roster: roster.clone() };
        Ok((
            Self {
                supervisor: Supervisor::start(office)?,
                commands,
                objects,
                roster,
                _driver: driver,
                scribe: Mutex::default(),
            },
            inbox,
        ))
    }

    /// Starts a worker, and returns when it is confined as its spec demands.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left then. A child that ended, or was not confined in time, is most often a program
    /// whose `main` does not begin with `cloison_worker::run` or `roles`.
    pub fn spawn(&self, spec: WorkerSpec) -> Result<(), SpawnError> {
        wait(self.spawn_async(spec))
    }

    /// [`spawn`](Self::spawn), to be awaited on any executor.
    ///
    /// # Errors
    /// [`SpawnError`]; no process is left then.
    pub async fn spawn_async(&self, spec: WorkerSpec) -> Result<(), SpawnError> {
        self.supervisor.spawn(spec).await.unwrap_or(Err(SpawnError::BrokerEnded))
    }

    /// A link to the worker that plays `role`, if the policy grants it to [`HOST`](crate::HOST). Waits until somebody
    /// plays the role, [`CALL_DEADLINE`] at most.
    ///
    /// # Errors
    /// [`OpenError`]; what the policy does not grant is answered as if the role did not exist.
    pub fn open(&self, role: &str, interface: &Interface) -> Result<HostLink, OpenError> {
        wait(self.open_async(role, interface))
    }

    /// [`open`](Self::open), to be awaited on any executor.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_async(&self, role: &str, interface: &Interface) -> Result<HostLink, OpenError> {
        let failed = |why| OpenError { role: role.to_owned(), why };
        let name = Name::new(role).map_err(|_| failed(Refusal::NotFound))?;
        self.commands.open(name, interface.name(), CALL_DEADLINE).await.map_err(failed)
    }

    /// What makes objects of the host's for whoever does not hold the broker itself; a contract's `offer` takes either.
    #[must_use]
    pub fn objects(&self) -> Objects {
        self.objects.clone()
    }

    /// Kills the worker that plays `role`, for a reason that is reported; it is started again within its budget. False
    /// if there is none.
    pub fn kill(&self, role: &str, why: &str) -> bool {
        self.roster.order(role, Order::Kill(Text::new(why)))
    }

    /// Stops the process that plays `role` (SIGSTOP), to see what a host makes of a worker that hangs. False if there
    /// is none.
    pub fn freeze(&self, role: &str) -> bool {
        self.roster.order(role, Order::Freeze)
    }

    /// Ends the worker that plays `role` for good. False if there is none.
    pub fn stop(&self, role: &str) -> bool {
        self.roster.order(role, Order::Stop)
    }

    /// The worker that plays `role` has done something useful: its restart budget is whole again.
    pub fn progress(&self, role: &str) {
        self.roster.order(role, Order::Progress);
    }

    /// The host is about to give the worker that plays `role` an input, which it numbers as it likes. If the worker dies
    /// of it, the number is remembered.
    ///
    /// # Errors
    /// [`Quarantined`] if the input has killed [`QUARANTINE_AFTER`](crate::QUARANTINE_AFTER) workers: do not try it again.
    pub fn begin_input(&self, role: &str, input: u64) -> Result<(), Quarantined> {
        self.roster.begin(role, input)
    }

    /// Everybody who works or has worked here, with what they sent and used so far.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStatus> {
        let (done, counted) = oneshot::channel();
        self.commands.give(Command::Count { done });
        // A worker that is busy does not answer in time; then the table shows what it said before.
        let _ = wait_for(counted, Some(COUNT_WITHIN));
        self.roster.statuses()
    }

    /// Lets the router's thread stand still, and returns when it does.
    pub fn suspend(&self) -> Suspension {
        let (hold, until) = mpsc::sync_channel(0);
        let (done, standing) = oneshot::channel();
        self.commands.give(Command::Suspend { done, until });
        let _ = wait(standing);
        Suspension { _hold: hold }
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let running = |status: &&WorkerStatus| status.state == WorkerState::Running;
        let running = self.roster.statuses().iter().filter(running).count();
        f.debug_struct("Broker").field("workers_running", &running).finish_non_exhaustive()
    }
}
