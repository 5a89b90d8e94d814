//! Calls that are given up: by the host, or by those who call it.

use std::sync::Arc;

use cloison_msg::{CallFailure, CallId, Destination, Failure, Header, Kind};
use tokio::sync::oneshot::error::TryRecvError;

use super::desk::Desk;
use super::host_end::HostEnd;
use super::{Awaiting, Driver, HostMessage};
use crate::host::{Standing, Ticket};

/// A call that came to the host and was not answered.
pub(super) struct Open {
    header: Header,
    standing: Arc<Standing>,
}

impl Driver {
    /// The host gives up the call with that ticket, or every call of its own that nobody holds any more.
    pub(super) fn host_cancels(&mut self, link: Destination, ticket: Option<Ticket>) {
        for cancel in self.desk.cancel(link, ticket) {
            self.host_message(&cancel, HostMessage::new());
        }
        // What waited for room may be gone, and something behind it may go.
        self.host_resumes(link);
    }

    /// Whoever called the host waits no more. A call that the application has not taken is answered at once.
    pub(super) fn host_hears_cancel(&mut self, link: Destination, call: CallId) {
        let Some(end) = self.desk.ends.get(link) else { return };
        let Some(open) = end.open.iter().find(|open| open.header.call == call) else { return };
        if open.standing.give_up() {
            let header = open.header;
            self.host_answers(link, &header, Err(Failure::Cancelled));
        }
    }
}

impl Desk {
    /// The host leaves a call to its peer.
    pub(super) fn detach(&mut self, link: Destination, outcome: Awaiting) {
        if let Some(end) = self.ends.get_mut(link) {
            end.detached.push(outcome);
            end.forget_detached();
        }
    }

    /// Gives calls of the host's up: what is to be sent because of it.
    fn cancel(&mut self, link: Destination, ticket: Option<Ticket>) -> Vec<Header> {
        let (mut cancels, mut given_up) = (Vec::new(), Vec::new());
        let Some(end) = self.ends.get_mut(link) else { return cancels };
        let peer = end.end.peer().clone();
        while let Some(call) = end.end.find_call(|done| done.is_given_up(ticket)) {
            let Some((header, pending)) = end.end.cancel(call) else { break };
            cancels.push(header);
            given_up.push(pending);
        }
        let mut waiting = Vec::new();
        while let Some(at) = end.waiting.iter().position(|waiting| waiting.is_given_up(ticket)) {
            waiting.extend(end.waiting.remove(at));
        }
        for pending in given_up {
            self.fail_call(&peer, pending, CallFailure::Cancelled);
        }
        for waiting in waiting {
            self.fail_waiting(&peer, waiting, CallFailure::Cancelled);
        }
        cancels
    }
}

impl HostEnd {
    /// What the outcomes of calls were that have been left to the peer, nobody wants to know.
    pub(super) fn forget_detached(&mut self) {
        self.detached.retain_mut(|outcome| matches!(outcome.try_recv(), Err(TryRecvError::Empty)));
    }

    /// A request has come: if it is a call, it may be given up from now on.
    pub(super) fn open(&mut self, header: &Header) -> Option<Arc<Standing>> {
        if header.kind != Kind::Call {
            return None;
        }
        let standing = Arc::new(Standing::default());
        self.open.push(Open { header: *header, standing: standing.clone() });
        Some(standing)
    }

    /// A call is about to be answered; false if it was.
    pub(super) fn close(&mut self, call: CallId) -> bool {
        let at = self.open.iter().position(|open| open.header.call == call);
        at.map(|at| self.open.swap_remove(at)).is_some()
    }

    /// Nobody waits for answers to calls up to that one.
    pub(super) fn orphan(&mut self, last: CallId) {
        for orphan in self.open.extract_if(.., |open| open.header.call <= last) {
            orphan.standing.give_up();
        }
    }
}
