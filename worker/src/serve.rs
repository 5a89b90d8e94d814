//! Serving requests.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use cloison_msg::contract::Output;
use cloison_msg::{
    CALL_DEPTH_MAX, CALLS_IN_FLIGHT, CallFailure, Caller, ChainId, Destination, Failure, Header, Kind, Message, Name,
    Overdraft, Route, Streams, Text, Time, Via,
};

use crate::buffers::Payload;
use crate::cancel::Serving;
use crate::clock::NEVER;
use crate::error::{Disconnect, ServeError};
use crate::send::too_deep;
use crate::session::{Frame, Queued, Session};
use crate::streams::Producer;
use crate::worker::{Awaited, Interrupted};
use crate::{Link, Request, Worker};

/// Most requests of one chain that are served within each other here, each while the one around it waits: all calls that one link
/// can have in flight, and an honest chain besides. A stack has an end.
pub(crate) const NESTED_MAX: usize = CALLS_IN_FLIGHT as usize + CALL_DEPTH_MAX as usize;

/// What a worker does for its peers. A closure of the same shape is a service too.
///
/// ```
/// # use cloison_worker::{Request, Service, Worker};
/// # use cloison_worker::msg::{Failure, Message};
/// # use std::os::fd::OwnedFd;
/// struct Adder;
///
/// impl Service for Adder {
///     fn serve(&self, _: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
///         match request.rpc().0 {
///             0 => {
///                 let (a, b): (u32, u32) = (request.recv()?, request.recv()?);
///                 request.finish()?;
///                 reply.append(&a.wrapping_add(b))?;
///                 Ok(())
///             }
///             _ => Err(Failure::NoSuchMethod),
///         }
///     }
/// }
/// ```
pub trait Service {
    /// Serves one request: reads its values, and appends the reply's. What a oneway's service says is dropped.
    ///
    /// While a call that it makes waits, it may be entered again, by a request of the same chain: hence `&self`. Do not
    /// keep a `RefCell` borrowed across a call.
    ///
    /// # Errors
    /// A [`Failure`], which the caller gets instead of a reply. [`Failure::remote`] makes the service's own.
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure>;
}

impl<F> Service for F
where
    F: Fn(&Worker, &mut Request<'_>, &mut Message<OwnedFd>) -> Result<(), Failure>,
{
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        self(worker, request, reply)
    }
}

impl<S: Service + ?Sized> Service for Rc<S> {
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        (**self).serve(worker, request, reply)
    }
}

impl Worker {
    /// Serves requests until the broker ends or tells this worker to end.
    ///
    /// # Errors
    /// [`ServeError::Nested`], and [`ServeError::Disconnected`] if the control socket broke.
    pub fn serve(&self, service: impl Service + 'static) -> Result<(), ServeError> {
        let outer = self.replace_service(Some(Rc::new(service)));
        let result = loop {
            match self.serve_one(NEVER) {
                Ok(_) => {}
                Err(ServeError::Disconnected(Disconnect::Ended)) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.replace_service(outer);
        // What makes their items may hold handles of this worker.
        let unfinished = std::mem::take(&mut *self.producers());
        drop(unfinished);
        result
    }

    /// Puts a service in place for a worker with a loop of its own: [`serve_once`](Self::serve_once) uses it, and so does
    /// every call that waits.
    pub fn provide(&self, service: impl Service + 'static) {
        self.replace_service(Some(Rc::new(service)));
    }

    /// Serves one request with the service that was provided; waits for it for at most `within`, and not at all if that
    /// is zero. Whether there was one.
    ///
    /// # Errors
    /// [`ServeError`]; [`ServeError::Disconnected`] is how a worker's own loop ends.
    pub fn serve_once(&self, within: Duration) -> Result<bool, ServeError> {
        let served = self.serve_one(self.tick().after(within));
        self.session().note_pause();
        served
    }

    fn serve_one(&self, deadline: Time) -> Result<bool, ServeError> {
        {
            let mut session = self.session();
            if !self.has_any_service(&session) {
                return Err(ServeError::NoService);
            }
            if !session.serving.is_empty() {
                return Err(ServeError::Nested);
            }
            session.drop_unneeded_pools();
        }
        match self.wait_for(deadline, Awaited::Work, |session| session.queue.pop_front()) {
            Ok(queued) => {
                self.serve_request(queued);
                Ok(true)
            }
            Err(Interrupted::Deadline) => Ok(false),
            Err(Interrupted::Disconnected(why)) => Err(why.into()),
        }
    }

    /// Serves a request while a call of the same chain waits.
    pub(crate) fn serve_nested(&self, queued: Box<Queued>) {
        self.serve_request(queued);
        let mut session = self.session();
        session.tick();
        // What waits may go on at once, for any time, and not be part of serving this.
        session.pause();
    }

    /// What serves requests that come over that link.
    fn service_of(&self, link: Destination) -> Option<Rc<dyn Service>> {
        let object = self.session().objects.get(link);
        object.or_else(|| self.service())
    }

    fn serve_request(&self, queued: Box<Queued>) {
        match self.service_of(queued.header.destination) {
            Some(service) => self.serve_with(&*service, queued),
            None => {
                let text = format!("{} waits for {} in the same chain, and serves nothing", self.role(), queued.peer);
                let mut session = self.session();
                session.note_request_taken(&queued);
                if queued.header.kind == Kind::Call {
                    session.answer_failure(&queued.header, &Failure::WouldDeadlock(text.into()));
                }
                session.discard(queued);
            }
        }
    }

    fn serve_with(&self, service: &dyn Service, mut queued: Box<Queued>) {
        let is_call = queued.header.kind == Kind::Call;
        let mut session = self.session();
        session.note_request_taken(&queued);
        if let Err(failure) = session.admit(&queued, self.role()) {
            session.answer_failure(&queued.header, &failure);
            return session.discard(queued);
        }
        session.enter(&queued);
        let before = session.note_request(&queued.header);
        let traced = session.trace_serving(&queued);
        let mut reply = session.spare_message();
        drop(session);

        let mut request = Request::new(self, &mut queued);
        let result = service.serve(self, &mut request, &mut reply);
        let output = request.take_output().filter(|_| is_call);
        drop(request);

        let result = result.and_then(|()| self.session().check_wanted());
        let output = output.filter(|_| result.is_ok());
        let has_answered = is_call && result.is_ok() && output.is_none() && !reply.links().is_empty();
        if has_answered {
            self.answer_carrying(&queued, &mut reply);
        }
        let mut session = self.session();
        session.close_moves(&reply);
        let served = session.serving.pop();
        session.note_return(before);
        // A oneway has no deadline that could have passed meanwhile.
        if session.queue.front().is_some_and(|next| next.header.kind == Kind::Call) {
            session.tick();
        }
        if !is_call {
            session.expect_more_from(queued.header.destination, queued.via);
        } else if !has_answered && output.is_none() {
            session.answer(&queued.header, result, &mut reply);
        }
        session.trace_served(&traced);
        session.return_message(reply);
        match output.zip(served) {
            None => session.discard(queued),
            Some((output, served)) => {
                session.discard_but_inflow(queued);
                drop(session);
                self.answer_by_stream(&served, output);
            }
        }
    }
}

impl Worker {
    /// The call is answered when its stream has ended. Until then it is pulled whenever there is credit.
    fn answer_by_stream(&self, served: &Serving, output: Output<Link>) {
        let call = served.header;
        if call.streams.contains(Streams::ITEMS) {
            return self.producers().push(Producer { call, chain: served.frame, output, held: None, stalled: None });
        }
        let mut session = self.session();
        let why = "its answer is a stream, for which nobody asked";
        session.answer_failure(&call, &Failure::Undecodable(Text::new(why)));
        session.close_inflow(call.destination, call.call, Caller::Peer);
        drop(session);
        drop(output);
    }

    /// Answers a call by a reply that carries links. That may have to wait: for room, and for the links that it gives away
    /// to be at rest. If it cannot be sent, these are closed, since the service has nothing more to do with them.
    fn answer_carrying(&self, queued: &Queued, reply: &mut Message<OwnedFd>) {
        let call = &queued.header;
        let awaited = Awaited::Room(call.chain);
        let answered = self.wait_for(queued.deadline, awaited, |session| session.try_answer(call, reply));
        let mut session = self.session();
        let failure = match answered {
            Ok(answered) => answered.err(),
            Err(Interrupted::Deadline) => {
                Some(Failure::Unanswerable("there was no way for the links it carries".into()))
            }
            Err(Interrupted::Disconnected(_)) => None,
        };
        // What was sent is empty; if it was not, nobody has a handle on what it was to give away.
        if let Some(failure) = failure {
            session.answer_failure(call, &failure);
        }
    }
}

impl Session {
    /// The first request that is of the chain being served, or of `chain`. Without a service only calls are taken, to be
    /// refused: they would wait for a worker that waits for them. How deep they are is what their senders say, and a stack is
    /// not endless: what would be more than [`NESTED_MAX`] waits like any other.
    pub(crate) fn take_nested(&mut self, chain: Option<ChainId>, has_service: bool) -> Option<Box<Queued>> {
        if self.serving.len() >= NESTED_MAX {
            return None;
        }
        let served = self.serving.last().map(|serving| serving.frame.chain);
        let at = self.queue.iter().position(|queued| {
            let its = Some(queued.header.chain);
            (its == chain || its == served)
                && (has_service || queued.header.kind == Kind::Call)
                && !self.is_for_crew(queued)
        })?;
        self.queue.remove(at)
    }

    pub(crate) fn note_request_taken(&mut self, queued: &Queued) {
        if let Some(via) = queued.via {
            self.note_taken(via, &queued.header);
        }
    }

    /// Whether a call is still worth serving.
    pub(crate) fn admit(&self, queued: &Queued, role: &Name) -> Result<(), Failure> {
        let header = &queued.header;
        if header.kind != Kind::Call {
            return Ok(());
        }
        if header.depth > CALL_DEPTH_MAX {
            // The caller may not know by which way it came here.
            return Err(too_deep(Self::frame_of(queued), &queued.peer, role, ""));
        }
        if queued.deadline <= self.time {
            return Err(Failure::Unanswerable("its deadline had passed before it was served".into()));
        }
        Ok(())
    }

    /// From now on this request is served.
    fn enter(&mut self, queued: &Queued) {
        let mut frame = Self::frame_of(queued);
        if frame.chain == ChainId::default() {
            frame.chain = self.mint_chain();
        }
        self.serving.push(Serving { frame, header: queued.header, cancelled: false });
    }

    pub(crate) const fn frame_of(queued: &Queued) -> Frame {
        Frame { chain: queued.header.chain, depth: queued.header.depth, deadline: queued.deadline }
    }

    pub(crate) fn answer(&mut self, call: &Header, result: Result<(), Failure>, reply: &mut Message<OwnedFd>) {
        if let Err(failure) = &result {
            reply.clear();
            reply.append(failure).expect("a failure is short");
        }
        let Some(end) = self.ends.get_mut(call.destination) else {
            self.unheard += 1;
            return;
        };
        match end.link.answer(call, result.is_err(), reply.shape()) {
            Ok(header) => self.post_answer(&header, reply),
            // The caller has given its end away, and nobody waits.
            Err(Overdraft::Answer) => self.unheard += 1,
            Err(full) => self.answer_failure(call, &Failure::Unanswerable(full.to_string().into())),
        }
    }

    /// Answers a call by a reply that carries links; `None` if that must wait.
    pub(crate) fn try_answer(&mut self, call: &Header, reply: &mut Message<OwnedFd>) -> Option<Result<(), Failure>> {
        let name = call.destination;
        if self.ends.get(name).is_none() {
            return Some(Ok(()));
        }
        if let Err(why) = self.prepare_links(name, reply)? {
            return Some(Err(match why {
                CallFailure::Failed(failure) => failure,
                why => Failure::Unanswerable(why.to_string().into()),
            }));
        }
        match self.ends.get_mut(name)?.link.answer(call, false, reply.shape()) {
            Ok(header) => {
                self.post_answer(&header, reply);
                Some(Ok(()))
            }
            Err(Overdraft::Answer) => Some(Ok(())),
            Err(_) => None,
        }
    }

    fn post_answer(&mut self, header: &Header, reply: &mut Message<OwnedFd>) {
        self.trace_sent(header);
        if let Err(error) = self.post(header, reply) {
            if let Some(end) = self.ends.get_mut(header.destination) {
                end.link.unsend(header);
            }
            let message = self.message_of(&Failure::Unanswerable(error.to_string().into()));
            let payload = message.payload_len();
            self.post_own(&Header { kind: Kind::Error, payload, descriptors: 0, links: 0, ..*header }, message);
        }
        self.check_outbox(header.destination);
    }

    /// Whoever sent a oneway did not wait for an answer, and has probably sent more.
    const fn expect_more_from(&mut self, name: Destination, via: Option<Via>) {
        self.eager = Some(match via {
            Some(Via { route: Route::Direct, .. }) => name,
            _ => Destination::BROKER,
        });
    }

    pub(crate) fn discard(&mut self, queued: Box<Queued>) {
        if queued.header.streams.contains(Streams::FEED) {
            self.close_inflow(queued.header.destination, queued.header.call, Caller::Peer);
        }
        self.discard_but_inflow(queued);
    }

    /// The same, of a call that is still fed.
    fn discard_but_inflow(&mut self, mut queued: Box<Queued>) {
        self.buffers.release(std::mem::replace(&mut queued.payload, Payload::empty()));
        self.close_all(queued.links.drain(..));
        if self.ends.get(queued.header.destination).is_none() {
            self.objects.note_gone();
        }
        self.return_request(queued);
        if !self.given.is_empty() {
            self.confirm_given();
        }
    }

    /// What peers that are gone had lent is kept as long as a request of theirs may name it.
    pub(crate) fn drop_unneeded_pools(&mut self) {
        let queue = &self.queue;
        self.departed.drop_pools(|name| queue.iter().any(|queued| queued.header.destination == name));
    }
}
