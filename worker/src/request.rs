//! A request, as its service sees it.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use cloison_ipc::{BufferRef, Passed};
use cloison_msg::contract::Output;
use cloison_msg::{Header, Kind, Name, Reader, RecvError, RpcIndex, Time};
use serde::Deserialize;

use crate::clock::{NEVER, now};
use crate::error::BorrowError;
use crate::session::Queued;
use crate::{Borrowed, Link, Worker};

/// A call or a oneway that is being served: its values, in the order in which they were appended.
pub struct Request<'a> {
    worker: &'a Worker,
    header: Header,
    peer: Rc<Name>,
    deadline: Time,
    reader: Reader<'a, Passed, Link>,
    /// What it is answered by, if that is a stream.
    output: Option<Output<Link>>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(worker: &'a Worker, queued: &'a mut Queued) -> Self {
        let passed = std::mem::take(&mut queued.passed);
        // Those that nobody takes close themselves. Few requests carry any.
        let links = match queued.links.as_slice() {
            [] => Vec::new(),
            _ => queued.links.drain(..).map(|name| worker.link(name).held()).collect(),
        };
        Self {
            worker,
            header: queued.header,
            peer: Rc::clone(&queued.peer),
            deadline: queued.deadline,
            reader: Reader::new(queued.payload.as_slice(), passed).with_links(links),
            output: None,
        }
    }

    /// The method.
    #[must_use]
    pub const fn rpc(&self) -> RpcIndex {
        self.header.rpc
    }

    /// Whether nobody awaits an answer.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.header.kind == Kind::Oneway
    }

    /// The role of whoever asks. It is known from the socket it came by; nothing the peer said enters into it.
    #[must_use]
    pub fn peer(&self) -> &Name {
        &self.peer
    }

    /// The link it came over. What is sent over it goes to whoever asks, or to whom that one has given its end since.
    #[must_use]
    pub fn link(&self) -> Link {
        Link::new(self.worker, self.header.destination, Rc::clone(&self.peer))
    }

    /// How much time is left to answer; `None` for a oneway, which nobody waits for.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        (self.deadline != NEVER).then(|| self.deadline.since(now()))
    }

    /// Whether nobody waits for the answer any more: the caller has given the call up, is gone, or its deadline has passed.
    /// What is to be answered does not matter then; calls that were made to answer it have been given up, too, and new ones
    /// fail with [`CallFailure::Cancelled`](cloison_msg::CallFailure::Cancelled). Never true of a oneway.
    ///
    /// Takes in what has arrived meanwhile, which costs a system call or two: ask now and then, not in the innermost loop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.worker.has_been_cancelled(&self.header)
    }

    /// How many nested calls led to this one.
    #[must_use]
    pub const fn depth(&self) -> u8 {
        self.header.depth
    }

    /// Whether its caller says that it was made before, was not answered, and may have been served: by this worker's
    /// predecessor, which died.
    #[must_use]
    pub const fn is_retry(&self) -> bool {
        self.header.is_retry
    }

    /// The next value. Strings and runs of bytes can be borrowed; nothing is copied then.
    ///
    /// # Errors
    /// [`RecvError::Value`] if there is no such value here.
    pub fn recv<T: Deserialize<'a>>(&mut self) -> Result<T, RecvError> {
        self.reader.recv()
    }

    /// The next descriptor.
    ///
    /// # Errors
    /// [`RecvError::NoDescriptor`].
    pub fn descriptor(&mut self) -> Result<Passed, RecvError> {
        self.reader.descriptor()
    }

    /// The next link that the request carries. One that nobody takes is closed with the request.
    ///
    /// # Errors
    /// [`RecvError::NoLink`].
    pub fn recv_link(&mut self) -> Result<Link, RecvError> {
        self.reader.link().map(Link::kept)
    }

    /// Says that everything was received.
    ///
    /// # Errors
    /// [`RecvError::LeftOver`], [`RecvError::LeftOverDescriptors`] or [`RecvError::LeftOverLinks`]. What is left over is
    /// closed.
    pub fn finish(&mut self) -> Result<(), RecvError> {
        std::mem::replace(&mut self.reader, Reader::new(&[], Vec::new()).with_links(Vec::new())).finish()
    }

    /// The next value, which names a buffer, and at once that buffer.
    ///
    /// # Errors
    /// [`BorrowError`].
    pub fn recv_buffer(&mut self) -> Result<Borrowed, BorrowError> {
        let reference = self.recv()?;
        self.borrow(reference)
    }

    /// Borrows a buffer that the request has named.
    ///
    /// # Errors
    /// [`BorrowError`].
    pub fn borrow(&self, reference: BufferRef) -> Result<Borrowed, BorrowError> {
        self.link().borrow(reference)
    }
}

impl<'a> Request<'a> {
    /// Answers by a stream: `output` writes one item after the other, and last the reply. It is pulled when the service has
    /// returned without a failure, whenever there is credit; others are served meanwhile.
    pub fn answer_by(&mut self, output: Output<Link>) {
        self.output = Some(output);
    }

    pub(crate) const fn take_output(&mut self) -> Option<Output<Link>> {
        self.output.take()
    }

    pub(crate) const fn worker(&self) -> &Worker {
        self.worker
    }

    pub(crate) const fn header(&self) -> &Header {
        &self.header
    }

    /// What it carries.
    pub(crate) const fn reader(&mut self) -> &mut Reader<'a, Passed, Link> {
        &mut self.reader
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("peer", &self.peer).field("rpc", &self.rpc()).finish_non_exhaustive()
    }
}
