//! Waiting for the sockets.

use std::os::fd::AsFd;

use cloison_msg::{Destination, Text, Time};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use smallvec::SmallVec;

use crate::clock::{NEVER, timeout};
use crate::error::Disconnect;
use crate::receive::{Look, Received};
use crate::session::Session;
use crate::wire::Wire;

/// So many sockets are polled without allocating: the control socket and seven direct links.
const POLLED_INLINE: usize = 8;

/// Most packets taken from one socket before the others are looked at again.
const EAGER_RUN_MAX: u8 = 16;

/// A socket, by the name of its link, and what can be done with it.
type Ready = SmallVec<[(Destination, PollFlags); POLLED_INLINE]>;

impl Session {
    /// Waits until something arrives, something that waited can leave, or it is `until`; takes in one packet from each
    /// socket that has any.
    pub(crate) fn pump(&mut self, until: Time) {
        if self.disconnect.is_some() || self.receive_eagerly() {
            return;
        }
        self.eager_run = 0;
        if until == NEVER && self.has_only_control() {
            self.receive(Destination::BROKER, Look::Wait);
            return;
        }
        match self.poll(until) {
            Ok(ready) => self.attend(&ready),
            Err(Errno::INTR) => {}
            Err(error) => self.end(Disconnect::Broken(Text::new(&format!("polling failed: {error}")))),
        }
    }

    /// Takes in what is there already, and waits for nothing.
    pub(crate) fn pump_at_once(&mut self) {
        if let Ok(ready) = self.poll(Time(0)) {
            self.attend(&ready);
        }
    }

    /// Takes in all that is there on the control socket.
    pub(crate) fn drain_control(&mut self) {
        while self.disconnect.is_none() && self.receive(Destination::BROKER, Look::Try) == Received::Packet {}
    }

    /// Looks for a packet where there probably is one, without asking first; but now and then all must be asked.
    fn receive_eagerly(&mut self) -> bool {
        let Some(source) = self.eager.take() else { return false };
        self.eager_run += 1;
        self.eager_run <= EAGER_RUN_MAX && self.receive(source, Look::Try) == Received::Packet
    }

    fn has_only_control(&self) -> bool {
        self.control.waiting() == 0 && self.ends.iter().all(|(_, end)| end.wire.is_none())
    }

    fn sources(&self) -> impl Iterator<Item = (Destination, &Wire)> {
        let direct = self.ends.iter().filter_map(|(name, end)| Some((name, end.wire.as_ref()?)));
        std::iter::once((Destination::BROKER, &self.control))
            .chain(direct)
            .filter(|(_, wire)| !wire.interest().is_empty())
    }

    fn poll(&mut self, until: Time) -> Result<Ready, Errno> {
        let mut polled: SmallVec<[PollFd<'_>; POLLED_INLINE]> = SmallVec::new();
        let mut ready = Ready::new();
        let mut until = until;
        for (name, wire) in self.sources() {
            polled.push(PollFd::from_borrowed_fd(wire.as_fd(), wire.interest()));
            ready.push((name, PollFlags::empty()));
            until = until.min(wire.retry_at().unwrap_or(NEVER));
        }
        let outcome = poll(&mut polled, timeout(self.time, until).as_ref());
        for ((_, events), fd) in ready.iter_mut().zip(&polled) {
            *events = fd.revents();
        }
        drop(polled);
        self.tick();
        outcome.map(|_| ready)
    }

    fn attend(&mut self, ready: &Ready) {
        for &(name, events) in ready {
            if events.contains(PollFlags::OUT) || self.is_to_retry(name) {
                self.flush(name);
            }
            // An error or a hang-up is learnt by receiving what comes before it.
            if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                self.receive(name, Look::Ready);
            }
        }
    }

    fn is_to_retry(&self, name: Destination) -> bool {
        self.wire(name).and_then(Wire::retry_at).is_some_and(|at| at <= self.time)
    }

    fn flush(&mut self, name: Destination) {
        let now = self.time;
        if let Some(wire) = self.wire_mut(name) {
            wire.flush(now);
        }
        if self.control.is_deaf() {
            self.end(Disconnect::Ended);
        }
    }
}
