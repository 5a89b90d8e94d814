//! What workers record of themselves, shown to the host: through `tracing`, beneath the calls that caused it, and as it came
//! to whoever wants to write it down.
//!
//! The driver hands batches of records on unread, within what one worker may say in a second ([`intake`]). A thread that is
//! there only once something is traced ([`scribe`]) reads them, in the order of their moments, and speaks to the host's
//! subscriber; so a slow subscriber holds up nobody, and who floods loses its own records. What was dropped is counted, and
//! told. Nothing is decided by what a record says: a worker can lie about itself, and to no more effect than that.

mod chains;
mod emit;
mod intake;
mod scribe;
#[cfg(test)]
mod tests;
mod voice;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloison_msg::trace::{Mark, Record, TraceLevel};
use cloison_msg::{Header, Key, Name, RpcIndex, Text, Time};
use tracing::{Dispatch, Span};

pub(crate) use intake::Intake;
pub(crate) use scribe::Scribe;

/// Most bytes of one worker's records that are read in a second, on average; a quarter of that at once.
pub const TRACE_BYTES_PER_SECOND: u64 = 4 << 20;

/// Most records of one worker that are read in a second, on average; a quarter of that at once.
pub const TRACE_RECORDS_PER_SECOND: u64 = 100_000;

/// Most bytes of one worker's records that wait to be read.
const BYTES_WAITING_MAX: usize = 1 << 20;

/// Most messages of the host's own that wait to be recorded.
const HOST_WAITING_MAX: usize = 16 << 10;

/// One process that records something.
#[derive(Debug)]
pub struct TraceProcess {
    /// Its role; [`HOST`](crate::HOST) is the host itself.
    pub role: Name,
    /// Its number.
    pub pid: u32,
    port: Key,
    /// Bytes of its records that wait to be read.
    waiting: AtomicUsize,
    /// How many batches of its records nobody will read.
    unread: AtomicU64,
}

/// A record as it came, for whoever writes it down.
#[derive(Clone, Debug)]
pub struct TraceRecord {
    /// Whose it is.
    pub process: Arc<TraceProcess>,
    /// What it says. Of a worker it is that worker's word; its texts are harmless to a terminal, and its moment does not lie
    /// in the future, nor before that of the record before.
    pub record: Record<Text>,
}

/// Where records go.
pub(crate) type Sink = Box<dyn FnMut(TraceRecord) + Send>;

/// How much is to be recorded.
#[derive(Debug)]
pub(crate) struct TraceOrder {
    /// By whom; everybody, if nobody is named.
    pub(crate) role: Option<Name>,
    pub(crate) level: TraceLevel,
}

/// What the scribe is told.
pub(super) enum Entry {
    /// Records, as they came.
    Batch { from: Arc<TraceProcess>, records: Vec<u8>, at: Time },
    /// Batches of some worker's are dropped; how many, it counts itself.
    Unread,
    /// The worker is dead, and all that it had sent was handed on.
    Gone { from: Arc<TraceProcess> },
    /// The host sends a message of its own, in this span.
    Sent { at: Time, mark: Mark<Text>, cause: Cause, until: Time },
    /// The host takes a message in.
    Taken { at: Time, mark: Mark<Text> },
    /// Records go there, too.
    Sink(Sink),
    /// The host's subscriber.
    Subscriber(Dispatch),
}

/// Between those who have something to record and the scribe.
#[derive(Default)]
pub(crate) struct Hub {
    is_on: AtomicBool,
    /// Whether anything ever was: then there is somebody who reads what is given.
    was_on: AtomicBool,
    queue: Mutex<Queue>,
    bell: Condvar,
    /// How many messages of the host's own wait to be recorded.
    host_waiting: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    entries: Vec<Entry>,
    is_stopped: bool,
}

impl Hub {
    /// Whether anything is recorded.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    pub(crate) fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::Relaxed);
        self.was_on.fetch_or(is_on, Ordering::Relaxed);
    }

    fn was_on(&self) -> bool {
        self.was_on.load(Ordering::Relaxed)
    }

    /// The call of this method of `peer`'s that is being made at this place of the host's code.
    pub(crate) fn cause(&self, peer: &Name, rpc: RpcIndex) -> Cause {
        if !self.is_on() {
            return Cause::default();
        }
        let call = emit::call(peer, rpc);
        Cause(Some(if call.is_disabled() { Span::current() } else { call }))
    }

    fn give(&self, entry: Entry) {
        self.give_all(&mut vec![entry]);
    }

    fn give_all(&self, entries: &mut Vec<Entry>) {
        self.queue().entries.append(entries);
        self.bell.notify_one();
    }

    /// Takes what there is; waits for it, but no longer than `within`. Whether this was the last.
    fn take(&self, within: Option<Duration>, into: &mut Vec<Entry>) -> bool {
        let nothing = |queue: &mut Queue| queue.entries.is_empty() && !queue.is_stopped;
        let queue = self.queue();
        let mut queue = match within {
            None => self.bell.wait_while(queue, nothing).unwrap_or_else(PoisonError::into_inner),
            Some(within) => {
                self.bell.wait_timeout_while(queue, within, nothing).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        into.append(&mut queue.entries);
        queue.is_stopped
    }

    fn stop(&self) {
        self.queue().is_stopped = true;
        self.bell.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The span in which the host sends something, if that is of interest.
#[derive(Debug, Default)]
pub(crate) struct Cause(Option<Span>);

impl TraceProcess {
    fn new(role: Name, pid: u32, port: Key) -> Arc<Self> {
        Arc::new(Self { role, pid, port, waiting: AtomicUsize::new(0), unread: AtomicU64::new(0) })
    }
}

/// The mark of a message of the host's own, to or from that peer by that interface.
fn host_mark(header: &Header, (peer, interface): (&Name, &Name)) -> Option<Mark<Text>> {
    Mark::of(header, Text::new(peer.as_str()), Text::new(interface.as_str()))
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}
