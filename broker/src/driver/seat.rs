//! One worker's socket, and what waits to go through it.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use cloison_ipc::{Passed, ProcessIpc, RecvError, SendError};
use cloison_msg::{Time, WINDOW_DESCRIPTORS};

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

/// Most descriptors that lie unread in one worker's socket: one window of one link. The kernel charges them to the user, and
/// lets nobody of that user send any while there are more than the sender itself may have open, which for a worker is a few
/// hundred. What the worker says that it has taken bounds nothing here, since it can say so without reading.
#[expect(clippy::cast_possible_truncation, reason = "a window is a small number")]
const DESCRIPTORS_IN_SOCKET: usize = WINDOW_DESCRIPTORS as usize;

/// Most packets that are taken from one worker before the next one has its turn.
const PACKETS_PER_TURN: usize = 32;

/// A worker's socket.
pub(super) struct Seat {
    ipc: ProcessIpc,
    backlog: VecDeque<Parcel>,
    backlog_bytes: usize,
    backlog_descriptors: usize,
    /// Descriptors that went into the socket since the worker was last known to have read all of it.
    unread_descriptors: usize,
    /// Whether it was too much that waited, and has not all gone since.
    crowded: bool,
    /// How many packets may be taken from it in its turn, and when that was last asked.
    allowance: (usize, u64),
    /// Whether the loop is told when the socket has room again.
    pub(super) wants_room: bool,
    /// When to try again what failed for want of something that no socket reports.
    retry_at: Option<Time>,
    /// How long to wait then.
    pause: Duration,
}

/// How long to wait before trying again what no socket reports: that all descriptors in it were read, that the system has
/// memory, or that fewer descriptors of this user's are under way. Twice as long each time, since a worker that reads at all
/// is done in less, and one that does not costs something each time.
const RETRY_AFTER: Duration = Duration::from_micros(200);

/// How long at most.
const RETRY_AFTER_MAX: Duration = Duration::from_millis(5);

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
        Self {
            ipc,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            backlog_descriptors: 0,
            unread_descriptors: 0,
            crowded: false,
            allowance: (1, 0),
            wants_room: false,
            retry_at: None,
            pause: RETRY_AFTER,
        }
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
        let parcel = Parcel { bytes: bytes.to_vec(), descriptors: std::mem::take(descriptors) };
        self.backlog_bytes += parcel.cost();
        self.backlog_descriptors += parcel.descriptors.len();
        self.backlog.push_back(parcel);
        self.crowded |= self.backlog_bytes >= CROWD_BYTES || self.backlog_descriptors >= CROWD_DESCRIPTORS;
        let overflows = self.backlog_bytes > BACKLOG_MAX || self.backlog_descriptors > DESCRIPTORS_WAITING;
        if overflows { Sent::Overflow } else { Sent::Accepted }
    }

    /// The socket has room again, or it is time to try again.
    pub(super) fn flush(&mut self) {
        self.retry_at = None;
        while let Some(parcel) = self.backlog.pop_front() {
            if !self.pass(&parcel.bytes, &parcel.descriptors) {
                self.backlog.push_front(parcel);
                return;
            }
            self.backlog_bytes -= parcel.cost();
            self.backlog_descriptors -= parcel.descriptors.len();
            self.pause = RETRY_AFTER;
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
        if !self.has_room_for(descriptors.len()) {
            self.retry();
            return false;
        }
        let sent = match descriptors {
            [] => self.ipc.try_send(bytes, &[]),
            some => self.ipc.try_send(bytes, &some.iter().map(AsFd::as_fd).collect::<Vec<_>>()),
        };
        match sent {
            Ok(()) => {
                self.unread_descriptors += descriptors.len();
                true
            }
            Err(SendError::WouldBlock) => false,
            Err(SendError::TooManyInFlight | SendError::System(_)) => {
                self.retry();
                false
            }
            _ => true,
        }
    }

    fn retry(&mut self) {
        self.retry_at = Some(now().after(self.pause));
        self.pause = (self.pause * 2).min(RETRY_AFTER_MAX);
    }

    /// Whether so many descriptors may go into the socket now. Always, once the worker has read what is there. That is looked
    /// for each time: a busy worker's socket is seldom empty, and the one look that counts would find it full.
    fn has_room_for(&mut self, descriptors: usize) -> bool {
        if descriptors == 0 {
            return true;
        }
        // A system that does not tell is no reason to send nothing more.
        if self.unread_descriptors > 0 && self.ipc.is_all_read().unwrap_or(true) {
            self.unread_descriptors = 0;
        }
        self.unread_descriptors + descriptors <= DESCRIPTORS_IN_SOCKET
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the worker at the other end reads: the first byte of each packet, and how many descriptors came along.
    fn read(worker: &ProcessIpc) -> Vec<(u8, usize)> {
        let mut packet = [0; 8];
        let packets = std::iter::from_fn(|| {
            let mut passed = Vec::new();
            worker.try_recv(&mut packet, &mut passed).ok().map(|_| (packet[0], passed.len()))
        });
        packets.collect()
    }

    #[test]
    fn few_descriptors_lie_in_the_socket_of_a_worker_that_does_not_read() {
        let (ipc, worker) = ProcessIpc::pair().unwrap();
        let mut seat = Seat::new(ipc);
        let pipe = || Passed::new(std::io::pipe().unwrap().0.into());
        for number in 0..10 {
            let mut descriptors = std::iter::repeat_with(pipe).take(if number % 2 == 0 { 10 } else { 0 }).collect();
            assert!(matches!(seat.send(&[number], &mut descriptors), Sent::Accepted));
        }
        for _ in 0..9 {
            let before = now();
            seat.flush();
            assert!(seat.retry_at().is_some() && !seat.waits_for_room(), "no socket says when it was read");
            assert!(seat.retry_at() <= Some(now().after(RETRY_AFTER_MAX)) && seat.retry_at() > Some(before));
        }
        assert!(seat.retry_at() > Some(now()), "who never reads is asked ever less often");
        assert_eq!(read(&worker), [(0, 10), (1, 0), (2, 10), (3, 0), (4, 10), (5, 0)]);
        // All of it was read, so there is room for as many again.
        seat.flush();
        assert_eq!(read(&worker), [(6, 10), (7, 0), (8, 10), (9, 0)]);
        assert!(seat.retry_at().is_none() && !seat.waits_for_room());
        assert_eq!(seat.pause, RETRY_AFTER);
    }
}
