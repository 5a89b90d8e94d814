//! Calling over a link by a contract.

use std::os::fd::OwnedFd;
use std::time::Duration;

use cloison_ipc::Passed;
use cloison_msg::contract::{Carrier, Pending, Retry};
use cloison_msg::{
    AppendError, CallError, CallFailure, Message, Name, Reader, RecvError, Rights, RpcIndex, Streams, Transfer,
};

use crate::clock::NEVER;
use crate::pending::PendingCall;
use crate::worker::DEFAULT_DEADLINE;
use crate::{Link, LinkFlow, Worker};

impl Carrier for Link {
    type Sent = OwnedFd;
    type Passed = Passed;
    type Pending = Started;
    type Flow = LinkFlow;

    const DEADLINE: Duration = DEFAULT_DEADLINE;

    fn peer_role(&self) -> Name {
        Name::clone(&self.peer())
    }

    fn put_into(&self, message: &mut Message<OwnedFd>, transfer: Transfer, rights: &Rights) -> Result<(), AppendError> {
        match transfer {
            Transfer::Copy => message.append_link(self, rights)?,
            Transfer::Move => message.move_link(self, rights)?,
        };
        if transfer == Transfer::Move {
            self.let_go();
        }
        Ok(())
    }

    fn call<T>(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
        read: impl FnOnce(&mut Reader<'_, Passed, Self>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        let within = within.unwrap_or(DEFAULT_DEADLINE);
        self.with_message(rpc, build, |message| self.start_within(rpc, message, within))?.read_from_start(read)
    }

    fn start(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> Started {
        let within = within.unwrap_or(DEFAULT_DEADLINE);
        let started = self.with_message(rpc, build, |message| self.start_within(rpc, message, within));
        Started(started.map(Some))
    }

    fn stream(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        streams: Streams,
        build: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> LinkFlow {
        let within = within.unwrap_or(DEFAULT_DEADLINE);
        self.with_message(rpc, build, |message| Self::stream(self, rpc, message, within, streams))
            .unwrap_or_else(LinkFlow::failed)
    }

    fn oneway(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> Result<(), CallError> {
        let within = within.unwrap_or(DEFAULT_DEADLINE);
        self.with_message(rpc, build, |message| self.oneway_within(rpc, message, within))
    }

    fn start_oneway(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> Started {
        Started(Carrier::oneway(self, rpc, within, build).map(|()| None))
    }
}

impl Link {
    /// Builds a message in memory that has grown already, and sends it.
    pub(super) fn with_message<T>(
        &self,
        rpc: RpcIndex,
        build: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
        send: impl FnOnce(&mut Message<OwnedFd>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut message = self.worker().session().spare_message();
        let sent = match build(&mut message) {
            Ok(()) => send(&mut message),
            Err(error) => {
                let now = self.worker().tick();
                Err(self.call_error(rpc, now, CallFailure::Unsendable(error.to_string().into())))
            }
        };
        let mut session = self.worker().session();
        // Of what was not sent nobody has a handle any more.
        session.close_moves(&message);
        session.return_message(message);
        drop(session);
        sent
    }
}

/// A call by a contract that was begun: it waits for its reply, was a oneway and is sent, or has failed.
#[derive(Debug)]
pub struct Started(Result<Option<PendingCall>, CallError>);

impl Started {
    const fn pending(&self) -> Option<&PendingCall> {
        match &self.0 {
            Ok(pending) => pending.as_ref(),
            Err(_) => None,
        }
    }
}

impl Pending for Started {
    type Passed = Passed;
    type Link = Link;

    fn retry(retry: Retry<Link>) -> Self {
        let worker = retry.former().worker().clone();
        Self(worker.call_again(&retry).map(Some))
    }

    fn wait<T>(self, read: impl FnOnce(&mut Reader<'_, Passed, Link>) -> Result<T, RecvError>) -> Result<T, CallError> {
        match self.0? {
            Some(pending) => {
                // Between the start of the call and now its maker may have done anything, for any time.
                pending.link().worker().tick();
                pending.read_from_start(read)
            }
            None => Ok(read(&mut Reader::new(&[], Vec::new()).with_links(Vec::new()))
                .expect("there is nothing to be read of a oneway")),
        }
    }

    fn detach(self) {
        if let Ok(Some(pending)) = self.0 {
            pending.detach();
        }
    }

    /// Meanwhile requests of the same chains are served. All calls are of one worker.
    fn wait_any(started: &mut [Self]) -> usize {
        let Some(worker) = started.iter().find_map(Self::pending).map(|pending| pending.link().worker().clone()) else {
            return 0;
        };
        worker.tick();
        let outer = begin_waits(&worker, started);
        let over = loop {
            if let Some(over) = look_or_wait(&worker, started) {
                break over;
            }
        };
        worker.session().waits.truncate(outer);
        over
    }
}

/// All of them are waited for from now on; how many others were before.
fn begin_waits(worker: &Worker, started: &[Started]) -> usize {
    let mut session = worker.session();
    let outer = session.waits.len();
    for pending in started.iter().filter_map(Started::pending) {
        session.begin_wait(pending.as_wait().among(started.len()));
    }
    outer
}

/// Which of them is over; if none is, waits until something happens.
fn look_or_wait(worker: &Worker, started: &[Started]) -> Option<usize> {
    let mut session = worker.session();
    let over = started.iter().position(|call| call.pending().is_none_or(|pending| pending.is_over(&session)));
    if over.is_some() {
        return over;
    }
    session.pause();
    let pending = || started.iter().filter_map(Started::pending);
    let has_service = worker.has_any_service(&session);
    if let Some(queued) = pending().find_map(|call| session.take_nested(Some(call.chain()), has_service)) {
        drop(session);
        worker.serve_nested(queued);
        return None;
    }
    let first = pending().next().map(|call| call.link().name());
    let one_link = first.filter(|&first| pending().all(|call| call.link().name() == first));
    let until = pending().map(PendingCall::deadline).min().unwrap_or(NEVER);
    let until = session.look_for_circle(until);
    session.pump(until, one_link);
    None
}
