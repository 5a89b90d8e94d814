//! The crew, as the session knows it: which thread has what.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use cloison_msg::contract::Contract;
use cloison_msg::{ChainId, Destination, Header, Message, Text, Time};
use smallvec::SmallVec;

use super::THREADS_MAX;
use super::errand::{Errand, State, Underway};
use super::given::Given;
use super::hand::Place;
use super::job::Call;
use super::mail::{Mail, Order, Word};
use crate::cancel::{Cause, cause_of, is_call};
use crate::error::ThreadsError;
use crate::serve::NESTED_MAX;
use crate::session::Queued;
use crate::trace::Tracer;

/// How large a thread's stack is, in bytes: as the standard library has it.
const STACK: usize = 2 * 1024 * 1024;

/// The threads that serve, and what they have. Without threads, as long as nothing is served on any.
#[derive(Default)]
pub(crate) struct Crew {
    pub(super) threads: Vec<Thread>,
    /// What is on the threads: one request on each, and those of its chain that it serves while that one waits.
    pub(super) out: Vec<Out>,
    /// What the threads have asked for.
    pub(super) errands: Vec<Errand>,
    /// The streams that methods have given.
    pub(super) given: Vec<Given>,
    /// Answers that carry links, and wait for a way for them.
    pub(super) unsent: Vec<Unsent>,
    /// Links that are to be closed when all that was said over them has left.
    pub(super) closing: Vec<Destination>,
    pub(super) mail: Option<Arc<Mail>>,
    /// What was heard last, to be used again.
    pub(super) heard: Vec<Word>,
    /// What the threads serve.
    pub(super) contract: Option<&'static Contract>,
    /// How many requests there were so far.
    pub(super) made: u64,
}

pub(super) struct Thread {
    pub(super) inbox: Sender<Order>,
    pub(super) handle: JoinHandle<()>,
    /// Whether it has a server.
    pub(super) is_ready: bool,
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
pub(super) struct Unsent {
    pub(super) queued: Box<Queued>,
    pub(super) reply: Message<OwnedFd>,
}

/// A request that is on a thread.
pub(super) struct Out {
    pub(super) number: u64,
    pub(super) thread: usize,
    pub(super) call: Arc<Call>,
    /// The rest of it, without what the thread has.
    pub(super) queued: Box<Queued>,
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

    /// What is readable when a thread has said something. One that has nothing to do may have, too: what it drops can do
    /// anything, close links and call others.
    pub(crate) fn bell(&self) -> Option<BorrowedFd<'_>> {
        self.mail.as_ref().map(|mail| mail.as_fd())
    }

    /// Whether a thread is about to say something.
    pub(crate) fn is_awaited(&self) -> bool {
        let is_busy = |thread: &Thread| !thread.is_ready || thread.is_pulling;
        !self.out.is_empty() || !self.errands.is_empty() || self.threads.iter().any(is_busy)
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

    /// The request that runs on a thread, if it is the only one.
    pub(crate) fn only_request(&self) -> Option<Header> {
        let mut begun = self.begun().map(|(_, call)| call.header);
        begun.next().filter(|_| begun.next().is_none())
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
    pub(super) fn free(&self) -> Option<usize> {
        let is_free = |&thread: &usize| self.threads[thread].is_ready && self.depth(thread) == 0;
        let streams = |thread: &usize| self.given.iter().filter(|given| given.thread == *thread).count();
        (0..self.threads.len()).filter(is_free).min_by_key(streams)
    }

    /// What a thread waits for, if it does: then it serves what is of the same chain.
    fn waiting(&self, thread: usize) -> Option<&Wait> {
        self.threads[thread].waits.last().filter(|wait| wait.depth == self.depth(thread))
    }

    /// The chains that threads wait for, or on behalf of which they do, and these threads. How deep a request is is what its
    /// sender says, so it is counted here.
    pub(super) fn waiting_chains(&self) -> SmallVec<[(ChainId, usize); 8]> {
        let served = self.begun().map(|(thread, call)| (call.frame.chain, thread));
        let asked = self.errands.iter().filter_map(|errand| Some((errand.chain()?, errand.thread)));
        let waits = |thread: usize| {
            let depth = self.depth(thread);
            self.threads[thread].is_ready && depth < NESTED_MAX && self.waiting(thread).is_some()
        };
        served.chain(asked).filter(|&(_, thread)| waits(thread)).collect()
    }

    /// A thread waits from now on, unless one of these is over already, of which it is about to hear.
    pub(super) fn note_wait(&mut self, thread: usize, asks: Vec<u64>) {
        let is_out = |ask: &u64| self.errands.iter().any(|errand| (errand.thread, errand.ask) == (thread, *ask));
        if asks.iter().all(is_out) {
            let depth = self.depth(thread);
            self.threads[thread].waits.push(Wait { asks, depth });
        }
    }

    /// Links over which nothing is begun until a oneway is done.
    pub(super) fn barred(&self) -> SmallVec<[Destination; 8]> {
        let oneways = self.out.iter().filter(|out| !is_call(&out.call.header));
        oneways.map(|out| out.call.header.destination).collect()
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
