//! What the host and the supervisor ask of the driver.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use cloison_ipc::{Passed, ProcessIpc};
use cloison_msg::{
    CallError, CallId, Caller, Destination, Failure, Gone, Header, Key, Message, Name, Receipt, Refusal, Route,
    RpcIndex, Streams, Text, Work,
};
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;

use crate::host::{Held, HostLink, Incoming, Pledge, StreamCore, Ticket, Unclaimed};
use crate::policy::{Grant, Model, Policy};
use crate::router::{LinkId, LinkView};
use crate::trace::{Cause, Hub, TraceOrder};

/// A message as the host builds it.
pub type HostMessage = Message<Passed>;

/// What becomes of something the host sends.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A call, and where its outcome goes.
    Call(Done),
    /// A message that nobody answers, and who is told that it was sent.
    Oneway(oneshot::Sender<Result<(), CallError>>),
    /// A buffer that goes back. Nobody waits.
    Release,
}

/// Where whoever holds a call of the host's finds its outcome.
pub(crate) type Awaiting = oneshot::Receiver<Result<Incoming, CallError>>;

/// Where the outcome of a host's call goes.
#[derive(Debug)]
pub(crate) enum Done {
    /// To whoever holds the call.
    Caller(oneshot::Sender<Result<Incoming, CallError>>),
    /// To the inbox, under a mark of the host's.
    Inbox(Ticket),
    /// To whoever holds the call's streams.
    Stream(Pledge),
}

impl Done {
    /// The streams of the call.
    pub(crate) fn streams(&self) -> Streams {
        match self {
            Self::Stream(pledge) => pledge.0.streams,
            Self::Caller(_) | Self::Inbox(_) => Streams::empty(),
        }
    }

    /// Whether it is the call with that ticket, or without one, a call that nobody holds any more.
    pub(crate) fn is_given_up(&self, ticket: Option<Ticket>) -> bool {
        match self {
            Self::Caller(caller) => ticket.is_none() && caller.is_closed(),
            Self::Inbox(own) => ticket == Some(*own),
            Self::Stream(pledge) => ticket.is_none() && pledge.0.is_over(),
        }
    }
}

/// Something the host sends over one of its links.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) link: Destination,
    pub(crate) peer: Name,
    pub(crate) rpc: RpcIndex,
    pub(crate) message: HostMessage,
    pub(crate) within: Duration,
    pub(crate) purpose: Purpose,
    /// The span that it is sent in.
    pub(crate) cause: Cause,
}

/// What the driver is asked to do.
pub(crate) enum Command {
    /// A worker was started; its socket.
    Seat { role: Name, pid: u32, ipc: ProcessIpc, port: oneshot::Sender<Key> },
    /// A worker is dead.
    Died { port: Key, why: Gone },
    /// The worker at a port will not be started again when it dies, or will after all.
    LastLife { port: Key, is_last: bool },
    /// A role is known from now on, and may be played again if it had ended.
    Declare { role: Name },
    /// Nobody will play the role again.
    Retire { role: Name, why: Gone },
    /// The host asks for a link.
    Open { role: Name, interface: Name, within: Duration, done: oneshot::Sender<Result<Unclaimed, Refusal>> },
    /// The host makes a link to an object of its own, to give it away.
    Offer { interface: Name, object: Arc<Held>, done: oneshot::Sender<Result<Unclaimed, Refusal>> },
    /// The host sends something.
    Send(Outgoing),
    /// The host gives up the call with that ticket, or every call that nobody holds any more.
    Cancel { link: Destination, ticket: Option<Ticket> },
    /// The host leaves a call to its peer: this is kept in its stead, until the call has its outcome.
    Detach { link: Destination, outcome: Awaiting },
    /// The host answers a call.
    Answer { link: Destination, call: Header, result: Result<HostMessage, Failure> },
    /// The host has taken messages.
    Credit { link: Destination, receipt: Receipt },
    /// The host has taken an item of a stream, of so many bytes.
    Draw { link: Destination, call: CallId, caller: Caller, bytes: usize },
    /// The host wants no more of what it is fed.
    RefuseItems { link: Destination, call: CallId },
    /// The host has made something of a stream.
    SendItems { link: Destination },
    /// The host waits for an item, or for room for one; or does so no longer.
    AwaitItem { link: Destination, stream: Arc<StreamCore> },
    /// The host closes a link.
    Close { link: Destination },
    /// Builds links by another model; `done` is dropped when no link is on its way to another route.
    SetModel { model: Model, done: oneshot::Sender<()> },
    /// Sets or frees the route of one link; `done` is dropped when it is not on its way to another.
    SetRoute { link: LinkId, route: Option<Route>, done: oneshot::Sender<()> },
    /// Decides by another policy; `done` is dropped when nothing more is delivered over what that does not grant.
    SetPolicy { policy: Arc<dyn Policy>, done: oneshot::Sender<()> },
    /// Takes a link back, with all that came of it; `done` is dropped when nothing more is delivered over it.
    Revoke { link: LinkId, done: Arc<oneshot::Sender<()>> },
    /// Who holds what: all links, or one.
    Explain { link: Option<LinkId>, done: oneshot::Sender<Vec<LinkView>> },
    /// What the worker at a port says it is busy with, in words: one text for each note that means anything.
    Describe { port: Key, works: Vec<Work>, done: oneshot::Sender<Vec<Option<String>>> },
    /// The host has decided about a link.
    Decide { question: Key, grant: Option<Grant> },
    /// The host has taken what was waiting in its inbox.
    CaughtUp,
    /// The peer on a link of the host's lent it a buffer that it has not.
    MadeUpBuffer { link: Destination, what: Text },
    /// Notes what each worker sent through the broker, and asks what it sent directly; `done` is dropped when all have
    /// answered.
    Count { done: oneshot::Sender<()> },
    /// How much workers are to record of themselves.
    Trace(TraceOrder),
    /// Say so, then stand still until the other end of `until` is dropped.
    Suspend { done: oneshot::Sender<()>, until: mpsc::Receiver<()> },
    /// Ends the driver.
    Stop,
}

impl Command {
    /// Whether it is something that the host sends, which may share a packet with the next.
    pub(super) const fn is_message(&self) -> bool {
        matches!(self, Self::Send(_) | Self::Answer { .. } | Self::Credit { .. })
    }
}

/// Hands commands to the driver, from any thread.
#[derive(Clone)]
pub(crate) struct Commands {
    /// `None` once the driver has ended.
    queue: Arc<Mutex<Option<Vec<Command>>>>,
    bell: Arc<OwnedFd>,
    tracing: Arc<Hub>,
}

impl Commands {
    pub(crate) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { queue: Arc::new(Mutex::new(Some(Vec::new()))), bell: Arc::new(bell), tracing: Arc::default() })
    }

    /// Queues a command; rings only when the queue was empty, since the driver takes all there is. Once the driver has
    /// ended, the command is dropped, and with it whatever somebody waits for in it.
    pub(crate) fn give(&self, command: Command) {
        let mut queue = self.queue();
        let Some(queue) = &mut *queue else { return };
        queue.push(command);
        if queue.len() == 1 {
            // The counter can only overflow after 2⁶⁴ rings, and a full one rings all the same.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// Asks for a link.
    pub(crate) async fn open(&self, role: Name, interface: Name, within: Duration) -> Result<HostLink, Refusal> {
        let (done, opened) = oneshot::channel();
        self.give(Command::Open { role, interface, within, done });
        opened.await.unwrap_or(Err(Refusal::PeerGone(Gone::BrokerEnded))).map(Unclaimed::claim)
    }

    /// Takes all there is. The list that is given, an empty one, takes its place, so that its memory serves again.
    pub(super) fn take(&self, into: &mut Vec<Command>) {
        let mut rings = [0; 8];
        let _ = rustix::io::read(&self.bell, &mut rings);
        if let Some(queue) = &mut *self.queue() {
            std::mem::swap(into, queue);
        }
    }

    /// The driver has ended.
    pub(super) fn close(&self) {
        let ended = self.queue().take();
        // Only now, without the lock: whoever hears of it may give another command.
        drop(ended);
    }

    /// Where what is traced goes.
    pub(crate) const fn tracing(&self) -> &Arc<Hub> {
        &self.tracing
    }

    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    fn queue(&self) -> MutexGuard<'_, Option<Vec<Command>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}
