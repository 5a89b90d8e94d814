//! The crew, as the session knows it: which thread has what.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use cloison_msg::contract::{Contract, bind};
use cloison_msg::trace::TraceLevel;
use cloison_msg::{Caller, ChainId, Destination, Failure, Header, Message, Name, Reader, RpcIndex, Text, Time};
use smallvec::SmallVec;

use super::THREADS_MAX;
use super::errand::{Errand, State, Underway};
use super::given::Given;
use super::hand::Place;
use super::job::{Call, Done, Job};
use super::mail::{Led, Mail, Order, What, Word};
use crate::buffers::Payload;
use crate::cancel::{Cause, cause_of, is_call};
use crate::error::ThreadsError;
use crate::session::{Queued, Session};
use crate::trace::Tracer;

/// How large a thread's stack is, in bytes: as the standard library has it.
const STACK: usize = 2 * 1024 * 1024;

/// The threads that serve, and what they have. Without threads, as long as nothing is served on any.
#[derive(Default)]
pub(crate) struct Crew {
    pub(super) threads: Vec<Thread>,
    /// What is on the threads: one request on each, and those of its chain that it serves while that one waits.
    out: Vec<Out>,
    /// What the threads have asked for.
    pub(super) errands: Vec<Errand>,
    /// The streams that methods have given.
    pub(super) given: Vec<Given>,
    /// Answers that carry links, and wait for a way for them.
    unsent: Vec<Unsent>,
    /// Links that are to be closed when all that was said over them has left.
    closing: Vec<Destination>,
    mail: Option<Arc<Mail>>,
    /// What was heard last, to be used again.
    heard: Vec<Word>,
    /// What the threads serve.
    contract: Option<&'static Contract>,
    /// How many requests there were so far.
    made: u64,
}

pub(super) struct Thread {
    pub(super) inbox: Sender<Order>,
    handle: JoinHandle<()>,
    /// Whether it has a server.
    is_ready: bool,
    /// What it waits for, the innermost last.
    pub(super) waits: Vec<Wait>,
    /// Whether it pulls a stream.
    pub(super) is_pulling: bool,
    /// Whether it has served a request since it pulled one.
    pub(super) owes: bool,
}

/// Any of these is waited for.
pub(super) struct Wait {
    pub(super) asks: Vec<u64>,
    /// How many requests are on the thread, the last of which waits.
    depth: usize,
}

/// An answer that waits.
struct Unsent {
    queued: Queued,
    reply: Message<OwnedFd>,
}

/// A request that is on a thread.
struct Out {
    number: u64,
    thread: usize,
    call: Arc<Call>,
    /// The rest of it, without what the thread has.
    queued: Queued,
}

impl Crew {
    /// Starts so many threads, each of which does what `job` makes of its place.
    pub(super) fn start<W: FnOnce() + Send + 'static>(
        count: usize,
        contract: &'static Contract,
        tracer: &Arc<Tracer>,
        job: impl Fn(Place) -> W,
    ) -> Result<Self, ThreadsError> {
        if count == 0 || count > THREADS_MAX {
            return Err(ThreadsError::Count(count));
        }
        let mail = Arc::new(Mail::new().map_err(|error| ThreadsError::Bell(Text::new(&error.to_string())))?);
        let mut crew = Self { contract: Some(contract), ..Self::default() };
        for thread in 0..count {
            let (inbox, receiver) = channel();
            let place = Place { thread, inbox: receiver, mail: Arc::clone(&mail), tracer: Arc::clone(tracer) };
            let builder = Builder::new().name(format!("serve-{thread}")).stack_size(STACK);
            let handle = builder.spawn(job(place)).map_err(|error| not_started(thread, count, &error))?;
            crew.threads.push(Thread {
                inbox,
                handle,
                is_ready: false,
                waits: Vec::new(),
                is_pulling: false,
                owes: false,
            });
        }
        Ok(Self { mail: Some(mail), ..crew })
    }

    /// Whether nothing is served on threads.
    pub(crate) const fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// What is readable when a thread has said something, as long as any has something to say.
    pub(crate) fn bell(&self) -> Option<BorrowedFd<'_>> {
        let is_busy = |thread: &Thread| !thread.is_ready || thread.is_pulling;
        let is_awaited = !self.out.is_empty() || self.threads.iter().any(is_busy);
        self.mail.as_ref().filter(|_| is_awaited).map(|mail| mail.as_fd())
    }

    /// The bell has rung.
    pub(crate) fn hear(&self) {
        if let Some(mail) = &self.mail {
            mail.hear();
        }
    }

    /// The callers of those that are meant wait no more.
    pub(crate) fn give_up(&self, is_meant: impl Fn(Cause) -> bool) {
        let meant = self.calls().filter(|(_, call)| is_meant(cause_of(&call.header)));
        meant.for_each(|(_, call)| call.give_up());
    }

    /// The link was taken back: nothing that came over it is begun any more.
    pub(crate) fn take_back(&self, link: Destination) {
        let meant = self.calls().filter(|(_, call)| call.header.destination == link);
        meant.for_each(|(_, call)| call.take_back());
    }

    /// The request that is on a thread, if it is the only one.
    pub(crate) fn only_request(&self) -> Option<Header> {
        if let [one] = &self.out[..] { Some(one.call.header) } else { None }
    }

    /// The request with this number, which is on a thread.
    pub(super) fn call_of(&self, number: u64) -> Option<Arc<Call>> {
        self.calls().find(|(other, _)| *other == number).map(|(_, call)| Arc::clone(call))
    }

    /// If that call is on a thread: the one call whose answer that thread waits for, if it waits for one.
    pub(crate) fn awaited_for(&mut self, cause: Cause) -> Option<Option<&mut Underway>> {
        let (thread, _) = self.begun().find(|(_, call)| cause_of(&call.header) == cause)?;
        let Some(&[ask]) = self.waiting(thread).map(|wait| &wait.asks[..]) else { return Some(None) };
        let errand = self.errands.iter_mut().find(|errand| (errand.thread, errand.ask) == (thread, ask));
        Some(errand.and_then(|errand| match &mut errand.state {
            State::Underway(underway) => Some(underway),
            _ => None,
        }))
    }

    /// All requests that have not been answered, and their numbers.
    fn calls(&self) -> impl Iterator<Item = (u64, &Arc<Call>)> {
        let given = self.given.iter().map(|given| (given.number, &given.call));
        self.out.iter().map(|out| (out.number, &out.call)).chain(given)
    }

    /// Those of them that run at this moment, and on which threads.
    fn begun(&self) -> impl Iterator<Item = (usize, &Arc<Call>)> {
        let pulled = self.given.iter().filter(|given| given.is_pulled).map(|given| (given.thread, &given.call));
        self.out.iter().map(|out| (out.thread, &out.call)).chain(pulled)
    }

    /// When to stop waiting for the ways of answers.
    pub(super) fn unsent_due(&self) -> impl Iterator<Item = Time> {
        self.unsent.iter().map(|unsent| unsent.queued.deadline)
    }

    /// How many requests are on a thread; a stream that it pulls is one of them.
    pub(super) fn depth(&self, thread: usize) -> usize {
        let requests = self.out.iter().filter(|out| out.thread == thread).count();
        requests + usize::from(self.threads[thread].is_pulling)
    }

    /// A thread with nothing to do: of several, one that has the fewest streams to pull.
    fn free(&self) -> Option<usize> {
        let is_free = |&thread: &usize| self.threads[thread].is_ready && self.depth(thread) == 0;
        let streams = |thread: &usize| self.given.iter().filter(|given| given.thread == *thread).count();
        (0..self.threads.len()).filter(is_free).min_by_key(streams)
    }

    /// What a thread waits for, if it does: then it serves what is of the same chain.
    fn waiting(&self, thread: usize) -> Option<&Wait> {
        self.threads[thread].waits.last().filter(|wait| wait.depth == self.depth(thread))
    }

    /// The thread that waits for a call of this chain, or on behalf of one.
    fn waiting_on(&self, chain: ChainId) -> Option<usize> {
        let is_of_chain = |&thread: &usize| {
            let mut served = self.begun().filter(|(its, _)| *its == thread);
            let mut asked = self.errands.iter().filter(|errand| errand.thread == thread);
            self.threads[thread].is_ready
                && self.waiting(thread).is_some()
                && (served.any(|(_, call)| call.frame.chain == chain)
                    || asked.any(|errand| errand.chain() == Some(chain)))
        };
        (0..self.threads.len()).filter(|_| chain != ChainId::default()).find(is_of_chain)
    }

    /// A thread waits from now on, unless one of these is over already, of which it is about to hear.
    fn note_wait(&mut self, thread: usize, asks: Vec<u64>) {
        let is_out = |ask: &u64| self.errands.iter().any(|errand| (errand.thread, errand.ask) == (thread, *ask));
        if asks.iter().all(is_out) {
            let depth = self.depth(thread);
            self.threads[thread].waits.push(Wait { asks, depth });
        }
    }

    /// Links over which nothing is begun until a oneway is done.
    fn barred(&self) -> SmallVec<[Destination; 8]> {
        let oneways = self.out.iter().filter(|out| !is_call(&out.call.header));
        oneways.map(|out| out.call.header.destination).collect()
    }
}

impl Session {
    /// Hears what the threads have said, and gives what waits to those that are free. Where there are none it does nothing.
    ///
    /// # Panics
    /// If a method on a thread has.
    pub(crate) fn tend_crew(&mut self) {
        if self.crew.is_empty() {
            return;
        }
        let mut heard = std::mem::take(&mut self.crew.heard);
        if let Some(mail) = &self.crew.mail {
            mail.take(&mut heard);
        }
        for Word { thread, what } in heard.drain(..) {
            match what {
                What::Ready => self.crew.threads[thread].is_ready = true,
                What::Done(done) => self.take_done(done),
                What::Call(ask, call) => self.take_call(thread, ask, call),
                What::Open(ask, opening) => self.take_opening(thread, ask, opening),
                What::Take(ask, call, deadline) => self.take_taking(thread, ask, call, deadline),
                What::Refuse(call) => self.refuse_items(call.destination, call.call, Caller::Peer),
                What::Pulled(pulled) => self.take_pulled(thread, pulled),
                What::Wait(asks) => self.crew.note_wait(thread, asks),
                What::GiveUp(ask) => self.give_up_errand(thread, ask),
                What::Close(link) => self.crew.closing.push(link),
                // It goes on here as if it had happened here.
                What::Panicked(panic) => resume_unwind(panic),
            }
        }
        self.crew.heard = heard;
        self.tend_errands();
        self.send_unsent();
        self.close_closing();
        self.answer_bindings();
        // Requests and streams take turns.
        self.tend_given(true);
        while let Some((thread, queued)) = self.next_for_crew() {
            self.hand_over(thread, queued);
        }
        self.tend_given(false);
    }

    /// Whether that request is for the threads, and not for an object of this worker's.
    pub(crate) fn is_for_crew(&self, queued: &Queued) -> bool {
        !self.crew.is_empty() && !self.objects.has(queued.header.destination)
    }

    /// The first request that is for an object.
    pub(super) fn take_for_object(&mut self) -> Option<Queued> {
        if self.objects.is_empty() {
            return None;
        }
        let at = self.queue.iter().position(|queued| !self.is_for_crew(queued))?;
        self.queue.remove(at)
    }

    /// Serves no more on threads: nobody waits for what they do, and those that have nothing to do end. These are to be
    /// waited for.
    pub(super) fn dismiss_crew(&mut self) -> Vec<JoinHandle<()>> {
        while let Some(&Errand { thread, ask, .. }) = self.crew.errands.first() {
            self.give_up_errand(thread, ask);
        }
        let crew = std::mem::take(&mut self.crew);
        crew.give_up(|_| true);
        let is_idle = |at: usize| crew.threads[at].is_ready && crew.depth(at) == 0;
        let idle: Vec<bool> = (0..crew.threads.len()).map(is_idle).collect();
        let Crew { threads, out, given, unsent, .. } = crew;
        let served = out.into_iter().map(|out| out.queued).chain(given.into_iter().map(Given::into_queued));
        served.chain(unsent.into_iter().map(|unsent| unsent.queued)).for_each(|queued| self.discard(queued));
        threads.into_iter().zip(idle).filter_map(|(thread, is_idle)| is_idle.then_some(thread.handle)).collect()
    }

    /// The first request that may be begun, and on which thread: what is of the chain that a thread waits for is that one's.
    fn next_for_crew(&mut self) -> Option<(usize, Queued)> {
        if self.queue.is_empty() {
            return None;
        }
        let (free, barred) = (self.crew.free(), self.crew.barred());
        let thread_for = |queued: &Queued| {
            let free = || free.filter(|_| !barred.contains(&queued.header.destination));
            self.crew.waiting_on(queued.header.chain).or_else(free)
        };
        let mut queued = self.queue.iter().enumerate().filter(|(_, queued)| self.is_for_crew(queued));
        let (at, thread) = queued.find_map(|(at, queued)| Some((at, thread_for(queued)?)))?;
        Some((thread, self.queue.remove(at)?))
    }

    fn hand_over(&mut self, thread: usize, mut queued: Queued) {
        self.note_request_taken(&queued);
        let role = self.welcome.as_ref().map(|welcome| welcome.role.clone());
        let admitted = role.map_or(Ok(()), |role| self.admit(&queued, &role));
        if let Err(failure) = admitted {
            if is_call(&queued.header) {
                self.answer_failure(&queued.header, &failure);
            }
            return self.discard(queued);
        }
        let mut frame = Self::frame_of(&queued);
        if frame.chain == ChainId::default() {
            frame.chain = self.mint_chain();
        }
        let interface = self.ends.get(queued.header.destination).map(|end| end.interface.clone());
        let interface = interface.filter(|_| self.tracer.records(TraceLevel::Debug));
        let call = Arc::new(Call::new(queued.header, Name::clone(&queued.peer), interface, frame));
        self.crew.made += 1;
        let job = Job {
            number: self.crew.made,
            payload: std::mem::replace(&mut queued.payload, Payload::empty()),
            passed: std::mem::take(&mut queued.passed),
            links: self.led(std::mem::take(&mut queued.links)),
            reply: self.spare_message(),
            call: Arc::clone(&call),
        };
        self.crew.out.push(Out { number: job.number, thread, call, queued });
        self.crew.threads[thread].owes = true;
        // A thread that is gone has panicked, and its last word is about to be heard.
        let _ = self.crew.threads[thread].inbox.send(Order::Serve(job));
        self.note_crew();
    }

    fn take_done(&mut self, done: Done) {
        let Done { number, payload, mut reply, result, has_stream, span } = done;
        let Some(at) = self.crew.out.iter().position(|out| out.number == number) else { return };
        let Out { thread, call, mut queued, .. } = self.crew.out.swap_remove(at);
        self.note_crew();
        let result = if call.is_given_up() { Err(Failure::Cancelled) } else { result };
        queued.payload = payload;
        if is_call(&call.header) && result.is_ok() && has_stream {
            self.return_message(reply);
            return self.take_given(Given::new(number, thread, call, queued));
        }
        if has_stream {
            let _ = self.crew.threads[thread].inbox.send(Order::Drop(number));
        }
        if is_call(&call.header) && result.is_ok() && !reply.links().is_empty() {
            return self.crew.unsent.push(Unsent { queued, reply });
        }
        self.close_moves(&reply);
        if is_call(&call.header) {
            crate::trace::within(span, || self.answer(&call.header, result, &mut reply));
        }
        self.return_message(reply);
        self.discard(queued);
        self.drop_unneeded_pools();
    }

    /// Answers by what carries links, as far as there is a way for them. What cannot be answered so gives nothing away, and
    /// nobody has a handle on what it was to.
    fn send_unsent(&mut self) {
        for Unsent { queued, mut reply } in std::mem::take(&mut self.crew.unsent) {
            let failure = match self.try_answer(&queued.header, &mut reply) {
                Some(answered) => answered.err(),
                None if self.time < queued.deadline => {
                    self.crew.unsent.push(Unsent { queued, reply });
                    continue;
                }
                None => Some(Failure::Unanswerable("there was no way for the links it carries".into())),
            };
            if let Some(failure) = failure {
                self.answer_failure(&queued.header, &failure);
            }
            self.close_moves(&reply);
            self.return_message(reply);
            self.discard(queued);
        }
    }

    fn close_closing(&mut self) {
        for link in std::mem::take(&mut self.crew.closing) {
            if self.has_unsent_to(link) {
                self.crew.closing.push(link);
            } else {
                self.close_end(link);
            }
        }
    }

    /// These links, and where they lead.
    pub(super) fn led(&self, links: Vec<Destination>) -> Vec<Led> {
        let peer = |link| self.peer_of(link).map(|peer| Name::clone(peer));
        links.into_iter().filter_map(|link| Some((link, peer(link)?))).collect()
    }

    /// Says what is served, whether a thread is free or not.
    fn answer_bindings(&mut self) {
        let is_one = |queued: &Queued| queued.header.rpc == RpcIndex::BIND && is_call(&queued.header);
        while let Some(at) = self.queue.iter().position(|queued| is_one(queued) && self.is_for_crew(queued)) {
            let (Some(queued), Some(contract)) = (self.queue.remove(at), self.crew.contract) else { return };
            self.note_request_taken(&queued);
            let mut reply = self.spare_message();
            let mut reader = Reader::new(queued.payload.as_slice(), Vec::<cloison_ipc::Passed>::new());
            let result = bind::answer(contract, &mut reader, &mut reply);
            self.answer(&queued.header, result, &mut reply);
            self.return_message(reply);
            self.discard(queued);
        }
    }
}

/// The system does not say which limit is in the way: if there is no memory for a stack, it is that.
fn not_started(thread: usize, count: usize, error: &io::Error) -> ThreadsError {
    let limit = if Vec::<u8>::new().try_reserve_exact(STACK).is_err() {
        "of memory (Profile::memory)"
    } else if error.kind() == io::ErrorKind::WouldBlock {
        "of threads (Profile::threads, which counts the first one, too)"
    } else {
        "that the text names"
    };
    ThreadsError::NotStarted { number: thread + 1, count, limit, why: Text::new(&error.to_string()) }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("threads", &self.threads.len()).field("busy", &self.out.len()).finish()
    }
}
