//! Waiting for the sockets.

use std::os::fd::AsFd;

use cloison_msg::{Destination, Text, Time};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use smallvec::SmallVec;

use crate::clock::{NEVER, now, timeout};
use crate::error::Disconnect;
use crate::receive::{Patience, Received};
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
            self.receive(Destination::BROKER, Patience::Endless);
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
        while self.disconnect.is_none() && self.receive(Destination::BROKER, Patience::None) == Received::Packet {}
    }

    /// Looks for a packet where there probably is one, without asking first; but now and then all must be asked.
    fn receive_eagerly(&mut self) -> bool {
        let Some(source) = self.eager.take() else { return false };
        self.eager_run += 1;
        self.eager_run <= EAGER_RUN_MAX && self.receive(source, Patience::None) == Received::Packet
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
        let retry = self.sources().filter_map(|(_, wire)| wire.retry_at()).min().unwrap_or(NEVER);
        let mut polled: SmallVec<[PollFd<'_>; POLLED_INLINE]> =
            self.sources().map(|(_, wire)| PollFd::from_borrowed_fd(wire.as_fd(), wire.interest())).collect();
        poll(&mut polled, timeout(until.min(retry)).as_ref())?;
        let mut ready: Ready = self.sources().zip(&polled).map(|((name, _), fd)| (name, fd.revents())).collect();
        drop(polled);
        ready.retain(|(_, events)| !events.is_empty());
        if retry <= now() {
            self.flush_all();
        }
        Ok(ready)
    }

    fn attend(&mut self, ready: &Ready) {
        for &(name, events) in ready {
            if events.contains(PollFlags::OUT) {
                self.flush(name);
            }
            // An error or a hang-up is learnt by receiving what comes before it.
            if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                self.receive(name, Patience::None);
            }
        }
    }

    fn flush_all(&mut self) {
        let names: Ready = self.sources().map(|(name, _)| (name, PollFlags::OUT)).collect();
        for (name, _) in names {
            self.flush(name);
        }
    }

    fn flush(&mut self, name: Destination) {
        let now = now();
        if name == Destination::BROKER {
            self.control.flush(now);
            if self.control.is_deaf() {
                self.end(Disconnect::Ended);
            }
        } else if let Some(wire) = self.ends.get_mut(name).and_then(|end| end.wire.as_mut()) {
            wire.flush(now);
        }
    }
}
