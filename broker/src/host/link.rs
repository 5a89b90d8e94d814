//! The host's end of a link.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cloison_ipc::BufferRef;
use cloison_msg::control::PoolId;
use cloison_msg::{
    CallError, CallFailure, CallId, Caller, Destination, Gone, Header, Interface, Name, Named, Refusal, Route,
    RpcIndex, Streams, Taken,
};
use tokio::sync::oneshot;

use super::incoming::close_moves;
use super::pools::{BorrowError, Borrowed, LinkPools};
use super::{HostFlow, Incoming, Pledge, StreamCore, Ticket};
use crate::driver::{Awaiting, Command, Commands, Done, HostMessage, Outgoing, Purpose};
use crate::trace::Cause;
use crate::wait::wait;

/// The deadline of a call that names none.
pub const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// The host's end of a link to a worker. Clones are the same end. It stays until it is [closed](Self::close), or the
/// worker is gone.
#[derive(Clone, Debug)]
pub struct HostLink {
    core: Arc<LinkCore>,
    /// Closes the link when the last clone is dropped, of a link that came with a message of a contract.
    hold: Option<Arc<Hold>>,
}

/// Closes a link when it is dropped, unless that has become somebody else's business.
#[derive(Debug)]
struct Hold {
    core: Arc<LinkCore>,
    is_armed: AtomicBool,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.is_armed.load(Ordering::Acquire) {
            self.core.commands.give(Command::Close { link: self.core.name });
        }
    }
}

/// Why the host got no link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no link to {role}: {why}")]
pub struct OpenError {
    /// The role that was asked for.
    pub role: String,
    /// Why.
    pub why: Refusal,
}

/// What all holders of one end of the host's share.
#[derive(Debug)]
pub(crate) struct LinkCore {
    pub(crate) name: Destination,
    peer: Mutex<Arc<Name>>,
    pub(crate) commands: Commands,
    pub(crate) pools: LinkPools,
    taken: Mutex<Taken>,
    /// Whether the link was taken back: then nothing that came over it is delivered any more.
    revoked: AtomicBool,
    /// How many answers came to calls that nobody waited for any more.
    late: AtomicU64,
}

impl LinkCore {
    /// Of a link of which so much was taken already.
    pub(crate) fn new(name: Destination, peer: Name, taken: Taken, commands: Commands) -> Arc<Self> {
        let (peer, taken) = (Mutex::new(Arc::new(peer)), Mutex::new(taken));
        let (pools, revoked, late) = (LinkPools::default(), AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { name, peer, commands, pools, taken, revoked, late })
    }

    /// The role at the other end at this moment.
    pub(crate) fn peer(&self) -> Arc<Name> {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The other end has another holder.
    pub(crate) fn set_peer(&self, peer: Name) {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(peer);
    }

    pub(crate) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
    }

    pub(crate) fn note_late(&self) {
        self.late.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// The application is done with a message that came over the link.
    pub(crate) fn take(&self, header: &Header) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.take(Route::Relayed, header.kind, header.shape());
        let due = taken.due(false);
        drop(taken);
        if let Some(receipt) = due {
            self.commands.give(Command::Credit { link: self.name, receipt });
        }
    }

    /// Asks the driver for something.
    pub(super) fn give(&self, command: Command) {
        self.commands.give(command);
    }

    /// The application has taken an item of a stream.
    pub(super) fn draw(&self, call: CallId, caller: Caller, bytes: usize) {
        self.give(Command::Draw { link: self.name, call, caller, bytes });
    }

    pub(super) fn give_back(&self, pool: PoolId, index: u16) {
        let mut message = HostMessage::new();
        if message.append(&(pool, index)).is_ok() {
            // However long the worker reads nothing: given up, the buffer would be missing in its pool for good.
            self.send(RpcIndex::default(), message, Duration::MAX, Purpose::Release);
        }
    }

    fn send(&self, rpc: RpcIndex, message: HostMessage, within: Duration, purpose: Purpose) {
        let peer = Name::clone(&self.peer());
        let cause = match purpose {
            Purpose::Call(_) | Purpose::Oneway(_) => self.commands.tracing().cause(&peer, rpc),
            Purpose::Release => Cause::default(),
        };
        let link = self.name;
        self.commands.give(Command::Send(Outgoing { link, peer, rpc, message, within, purpose, cause }));
    }
}

impl HostLink {
    pub(crate) const fn new(core: Arc<LinkCore>) -> Self {
        Self { core, hold: None }
    }

    /// The same link, which is closed when the last clone of this is dropped.
    pub(crate) fn held(self) -> Self {
        let hold = Hold { core: self.core.clone(), is_armed: AtomicBool::new(true) };
        Self { hold: Some(Arc::new(hold)), ..self }
    }

    pub(super) const fn core(&self) -> &Arc<LinkCore> {
        &self.core
    }

    /// Begins a call with streams. Each wait for an item takes at most `within`.
    pub fn stream(&self, rpc: RpcIndex, message: HostMessage, within: Duration, streams: Streams) -> HostFlow {
        let core = StreamCore::new(Caller::Own, None, streams, within);
        self.core.send(rpc, message, within, Purpose::Call(Done::Stream(Pledge(core.clone()))));
        HostFlow::new(self, core, rpc)
    }

    /// Gives up the links that a message would have given away which is not sent.
    pub(super) fn close_moves(&self, message: &HostMessage) {
        close_moves(&self.core, message);
    }

    /// From now on a message that gives the link away, or is not sent, sees to its end.
    pub(super) fn let_go(&self) {
        if let Some(hold) = &self.hold {
            hold.is_armed.store(false, Ordering::Release);
        }
    }

    /// The role at the other end. It is another one once the peer has given its end away.
    #[must_use]
    pub fn peer(&self) -> Arc<Name> {
        self.core.peer()
    }

    /// The host's name for the link, which the [`Inbox`](super::Inbox) uses too.
    #[must_use]
    pub fn name(&self) -> Destination {
        self.core.name
    }

    /// A link to whoever plays `role`, or is the next to do so within `within`.
    pub(super) async fn open_like(&self, role: Name, interface: &Interface, within: Duration) -> Result<Self, Refusal> {
        self.core.commands.open(role, interface.name(), within).await
    }

    /// Closes the link at both ends.
    pub fn close(self) {
        self.core.commands.give(Command::Close { link: self.core.name });
    }

    /// Calls and waits for the outcome, [`CALL_DEADLINE`] at most. For hosts that are synchronous; see
    /// [`start`](Self::start) for a call that can be awaited.
    ///
    /// # Errors
    /// [`CallError`]: exactly one outcome for every call, with who, which method, after how long, and why.
    pub fn call(&self, rpc: RpcIndex, message: HostMessage) -> Result<Incoming, CallError> {
        self.start(rpc, message, CALL_DEADLINE).wait()
    }

    /// Begins a call that ends within `within`. Several can be on their way.
    #[must_use = "dropping it gives the call up"]
    pub fn start(&self, rpc: RpcIndex, message: HostMessage, within: Duration) -> PendingCall {
        let (done, outcome) = oneshot::channel();
        self.core.send(rpc, message, within, Purpose::Call(Done::Caller(done)));
        let (link, commands) = (self.core.name, self.core.commands.clone());
        PendingCall { peer: self.peer(), rpc, since: Instant::now(), outcome, link, commands, is_over: false }
    }

    /// Begins a call whose outcome comes to the [`Inbox`](super::Inbox), under `ticket`.
    pub fn post(&self, rpc: RpcIndex, message: HostMessage, within: Duration, ticket: Ticket) {
        self.core.send(rpc, message, within, Purpose::Call(Done::Inbox(ticket)));
    }

    /// Gives up the call that was [`post`](Self::post)ed over this link under `ticket`: its outcome is
    /// [`CallFailure::Cancelled`], unless it has one already.
    pub fn cancel(&self, ticket: Ticket) {
        self.core.commands.give(Command::Cancel { link: self.core.name, ticket: Some(ticket) });
    }

    /// How many answers came over this link to calls that nobody waited for any more: they were given up, or their
    /// deadlines had passed.
    #[must_use]
    pub fn late_answers(&self) -> u64 {
        self.core.late.load(Ordering::Relaxed)
    }

    /// Sends a message that nobody answers, and waits until it is on its way, [`CALL_DEADLINE`] at most.
    ///
    /// # Errors
    /// [`CallError`] if it was not sent.
    pub fn oneway(&self, rpc: RpcIndex, message: HostMessage) -> Result<(), CallError> {
        wait(self.tell(rpc, message, CALL_DEADLINE))
    }

    /// Begins to send a message that nobody answers; it is on its way, or given up, within `within`.
    pub(super) fn tell(
        &self,
        rpc: RpcIndex,
        message: HostMessage,
        within: Duration,
    ) -> impl Future<Output = Result<(), CallError>> + Send + 'static {
        let (done, sent) = oneshot::channel();
        let (peer, since) = (self.peer(), Instant::now());
        self.core.send(rpc, message, within, Purpose::Oneway(done));
        async move { sent.await.unwrap_or_else(|_| Err(broker_ended(&peer, rpc, since))) }
    }

    /// Borrows a buffer that the worker says it has lent.
    ///
    /// # Errors
    /// [`BorrowError`]. A worker that made the reference up is evicted.
    pub fn borrow(&self, buffer: BufferRef) -> Result<Borrowed, BorrowError> {
        Borrowed::new(&self.core, buffer)
    }
}

/// To be put into a message: [`append_link`](cloison_msg::Message::append_link),
/// [`move_link`](cloison_msg::Message::move_link).
impl Named for HostLink {
    fn destination(&self) -> Destination {
        self.core.name
    }
}

/// A link on its way to whoever asked for it. If that one has given up meanwhile, the link is closed: nobody else could.
#[derive(Debug)]
pub(crate) struct Unclaimed(Option<HostLink>);

impl Unclaimed {
    pub(crate) const fn new(link: HostLink) -> Self {
        Self(Some(link))
    }

    /// It has arrived.
    pub(crate) fn claim(mut self) -> HostLink {
        self.0.take().expect("only this and drop take it")
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            link.close();
        }
    }
}

/// A call that waits for its outcome: [`wait`](Self::wait) for it, or `.await` it on any executor. Dropped, it is given up:
/// the peer is told, does not serve it if it has not begun to, and can see it if it has.
#[derive(Debug)]
pub struct PendingCall {
    peer: Arc<Name>,
    rpc: RpcIndex,
    since: Instant,
    outcome: Awaiting,
    link: Destination,
    commands: Commands,
    /// Whether the outcome was there.
    is_over: bool,
}

impl PendingCall {
    /// Blocks until the outcome is there; no longer than the call's deadline.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn wait(self) -> Result<Incoming, CallError> {
        wait(self)
    }

    /// Leaves the call to its peer, who serves it although nobody waits for the reply.
    pub fn detach(mut self) {
        self.is_over = true;
        let nobody = oneshot::channel().1;
        let outcome = std::mem::replace(&mut self.outcome, nobody);
        self.commands.give(Command::Detach { link: self.link, outcome });
    }
}

impl Future for PendingCall {
    type Output = Result<Incoming, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = Pin::new(&mut self.outcome).poll(context);
        self.is_over |= outcome.is_ready();
        outcome.map(|outcome| match outcome {
            Ok(outcome) => outcome.and_then(Incoming::deliver),
            Err(_) => Err(broker_ended(&self.peer, self.rpc, self.since)),
        })
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        // Closed first: by that the driver sees which call is meant.
        self.outcome.close();
        if !self.is_over && self.outcome.try_recv().is_err() {
            self.commands.give(Command::Cancel { link: self.link, ticket: None });
        }
    }
}

fn broker_ended(peer: &Name, rpc: RpcIndex, since: Instant) -> CallError {
    CallError::new(peer.clone(), rpc, since.elapsed(), CallFailure::Gone(Gone::BrokerEnded))
}
