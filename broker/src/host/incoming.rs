//! Messages that came to the host.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloison_ipc::{BufferRef, Passed};
use cloison_msg::contract::serving::Served;
use cloison_msg::{
    CallError, CallFailure, Failure, Gone, Header, Kind, Name, Reader, RecvError, RpcIndex, Text, Transfer,
    decode_whole,
};
use serde::Deserialize;

use super::pools::{BorrowError, Borrowed};
use super::standing::Standing;
use super::{Held, HostLink, LinkCore, StreamCore};
use crate::driver::{Command, HostMessage};

/// A message that came to the host: a call, a oneway, or the reply to a call of its own.
///
/// It holds its place in the link's window until it is dropped. A call that is dropped without an answer is answered
/// with an error, so that its caller hears something.
#[derive(Debug)]
pub struct Incoming {
    core: Arc<LinkCore>,
    /// Who sent it.
    peer: Arc<Name>,
    /// How long the call took that it answers.
    after: Duration,
    header: Header,
    payload: Vec<u8>,
    descriptors: Vec<Passed>,
    links: std::vec::IntoIter<HostLink>,
    /// Whether anybody waits for an answer; `None` if this is no call.
    standing: Option<Arc<Standing>>,
    /// When the caller gives up.
    deadline: Instant,
    answered: bool,
    /// If it is a call that has some.
    stream: Option<Arc<StreamCore>>,
    /// The object of the host's that it is for.
    object: Option<Arc<Held>>,
}

impl Incoming {
    pub(crate) fn new(
        core: Arc<LinkCore>,
        header: Header,
        payload: Vec<u8>,
        descriptors: Vec<Passed>,
        links: Vec<HostLink>,
    ) -> Self {
        let peer = core.peer();
        let (links, after) = (links.into_iter(), Duration::ZERO);
        let deadline = Instant::now() + header.time_left();
        let (standing, stream, object, answered) = (None, None, None, false);
        Self { core, peer, after, header, payload, descriptors, links, standing, deadline, answered, stream, object }
    }

    /// It is a call, which may be given up.
    pub(crate) fn standing(mut self, standing: Option<Arc<Standing>>) -> Self {
        self.standing = standing;
        self
    }

    /// The application has it now, unless it was given up before: then it is answered already.
    pub(crate) fn take(&mut self) -> bool {
        let is_wanted = self.standing.as_ref().is_none_or(|standing| standing.take());
        self.answered |= !is_wanted;
        is_wanted
    }

    /// It is a call with these streams.
    pub(crate) fn streaming(mut self, stream: Option<Arc<StreamCore>>) -> Self {
        self.stream = stream;
        self
    }

    /// It is for this object.
    pub(crate) fn for_object(mut self, object: Option<Arc<Held>>) -> Self {
        self.object = object;
        self
    }

    /// Whether it is for an object that the host has given somebody.
    #[must_use]
    pub const fn is_for_object(&self) -> bool {
        self.object.is_some()
    }

    /// Serves the request that this is by the object it is for, and answers it; `None` then. What is for no object comes back.
    /// It takes as long as the object does; see [`serve`](Self::serve).
    #[must_use = "what is for no object comes back"]
    pub fn serve_object(mut self) -> Option<Self> {
        let Some(object) = self.object.take() else { return Some(self) };
        object.serve(self);
        None
    }

    pub(super) const fn stream(&self) -> Option<&Arc<StreamCore>> {
        self.stream.as_ref()
    }

    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    pub(super) const fn core(&self) -> &Arc<LinkCore> {
        &self.core
    }

    /// It answers a call that began so long ago.
    pub(crate) fn answering(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// Whether its link was taken back, so that it is not to be delivered.
    pub(crate) fn is_revoked(&self) -> bool {
        self.core.is_revoked()
    }

    /// The answer, unless its link was taken back meanwhile.
    pub(crate) fn deliver(self) -> Result<Self, CallError> {
        if !self.is_revoked() {
            return Ok(self);
        }
        let why = CallFailure::Gone(Gone::Revoked);
        Err(CallError::new(Name::clone(&self.peer), self.header.rpc, self.after, why))
    }

    /// The next of the links that the message carries; those that are not taken are closed when it is dropped.
    ///
    /// # Errors
    /// [`RecvError::NoLink`].
    pub fn recv_link(&mut self) -> Result<HostLink, RecvError> {
        self.links.next().ok_or(RecvError::NoLink)
    }

    /// Which method; of a reply, the one that was called.
    #[must_use]
    pub const fn rpc(&self) -> RpcIndex {
        self.header.rpc
    }

    /// Who sent it.
    #[must_use]
    pub fn peer(&self) -> &Name {
        &self.peer
    }

    /// The link it came by, over which its sender can be called, if the policy granted that.
    #[must_use]
    pub fn link(&self) -> HostLink {
        HostLink::new(self.core.clone())
    }

    /// Whether somebody waits for an answer.
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.header.kind == Kind::Call
    }

    /// Whether its caller says that it was made before, of a host or a broker that has ended, or of a worker that has given
    /// the link away, and may have been served.
    #[must_use]
    pub const fn is_retry(&self) -> bool {
        self.header.is_retry
    }

    /// Whether nobody waits for an answer any more: the caller has given the call up, is gone, or its deadline has passed.
    /// Never true of anything but a call.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.standing.as_ref().is_some_and(|standing| standing.is_given_up() || Instant::now() >= self.deadline)
    }

    /// How much time is left to answer a call; `None` for anything else.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.standing.as_ref().map(|_| self.deadline.saturating_duration_since(Instant::now()))
    }

    /// What the implementation of a contract can ask while it serves this.
    pub(super) fn as_served(&self) -> Rc<dyn Served> {
        let (standing, caller) = (self.standing.clone(), self.peer.clone());
        Rc::new(ServedHere { standing, deadline: self.deadline, caller, is_retry: self.is_retry() })
    }

    /// The one value that it consists of.
    ///
    /// # Errors
    /// [`RecvError`] if there is something else.
    pub fn value<'a, T: Deserialize<'a>>(&'a self) -> Result<T, RecvError> {
        match self.descriptors.len() {
            0 => decode_whole(&self.payload),
            left => Err(RecvError::LeftOverDescriptors(left)),
        }
    }

    /// Reads what it carries: values, descriptors and links in order, then [`Reader::finish`]. What is no value goes to the
    /// first reader; a link that it is asked for, or that nobody takes, is closed when its last clone is dropped.
    pub fn reader(&mut self) -> Reader<'_, Passed, HostLink> {
        let links = self.links.by_ref().map(HostLink::held).collect();
        Reader::new(&self.payload, std::mem::take(&mut self.descriptors)).with_links(links)
    }

    /// The buffer that the message lends.
    ///
    /// # Errors
    /// [`BorrowError`]. A peer that made the reference up is evicted.
    pub fn borrow(&self, buffer: BufferRef) -> Result<Borrowed, BorrowError> {
        Borrowed::new(&self.core, buffer)
    }

    /// Answers a call. Does nothing for anything else.
    pub fn reply(mut self, message: HostMessage) {
        self.answer(Ok(message));
    }

    /// Answers a call with an error. Does nothing for anything else.
    pub fn fail(mut self, failure: Failure) {
        self.answer(Err(failure));
    }

    /// The peer's own error, if that is what this answer is.
    pub(crate) fn failure(&mut self) -> Option<Failure> {
        if self.header.kind != Kind::Error {
            return None;
        }
        let unreadable = || Failure::Unanswerable(Text::new("its error could not be read"));
        match decode_whole(&self.payload).unwrap_or_else(|_| unreadable()) {
            Failure::Circle(circle) => Some(Failure::WouldDeadlock(circle.seen_by(0, |_| None).into())),
            failure => Some(failure),
        }
    }

    /// Gives up the links that a message would have given away which is not sent.
    pub(super) fn close_moves(&self, message: &HostMessage) {
        close_moves(&self.core, message);
    }

    fn answer(&mut self, result: Result<HostMessage, Failure>) {
        if self.is_call() && !std::mem::replace(&mut self.answered, true) {
            self.core.commands.give(Command::Answer { link: self.core.name, call: self.header, result });
        }
    }
}

/// Gives up the links that a message would have given away which is not sent, and of which nobody has a handle any more.
pub(super) fn close_moves(core: &LinkCore, message: &HostMessage) {
    for carried in message.links().iter().filter(|carried| carried.transfer == Transfer::Move) {
        core.commands.give(Command::Close { link: carried.link });
    }
}

/// A call that the host serves by a contract.
struct ServedHere {
    standing: Option<Arc<Standing>>,
    deadline: Instant,
    caller: Arc<Name>,
    is_retry: bool,
}

impl Served for ServedHere {
    fn is_cancelled(&self) -> bool {
        self.standing.as_ref().is_some_and(|standing| standing.is_given_up() || Instant::now() >= self.deadline)
    }

    fn time_left(&self) -> Option<Duration> {
        self.standing.as_ref().map(|_| self.deadline.saturating_duration_since(Instant::now()))
    }

    fn is_retry(&self) -> bool {
        self.is_retry
    }

    fn caller(&self) -> Option<Name> {
        Some(Name::clone(&self.caller))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.answer(Err(Failure::Unanswerable(Text::new("the host did not answer"))));
        self.core.take(&self.header);
        self.links.by_ref().for_each(HostLink::close);
    }
}
