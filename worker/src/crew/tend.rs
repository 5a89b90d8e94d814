//! What the session does for its crew whenever it has been awake: it hears what the threads have said, and gives out what waits.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::JoinHandle;

use cloison_msg::contract::bind;
use cloison_msg::trace::TraceLevel;
use cloison_msg::{Caller, ChainId, Destination, Failure, Name, Reader, RpcIndex};

use super::errand::Errand;
use super::given::Given;
use super::job::{Call, Done, Job};
use super::mail::{Led, Order, What, Word};
use super::table::{Crew, Out, Unsent};
use crate::buffers::Payload;
use crate::cancel::is_call;
use crate::session::{Queued, Session};

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
                What::Detach(ask) => self.detach_errand(thread, ask),
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
    pub(super) fn take_for_object(&mut self) -> Option<Box<Queued>> {
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
    fn next_for_crew(&mut self) -> Option<(usize, Box<Queued>)> {
        if self.queue.is_empty() {
            return None;
        }
        let (free, chains, barred) = (self.crew.free(), self.crew.waiting_chains(), self.crew.barred());
        if free.is_none() && chains.is_empty() {
            return None;
        }
        let thread_for = |Queued { header, .. }: &Queued| {
            let waiting = chains.iter().find(|(chain, _)| *chain == header.chain && *chain != ChainId::default());
            waiting.map(|&(_, thread)| thread).or_else(|| free.filter(|_| !barred.contains(&header.destination)))
        };
        let mut queued = self.queue.iter().enumerate().filter(|(_, queued)| self.is_for_crew(queued));
        let (at, thread) = queued.find_map(|(at, queued)| Some((at, thread_for(queued)?)))?;
        Some((thread, self.queue.remove(at)?))
    }

    fn hand_over(&mut self, thread: usize, mut queued: Box<Queued>) {
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
