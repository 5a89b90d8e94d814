//! What the caller of a request feeds.

use std::time::Duration;

use cloison_msg::contract::{Intake, ReadOne};
use cloison_msg::{CallError, CallFailure, Caller, Gone, Header, Kind, Name, Reader, RecvError, Streams, Time};

use super::FeedEnd;
use crate::buffers::Payload;
use crate::request::Request;
use crate::session::Session;
use crate::worker::{Awaited, Interrupted};
use crate::{Link, Worker};

/// The end of a stream at which its items are taken. Dropped, it refuses the rest.
struct Taking {
    worker: Worker,
    call: Header,
    peer: Name,
    since: Time,
    is_over: bool,
}

impl Request<'_> {
    /// What the caller feeds, if it does: to be taken item by item. Each wait takes as long as the caller said; meanwhile
    /// requests of the same chain are served. What is dropped before its end is refused.
    pub fn fed(&self) -> Option<Intake<Link>> {
        let (worker, call) = (self.worker().clone(), *self.header());
        if call.kind != Kind::Call || !call.streams.contains(Streams::FEED) {
            return None;
        }
        let since = worker.tick();
        let mut taking = Taking { worker, call, peer: self.peer().clone(), since, is_over: false };
        Some(Box::new(move |read| taking.next(read)))
    }
}

impl Taking {
    fn next(&mut self, read: ReadOne<'_, Link>) -> Option<Result<(), CallError>> {
        if self.is_over {
            return None;
        }
        let within: Duration = self.call.time_left();
        let deadline = self.worker.tick().after(within);
        let call = self.call;
        let next = self.worker.wait_for(deadline, Awaited::Room(call.chain), |session| look(session, &call));
        let why = match next {
            Ok(Ok(item)) => match self.read(item, read) {
                Ok(()) => {
                    self.worker.session().renew_deadline(&call);
                    return Some(Ok(()));
                }
                Err(error) => CallFailure::Unreadable(error.to_string().into()),
            },
            Ok(Err(end)) => {
                self.is_over = true;
                match end.outcome() {
                    Ok(()) => return None,
                    Err(why) => why,
                }
            }
            Err(Interrupted::Deadline) => CallFailure::Deadline,
            Err(Interrupted::Disconnected(_)) => CallFailure::Gone(Gone::BrokerEnded),
        };
        self.refuse();
        let after = self.worker.tick().since(self.since);
        Some(Err(CallError::new(self.peer.clone(), call.rpc, after, why)))
    }

    fn read(&self, item: Payload, read: ReadOne<'_, Link>) -> Result<(), RecvError> {
        let mut reader = Reader::new(item.as_slice(), Vec::new()).with_links(Vec::new());
        let read = read(&mut reader).and_then(|()| reader.finish());
        self.worker.session().buffers.release(item);
        read
    }

    fn refuse(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.worker.session().refuse_items(self.call.destination, self.call.call, Caller::Peer);
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// The next item that is fed to that call, or the end of what is fed; `None` if there is neither yet.
pub(crate) fn look_for_fed(session: &mut Session, call: &Header) -> Option<Result<Payload, Result<(), CallFailure>>> {
    look(session, call).map(|next| next.map_err(FeedEnd::outcome))
}

fn look(session: &mut Session, call: &Header) -> Option<Result<Payload, FeedEnd>> {
    let (link, id) = (call.destination, call.call);
    if let Some(item) = session.next_item(link, id, Caller::Peer) {
        return Some(Ok(item));
    }
    match session.inflow(link, id, Caller::Peer) {
        Some(inflow) => inflow.end.clone().map(Err),
        // It was answered, or its link was given away before it was served.
        None => Some(Err(FeedEnd::Gone(Gone::Moved))),
    }
}
