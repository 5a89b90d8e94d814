//! Waiting for the sockets.

use std::os::fd::AsFd;
use std::time::Duration;

use cloison_ipc::BRIEF_WAIT_MAX;
use cloison_msg::{Destination, Route, Text, Time};
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
const UNASKED_RUN_MAX: u8 = 64;

/// How long after a look at all sockets one may be asked alone.
const UNASKED_FOR_MAX: Duration = BRIEF_WAIT_MAX;

/// A socket, by the name of its link, and what can be done with it.
type Ready = SmallVec<[(Destination, PollFlags); POLLED_INLINE]>;

impl Session {
    /// Waits until something arrives, something that waited can leave, or it is `until`; takes in one packet from each
    /// socket that has any. If it is an answer that is waited for, `answer_on` is the link it will come by.
    pub(crate) fn pump(&mut self, until: Time, answer_on: Option<Destination>) {
        if self.disconnect.is_some() || self.receive_eagerly() {
            return;
        }
        let until = until.min(self.flush_trace_if_due());
        if self.receive_briefly(until, answer_on) {
            return;
        }
        self.unasked = 0;
        match self.poll(until) {
            Ok(ready) => self.attend(&ready),
            Err(Errno::INTR) => {}
            Err(error) => self.end(Disconnect::Broken(Text::new(&format!("polling failed: {error}")))),
        }
    }

    /// From now on its owner waits, whether for the sockets or while something else is served: what was gathered leaves.
    pub(crate) fn pause(&mut self) {
        self.note_pause();
        self.send_batched();
    }

    /// Takes in what is there already, and waits for nothing.
    pub(crate) fn pump_at_once(&mut self) {
        self.send_batched();
        // Who always has something to do never comes to wait.
        self.flush_trace_if_due();
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
        self.unasked += 1;
        if self.unasked > UNASKED_RUN_MAX || !self.has_asked_recently() {
            return false;
        }
        self.receive(source, Look::Try) != Received::Nothing
    }

    fn has_asked_recently(&self) -> bool {
        self.time.since(self.polled_at) < UNASKED_FOR_MAX
    }

    /// Waits on the one socket that matters, if there is one and the deadline is far enough. A blocking receive is one
    /// system call where polling needs two, and its timer costs less.
    fn receive_briefly(&mut self, until: Time, answer_on: Option<Destination>) -> bool {
        if until.since(self.time) < BRIEF_WAIT_MAX || self.crew.is_awaited() {
            return false;
        }
        let source = if self.has_only_control() {
            self.unasked = 0;
            Some(Destination::BROKER)
        } else {
            self.sole_source(answer_on)
        };
        let Some(source) = source else { return false };
        let received = self.receive(source, Look::Brief);
        if received == Received::Packet {
            self.receive_room(source);
        }
        received != Received::Nothing
    }

    fn has_only_control(&self) -> bool {
        self.control.waits_for_packets_only() && self.ends.iter().all(|(_, end)| end.wire.is_none())
    }

    /// The link on which an answer is awaited, if nothing that comes by another socket can matter to whoever waits for
    /// that answer, for as long as a brief wait takes. Both directions of it run by its own socket.
    ///
    /// What does matter is a request of the same chain, since the answer may depend on its being served. Such a one comes
    /// by the link of some peer; so the link must be the only one, except for those to the host, who never calls within a
    /// chain that it did not begin. A link that is granted during the wait is seen after it. A peer's death ends the wait
    /// at once, since the broker shuts the link's socket down first. All else that can come (requests of other chains,
    /// words of the broker, its end) is but queued or noted while an answer is awaited, as it is while a service runs, and
    /// a look at all sockets, after so many packets and so many milliseconds, keeps a worker that only makes calls from
    /// being deaf to it.
    fn sole_source(&mut self, answer_on: Option<Destination>) -> Option<Destination> {
        let name = answer_on?;
        let is_only = self.ends.iter().all(|(other, end)| other == name || end.is_host);
        let end = self.ends.get(name).filter(|end| end.reads() && end.link.outbound() == Route::Direct)?;
        let wire = end.wire.as_ref()?;
        if !is_only || !wire.waits_for_packets_only() || !self.control.waits_for_packets_only() {
            return None;
        }
        self.unasked += 1;
        (self.has_asked_recently() && self.unasked <= UNASKED_RUN_MAX).then_some(name)
    }

    fn sources(&self) -> impl Iterator<Item = (Destination, &Wire, PollFlags)> {
        let direct = self.ends.iter().filter_map(|(name, end)| Some((name, end.wire.as_ref()?, end.interest())));
        std::iter::once((Destination::BROKER, &self.control, self.control.interest(true)))
            .chain(direct)
            .filter(|(_, _, interest)| !interest.is_empty())
    }

    fn poll(&mut self, until: Time) -> Result<Ready, Errno> {
        let mut polled: SmallVec<[PollFd<'_>; POLLED_INLINE]> = SmallVec::new();
        let mut ready = Ready::new();
        let mut until = until;
        for (name, wire, interest) in self.sources() {
            polled.push(PollFd::from_borrowed_fd(wire.as_fd(), interest));
            ready.push((name, PollFlags::empty()));
            until = until.min(wire.retry_at().unwrap_or(NEVER));
        }
        let bell = self.crew.bell();
        if let Some(bell) = bell {
            polled.push(PollFd::from_borrowed_fd(bell, PollFlags::IN));
        }
        let outcome = poll(&mut polled, timeout(self.time, until).as_ref());
        for ((_, events), fd) in ready.iter_mut().zip(&polled) {
            *events = fd.revents();
        }
        let has_rung = bell.is_some() && polled.last().is_some_and(|bell| !bell.revents().is_empty());
        drop(polled);
        if has_rung {
            self.crew.hear();
        }
        self.polled_at = self.tick();
        outcome.map(|_| ready)
    }

    fn attend(&mut self, ready: &Ready) {
        for &(name, events) in ready {
            if events.intersects(PollFlags::OUT | PollFlags::HUP | PollFlags::ERR) || self.is_to_retry(name) {
                self.flush(name);
            }
            // An error or a hang-up is learnt by receiving what comes before it, if that may be received yet.
            if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                self.receive(name, Look::Ready);
                self.receive_room(name);
            }
        }
    }

    /// Who gathers messages and has waited for room goes on with all of it: in fewer and fuller packets.
    fn receive_room(&mut self, from: Destination) {
        let most = if self.batched.is_empty() { 0 } else { UNASKED_RUN_MAX };
        for _ in 0..most {
            if self.receive(from, Look::Try) != Received::Packet {
                return;
            }
        }
    }

    fn is_to_retry(&self, name: Destination) -> bool {
        self.wire(name).and_then(Wire::retry_at).is_some_and(|at| at <= self.time)
    }

    pub(crate) fn flush(&mut self, name: Destination) {
        let now = self.time;
        if let Some(wire) = self.wire_mut(name) {
            wire.flush(now);
        }
        if self.control.is_deaf() {
            self.end(Disconnect::Ended);
        }
    }
}
