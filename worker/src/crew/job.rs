//! Requests on their way to a thread of the crew, and back.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use cloison_ipc::Passed;
use cloison_msg::contract::serving::Served;
use cloison_msg::trace::{Mark, SpanId};
use cloison_msg::{Failure, Header, Message, Name, Time};

use super::mail::Led;
use crate::buffers::Payload;
use crate::cancel::is_call;
use crate::clock::{NEVER, now};
use crate::session::Frame;

/// A request, on its way to a thread.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) payload: Payload,
    pub(super) passed: Vec<Passed>,
    /// The links that it carries.
    pub(super) links: Vec<Led>,
    /// To write the reply in.
    pub(super) reply: Message<OwnedFd>,
    pub(super) call: Arc<Call>,
}

/// A request that is on a thread, as both that thread and the session's know it.
#[derive(Debug)]
pub(super) struct Call {
    pub(crate) header: Header,
    pub(crate) peer: Name,
    /// What its link was granted for, if what becomes of it is to be recorded.
    pub(crate) interface: Option<Name>,
    pub(crate) frame: Frame,
    state: AtomicU8,
    /// When its caller gives up; later, if items are fed to it.
    deadline: AtomicU64,
}

/// The thread has begun to serve it.
const BEGUN: u8 = 1;
/// Nobody waits for its answer.
const GIVEN_UP: u8 = 2;
/// Its link was taken back.
const TAKEN_BACK: u8 = 4;

impl Call {
    pub(super) const fn new(header: Header, peer: Name, interface: Option<Name>, frame: Frame) -> Self {
        let deadline = AtomicU64::new(frame.deadline.0);
        Self { header, peer, interface, frame, state: AtomicU8::new(0), deadline }
    }

    /// Whether it is to be served. If so, it has been begun from now on: nobody who gives it up later can prevent that any
    /// more, or needs to believe that it was prevented.
    pub(super) fn begin(&self) -> bool {
        self.state.fetch_or(BEGUN, Ordering::AcqRel) & (GIVEN_UP | TAKEN_BACK) == 0
    }

    pub(super) fn deadline(&self) -> Time {
        Time(self.deadline.load(Ordering::Relaxed))
    }

    /// It was fed: its caller has time until then.
    pub(super) fn renew(&self, deadline: Time) {
        self.deadline.store(deadline.0, Ordering::Relaxed);
    }

    /// Its caller waits no more.
    pub(super) fn give_up(&self) {
        if is_call(&self.header) {
            self.state.fetch_or(GIVEN_UP, Ordering::AcqRel);
        }
    }

    /// Its link was taken back: if it has not been begun, it never is.
    pub(super) fn take_back(&self) {
        self.state.fetch_or(TAKEN_BACK, Ordering::AcqRel);
    }

    /// What is recorded of it, if that is to be.
    pub(super) fn mark(&self) -> Option<Mark<&str>> {
        let mark = Mark::of(&self.header, self.peer.as_str(), self.interface.as_ref()?.as_str())?;
        Some(Mark { chain: self.frame.chain, ..mark })
    }

    /// Whether its caller has said that it waits no more, or is gone.
    pub(super) fn is_given_up(&self) -> bool {
        is_call(&self.header) && self.state.load(Ordering::Acquire) & (GIVEN_UP | TAKEN_BACK) != 0
    }
}

/// What an implementation can ask about it, on its thread. Nothing has to be taken in for that: the session's thread does
/// that all the time.
pub(super) struct Asked(pub(super) Arc<Call>);

impl Served for Asked {
    fn is_cancelled(&self) -> bool {
        self.0.is_given_up() || (is_call(&self.0.header) && self.0.deadline() <= now())
    }

    fn time_left(&self) -> Option<Duration> {
        let deadline = self.0.deadline();
        (deadline != NEVER).then(|| deadline.since(now()))
    }

    fn caller(&self) -> Option<Name> {
        Some(self.0.peer.clone())
    }

    fn is_retry(&self) -> bool {
        self.0.header.is_retry
    }
}

/// A request that was served.
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) payload: Payload,
    pub(super) reply: Message<OwnedFd>,
    pub(super) result: Result<(), Failure>,
    /// Whether its answer is a stream, which is to be pulled.
    pub(super) has_stream: bool,
    /// As what it was recorded.
    pub(super) span: SpanId,
}

#[cfg(test)]
mod tests {
    use cloison_msg::Kind;

    use super::*;

    fn request(kind: Kind) -> Call {
        let header = Header { kind, ..Header::default() };
        let frame = Frame { chain: header.chain, depth: 0, deadline: NEVER };
        Call::new(header, Name::new("peer").expect("it is a name"), None, frame)
    }

    #[test]
    fn what_was_given_up_or_taken_back_before_is_not_begun() {
        let ways: [fn(&Call); 2] = [Call::give_up, Call::take_back];
        for end in ways {
            let (before, after) = (request(Kind::Call), request(Kind::Call));
            end(&before);
            assert!(!before.begin() && before.is_given_up());
            assert!(after.begin());
            end(&after);
            assert!(after.is_given_up());
        }
    }

    #[test]
    fn nobody_waits_for_a_oneway_but_it_can_be_taken_back() {
        let told = request(Kind::Oneway);
        told.give_up();
        assert!(told.begin() && !told.is_given_up());
        let taken_back = request(Kind::Oneway);
        taken_back.take_back();
        assert!(!taken_back.begin());
    }
}
