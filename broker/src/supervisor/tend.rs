//! The life of one worker: started, watched, ended, started again.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use cloison_ipc::ProcessIpc;
use cloison_msg::{Gone, Key, Text};
use cloison_sandbox::{Child, Exit, Launch, LaunchError, Signal, Usage, Violations};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout_at};

use super::death::{Death, SpawnError, WorkerEvent};
use super::restart::Budget;
use super::words::LastWords;
use super::{Office, Order, WorkerSpec, WorkerState, incident};
use crate::broker::{DESCRIPTORS_HEADROOM, DESCRIPTORS_PER_WORKER, check_descriptors};
use crate::driver::Command;
use crate::host::Item;

/// How long a worker whose socket is at its end may take to exit.
const HANG_UP_GRACE: Duration = Duration::from_millis(500);

/// How long the last lines of a dead worker may take to arrive.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(100);

/// How often the CPU time and memory of a worker are read, for whoever asks.
const USAGE_EVERY: Duration = Duration::from_millis(200);

type Orders = mpsc::UnboundedReceiver<Order>;

/// A worker that runs.
struct Running {
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
    port: Key,
    words: LastWords,
    listening: Vec<JoinHandle<()>>,
    /// Those that the host was told of.
    violations: Violations,
}

/// What is said of a dead worker.
struct Obituary {
    death: Death,
    during: Option<String>,
    last_words: Vec<Text>,
}

/// How a worker's process came to its end.
enum End {
    /// It is to be stopped, and not to be started again.
    Stopped,
    Died(Death),
}

/// Keeps the worker of one role alive until it is stopped or its budget is spent.
pub(super) async fn tend(
    office: Office,
    spec: WorkerSpec,
    mut orders: Orders,
    started: oneshot::Sender<Result<(), SpawnError>>,
) {
    office.commands.give(Command::Declare { role: spec.role.clone() });
    let first = start(&office, &spec).await;
    let mut running = match first {
        Ok(running) => {
            let _ = started.send(Ok(()));
            running
        }
        Err(error) => {
            retire(&office, &spec, Gone::Crashed(Text::new(&error.to_string())));
            let _ = started.send(Err(error));
            return;
        }
    };
    let mut budget = Budget::new(spec.restarts);
    loop {
        if budget.is_spent() {
            office.commands.give(Command::LastLife { port: running.port, is_last: true });
        }
        let end = watch(&office, &spec, &mut running, &mut orders, &mut budget).await;
        let port = running.port;
        let during = incident::busy_with(&office, port, &running.child).await;
        let last_words = last_words(running).await;
        let death = match end {
            End::Stopped => {
                office.commands.give(Command::Died { port, why: Gone::Closed });
                return retire(&office, &spec, Gone::Closed);
            }
            End::Died(death) => death,
        };
        office.commands.give(Command::Died { port, why: death.as_gone() });
        let obituary = Obituary { death, during, last_words };
        match revive(&office, &spec, &mut orders, &mut budget, obituary).await {
            Some(again) => running = again,
            None => return,
        }
    }
}

/// After a death: reports it, waits, and starts the worker again, as often as the budget allows.
async fn revive(
    office: &Office,
    spec: &WorkerSpec,
    orders: &mut Orders,
    budget: &mut Budget,
    mut obituary: Obituary,
) -> Option<Running> {
    loop {
        let Obituary { death, during, last_words } = obituary;
        let role = spec.role.clone();
        tracing::warn!(%role, %death, during, "worker died");
        tell(office, WorkerEvent::Died { role: role.clone(), death: death.clone(), during, last_words });
        if let Some(input) = office.roster.blame(&role) {
            tell(office, WorkerEvent::Quarantined { role: role.clone(), input });
        }
        let Some(pause) = budget.spend() else {
            retire(office, spec, death.as_gone());
            tell(office, WorkerEvent::GivenUp { role, deaths: budget.deaths(), death });
            return None;
        };
        let (attempt, most) = (budget.deaths(), budget.most());
        tell(office, WorkerEvent::Restarting { role: role.clone(), attempt, most, pause });
        if stopped_within(orders, budget, pause).await {
            retire(office, spec, Gone::Closed);
            return None;
        }
        office.roster.update(&role, |record| record.status.restarts += 1);
        match start(office, spec).await {
            Ok(running) => return Some(running),
            Err(error) => {
                let death = Death::NotStarted(Text::new(&error.to_string()));
                obituary = Obituary { death, during: None, last_words: Vec::new() };
            }
        }
    }
}

/// Waits for a pause to pass; whether the worker is not wanted any more. Other orders are about the dead process and
/// stale, but for one: what it achieved it has achieved, also when the host finds out only now.
async fn stopped_within(orders: &mut Orders, budget: &mut Budget, pause: Duration) -> bool {
    let stopped = async {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Stop => return,
                Order::Progress => budget.reset(),
                Order::Evict(_) | Order::HungUp | Order::Kill(_) | Order::Freeze => {}
            }
        }
    };
    tokio::select! {
        () = stopped => true,
        () = sleep(pause) => false,
    }
}

async fn start(office: &Office, spec: &WorkerSpec) -> Result<Running, SpawnError> {
    office.roster.update(&spec.role, |record| record.status.state = WorkerState::Starting);
    let role = || spec.role.clone();
    check_descriptors(DESCRIPTORS_PER_WORKER + DESCRIPTORS_HEADROOM)
        .map_err(|why| SpawnError::Descriptors { role: role(), why })?;
    let socket = |why: io::Error| SpawnError::Socket { role: role(), why };
    let (ours, theirs) = ProcessIpc::pair().map_err(socket)?;
    let mut child = launch(office, spec, theirs.into()).await?;
    let words = LastWords::default();
    let outputs = [child.take_stdout(), child.take_stderr()].into_iter().flatten();
    let listening = outputs.map(|output| tokio::spawn(words.clone().listen(spec.role.clone(), output))).collect();
    let pidfd = child.pidfd().try_clone_to_owned().map_err(socket)?;
    let pidfd = watch_pidfd(pidfd).map_err(socket)?;
    let pid = child.pid();
    let port = seat(office, spec, pid, ours).await?;
    let report = Arc::new(child.report().clone());
    office.roster.update(&spec.role, |record| {
        record.status.state = WorkerState::Running;
        record.status.pid = Some(pid);
        record.status.report = Some(report);
        record.status.violations = Violations::default();
    });
    tracing::info!(role = %spec.role, pid, "worker started");
    tell(office, WorkerEvent::Started { role: spec.role.clone(), pid });
    Ok(Running { child, pidfd, port, words, listening, violations: Violations::default() })
}

#[expect(
    deprecated,
    reason = "deprecated for types that may change their descriptor; an OwnedFd never does, and the \
                                successor is unsafe, which has no place here"
)]
fn watch_pidfd(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

/// Launching waits for the worker's confinement, so it has a thread to wait on.
async fn launch(office: &Office, spec: &WorkerSpec, channel: OwnedFd) -> Result<Child, SpawnError> {
    let launch = Launch {
        program: spec.program.clone(),
        name: spec.role.to_string(),
        profile: spec.profile.clone(),
        least: spec.least,
        ready_within: spec.ready_within,
        most: spec.most,
    };
    let launcher = office.launcher.clone();
    let launched = tokio::task::spawn_blocking(move || launcher.launch(launch, channel)).await;
    let launched = launched.map_err(|_| SpawnError::BrokerEnded)?;
    launched.map_err(|why| match why {
        LaunchError::Stopped => SpawnError::BrokerEnded,
        why => SpawnError::Launch { role: spec.role.clone(), why },
    })
}

async fn seat(office: &Office, spec: &WorkerSpec, pid: u32, ipc: ProcessIpc) -> Result<Key, SpawnError> {
    let (port, seated) = oneshot::channel();
    office.commands.give(Command::Seat { role: spec.role.clone(), pid, ipc, port });
    seated.await.map_err(|_| SpawnError::BrokerEnded)
}

/// Until the process is dead and reaped.
async fn watch(
    office: &Office,
    spec: &WorkerSpec,
    running: &mut Running,
    orders: &mut Orders,
    budget: &mut Budget,
) -> End {
    let mut because = None;
    // Its socket is at its end: usually it is about to exit. If it does not, that is what it dies of.
    let mut hung_up = None;
    let mut usage = interval(USAGE_EVERY);
    usage.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = running.pidfd.readable() => break,
            () = passing(hung_up) => because = because.or(Some(End::Died(Death::HungUp))),
            _ = usage.tick() => {
                note_usage(office, spec, running);
                note_violations(office, spec, running).await;
            }
            order = orders.recv() => match order {
                Some(Order::Progress) => {
                    budget.reset();
                    office.commands.give(Command::LastLife { port: running.port, is_last: budget.is_spent() });
                }
                Some(Order::Freeze) => freeze(running),
                Some(Order::HungUp) => hung_up = hung_up.or(Some(Instant::now() + HANG_UP_GRACE)),
                Some(Order::Evict(violation)) => because = because.or(Some(End::Died(Death::Evicted(violation)))),
                Some(Order::Kill(why)) => because = because.or(Some(End::Died(Death::ByHost(why)))),
                Some(Order::Stop) | None => because = Some(End::Stopped),
            },
        }
        if because.is_some() {
            hung_up = None;
            note_usage(office, spec, running);
            running.child.kill();
        }
    }
    let exit = reap(office, spec, running).await;
    because.unwrap_or(End::Died(Death::Itself(exit)))
}

/// The passing of a moment; of none, never.
async fn passing(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// What a dead worker printed last: its pipes end with it, so there is little to wait for; unless it has handed one to
/// another worker, whose words are not to be taken for its own.
async fn last_words(running: Running) -> Vec<Text> {
    let Running { words, listening, child, .. } = running;
    drop(child);
    let until = Instant::now() + LAST_WORDS_WITHIN;
    for mut output in listening {
        if timeout_at(until, &mut output).await.is_err() {
            output.abort();
        }
    }
    words.take()
}

fn freeze(running: &Running) {
    if let Err(error) = running.child.signal(Signal::STOP) {
        tracing::warn!(%error, "SIGSTOP");
    }
}

fn note_usage(office: &Office, spec: &WorkerSpec, running: &Running) {
    if let Some(usage) = running.child.usage_now() {
        office.roster.update(&spec.role, |record| record.note_usage(usage));
    }
}

/// Tells of the forbidden calls that came since the last look.
async fn note_violations(office: &Office, spec: &WorkerSpec, running: &mut Running) {
    let known = running.violations.calls().len();
    let violations = incident::violations(office, running.port, &running.child, &running.violations).await;
    for violation in &violations.calls()[known..] {
        tracing::warn!(target: "cloison::audit", role = %spec.role, %violation, "forbidden call");
    }
    office.roster.update(&spec.role, |record| record.status.violations.clone_from(&violations));
    running.violations = violations;
}

async fn reap(office: &Office, spec: &WorkerSpec, running: &mut Running) -> Exit {
    // The pidfd has said that it is dead, so there is nothing to wait for.
    let (exit, usage) = match running.child.try_wait() {
        Ok(Some(ended)) => (ended.exit, ended.usage),
        Ok(None) | Err(_) => (Exit::Lost, Usage::default()),
    };
    note_violations(office, spec, running).await;
    let learned = running.child.learned();
    office.roster.update(&spec.role, |record| {
        record.bury(usage);
        record.status.learned.extend(&learned);
        record.status.state = WorkerState::Restarting;
    });
    incident::explain(exit, &running.violations)
}

fn retire(office: &Office, spec: &WorkerSpec, why: Gone) {
    office.roster.update(&spec.role, |record| record.status.state = WorkerState::Ended);
    office.commands.give(Command::Retire { role: spec.role.clone(), why });
}

fn tell(office: &Office, event: WorkerEvent) {
    office.mailbox.put(Item::Worker(event));
}
