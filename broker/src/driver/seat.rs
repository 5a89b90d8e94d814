//! One worker's socket, and what waits to go through it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use cloison_ipc::{Passed, ProcessIpc, RecvError, SendError};
use cloison_msg::Time;

use super::now;

/// Most bytes that wait for one worker outside its socket. What its links' windows and its own open calls can fill
/// stays below; whoever exceeds it asks for answers that it does not read.
pub const BACKLOG_MAX: usize = 32 * 1024 * 1024;

/// From how many bytes on that wait for one worker it is crowded: nobody opens links to it until it has caught up.
const CROWD_BYTES: usize = BACKLOG_MAX / 4;

/// From how many descriptors on that wait for one worker it is crowded. Each is one of the host's until then.
const CROWD_DESCRIPTORS: usize = 64;

/// Most descriptors that wait for one worker outside its socket: whoever exceeds it asks for pools or links of which it
/// does not take the descriptors.
const DESCRIPTORS_WAITING: usize = 4 * CROWD_DESCRIPTORS;

/// Most packets that are taken from one worker before the next one has its turn.
const PACKETS_PER_TURN: usize = 32;

/// A worker's socket.
pub(super) struct Seat {
    ipc: ProcessIpc,
    backlog: VecDeque<Parcel>,
    backlog_bytes: usize,
    backlog_descriptors: usize,
    /// Whether it was too much that waited, and has not all gone since.
    crowded: bool,
    /// How many packets may be taken from it in its turn, and when that was last asked.
    allowance: (usize, u64),
    /// Whether the loop is told when the socket has room again.
    pub(super) wants_room: bool,
    /// When to try again what failed for want of something that no socket reports.
    retry_at: Option<Time>,
}

/// How long to wait before trying again what the system has no memory for, or too many descriptors of this user's under way.
const RETRY_AFTER: Duration = Duration::from_millis(5);

/// A message that did not fit into the socket yet.
struct Parcel {
    bytes: Vec<u8>,
    descriptors: Vec<Passed>,
}

impl Parcel {
    /// What it costs to keep it.
    const fn cost(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}

/// What became of a message.
pub(super) enum Sent {
    /// It is in the socket, or waits its turn.
    Accepted,
    /// [`BACKLOG_MAX`], or the descriptors' own limit, is exceeded.
    Overflow,
}

impl Seat {
    pub(super) const fn new(ipc: ProcessIpc) -> Self {
<<<<<<< HEAD
        Self {
            ipc,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            backlog_descriptors: 0,
            crowded: false,
            allowance: (1, 0),
            wants_room: false,
        }
=======
        Self { ipc, backlog: VecDeque::new(), backlog_bytes: 0, allowance: (1, 0), wants_room: false, retry_at: None }
>>>>>>> main
    }

    /// How many packets may be taken in this turn: one from a worker that was quiet, since a look for a second would
    /// find nothing and cost as much as the packet; twice as many each time from one that is ready turn after turn.
    pub(super) fn allowance(&mut self, turn: u64) -> usize {
        let (last, when) = self.allowance;
        let now = if when + 1 == turn { (last * 2).min(PACKETS_PER_TURN) } else { 1 };
        self.allowance = (now, turn);
        now
    }

    /// Sends a message, or keeps it until the socket has room. Never waits. A worker that is gone takes nothing: its
    /// death is reported elsewhere.
    pub(super) fn send(&mut self, bytes: &[u8], descriptors: &mut Vec<Passed>) -> Sent {
        if self.backlog.is_empty() && self.pass(bytes, descriptors) {
            descriptors.clear();
            return Sent::Accepted;
        }
<<<<<<< HEAD
        self.backlog_bytes += bytes.len();
        self.backlog_descriptors += descriptors.len();
        self.backlog.push_back(Parcel { bytes: bytes.to_vec(), descriptors: std::mem::take(descriptors) });
        self.crowded |= self.backlog_bytes >= CROWD_BYTES || self.backlog_descriptors >= CROWD_DESCRIPTORS;
        let overflows = self.backlog_bytes > BACKLOG_MAX || self.backlog_descriptors > DESCRIPTORS_WAITING;
        if overflows { Sent::Overflow } else { Sent::Accepted }
=======
        let parcel = Parcel { bytes: bytes.to_vec(), descriptors: std::mem::take(descriptors) };
        self.backlog_bytes += parcel.cost();
        self.backlog.push_back(parcel);
        if self.backlog_bytes > BACKLOG_MAX { Sent::Overflow } else { Sent::Accepted }
>>>>>>> main
    }

    /// The socket has room again, or it is time to try again.
    pub(super) fn flush(&mut self) {
        self.retry_at = None;
        while let Some(parcel) = self.backlog.pop_front() {
            if !self.pass(&parcel.bytes, &parcel.descriptors) {
                self.backlog.push_front(parcel);
                return;
            }
<<<<<<< HEAD
            self.backlog_bytes -= parcel.bytes.len();
            self.backlog_descriptors -= parcel.descriptors.len();
=======
            self.backlog_bytes -= parcel.cost();
>>>>>>> main
        }
        self.crowded = false;
    }

    /// Whether so much waits that nobody should cause more.
    pub(super) const fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// It was condemned: nothing that waits for it will go.
    pub(super) fn discard_backlog(&mut self) {
        self.backlog.clear();
        (self.backlog_bytes, self.backlog_descriptors) = (0, 0);
    }

    /// Whether something waits for room in the socket.
    pub(super) fn waits_for_room(&self) -> bool {
        !self.backlog.is_empty() && self.retry_at.is_none()
    }

    /// When to [`flush`](Self::flush) although the socket has room all the time.
    pub(super) const fn retry_at(&self) -> Option<Time> {
        self.retry_at
    }

    /// Whether the message needs no further attention.
    fn pass(&mut self, bytes: &[u8], descriptors: &[Passed]) -> bool {
        let sent = match descriptors {
            [] => self.ipc.try_send(bytes, &[]),
            some => self.ipc.try_send(bytes, &some.iter().map(AsFd::as_fd).collect::<Vec<_>>()),
        };
        match sent {
            Err(SendError::WouldBlock) => false,
            Err(SendError::TooManyInFlight | SendError::System(_)) => {
                self.retry_at = Some(now().after(RETRY_AFTER));
                false
            }
            _ => true,
        }
    }

    /// Nobody can send anything more. What is queued can still be received.
    pub(super) fn shut(&self) {
        if let Err(error) = self.ipc.shutdown() {
            tracing::warn!(%error, "shutdown of a dead worker's socket");
        }
    }

    /// One packet, if there is one.
    pub(super) fn receive(&self, buffer: &mut [u8], descriptors: &mut Vec<Passed>) -> Result<usize, RecvError> {
        self.ipc.try_recv(buffer, descriptors)
    }
}

impl AsFd for Seat {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ipc.as_fd()
    }
}
