//! Calls that are made on a thread: the session's thread makes them for it.

use std::cell::Cell;
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use cloison_ipc::Passed;
use cloison_msg::contract::{Carrier, NoFlow, Pending, Retry};
use cloison_msg::{
    AppendError, CallError, CallFailure, Destination, Gone, Message, Name, Named, Reader, RecvError, Rights, RpcIndex,
    Streams, Time, Transfer,
};

use super::hand::Desk;
use super::mail::{Answer, Call, Outcome, What};
use crate::buffers::Payload;
use crate::clock::now;
use crate::worker::DEFAULT_DEADLINE;

/// One of the threads that serve, as its own code sees it: what a [`Worker`](crate::Worker) is to code on the session's
/// thread. A client that is bound through it makes calls from this thread, and belongs to it.
///
/// A handle, which stays on its thread.
#[derive(Clone)]
pub struct Thread(pub(super) Rc<Desk>);

impl Thread {
    pub(super) fn at(desk: &Rc<Desk>) -> Self {
        Self(Rc::clone(desk))
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").finish_non_exhaustive()
    }
}

/// A link of the worker's, as code on one of the threads that serve holds it. What is said over it is said by the session's
/// thread, in the order in which it is told to.
#[derive(Clone)]
pub struct ThreadLink {
    desk: Rc<Desk>,
    name: Destination,
    peer: Rc<Name>,
    /// Closes the link when the last handle is dropped, of a link that came with a message.
    hold: Option<Rc<Hold>>,
}

struct Hold {
    desk: Rc<Desk>,
    name: Destination,
    is_armed: Cell<bool>,
}

impl ThreadLink {
    pub(super) fn new(desk: &Rc<Desk>, name: Destination, peer: Name) -> Self {
        Self { desk: Rc::clone(desk), name, peer: Rc::new(peer), hold: None }
    }

    /// The same link, which is closed when the last clone of this handle is dropped.
    pub(super) fn held(self) -> Self {
        let hold = Hold { desk: Rc::clone(&self.desk), name: self.name, is_armed: Cell::new(true) };
        Self { hold: Some(Rc::new(hold)), ..self }
    }

    /// The role at the other end, when the handle was made.
    #[must_use]
    pub fn peer(&self) -> &Name {
        &self.peer
    }

    /// Closes this end. What was sent before still reaches the peer; calls that wait for a reply fail.
    pub fn close(self) {
        self.desk.say(What::Close(self.name));
    }

    pub(super) fn begin(
        &self,
        rpc: RpcIndex,
        within: Duration,
        is_oneway: bool,
        build: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> ThreadCall {
        let since = now();
        let mut message = Message::new();
        let ask = match build(&mut message) {
            Ok(()) => Ok(self.desk.ask(|ask| {
                let (job, span, deadline) = (self.desk.job(), self.desk.tracer().span_here(), since.after(within));
                let call = Call { link: self.name, rpc, message, deadline, is_oneway, job, is_detached: false, span };
                What::Call(ask, call)
            })),
            Err(error) => {
                let gives = message.links().iter().filter(|link| link.transfer == Transfer::Move);
                gives.for_each(|given| self.desk.say(What::Close(given.link)));
                Err(CallFailure::Unsendable(error.to_string().into()))
            }
        };
        ThreadCall { link: self.clone(), rpc, since, ask: Some(ask) }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.is_armed.get() {
            self.desk.say(What::Close(self.name));
        }
    }
}

/// To be put into a message.
impl Named for ThreadLink {
    fn destination(&self) -> Destination {
        self.name
    }
}

impl fmt::Debug for ThreadLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadLink({} to {})", self.name, self.peer)
    }
}

impl Carrier for ThreadLink {
    type Sent = OwnedFd;
    type Passed = Passed;
    type Pending = ThreadCall;
    type Flow = NoFlow<Self>;

    const DEADLINE: Duration = DEFAULT_DEADLINE;

    fn peer_role(&self) -> Name {
        Name::clone(&self.peer)
    }

    fn put_into(&self, message: &mut Message<OwnedFd>, transfer: Transfer, rights: &Rights) -> Result<(), AppendError> {
        match transfer {
            Transfer::Copy => message.append_link(self, rights)?,
            Transfer::Move => message.move_link(self, rights)?,
        };
        if let Some(hold) = self.hold.as_ref().filter(|_| transfer == Transfer::Move) {
            hold.is_armed.set(false);
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
        self.start(rpc, within, build).wait(read)
    }

    fn start(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> ThreadCall {
        self.begin(rpc, within.unwrap_or(DEFAULT_DEADLINE), false, build)
    }

    /// There are none on a thread: fails as what cannot be sent.
    fn stream(
        &self,
        rpc: RpcIndex,
        _: Option<Duration>,
        _: Streams,
        _: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> NoFlow<Self> {
        NoFlow::new(self.peer_role(), rpc)
    }

    fn oneway(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> Result<(), CallError> {
        self.start_oneway(rpc, within, build).wait(|_| Ok(()))
    }

    fn start_oneway(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<OwnedFd>) -> Result<(), AppendError>,
    ) -> ThreadCall {
        self.begin(rpc, within.unwrap_or(DEFAULT_DEADLINE), true, build)
    }
}

/// A call that was begun on a thread. Dropped, it is given up.
#[must_use = "a call in flight is to be waited for"]
pub struct ThreadCall {
    link: ThreadLink,
    rpc: RpcIndex,
    since: Time,
    /// By which number its outcome is told, or why it was not begun; `None` once that was heard.
    ask: Option<Result<u64, CallFailure>>,
}

impl ThreadCall {
    pub(super) fn failed(link: ThreadLink, rpc: RpcIndex, since: Time, why: CallFailure) -> Self {
        Self { link, rpc, since, ask: Some(Err(why)) }
    }

    fn asked(&self) -> Option<u64> {
        self.ask.as_ref().and_then(|ask| ask.as_ref().ok().copied())
    }

    fn fail(&self, why: CallFailure) -> CallError {
        CallError::new(self.link.peer_role(), self.rpc, now().since(self.since), why)
    }

    /// Waits for the outcome, which is heard from then on.
    fn outcome(&mut self) -> Outcome {
        match self.ask.take() {
            Some(Ok(ask)) => {
                let ended = || Outcome::Failed(CallFailure::Gone(Gone::BrokerEnded));
                self.link.desk.wait(ask).unwrap_or_else(ended)
            }
            Some(Err(why)) => Outcome::Failed(why),
            None => Outcome::Sent,
        }
    }
}

impl Pending for ThreadCall {
    type Passed = Passed;
    type Link = ThreadLink;

    fn retry(retry: Retry<ThreadLink>) -> Self {
        Thread::at(&retry.former().desk).call_again(&retry)
    }

    /// Meanwhile requests of the same chain are served on this thread.
    fn wait<T>(
        mut self,
        read: impl FnOnce(&mut Reader<'_, Passed, ThreadLink>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        let answer = match self.outcome() {
            Outcome::Answered(answer) => answer,
            Outcome::Failed(why) => return Err(self.fail(why)),
            // Of a oneway there is nothing to be read.
            Outcome::Sent | Outcome::Fed(_) | Outcome::FedUp | Outcome::Opened(_) => {
                Answer { payload: Payload::empty(), passed: Vec::new(), links: Vec::new() }
            }
        };
        let desk = &self.link.desk;
        let links = answer.links.into_iter().map(|(name, peer)| ThreadLink::new(desk, name, peer).held()).collect();
        let mut reader = Reader::new(answer.payload.as_slice(), answer.passed).with_links(links);
        let value = read(&mut reader).and_then(|value| reader.finish().map(|()| value));
        value.map_err(|error| self.fail(CallFailure::Unreadable(error.to_string().into())))
    }

    fn detach(mut self) {
        if let Some(Ok(ask)) = self.ask.take() {
            self.link.desk.detach(ask);
        }
    }

    fn wait_any(pending: &mut [Self]) -> usize {
        let asks: Option<Vec<u64>> = pending.iter().map(Self::asked).collect();
        match asks.zip(pending.first()) {
            Some((asks, first)) => first.link.desk.wait_any(&asks).unwrap_or(0),
            // One of them has not been begun.
            None => pending.iter().position(|call| call.asked().is_none()).unwrap_or(0),
        }
    }
}

impl Drop for ThreadCall {
    fn drop(&mut self) {
        if let Some(ask) = self.asked() {
            self.link.desk.give_up(ask);
        }
    }
}

impl fmt::Debug for ThreadCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadCall").field("link", &self.link).field("rpc", &self.rpc).finish_non_exhaustive()
    }
}
