//! Who works here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloison_msg::{Key, Name, Text};
use cloison_sandbox::{Learned, Report, Usage, Violations};
use tokio::sync::mpsc;

use super::restart::{Killers, Quarantined};
use super::{SpawnError, WorkerSpec};
use crate::router::{Traffic, Violation};

/// What a worker's task is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// It broke the protocol: kill it.
    Evict(Violation),
    /// Its socket is at its end.
    HungUp,
    /// The host wants it killed; its restart budget pays.
    Kill(Text),
    /// The host wants it frozen, for a test of how it copes.
    Freeze,
    /// It has done something useful.
    Progress,
    /// End it, and do not start it again.
    Stop,
}

/// What a worker does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerState {
    /// It is being started.
    #[default]
    Starting,
    /// It runs.
    Running,
    /// It died, and is about to be started again.
    Restarting,
    /// It ended for good.
    Ended,
}

/// One worker, as the host sees it.
#[derive(Clone, Debug)]
pub struct WorkerStatus {
    /// Its role.
    pub role: Name,
    /// What it does at the moment.
    pub state: WorkerState,
    /// Its process; the last one, if it runs no more.
    pub pid: Option<u32>,
    /// The layers really in force, as far as they are known.
    pub report: Option<Arc<Report>>,
    /// How often it was started again.
    pub restarts: u32,
    /// What it sent through the broker, all its processes together.
    pub relayed: Traffic,
    /// What it says it sent over direct links.
    pub direct: Traffic,
    /// CPU time of all its processes together, and the highest peak of memory of any.
    pub usage: Usage,
    /// The forbidden calls of its present process, or of the last one if it runs no more. They appear within the fifth of a
    /// second in which a worker's use is looked at.
    pub violations: Violations,
    /// What it was seen to need, if its profile is a learning one; all its processes together.
    pub learned: Learned,
}

/// What the roster keeps about one worker.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) status: WorkerStatus,
    pub(super) port: Option<Key>,
    pub(super) input: Option<u64>,
    /// Relayed traffic and usage of processes that are gone.
    past: (Traffic, Usage),
    orders: mpsc::UnboundedSender<Order>,
}

/// Everybody who works, or has worked, for one broker.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    records: Mutex<BTreeMap<Name, Record>>,
    killers: Mutex<Killers>,
}

impl Roster {
    /// Takes a worker on.
    pub(crate) fn enlist(&self, spec: &WorkerSpec) -> Result<mpsc::UnboundedReceiver<Order>, SpawnError> {
        let mut records = self.records();
        if records.get(&spec.role).is_some_and(|record| record.status.state != WorkerState::Ended) {
            return Err(SpawnError::Taken(spec.role.clone()));
        }
        let (orders, desk) = mpsc::unbounded_channel();
        let status = WorkerStatus {
            role: spec.role.clone(),
            state: WorkerState::Starting,
            pid: None,
            report: None,
            restarts: 0,
            relayed: Traffic::default(),
            direct: Traffic::default(),
            usage: Usage::default(),
            violations: Violations::default(),
            learned: Learned::default(),
        };
        let record = Record { status, port: None, input: None, past: Default::default(), orders };
        records.insert(spec.role.clone(), record);
        Ok(desk)
    }

    /// Changes what is kept about a worker.
    pub(super) fn update<T>(&self, role: &Name, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        self.records().get_mut(role).map(change)
    }

    /// Tells a worker's task something; false if there is no such worker.
    pub(crate) fn order(&self, role: &str, order: Order) -> bool {
        self.records().get(role).is_some_and(|record| record.orders.send(order).is_ok())
    }

    /// The status of everybody.
    pub(crate) fn statuses(&self) -> Vec<WorkerStatus> {
        self.records().values().map(|record| record.status.clone()).collect()
    }

    /// The host gives a worker an input.
    pub(crate) fn begin(&self, role: &str, input: u64) -> Result<(), Quarantined> {
        self.killers().check(input)?;
        if let Some(record) = self.records().get_mut(role) {
            record.input = Some(input);
        }
        Ok(())
    }

    /// A worker died; the input it worked on, if that one is quarantined from now on. Its successor works on nothing
    /// until the host gives it something.
    pub(super) fn blame(&self, role: &Name) -> Option<u64> {
        let input = self.update(role, |record| record.input.take()).flatten()?;
        self.killers().note(input).then_some(input)
    }

    /// Ends everybody, and returns when all are gone.
    pub(super) async fn stop_all(&self) {
        let orders: Vec<_> = self.records().values().map(|record| record.orders.clone()).collect();
        for orders in &orders {
            // A task that has ended has nobody left to stop.
            let _ = orders.send(Order::Stop);
        }
        for orders in orders {
            orders.closed().await;
        }
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<Name, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn killers(&self) -> MutexGuard<'_, Killers> {
        self.killers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// A process of this worker is gone.
    pub(super) fn bury(&mut self, usage: Usage) {
        self.port = None;
        self.past.0 = self.status.relayed;
        self.past.1 = together(self.past.1, usage);
        self.status.usage = self.past.1;
    }

    /// What the present process has used so far.
    pub(super) fn note_usage(&mut self, usage: Usage) {
        self.status.usage = together(self.past.1, usage);
    }
}

/// The usage of two processes, one after the other.
fn together(past: Usage, now: Usage) -> Usage {
    Usage { cpu: past.cpu + now.cpu, peak_memory: past.peak_memory.max(now.peak_memory) }
}

/// What the driver tells the supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    roster: Arc<Roster>,
}

impl Notices {
    pub(crate) const fn new(roster: Arc<Roster>) -> Self {
        Self { roster }
    }

    /// The process that plays `role` from now on is the one at `port`. Said before anything is heard from it, so that
    /// nothing it does can come too early to be held against it.
    pub(crate) fn seated(&self, role: &Name, port: Key) {
        self.roster.update(role, |record| record.port = Some(port));
    }

    /// The worker at `port` broke the protocol.
    pub(crate) fn evict(&self, port: Key, violation: Violation) {
        self.order(port, Order::Evict(violation));
    }

    /// The socket of the worker at `port` is at its end.
    pub(crate) fn hung_up(&self, port: Key) {
        self.order(port, Order::HungUp);
    }

    /// What the process at `port` has sent through the broker so far.
    pub(crate) fn relayed(&self, port: Key, traffic: Traffic) {
        self.with(port, |record| record.status.relayed = record.past.0.plus(traffic));
    }

    /// What the process at `port` says it sent over direct links.
    pub(crate) fn counted(&self, port: Key, traffic: Traffic) {
        self.with(port, |record| record.status.direct = traffic);
    }

    fn order(&self, port: Key, order: Order) {
        self.with(port, |record| drop(record.orders.send(order)));
    }

    fn with(&self, port: Key, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.roster.records().values_mut().find(|record| record.port == Some(port)) {
            change(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The supervisor may learn of the port long after the driver has heard the worker's first, and last, word.
    #[test]
    fn what_a_worker_does_at_once_is_held_against_it_and_not_against_its_successor() {
        let roster = Arc::new(Roster::default());
        let spec = WorkerSpec::own("w").unwrap();
        let mut orders = roster.enlist(&spec).unwrap();
        let notices = Notices::new(roster.clone());
        let [first, second] = [1, 2].map(|generation| Key { index: 1, generation });
        notices.seated(&spec.role, first);
        notices.evict(first, Violation::Hello);
        assert!(matches!(orders.try_recv(), Ok(Order::Evict(Violation::Hello))));
        roster.update(&spec.role, |record| record.bury(Usage::default()));
        notices.hung_up(first);
        notices.seated(&spec.role, second);
        notices.evict(first, Violation::Hello);
        assert!(orders.try_recv().is_err(), "the dead worker's sins are not its successor's");
    }
}
