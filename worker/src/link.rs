//! The worker's handle on one of its links.

use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use cloison_msg::{
    CALL_DEPTH_MAX, CallError, CallFailure, CallFrame, CallId, Denial, Destination, Failure, Gone, Message, Name,
    RpcIndex, Shape, Text, Time,
};

use crate::pending::PendingCall;
use crate::session::{Frame, Outcome, Session};
use crate::wire::Posted;
use crate::worker::{DEFAULT_DEADLINE, Interrupted};
use crate::{Incoming, Worker};

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
    peer: Rc<Name>,
}

/// A call that has begun.
struct Begun {
    slot: usize,
    call: CallId,
    frame: Frame,
}

impl Link {
    pub(crate) fn new(worker: &Worker, name: Destination, peer: Rc<Name>) -> Self {
        Self { worker: worker.clone(), name, peer }
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
        self.start_within(rpc, message, within)?.wait()
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
        match self.begin(rpc, message, since, since.after(within)) {
            Ok(begun) => Ok(PendingCall::new(self.clone(), rpc, begun.slot, begun.call, since, begun.frame)),
            Err(why) => Err(self.call_error(rpc, since, why)),
        }
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
        let since = self.worker.tick();
        let frame = self.worker.session().frame_of_call();
        let deadline = frame.deadline.min(since.after(within));
        let sent = self.worker.wait_for(deadline, None, |session| session.try_oneway(self.name, rpc, message, frame));
        match flatten(sent, &self.worker, self.name) {
            Ok(Posted::Sent) => Ok(()),
            Ok(Posted::Waiting) => {
                // It is accepted, and leaves by itself from now on whenever this worker waits for anything.
                let _ =
                    self.worker.wait_for(deadline, None, |session| (!session.has_unsent_to(self.name)).then_some(()));
                Ok(())
            }
            Ok(Posted::Lost) => Err(self.call_error(rpc, since, CallFailure::Gone(self.wait_for_word()))),
            Err(why) => Err(self.call_error(rpc, since, why)),
        }
    }

    /// The role at the other end.
    #[must_use]
    pub fn peer(&self) -> &Name {
        &self.peer
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
        let deadline = self.worker.tick().after(WORD_WITHIN);
        let _ = self.worker.wait_for(deadline, None, |session| (!session.has_unsent_to(self.name)).then_some(()));
        self.worker.session().close_end(self.name);
    }

    pub(crate) const fn name(&self) -> Destination {
        self.name
    }

    pub(crate) fn call_error(&self, rpc: RpcIndex, since: Time, why: CallFailure) -> CallError {
        CallError { peer: Name::clone(&self.peer), rpc, after: self.worker.tick().since(since), why }
    }

    fn begin(
        &self,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        since: Time,
        deadline: Time,
    ) -> Result<Begun, CallFailure> {
        let frame = self.worker.session().frame_of_call();
        if frame.depth > CALL_DEPTH_MAX {
            return Err(CallFailure::Failed(too_deep(frame, self.worker.role(), &self.peer)));
        }
        let frame = Frame { deadline: frame.deadline.min(deadline), ..frame };
        let at = CallFrame { now: since, deadline: frame.deadline, chain: frame.chain, depth: frame.depth };
        let begun = self
            .worker
            .wait_for(frame.deadline, Some(frame.chain), |session| session.try_call(self.name, rpc, message, at));
        let (slot, call) = flatten(begun, &self.worker, self.name)?;
        Ok(Begun { slot, call, frame })
    }

    /// Why the link is gone, which its socket knows already and the broker will say.
    fn wait_for_word(&self) -> Gone {
        let deadline = self.worker.tick().after(WORD_WITHIN);
        let _ = self.worker.wait_for(deadline, None, |session| session.ends.get(self.name).is_none().then_some(()));
        self.gone().unwrap_or(Gone::Closed)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({} to {})", self.name, self.peer)
    }
}

/// The refusal of a call that would be nested too deep.
pub(crate) fn too_deep(frame: Frame, from: &Name, to: &Name) -> Failure {
    let text =
        format!("{CALL_DEPTH_MAX} nested calls in chain {:?} already, the last from {from} to {to}", frame.chain);
    Failure::WouldDeadlock(Text::new(&text))
}

fn flatten<T>(
    waited: Result<Result<T, CallFailure>, Interrupted>,
    worker: &Worker,
    name: Destination,
) -> Result<T, CallFailure> {
    match waited {
        Ok(outcome) => outcome,
        Err(Interrupted::Deadline) => Err(CallFailure::Overloaded),
        Err(Interrupted::Disconnected(_)) => Err(CallFailure::Gone(worker.session().why_gone(name))),
    }
}

impl Session {
    /// Sends a call if there is room for it: its place among the outcomes, and its id.
    fn try_call(
        &mut self,
        name: Destination,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        frame: CallFrame,
    ) -> Option<Result<(usize, CallId), CallFailure>> {
        if let Err(why) = self.check_sendable(name, message) {
            return Some(Err(why));
        }
        let end = self.ends.get_mut(name)?;
        let slot = self.outcomes.insert(Outcome::Awaited);
        let Ok(header) = end.link.call(rpc, shape(message), CallFrame { now: frame.now, ..frame }, slot) else {
            self.outcomes.remove(slot);
            return None;
        };
        match self.post(&header, message) {
            Ok(_) => Some(Ok((slot, header.call))),
            Err(error) => {
                if let Some(end) = self.ends.get_mut(name) {
                    end.link.unsend(&header);
                }
                self.outcomes.remove(slot);
                Some(Err(unsendable(&error)))
            }
        }
    }

    /// Sends a oneway if there is room for it.
    fn try_oneway(
        &mut self,
        name: Destination,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        frame: Frame,
    ) -> Option<Result<Posted, CallFailure>> {
        if let Err(why) = self.check_sendable(name, message) {
            return Some(Err(why));
        }
        let end = self.ends.get_mut(name)?;
        let header = end.link.oneway(rpc, shape(message), frame.chain).ok()?;
        match self.post(&header, message) {
            Ok(posted) => Some(Ok(posted)),
            Err(error) => {
                if let Some(end) = self.ends.get_mut(name) {
                    end.link.unsend(&header);
                }
                Some(Err(unsendable(&error)))
            }
        }
    }

    /// What can be said about a message before there is room for it.
    fn check_sendable(&self, name: Destination, message: &Message<OwnedFd>) -> Result<(), CallFailure> {
        let Some(end) = self.ends.get(name) else { return Err(CallFailure::Gone(self.why_gone(name))) };
        if message.descriptor_count() > 0 && end.rights.classes.is_empty() {
            return Err(CallFailure::Failed(Failure::Denied(Denial::Descriptor)));
        }
        Ok(())
    }
}

fn unsendable(error: &std::io::Error) -> CallFailure {
    CallFailure::Unsendable(Text::new(&error.to_string()))
}

/// What of a message its header will state.
pub(crate) fn shape(message: &Message<OwnedFd>) -> Shape {
    Shape { payload: message.payload_len(), descriptors: message.descriptor_count() }
}
