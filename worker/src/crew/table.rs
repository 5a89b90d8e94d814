//! The crew, as the session knows it: which thread has what.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use cloison_msg::contract::{Contract, bind};
use cloison_msg::trace::TraceLevel;
use cloison_msg::{ChainId, Destination, Failure, Header, Kind, Name, Reader, RpcIndex, Streams, Text};
use smallvec::SmallVec;
use std::os::fd::AsFd;

use super::THREADS_MAX;
use super::hand::Desk;
use super::job::{Call, Done, Job, Mail, What, Word};
use crate::buffers::Payload;
use crate::cancel::{Cause, cause_of, is_call};
use crate::error::ThreadsError;
use crate::session::{Queued, Session};

/// How large a thread's stack is, in bytes: as the standard library has it.
const STACK: usize = 2 * 1024 * 1024;

/// The threads that serve, and what they have. Without threads, as long as nothing is served on any.
#[derive(Default)]
pub(crate) struct Crew {
    threads: Vec<Thread>,
    /// What is on the threads, one request on each at most.
    out: Vec<Out>,
    mail: Option<Arc<Mail>>,
    /// What was heard last, to be used again.
    heard: Vec<Word>,
    /// What the threads serve.
    contract: Option<&'static Contract>,
    /// How many requests there were so far.
    made: u64,
}

struct Thread {
    inbox: Sender<Job>,
    handle: JoinHandle<()>,
    /// Whether it has a server, and nothing to do.
    is_free: bool,
}

/// A request that is on a thread.
struct Out {
    number: u64,
    call: Arc<Call>,
    /// The rest of it, without what the thread has.
    queued: Queued,
}

impl Crew {
    /// Starts so many threads, each of which does what `job` makes of its desk.
    pub(super) fn start<W: FnOnce() + Send + 'static>(
        count: usize,
        contract: &'static Contract,
        job: impl Fn(Desk) -> W,
    ) -> Result<Self, ThreadsError> {
        if count == 0 || count > THREADS_MAX {
            return Err(ThreadsError::Count(count));
        }
        let mail = Arc::new(Mail::new().map_err(|error| ThreadsError::Bell(Text::new(&error.to_string())))?);
        let mut crew = Self { contract: Some(contract), ..Self::default() };
        for thread in 0..count {
            let (inbox, receiver) = channel();
            let desk = Desk { thread, inbox: receiver, mail: Arc::clone(&mail) };
            let builder = Builder::new().name(format!("serve-{thread}")).stack_size(STACK);
            let handle = builder.spawn(job(desk)).map_err(|error| not_started(thread, count, &error))?;
            crew.threads.push(Thread { inbox, handle, is_free: false });
        }
        Ok(Self { mail: Some(mail), ..crew })
    }

    /// Whether nothing is served on threads.
    pub(crate) const fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// What is readable when a thread has said something, as long as any has something to say.
    pub(crate) fn bell(&self) -> Option<BorrowedFd<'_>> {
        let is_awaited = self.threads.iter().any(|thread| !thread.is_free);
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
        let meant = self.out.iter().filter(|out| is_meant(cause_of(&out.call.header)));
        meant.for_each(|out| out.call.give_up());
    }

    /// The link was taken back: nothing that came over it is begun any more.
    pub(crate) fn take_back(&self, link: Destination) {
        let meant = self.out.iter().filter(|out| out.call.header.destination == link);
        meant.for_each(|out| out.call.take_back());
    }

    /// The request that is on a thread, if it is the only one.
    pub(crate) fn only_request(&self) -> Option<Header> {
        if let [one] = &self.out[..] { Some(one.call.header) } else { None }
    }

    fn free(&self) -> Option<usize> {
        self.threads.iter().position(|thread| thread.is_free)
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
                What::Ready => self.crew.threads[thread].is_free = true,
                What::Done(done) => {
                    self.crew.threads[thread].is_free = true;
                    self.take_done(done);
                }
                // It goes on here as if it had happened here.
                What::Panicked(panic) => resume_unwind(panic),
            }
        }
        self.crew.heard = heard;
        self.answer_bindings();
        while let Some((thread, queued)) = self.crew.free().and_then(|thread| Some((thread, self.next_for_crew()?))) {
            self.hand_over(thread, queued);
        }
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
        let crew = std::mem::take(&mut self.crew);
        crew.give_up(|_| true);
        crew.out.into_iter().for_each(|out| self.discard(out.queued));
        crew.threads.into_iter().filter_map(|thread| thread.is_free.then_some(thread.handle)).collect()
    }

    /// The first request that may be begun.
    fn next_for_crew(&mut self) -> Option<Queued> {
        if self.queue.is_empty() {
            return None;
        }
        let barred = self.crew.barred();
        let may_begin = |queued: &Queued| !barred.contains(&queued.header.destination) && self.is_for_crew(queued);
        let at = self.queue.iter().position(may_begin)?;
        self.queue.remove(at)
    }

    fn hand_over(&mut self, thread: usize, mut queued: Queued) {
        self.note_request_taken(&queued);
        let role = self.welcome.as_ref().map(|welcome| welcome.role.clone());
        let admitted = role.map_or(Ok(()), |role| self.admit(&queued, &role)).and_then(|()| check(&queued));
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
            reply: self.spare_message(),
            call: Arc::clone(&call),
        };
        self.crew.out.push(Out { number: job.number, call, queued });
        self.crew.threads[thread].is_free = false;
        // A thread that is gone has panicked, and its last word is about to be heard.
        let _ = self.crew.threads[thread].inbox.send(job);
        self.note_crew();
    }

    fn take_done(&mut self, done: Done) {
        let Done { number, payload, mut reply, result, span } = done;
        let Some(at) = self.crew.out.iter().position(|out| out.number == number) else { return };
        let Out { call, mut queued, .. } = self.crew.out.swap_remove(at);
        self.note_crew();
        if is_call(&call.header) {
            let result = if call.is_given_up() { Err(Failure::Cancelled) } else { result };
            crate::trace::within(span, || self.answer(&call.header, result, &mut reply));
        }
        self.return_message(reply);
        queued.payload = payload;
        self.discard(queued);
        self.drop_unneeded_pools();
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

/// Whether a method on a thread can take it.
fn check(queued: &Queued) -> Result<(), Failure> {
    let header = &queued.header;
    let undecodable = |why| Err(Failure::Undecodable(Text::new(why)));
    if !queued.links.is_empty() {
        return undecodable("it carries links, which what is served on a thread does not take");
    }
    if header.kind == Kind::Call && header.streams.contains(Streams::FEED) {
        return undecodable("it is fed, which what is served on a thread cannot be");
    }
    if header.kind == Kind::Call && header.streams.contains(Streams::ITEMS) {
        let why = "its answer is a stream, which what is served on a thread does not give";
        return Err(Failure::Unanswerable(Text::new(why)));
    }
    Ok(())
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
