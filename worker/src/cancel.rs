//! Calls that are given up: by whoever waits here, or by whoever waits for this worker.

use std::time::Duration;

use cloison_msg::contract::serving::Served;
use cloison_msg::{CallFailure, CallId, Destination, Failure, Header, Kind, Name};

use crate::clock::NEVER;
use crate::session::{Frame, Outcome, Queued, Session};
use crate::worker::Core;

/// A call that has no outcome yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Underway {
    pub(crate) link: Destination,
    pub(crate) call: CallId,
    /// The call that was being served when it was made.
    pub(crate) cause: Option<Cause>,
}

/// A call that came, by its link and its number there.
pub(crate) type Cause = (Destination, CallId);

/// A request that is being served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Serving {
    pub(crate) frame: Frame,
    pub(crate) header: Header,
    /// Whether its caller has given it up.
    pub(crate) cancelled: bool,
}

impl Core {
    /// Whether nobody waits for the answer to this call, which is being served. Takes in what has arrived.
    pub(crate) fn has_been_cancelled(&self, call: &Header) -> bool {
        let mut session = self.session();
        session.pump_at_once();
        let now = session.tick();
        let serving = session.serving.iter().rev().find(|serving| cause_of(&serving.header) == cause_of(call));
        serving.is_some_and(|serving| serving.cancelled || (is_call(call) && serving.frame.deadline <= now))
    }
}

/// The innermost of the requests that are being served: while a contract's method runs, that is its own.
impl Served for Core {
    fn is_cancelled(&self) -> bool {
        let header = self.session().serving.last().map(|serving| serving.header);
        header.is_some_and(|header| self.has_been_cancelled(&header))
    }

    fn time_left(&self) -> Option<Duration> {
        let mut session = self.session();
        let now = session.tick();
        let deadline = session.serving.last()?.frame.deadline;
        (deadline != NEVER).then(|| deadline.since(now))
    }

    fn is_retry(&self) -> bool {
        self.session().serving.last().is_some_and(|serving| serving.header.is_retry)
    }

    fn caller(&self) -> Option<Name> {
        let session = self.session();
        let link = session.serving.last()?.header.destination;
        session.peer_of(link).map(|peer| Name::clone(peer))
    }
}

impl Session {
    /// Whether the caller of what is being served has given up.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.serving.last().is_some_and(|serving| serving.cancelled)
    }

    /// The call that is being served, if any.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.serving.last().filter(|serving| is_call(&serving.header)).map(|serving| cause_of(&serving.header))
    }

    /// Whether anybody waits for the reply to what is being served.
    pub(crate) fn check_wanted(&self) -> Result<(), Failure> {
        if self.is_cancelled() { Err(Failure::Cancelled) } else { Ok(()) }
    }

    /// Nobody waits here for the outcome of a call any more: its peer is told, unless it has ended.
    pub(crate) fn give_up(&mut self, link: Destination, call: CallId) {
        let Some(end) = self.ends.get_mut(link) else { return };
        if let Some((header, _)) = end.link.cancel(call) {
            let nothing = self.spare_message();
            self.post_own(&header, nothing);
        }
    }

    /// The caller waits no more. A call that nobody has begun to serve is answered at once.
    pub(crate) fn cancel_call(&mut self, link: Destination, call: CallId) {
        let is_it = |queued: &Queued| is_call(&queued.header) && cause_of(&queued.header) == (link, call);
        match self.queue.iter().position(|queued| is_it(queued)).and_then(|at| self.queue.remove(at)) {
            Some(queued) => {
                self.note_request_taken(&queued);
                self.answer_failure(&queued.header, &Failure::Cancelled);
                self.discard(queued);
            }
            None => {
                self.cancel_feed(link, call);
                self.cancel_served(|cause| cause == (link, call));
            }
        }
    }

    /// Whoever made these of a link's calls is gone, or has given the link away: nobody waits for answers.
    pub(crate) fn orphan_calls(&mut self, link: Destination, is_orphan: impl Fn(CallId) -> bool) {
        let is_it = |header: &Header| is_call(header) && header.destination == link && is_orphan(header.call);
        while let Some(at) = self.queue.iter().position(|queued| is_it(&queued.header)) {
            if let Some(queued) = self.queue.remove(at) {
                self.note_request_taken(&queued);
                self.discard(queued);
            }
        }
        self.cancel_served(|(name, call)| name == link && is_orphan(call));
    }

    /// Marks what is being served as given up, and gives up the calls that were made to answer it.
    fn cancel_served(&mut self, is_meant: impl Fn(Cause) -> bool) {
        for serving in self.serving.iter_mut().filter(|serving| is_call(&serving.header)) {
            serving.cancelled |= is_meant(cause_of(&serving.header));
        }
        self.crew.give_up(&is_meant);
        while let Some((slot, Underway { link, call, .. })) = self.made_for(&is_meant) {
            self.settle(slot, Outcome::Failed(CallFailure::Cancelled));
            self.give_up(link, call);
        }
    }

    /// Where the outcome of a call of this worker's will be, if there is none yet.
    pub(crate) fn slot_of(&self, link: Destination, call: CallId) -> Option<usize> {
        self.outcomes.iter().find_map(|(slot, outcome)| match outcome {
            Outcome::Awaited(underway) if (underway.link, underway.call) == (link, call) => Some(slot),
            _ => None,
        })
    }

    /// One of the calls that wait and were made to answer those that are meant.
    fn made_for(&self, is_meant: impl Fn(Cause) -> bool) -> Option<(usize, Underway)> {
        self.outcomes.iter().find_map(|(slot, outcome)| match outcome {
            Outcome::Awaited(underway) if underway.cause.is_some_and(&is_meant) => Some((slot, *underway)),
            _ => None,
        })
    }
}

pub(crate) const fn cause_of(header: &Header) -> Cause {
    (header.destination, header.call)
}

pub(crate) fn is_call(header: &Header) -> bool {
    header.kind == Kind::Call
}
