//! A socket and what could not be sent on it yet.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use cloison_ipc::{Passed, ProcessIpc, RecvError, SendError};
use cloison_msg::{CALLS_IN_FLIGHT, Header, Message, PACKET_MAX, Time, WINDOW_MESSAGES};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smallvec::SmallVec;

/// Most packets that wait for one direct link's socket: an honest peer, one that takes the answers to its own calls,
/// can owe no more than the answers, one window of requests, word that calls were given up, the credits for another window,
/// and what its streams demand.
#[expect(clippy::cast_possible_truncation, reason = "a window is a small number")]
pub(crate) const OUTBOX_MAX: usize = 10 * CALLS_IN_FLIGHT as usize + 2 * WINDOW_MESSAGES as usize;

/// How long to wait before trying again what failed for want of something that no poll reports.
const RETRY_AFTER: Duration = Duration::from_millis(5);

/// A socket that never makes its owner wait: what does not fit into the kernel's queue waits in an outbox.
///
/// The owner is single-threaded, and so is its peer. If either waited for room while the other does the same, neither
/// would ever read.
pub(crate) struct Wire {
    ipc: ProcessIpc,
    /// Whether descriptors may come by it.
    takes_descriptors: bool,
    outbox: VecDeque<Parcel>,
    /// A packet in the making: messages that were posted to share one.
    gathered: Vec<u8>,
    /// Nothing more will come.
    ended: bool,
    /// Nothing more can be sent.
    deaf: bool,
    /// Whether somebody waits for room to send something that must not wait here.
    wanted: bool,
    /// Not before this moment is sending tried again.
    retry_at: Option<Time>,
}

/// One packet that waits.
pub(crate) struct Parcel {
    pub(crate) bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// Whether to wait for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// For a few milliseconds: see [`BRIEF_WAIT_MAX`](cloison_ipc::BRIEF_WAIT_MAX).
    Brief,
}

/// What became of a message that was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It has left.
    Sent,
    /// It waits in the outbox, and leaves as soon as there is room.
    Waiting,
    /// Nobody will ever read it.
    Lost,
}

impl Wire {
    /// The socket that leads to the broker.
    pub(crate) const fn control(ipc: ProcessIpc) -> Self {
        Self {
            ipc,
            takes_descriptors: true,
            outbox: VecDeque::new(),
            gathered: Vec::new(),
            ended: false,
            deaf: false,
            wanted: false,
            retry_at: None,
        }
    }

    /// A socket of a link's own. Rights that allow descriptors keep a link relayed, so none ever comes by it.
    pub(crate) fn direct(ipc: ProcessIpc) -> Self {
        Self { takes_descriptors: false, ..Self::control(ipc) }
    }

    /// Sends a message behind `header`, now or as soon as there is room, and clears it.
    ///
    /// # Errors
    /// The system's, if it refuses this message whatever the state of the queue. The message is as before then.
    pub(crate) fn post(&mut self, header: &Header, message: &mut Message<OwnedFd>, now: Time) -> io::Result<Posted> {
        let descriptors = message.take_descriptors();
        let posted = match self.try_send(message.packet(header), &descriptors, now) {
            Ok(Posted::Waiting) => {
                let bytes = message.packet(header).to_vec();
                self.outbox.push_back(Parcel { bytes, descriptors });
                Posted::Waiting
            }
            Ok(posted) => posted,
            Err(error) => {
                for descriptor in descriptors {
                    message.attach(descriptor).expect("it had room for them before");
                }
                return Err(error);
            }
        };
        message.clear();
        Ok(posted)
    }

    /// Adds a message to the packet in the making, and clears it. That packet leaves when it is full, or before anything
    /// that is posted otherwise, or when [`send_gathered`](Self::send_gathered) says so.
    ///
    /// # Errors
    /// The system's, for a message with descriptors or links, which travels alone. The message is as before then.
    pub(crate) fn gather(&mut self, header: &Header, message: &mut Message<OwnedFd>, now: Time) -> io::Result<Posted> {
        if message.descriptor_count() > 0 || header.links > 0 {
            return self.post(header, message, now);
        }
        if self.gathered.len() + header.message_len() > PACKET_MAX {
            self.send_gathered(now);
        }
        if self.deaf {
            message.clear();
            return Ok(Posted::Lost);
        }
        self.gathered.extend_from_slice(&header.encode());
        self.gathered.extend_from_slice(message.payload());
        message.clear();
        Ok(Posted::Sent)
    }

    /// Sends the packet in the making, now or as soon as there is room.
    pub(crate) fn send_gathered(&mut self, now: Time) {
        if self.gathered.is_empty() {
            return;
        }
        let mut packet = std::mem::take(&mut self.gathered);
        if matches!(self.send_in_turn(&packet, &[], now), Ok(Posted::Waiting) | Err(_)) {
            self.outbox.push_back(Parcel { bytes: packet.clone(), descriptors: Vec::new() });
        }
        packet.clear();
        self.gathered = packet;
    }

    /// Sends a message as [`post`](Self::post) does, and tries once more if the system refuses it: without this message the
    /// next ones make no sense. It carries no descriptors.
    pub(crate) fn insist(&mut self, header: &Header, message: &mut Message<OwnedFd>, now: Time) -> Posted {
        self.post(header, message, now).unwrap_or_else(|_| {
            self.retry_at = Some(now.after(RETRY_AFTER));
            self.outbox.push_back(Parcel { bytes: message.packet(header).to_vec(), descriptors: Vec::new() });
            message.clear();
            Posted::Waiting
        })
    }

    /// Sends a bare header now, or not at all.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::WouldBlock`] if there is no room.
    pub(crate) fn post_now(&mut self, header: &Header, now: Time) -> io::Result<Posted> {
        match self.try_send(&header.encode(), &[], now)? {
            Posted::Waiting => Err(io::ErrorKind::WouldBlock.into()),
            posted => Ok(posted),
        }
    }

    /// Whether a short packet would leave at once. If not, [`interest`](Self::interest) says when to ask again.
    pub(crate) fn has_room(&mut self, now: Time) -> bool {
        self.send_gathered(now);
        let mut polled = [PollFd::new(&self.ipc, PollFlags::OUT)];
        let is_writable = poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
        self.wanted = !self.deaf && (!is_writable || !self.outbox.is_empty());
        !self.wanted
    }

    /// Takes out what waits, to send it by another way.
    pub(crate) fn take_outbox(&mut self) -> VecDeque<Parcel> {
        if !self.gathered.is_empty() {
            self.outbox.push_back(Parcel { bytes: std::mem::take(&mut self.gathered), descriptors: Vec::new() });
        }
        std::mem::take(&mut self.outbox)
    }

    /// Sends what waited for another socket, now or as soon as there is room.
    pub(crate) fn pass_on(&mut self, parcel: Parcel) {
        if !self.deaf {
            self.outbox.push_back(parcel);
        }
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn flush(&mut self, now: Time) {
        self.wanted = false;
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        while let Some(parcel) = self.outbox.pop_front() {
            match self.send(&parcel.bytes, &parcel.descriptors, now) {
                Ok(Posted::Sent) => {}
                Ok(Posted::Waiting) => return self.outbox.push_front(parcel),
                Ok(Posted::Lost) => {}
                // What was accepted must not be skipped silently: the peer would see a gap.
                Err(_) => self.deafen(),
            }
        }
    }

    /// Receives one packet, if there is one.
    pub(crate) fn recv(
        &mut self,
        packet: &mut [u8],
        passed: &mut Vec<Passed>,
        patience: Patience,
    ) -> Result<usize, RecvError> {
        let received = match (self.takes_descriptors, patience) {
            (true, Patience::None) => self.ipc.try_recv(packet, passed),
            (true, Patience::Brief) => self.ipc.recv_briefly(packet, passed),
            (false, Patience::None) => self.ipc.try_recv_bytes(packet),
            (false, Patience::Brief) => self.ipc.recv_bytes_briefly(packet),
        };
        if matches!(received, Err(RecvError::Closed | RecvError::System(_))) {
            self.ended = true;
        }
        received
    }

    /// What to wait for on this socket, which is to be read at this time or not; empty if nothing will happen there.
    pub(crate) fn interest(&self, reads: bool) -> PollFlags {
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::IN, reads && !self.ended);
        interest.set(PollFlags::OUT, self.wanted || (!self.outbox.is_empty() && self.retry_at.is_none()));
        interest
    }

    /// Whether all that can happen on this socket is that a packet comes.
    pub(crate) fn waits_for_packets_only(&self) -> bool {
        !self.ended && self.outbox.is_empty() && !self.wanted
    }

    /// When to call [`flush`](Self::flush) again although no poll says so.
    pub(crate) fn retry_at(&self) -> Option<Time> {
        self.retry_at.filter(|_| !self.outbox.is_empty())
    }

    /// How many packets wait.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox.len() + usize::from(!self.gathered.is_empty())
    }

    /// Whether nothing more will come.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether nothing more can be sent.
    pub(crate) const fn is_deaf(&self) -> bool {
        self.deaf
    }

    fn try_send(&mut self, packet: &[u8], descriptors: &[OwnedFd], now: Time) -> io::Result<Posted> {
        self.send_gathered(now);
        self.send_in_turn(packet, descriptors, now)
    }

    fn send_in_turn(&mut self, packet: &[u8], descriptors: &[OwnedFd], now: Time) -> io::Result<Posted> {
        if self.deaf {
            Ok(Posted::Lost)
        } else if self.outbox.is_empty() {
            self.send(packet, descriptors, now)
        } else {
            Ok(Posted::Waiting)
        }
    }

    fn send(&mut self, packet: &[u8], descriptors: &[OwnedFd], now: Time) -> io::Result<Posted> {
        let descriptors: SmallVec<[BorrowedFd<'_>; 4]> = descriptors.iter().map(AsFd::as_fd).collect();
        self.retry_at = None;
        match self.ipc.try_send(packet, &descriptors) {
            Ok(()) => Ok(Posted::Sent),
            Err(SendError::WouldBlock) => Ok(Posted::Waiting),
            Err(SendError::TooManyInFlight) => {
                self.retry_at = Some(now.after(RETRY_AFTER));
                Ok(Posted::Waiting)
            }
            Err(SendError::Closed) => {
                self.deafen();
                Ok(Posted::Lost)
            }
            Err(SendError::System(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn deafen(&mut self) {
        self.deaf = true;
        self.outbox.clear();
        self.gathered.clear();
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ipc.as_fd()
    }
}
