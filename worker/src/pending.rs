//! Calls in flight, and their replies.

use std::fmt;

use cloison_ipc::Passed;
use cloison_msg::trace::SpanId;
use cloison_msg::{
    CallError, CallFailure, CallId, ChainId, Failure, Header, Kind, Reader, RecvError, RpcIndex, Text, Time,
    decode_whole,
};
use serde::Deserialize;

use crate::buffers::Payload;
use crate::circle::Wait;
use crate::session::{Answered, Frame, Outcome, Session};
use crate::worker::{Awaited, Interrupted};
use crate::{Link, Worker};

/// A call whose reply was not waited for yet. Dropped, it is given up: the peer is told, does not serve it if it has not
/// begun to, and can see it if it has ([`Request::is_cancelled`](crate::Request::is_cancelled)). Do not drop one that lends a
/// buffer, unless the link goes with it: [`detach`](Self::detach) it.
#[must_use = "a call in flight is to be waited for"]
pub struct PendingCall {
    link: Link,
    rpc: RpcIndex,
    slot: usize,
    call: CallId,
    since: Time,
    frame: Frame,
}

impl PendingCall {
    pub(crate) const fn new(link: Link, rpc: RpcIndex, slot: usize, call: CallId, since: Time, frame: Frame) -> Self {
        Self { link, rpc, slot, call, since, frame }
    }

    /// Waits for the reply. Meanwhile requests of the same chain are served.
    ///
    /// # Errors
    /// [`CallError`], the one outcome of a call that brought no reply.
    pub fn wait(self) -> Result<Incoming, CallError> {
        // Between the start of the call and now its maker may have done anything, for any time.
        self.link.worker().tick();
        self.wait_from_start()
    }

    /// Leaves the call to its peer, who serves it although nobody waits for the reply. For calls that lend a buffer, which
    /// comes back only if somebody reads what names it; and where a oneway will not do.
    pub fn detach(self) {
        if let Some(end) = self.link.worker().session().ends.get_mut(self.link.name()) {
            end.link.detach(self.call);
        }
    }

    /// Waits for the reply to a call that has begun just now.
    pub(crate) fn wait_from_start(self) -> Result<Incoming, CallError> {
        self.outcome()
    }

    /// Waits for the reply to a call that has begun just now, and reads it.
    pub(crate) fn read_from_start<T>(
        self,
        read: impl FnOnce(&mut Reader<'_, Passed, Link>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        self.reply(read)
    }

    /// Waits for the reply, and reads it.
    pub(crate) fn reply<T>(
        &self,
        read: impl FnOnce(&mut Reader<'_, Passed, Link>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        let mut reply = self.outcome()?;
        let mut reader = reply.reader();
        let value = read(&mut reader).and_then(|value| reader.finish().map(|()| value));
        value.map_err(|error| self.fail(CallFailure::Unreadable(error.to_string().into())))
    }

    pub(crate) const fn id(&self) -> CallId {
        self.call
    }

    /// The chain it belongs to.
    pub(crate) const fn chain(&self) -> ChainId {
        self.frame.chain
    }

    /// When it ends in any case.
    pub(crate) const fn deadline(&self) -> Time {
        self.frame.deadline
    }

    /// Its place among what is waited for.
    pub(crate) const fn as_wait(&self) -> Wait {
        Wait::new(self.link.name(), self.call, self.slot, self.frame.chain)
    }

    /// The link it was made over.
    pub(crate) const fn link(&self) -> &Link {
        &self.link
    }

    /// Whether waiting for it would end at once. The session is that of its worker.
    pub(crate) fn is_over(&self, session: &Session) -> bool {
        self.has_outcome(session) || session.disconnect.is_some() || session.time >= self.frame.deadline
    }

    fn outcome(&self) -> Result<Incoming, CallError> {
        let worker = self.link.worker();
        let awaited = Awaited::Answer(self.as_wait());
        let traced = self.trace_waiting();
        let outcome = worker.wait_for(self.frame.deadline, awaited, |session| {
            let outcome = session.outcomes.get_mut(self.slot)?;
            if matches!(outcome, Outcome::Awaited(_)) {
                return None;
            }
            let outcome = std::mem::replace(outcome, Outcome::Told);
            if let Outcome::Answered(answered) = &outcome {
                session.note_answer(&answered.header);
            }
            Some(outcome)
        });
        worker.session().trace_waited(traced);
        match outcome {
            Ok(Outcome::Answered(answered)) => self.open(Incoming { worker: worker.clone(), answered }),
            Ok(Outcome::Failed(why)) => Err(self.fail(why)),
            Ok(Outcome::Awaited(_) | Outcome::Told) | Err(Interrupted::Deadline) => {
                Err(self.fail(CallFailure::Deadline))
            }
            Err(Interrupted::Disconnected(_)) => {
                let why = worker.session().why_gone(self.link.name());
                Err(self.fail(why.into()))
            }
        }
    }

    /// Whether [`wait`](Self::wait) would return at once. Takes in what has arrived meanwhile, but serves nothing.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let mut session = self.link.worker().session();
        session.pump_at_once();
        self.has_outcome(&session) || session.disconnect.is_some() || session.tick() >= self.frame.deadline
    }

    pub(crate) fn has_outcome(&self, session: &Session) -> bool {
        session.outcomes.get(self.slot).is_none_or(|outcome| !matches!(outcome, Outcome::Awaited(_)))
    }

    /// Records that the answer is waited for from now on.
    fn trace_waiting(&self) -> SpanId {
        let session = self.link.worker().session();
        let Frame { chain, depth, .. } = self.frame;
        let header = Header { destination: self.link.name(), kind: Kind::Call, rpc: self.rpc, ..Header::default() };
        let header = Header { call: self.call, chain, depth, ..header };
        session.trace_waiting(&header)
    }

    fn open(&self, answer: Incoming) -> Result<Incoming, CallError> {
        if answer.answered.header.kind == Kind::Reply {
            return Ok(answer);
        }
        let failure = answer.value().unwrap_or_else(|_| Failure::Undecodable(Text::new("the error itself")));
        let failure = self.link.worker().session().understand(failure, self.link.name());
        Err(self.fail(CallFailure::Failed(failure)))
    }

    pub(crate) fn fail(&self, why: CallFailure) -> CallError {
        self.link.call_error(self.rpc, self.since, why)
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        let mut session = self.link.worker().session();
        session.give_up(self.link.name(), self.call);
        if let Some(Outcome::Answered(answered)) = session.outcomes.try_remove(self.slot) {
            session.discard_answer(answered);
        }
    }
}

impl fmt::Debug for PendingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall").field("link", &self.link).field("rpc", &self.rpc).finish_non_exhaustive()
    }
}

/// The reply to a call.
///
/// ```
/// # fn with(link: &cloison_worker::Link) -> Result<(), Box<dyn std::error::Error>> {
/// # use cloison_worker::msg::{Message, RpcIndex};
/// let mut message = Message::new();
/// message.append("how many?")?;
/// let count: u32 = link.call(RpcIndex(0), &mut message)?.value()?;
///
/// let mut reply = link.call(RpcIndex(1), &mut message)?;
/// let mut values = reply.reader();
/// let (name, bytes): (&str, &[u8]) = (values.recv()?, values.recv()?); // nothing is copied
/// values.finish()?;
/// # Ok(())
/// # }
/// ```
pub struct Incoming {
    worker: Worker,
    answered: Answered,
}

impl Incoming {
    /// The one value that the reply consists of.
    ///
    /// # Errors
    /// [`RecvError`], if there is something else.
    pub fn value<'a, T: Deserialize<'a>>(&'a self) -> Result<T, RecvError> {
        let Answered { passed, links, .. } = &self.answered;
        if !passed.is_empty() {
            return Err(RecvError::LeftOverDescriptors(passed.len()));
        }
        if !links.is_empty() {
            return Err(RecvError::LeftOverLinks(links.len()));
        }
        decode_whole(self.payload())
    }

    /// Reads values, descriptors and links in the order in which they were appended. What is no value goes to the first
    /// reader; a link that it is asked for, or that nobody takes, is closed when its last handle is dropped.
    pub fn reader(&mut self) -> Reader<'_, Passed, Link> {
        let (worker, links) = (&self.worker, self.answered.links.drain(..));
        let links = links.map(|name| worker.link(name).held()).collect();
        Reader::new(self.answered.payload.as_slice(), std::mem::take(&mut self.answered.passed)).with_links(links)
    }

    /// The next link that the reply carries. One that nobody takes is closed with the reply.
    ///
    /// # Errors
    /// [`RecvError::NoLink`].
    pub fn recv_link(&mut self) -> Result<Link, RecvError> {
        let links = &mut self.answered.links;
        if links.is_empty() {
            return Err(RecvError::NoLink);
        }
        let name = links.remove(0);
        Ok(self.worker.link(name))
    }

    /// The reply's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.answered.payload.as_slice()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let Answered { header, payload, passed, links } = &mut self.answered;
        let (payload, passed) = (std::mem::replace(payload, Payload::empty()), std::mem::take(passed));
        let answered = Answered { header: *header, payload, passed, links: std::mem::take(links) };
        self.worker.session().discard_answer(answered);
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, descriptors) = (self.payload().len(), self.answered.passed.len());
        f.debug_struct("Incoming").field("bytes", &bytes).field("descriptors", &descriptors).finish()
    }
}

impl Session {
    /// An answer is of no more use: its memory comes back, and the links that nobody took are closed.
    pub(crate) fn discard_answer(&mut self, answered: Answered) {
        self.buffers.release(answered.payload);
        self.close_all(answered.links);
    }
}
