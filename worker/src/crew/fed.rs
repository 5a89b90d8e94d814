//! What is fed to a call that is served on a thread.

use std::rc::Rc;
use std::sync::Arc;

use cloison_msg::contract::{Intake, ReadOne};
use cloison_msg::{CallError, CallFailure, Gone, Kind, Reader, Streams, Time};

use super::carrier::ThreadLink;
use super::hand::Desk;
use super::job::Call;
use super::mail::{Outcome, What};
use crate::clock::now;

/// The end of a stream at which its items are taken, on a thread. Dropped, it refuses the rest.
struct Taking {
    desk: Rc<Desk>,
    call: Arc<Call>,
    since: Time,
    is_over: bool,
}

/// What the caller feeds, if it does.
pub(super) fn intake(desk: &Rc<Desk>, call: &Arc<Call>) -> Option<Intake<ThreadLink>> {
    if call.header.kind != Kind::Call || !call.header.streams.contains(Streams::FEED) {
        return None;
    }
    let mut taking = Taking { desk: Rc::clone(desk), call: Arc::clone(call), since: now(), is_over: false };
    Some(Box::new(move |read| taking.next(read)))
}

impl Taking {
    /// Waits for the next item, for as long as the caller said. Meanwhile what is of the same chain is served.
    fn next(&mut self, read: ReadOne<'_, ThreadLink>) -> Option<Result<(), CallError>> {
        if self.is_over {
            return None;
        }
        let deadline = now().after(self.call.header.time_left());
        let ask = self.desk.ask(|ask| What::Take(ask, self.call.header, deadline));
        let why = match self.desk.wait(ask) {
            Some(Outcome::Fed(item)) => {
                let mut reader = Reader::new(item.as_slice(), Vec::new()).with_links(Vec::new());
                match read(&mut reader).and_then(|()| reader.finish()) {
                    Ok(()) => {
                        self.call.renew(now().after(self.call.header.time_left()));
                        return Some(Ok(()));
                    }
                    Err(error) => CallFailure::Unreadable(error.to_string().into()),
                }
            }
            Some(Outcome::FedUp) => {
                self.is_over = true;
                return None;
            }
            Some(Outcome::Failed(why)) => why,
            _ => CallFailure::Gone(Gone::BrokerEnded),
        };
        self.refuse();
        let Call { header, peer, .. } = &*self.call;
        Some(Err(CallError::new(peer.clone(), header.rpc, now().since(self.since), why)))
    }

    fn refuse(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.desk.say(What::Refuse(self.call.header));
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.refuse();
    }
}
