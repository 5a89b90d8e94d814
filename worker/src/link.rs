//! The worker's handle on one of its links.

use std::cell::Cell;
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use cloison_msg::{
    CALL_DEPTH_MAX, CallError, CallFailure, CallFrame, Destination, Gone, Message, Name, Named, RpcIndex, Streams, Time,
};

use crate::pending::PendingCall;
use crate::send::too_deep;
use crate::session::Frame;
use crate::wire::Posted;
use crate::worker::{Awaited, DEFAULT_DEADLINE, Interrupted};
use crate::{Batch, Incoming, Worker};

/// How long to wait for the broker's word on why a link is gone, once its socket says that it is.
const WORD_WITHIN: Duration = Duration::from_secs(1);

/// A link of this worker's: a handle, as cheap to clone as a pointer.
///
/// It does not say which route the link runs. A link whose peer has gone stays a valid handle; what is done with it
/// fails, and says why.
#[derive(Clone)]
pub struct Link {
    worker: Worker,
    name: Destination,
    /// The role at the other end when the handle was made.
    peer: Rc<Name>,
    /// Closes the link when the last handle is dropped, of a link that came with a message of a contract.
    hold: Option<Rc<Hold>>,
}

/// Closes a link when it is dropped, unless that has become somebody else's business.
struct Hold {
    worker: Worker,
    name: Destination,
    is_armed: Cell<bool>,
}

impl Link {
    pub(crate) fn new(worker: &Worker, name: Destination, peer: Rc<Name>) -> Self {
        Self { worker: worker.clone(), name, peer, hold: None }
    }

    /// The same link, which is closed when the last clone of this handle is dropped.
    pub(crate) fn held(self) -> Self {
        let hold = Hold { worker: self.worker.clone(), name: self.name, is_armed: Cell::new(true) };
        Self { hold: Some(Rc::new(hold)), ..self }
    }

    /// The same link, which stays when its handles are dropped.
    pub(crate) fn kept(self) -> Self {
        if let Some(hold) = &self.hold {
            hold.is_armed.set(false);
        }
        Self { hold: None, ..self }
    }

    /// From now on a message that gives the link away, or is not sent, sees to its end.
    pub(crate) fn let_go(&self) {
        if let Some(hold) = &self.hold {
            hold.is_armed.set(false);
        }
    }

    /// Calls a method and waits for its reply, for at most [`DEFAULT_DEADLINE`], and no longer than the request that is
    /// being served leaves time for. Meanwhile requests of the same chain are served.
    ///
    /// The message is cleared once it was sent; if it could not be sent it stays as it is.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call(&self, rpc: RpcIndex, message: &mut Message<OwnedFd>) -> Result<Incoming, CallError> {
        self.call_within(rpc, message, DEFAULT_DEADLINE)
    }

    /// Calls a method as [`call`](Self::call) does, with a deadline of its own.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call_within(
        &self,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        within: Duration,
    ) -> Result<Incoming, CallError> {
        self.start_within(rpc, message, within)?.wait_from_start()
    }

    /// Begins a call and does not wait for its reply, so that several can be in flight. It waits while there is no room
    /// for the call.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn start(&self, rpc: RpcIndex, message: &mut Message<OwnedFd>) -> Result<PendingCall, CallError> {
        self.start_within(rpc, message, DEFAULT_DEADLINE)
    }

    /// Begins a call as [`start`](Self::start) does, with a deadline of its own, which counts from now.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn start_within(
        &self,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        within: Duration,
    ) -> Result<PendingCall, CallError> {
        let since = self.worker.tick();
        let none = Streams::empty();
        self.begin(rpc, message, since, within, none).map_err(|why| self.call_error(rpc, since, why))
    }

    /// Begins a call with streams.
    pub(crate) fn start_streaming(
        &self,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        within: Duration,
        streams: Streams,
    ) -> Result<PendingCall, CallError> {
        let since = self.worker.tick();
        self.begin(rpc, message, since, within, streams).map_err(|why| self.call_error(rpc, since, why))
    }

    /// Sends a message that nobody answers. It waits while there is no room for it, for at most [`DEFAULT_DEADLINE`].
    ///
    /// # Errors
    /// [`CallError`]; the message is as before then. That it was sent does not say that it was, or will be, read.
    pub fn oneway(&self, rpc: RpcIndex, message: &mut Message<OwnedFd>) -> Result<(), CallError> {
        self.oneway_within(rpc, message, DEFAULT_DEADLINE)
    }

    /// Sends a message as [`oneway`](Self::oneway) does, with a deadline of its own.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn oneway_within(
        &self,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        within: Duration,
    ) -> Result<(), CallError> {
        let frame = self.worker.session().frame_of_call();
        // What joins others in a packet waits for nothing, so that nobody need look at the clock.
        let gathered = self.worker.session().try_gather(self.name, rpc, message, frame);
        if matches!(gathered, Some(Ok(Posted::Sent))) {
            return Ok(());
        }
        let since = self.worker.tick();
        let deadline = frame.deadline.min(since.after(within));
        let sent = gathered.map_or_else(|| self.wait_to_tell(rpc, message, frame, deadline), Ok);
        match self.flatten(sent, message) {
            Ok(Posted::Sent) => Ok(()),
            Ok(Posted::Waiting) => {
                // It is accepted, and leaves by itself from now on whenever this worker waits for anything.
                let _ = self
                    .worker
                    .wait_for(deadline, Awaited::Anything, |session| (!session.has_unsent_to(self.name)).then_some(()));
                Ok(())
            }
            Ok(Posted::Lost) => Err(self.call_error(rpc, since, self.wait_for_word().into())),
            Err(why) => Err(self.call_error(rpc, since, why)),
        }
    }

    fn wait_to_tell(
        &self,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        frame: Frame,
        deadline: Time,
    ) -> Result<Result<Posted, CallFailure>, Interrupted> {
        self.worker.wait_for(deadline, Awaited::Anything, |session| session.try_oneway(self.name, rpc, message, frame))
    }

    /// From now on until the batch ends, messages over this link share packets; see [`Batch`].
    pub fn batch(&self) -> Batch {
        Batch::new(self)
    }

    /// The role at the other end. It is another one once the peer has given its end away.
    #[must_use]
    pub fn peer(&self) -> Rc<Name> {
        self.worker.session().peer_of(self.name).map_or_else(|| Rc::clone(&self.peer), Rc::clone)
    }

    /// The interface for which the broker granted the link: it says what the numbers of its methods mean. `None` once the
    /// link is gone.
    #[must_use]
    pub fn interface(&self) -> Option<Name> {
        self.worker.session().ends.get(self.name).map(|end| end.interface.clone())
    }

    /// The worker whose link this is.
    #[must_use]
    pub const fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Why the link is of no more use, if that is so.
    #[must_use]
    pub fn gone(&self) -> Option<Gone> {
        let session = self.worker.session();
        session.ends.get(self.name).is_none().then(|| session.why_gone(self.name))
    }

    /// Closes this end. What was sent before still reaches the peer; calls that wait for a reply fail.
    pub fn close(self) {
        self.end();
    }

    fn end(&self) {
        let deadline = self.worker.tick().after(WORD_WITHIN);
        let _ = self
            .worker
            .wait_for(deadline, Awaited::Anything, |session| (!session.has_unsent_to(self.name)).then_some(()));
        self.worker.session().close_end(self.name);
    }

    pub(crate) const fn name(&self) -> Destination {
        self.name
    }

    pub(crate) fn call_error(&self, rpc: RpcIndex, since: Time, why: CallFailure) -> CallError {
        CallError::new(Name::clone(&self.peer()), rpc, self.worker.tick().since(since), why)
    }

    /// Begins a call that has been under way since `since`, and ends within so much of that.
    pub(crate) fn begin(
        &self,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        since: Time,
        within: Duration,
        streams: Streams,
    ) -> Result<PendingCall, CallFailure> {
        let frame = self.worker.session().frame_of_call();
        if frame.depth > CALL_DEPTH_MAX {
            let (role, peer) = (self.worker.role(), self.peer());
            let way = format!(": {}", self.worker.session().way_to(role, &peer));
            return Err(CallFailure::Failed(too_deep(frame, role, &peer, &way)));
        }
        let frame = Frame { deadline: frame.deadline.min(since.after(within)), ..frame };
        let now = self.worker.session().time;
        let at = CallFrame { now, deadline: frame.deadline, chain: frame.chain, depth: frame.depth };
        let begun = self.worker.wait_for(frame.deadline, Awaited::Room(frame.chain), |session| {
            session.try_call(self.name, rpc, message, at, streams)
        });
        let (posted, slot, call) = self.flatten(begun, message)?;
        let pending = PendingCall::new(self.clone(), rpc, slot, call, since, frame);
        if posted == Posted::Lost {
            return Err(self.wait_for_word().into());
        }
        Ok(pending)
    }

    fn flatten<T>(
        &self,
        waited: Result<Result<T, CallFailure>, Interrupted>,
        message: &Message<OwnedFd>,
    ) -> Result<T, CallFailure> {
        match waited {
            Ok(outcome) => outcome,
            Err(Interrupted::Deadline) => Err(self.worker.session().why_late(message)),
            Err(Interrupted::Disconnected(_)) => Err(self.worker.session().why_gone(self.name).into()),
        }
    }

    /// Why the link is gone, which its socket knows already and the broker will say. If it does not, the peer has shut the
    /// socket down and lives on.
    fn wait_for_word(&self) -> Gone {
        let deadline = self.worker.tick().after(WORD_WITHIN);
        let _ = self
            .worker
            .wait_for(deadline, Awaited::Anything, |session| session.ends.get(self.name).is_none().then_some(()));
        self.worker.session().accuse(self.name, "it shut the link's socket down");
        self.gone().unwrap_or(Gone::Closed)
    }
}

/// To be put into a message: [`append_link`](Message::append_link), [`move_link`](Message::move_link).
impl Named for Link {
    fn destination(&self) -> Destination {
        self.name
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.is_armed.get() && !std::thread::panicking() {
            self.worker.link(self.name).end();
        }
    }
}

/// Two handles are equal if they are the same worker's, and of the same link.
impl PartialEq for Link {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.worker.is(&other.worker)
    }
}

impl Eq for Link {}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({} to {})", self.name, self.peer)
    }
}
