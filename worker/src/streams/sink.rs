//! Feeding a call that this worker has begun, item by item.

use std::os::fd::OwnedFd;
use std::time::Duration;

use cloison_msg::contract::{FeedError, Sink};
use cloison_msg::{AppendError, CallFailure, CallId, Caller, ChainId, Message};

use super::ItemSent;
use crate::Link;
use crate::session::{Outcome, Session};
use crate::worker::{Awaited, Interrupted};

/// Where the items go that a call is fed. Dropped before it has finished, it gives the call up.
#[derive(Debug)]
pub struct LinkSink(Option<Open>);

#[derive(Debug)]
pub(super) struct Open {
    pub(super) link: Link,
    pub(super) call: CallId,
    pub(super) chain: ChainId,
    /// How long each wait may take.
    pub(super) within: Duration,
}

impl LinkSink {
    /// Of a call that could not be begun there is none.
    pub(super) const fn new(open: Option<Open>) -> Self {
        Self(open)
    }
}

impl Open {
    /// Pumps the sockets until `look` finds something; the call ends if that takes too long.
    fn wait<T>(&self, look: impl FnMut(&mut Session) -> Option<T>) -> Option<T> {
        let worker = self.link.worker();
        worker.tick();
        let deadline = worker.session().deadline_of_wait(self.within);
        match worker.wait_for(deadline, Awaited::Room(self.chain), look) {
            Ok(found) => Some(found),
            Err(Interrupted::Deadline) => {
                self.end(CallFailure::Deadline);
                None
            }
            Err(Interrupted::Disconnected(_)) => None,
        }
    }

    fn send(&self, message: &mut Message<OwnedFd>) -> Result<(), FeedError> {
        match self.wait(|session| session.try_item(self.link.name(), self.call, Caller::Own, message)) {
            Some(ItemSent::Sent) => Ok(()),
            Some(ItemSent::Unwanted) | None => Err(FeedError::Unwanted),
            Some(ItemSent::Failed(why)) => {
                self.end(CallFailure::Unsendable(why));
                Err(FeedError::Unwanted)
            }
        }
    }

    /// Gives the call up, unless it is over.
    fn end(&self, why: CallFailure) {
        let mut session = self.link.worker().session();
        if let Some(slot) = session.slot_of(self.link.name(), self.call) {
            session.settle(slot, Outcome::Failed(why));
            session.give_up(self.link.name(), self.call);
        }
    }
}

impl Sink for LinkSink {
    type Carrier = Link;

    fn push(&mut self, build: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>) -> Result<(), FeedError> {
        let Some(open) = &self.0 else { return Err(FeedError::Unwanted) };
        let mut message = open.link.worker().session().spare_message();
        let sent = build(&mut message).map_err(FeedError::from).and_then(|()| open.send(&mut message));
        open.link.worker().session().return_message(message);
        if sent == Err(FeedError::Unwanted) {
            self.0 = None;
        }
        sent
    }

    fn finish(mut self) {
        if let Some(open) = self.0.take() {
            // Who waits for the call hears why, if not.
            let _ = open.wait(|session| session.try_end_feed(open.link.name(), open.call));
        }
    }
}

impl Drop for LinkSink {
    fn drop(&mut self) {
        if let Some(open) = self.0.take() {
            open.end(CallFailure::Cancelled);
        }
    }
}
