//! The driver's side: who is to record how much, and how much of it is taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloison_msg::trace::{Mark, TraceLevel};
use cloison_msg::{Header, Key, Name, Text, Time};

use super::host_mark;
use super::voice::Allowance;
use super::{BYTES_WAITING_MAX, Cause, Entry, HOST_WAITING_MAX, Hub, TRACE_BYTES_PER_SECOND, TraceOrder, TraceProcess};

/// What the driver keeps of tracing.
pub(crate) struct Intake {
    hub: Arc<Hub>,
    /// How much everybody is to record, but for those who are named.
    level: TraceLevel,
    levels: BTreeMap<Name, TraceLevel>,
    workers: BTreeMap<Key, Worker>,
    /// What the scribe gets when the driver has come round. Thus what came over several sockets at a time is there at a
    /// time, and can be put in order.
    entries: Vec<Entry>,
}

struct Worker {
    process: Arc<TraceProcess>,
    bytes: Allowance,
}

impl Intake {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        let (levels, workers) = (BTreeMap::new(), BTreeMap::new());
        Self { hub, level: TraceLevel::Off, levels, workers, entries: Vec::new() }
    }

    /// A worker was started: how much it is to record.
    pub(crate) fn seated(&mut self, port: Key, role: Name, pid: u32, now: Time) -> TraceLevel {
        let level = self.level_of(&role);
        let process = TraceProcess::new(role, pid, port);
        self.workers.insert(port, Worker { process, bytes: Allowance::new(TRACE_BYTES_PER_SECOND, now) });
        level
    }

    /// The host wants more, or less, to be recorded: who is to be told how much.
    pub(crate) fn order(&mut self, order: TraceOrder) -> Vec<(Key, TraceLevel)> {
        match order.role {
            Some(role) => drop(self.levels.insert(role, order.level)),
            None => {
                self.level = order.level;
                self.levels.clear();
            }
        }
        self.workers.iter().map(|(&port, worker)| (port, self.level_of(&worker.process.role))).collect()
    }

    fn level_of(&self, role: &Name) -> TraceLevel {
        self.levels.get(role).copied().unwrap_or(self.level)
    }

    /// A worker has sent records.
    pub(crate) fn take(&mut self, port: Key, records: Vec<u8>, at: Time) {
        let Some(worker) = self.workers.get_mut(&port).filter(|_| self.hub.is_on()) else { return };
        let (bytes, from) = (records.len(), worker.process.clone());
        let waiting = from.waiting.load(Ordering::Relaxed);
        if waiting + bytes > BYTES_WAITING_MAX || !worker.bytes.spend(bytes as u64, at) {
            // One word of it is enough until the count was read.
            if from.unread.fetch_add(1, Ordering::Relaxed) == 0 {
                self.entries.push(Entry::Unread);
            }
            return;
        }
        from.waiting.fetch_add(bytes, Ordering::Relaxed);
        self.entries.push(Entry::Batch { from, records, at });
    }

    /// A worker is dead.
    pub(crate) fn gone(&mut self, port: Key) {
        if let Some(Worker { process, .. }) = self.workers.remove(&port)
            && self.hub.was_on()
        {
            self.entries.push(Entry::Gone { from: process });
        }
    }

    /// The host sends a message, which it has been waiting to send; a call ends by `until`.
    pub(crate) fn host_sent(&mut self, header: &Header, parties: (&Name, &Name), cause: Cause, until: Time, at: Time) {
        if let Some(mark) = self.host_mark(header, parties) {
            self.entries.push(Entry::Sent { at, mark, cause, until });
        }
    }

    /// The host takes a message in.
    pub(crate) fn host_taken(&mut self, header: &Header, parties: (&Name, &Name), at: Time) {
        if let Some(mark) = self.host_mark(header, parties) {
            self.entries.push(Entry::Taken { at, mark });
        }
    }

    fn host_mark(&self, header: &Header, parties: (&Name, &Name)) -> Option<Mark<Text>> {
        let waiting = &self.hub.host_waiting;
        let is_welcome = self.hub.is_on() && waiting.load(Ordering::Relaxed) < HOST_WAITING_MAX;
        let mark = is_welcome.then(|| host_mark(header, parties)).flatten();
        waiting.fetch_add(usize::from(mark.is_some()), Ordering::Relaxed);
        mark
    }

    /// The driver has come round.
    pub(crate) fn hand_over(&mut self) {
        if !self.entries.is_empty() {
            self.hub.give_all(&mut self.entries);
        }
    }
}
