//! What a thread of the crew does.

use std::cell::{Cell, OnceCell, RefCell};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use cloison_msg::contract::{Dispatch, Flows, Output, Produced, Server, serving};
use cloison_msg::{Failure, Message, Reader};

use super::carrier::{Thread, ThreadLink};
use super::fed;
use super::job::{Asked, Call, Done, Job};
use super::mail::{Mail, Order, Outcome, Pulled, Told, What, Word};
use crate::clock::now;
use crate::streams::TURN_MAX;
use crate::trace::Tracer;

/// Most calls that one thread has begun and that have no outcome yet. Who begins more waits until one has.
const ASKED_MAX: usize = 64;

/// Where a thread hears what to do, and says what it did.
pub(super) struct Desk {
    thread: usize,
    inbox: Receiver<Order>,
    mail: Arc<Mail>,
    tracer: Arc<Tracer>,
    /// What it serves with, once that is made. That may itself hold handles of the thread.
    server: OnceCell<Weak<Serving>>,
    /// The requests that it serves, the innermost last.
    serving: RefCell<Vec<u64>>,
    /// What was asked for, and has not come.
    asked: RefCell<Vec<u64>>,
    /// What has come, and nobody has taken.
    told: RefCell<Vec<Told>>,
    asks: Cell<u64>,
    /// The streams that its methods have given, and that have not ended.
    given: RefCell<Vec<Given>>,
}

/// A stream that a method has given: the request's number, and the request.
type Given = (u64, Arc<Call>, Output<ThreadLink>);

type Serving = dyn Fn(&Rc<Desk>, Job) -> Done;

/// What a desk is made of: all that comes from the session's thread.
pub(super) struct Place {
    pub(super) thread: usize,
    pub(super) inbox: Receiver<Order>,
    pub(super) mail: Arc<Mail>,
    pub(super) tracer: Arc<Tracer>,
}

/// Makes a server, and serves with it until there is nobody to serve for. What panics is told, and ends the thread.
pub(super) fn work<M: Dispatch<ThreadLink> + 'static>(place: Place, make: &impl Fn(&Thread) -> Server<M>) {
    let (thread, mail) = (place.thread, Arc::clone(&place.mail));
    let served = catch_unwind(AssertUnwindSafe(|| {
        let desk = Rc::new(Desk::new(place));
        let server = make(&Thread::at(&desk));
        let server: Rc<Serving> = Rc::new(move |desk, job| serve(&server, desk, job));
        let _ = desk.server.set(Rc::downgrade(&server));
        desk.say(What::Ready);
        while desk.obey() {}
    }));
    if let Err(panic) = served {
        mail.post(Word { thread, what: What::Panicked(panic) });
    }
}

impl Desk {
    fn new(place: Place) -> Self {
        let Place { thread, inbox, mail, tracer } = place;
        Self {
            thread,
            inbox,
            mail,
            tracer,
            server: OnceCell::new(),
            serving: RefCell::default(),
            asked: RefCell::default(),
            told: RefCell::default(),
            asks: Cell::new(0),
            given: RefCell::default(),
        }
    }

    pub(super) fn say(&self, what: What) {
        self.mail.post(Word { thread: self.thread, what });
    }

    /// The request that is being served, if any.
    pub(super) fn job(&self) -> Option<u64> {
        self.serving.borrow().last().copied()
    }

    pub(super) fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Takes a stream out, to be pulled or dropped: nothing is borrowed meanwhile.
    fn take_stream(&self, number: u64) -> Option<Given> {
        let mut given = self.given.borrow_mut();
        let at = given.iter().position(|(other, ..)| *other == number)?;
        Some(given.remove(at))
    }

    /// Has a stream make items, into these messages, for a short time.
    fn pull(self: &Rc<Self>, number: u64, messages: Vec<Message<OwnedFd>>) -> Pulled {
        let mut pulled = Pulled { number, items: Vec::new(), unused: messages, is_stalled: false, end: None };
        let Some((_, call, mut output)) = self.take_stream(number) else { return pulled };
        let until = now().after(TURN_MAX);
        call.renew(now().after(call.header.time_left()));
        self.serving.borrow_mut().push(number);
        let (span, outer) = self.tracer.begin_on_thread(call.frame.chain, None);
        while let Some(mut message) = pulled.unused.pop() {
            let made = serving::serve(Rc::new(Asked(Arc::clone(&call))), || output(&mut message));
            match made {
                Produced::Item(_) => pulled.items.push(message),
                Produced::NotYet => {
                    pulled.unused.push(message);
                    pulled.is_stalled = true;
                }
                Produced::End(result) => pulled.end = Some((result, message)),
            }
            if pulled.is_stalled || pulled.end.is_some() || now() >= until {
                break;
            }
        }
        self.tracer.end_on_thread(span, outer);
        self.serving.borrow_mut().pop();
        if pulled.end.is_none() {
            self.given.borrow_mut().push((number, call, output));
        }
        pulled
    }
}

/// Asking, and waiting for what comes.
impl Desk {
    /// Asks for something; by which number its outcome is told.
    pub(super) fn ask(self: &Rc<Self>, what: impl FnOnce(u64) -> What) -> u64 {
        let mut said = Vec::new();
        while self.asked.borrow().len() >= ASKED_MAX {
            // What is served meanwhile is no reason to say the same again, and a peer may have as much of that as it likes.
            let all = self.asked.borrow().clone();
            if all != said {
                said.clone_from(&all);
                self.say(What::Wait(all));
            }
            if !self.obey() {
                break;
            }
        }
        self.asks.set(self.asks.get() + 1);
        let ask = self.asks.get();
        self.asked.borrow_mut().push(ask);
        self.say(what(ask));
        ask
    }

    /// Waits for the outcome of what was asked for; `None` if the broker has ended. Meanwhile what is of the same chain is
    /// served.
    pub(super) fn wait(self: &Rc<Self>, ask: u64) -> Option<Outcome> {
        self.wait_any(&[ask])?;
        let mut told = self.told.borrow_mut();
        let at = told.iter().position(|told| told.ask == ask)?;
        Some(told.remove(at).outcome)
    }

    /// Waits for any of these, and says which of them is over; `None` if the broker has ended.
    pub(super) fn wait_any(self: &Rc<Self>, asks: &[u64]) -> Option<usize> {
        self.look();
        let mut has_said = false;
        loop {
            let over = asks.iter().position(|ask| self.told.borrow().iter().any(|told| told.ask == *ask));
            if over.is_some() {
                return over;
            }
            if !std::mem::replace(&mut has_said, true) {
                self.say(What::Wait(asks.to_vec()));
            }
            if !self.obey() {
                return None;
            }
        }
    }

    /// That goes on, and nobody waits for it.
    pub(super) fn detach(self: &Rc<Self>, ask: u64) {
        self.leave(ask, What::Detach(ask));
    }

    /// Nobody waits for that any more.
    pub(super) fn give_up(self: &Rc<Self>, ask: u64) {
        self.leave(ask, What::GiveUp(ask));
    }

    fn leave(self: &Rc<Self>, ask: u64, word: What) {
        self.asked.borrow_mut().retain(|asked| *asked != ask);
        let at = self.told.borrow().iter().position(|told| told.ask == ask);
        match at {
            Some(at) => {
                let told = self.told.borrow_mut().remove(at);
                self.drop_told(told);
            }
            None => self.say(word),
        }
    }

    /// Takes in what is there.
    fn look(self: &Rc<Self>) {
        while let Ok(order) = self.inbox.try_recv() {
            self.take(order);
        }
    }

    /// Waits for an order and does it; false if there will be none.
    fn obey(self: &Rc<Self>) -> bool {
        let Ok(order) = self.inbox.recv() else { return false };
        self.take(order);
        true
    }

    fn take(self: &Rc<Self>, order: Order) {
        match order {
            Order::Serve(job) => {
                if let Some(server) = self.server.get().and_then(Weak::upgrade) {
                    let done = server(self, job);
                    self.say(What::Done(done));
                }
            }
            Order::Pull(number, messages) => {
                let pulled = self.pull(number, messages);
                self.say(What::Pulled(pulled));
            }
            Order::Drop(number) => drop(self.take_stream(number)),
            Order::Told(told) => {
                let is_wanted = self.asked.borrow().contains(&told.ask);
                self.asked.borrow_mut().retain(|asked| *asked != told.ask);
                if is_wanted {
                    self.told.borrow_mut().push(told);
                } else {
                    self.drop_told(told);
                }
            }
        }
    }

    /// Nobody takes the links that it brings.
    fn drop_told(&self, told: Told) {
        match told.outcome {
            Outcome::Answered(answer) => answer.links.into_iter().for_each(|(link, _)| self.say(What::Close(link))),
            Outcome::Opened(Ok((link, _))) => self.say(What::Close(link)),
            _ => {}
        }
    }
}

fn serve<M: Dispatch<ThreadLink>>(server: &Server<M>, desk: &Rc<Desk>, job: Job) -> Done {
    let Job { number, payload, passed, links, mut reply, call } = job;
    let (span, outer) = desk.tracer.begin_on_thread(call.frame.chain, call.mark());
    // Those that nobody takes close themselves.
    let links = links.into_iter().map(|(name, peer)| ThreadLink::new(desk, name, peer).held()).collect();
    desk.serving.borrow_mut().push(number);
    let mut output = None;
    let result = if call.begin() {
        let mut reader = Reader::new(payload.as_slice(), passed).with_links(links);
        let rpc = call.header.rpc;
        let mut flows = Flows::new(fed::intake(desk, &call));
        let answer = || server.answer(rpc, &mut reader, &mut reply, &mut flows);
        let result = serving::serve(Rc::new(Asked(Arc::clone(&call))), answer);
        output = flows.output.filter(|_| result.is_ok());
        result
    } else {
        drop(links);
        Err(Failure::Cancelled)
    };
    desk.serving.borrow_mut().pop();
    desk.tracer.end_on_thread(span, outer);
    let has_stream = output.is_some();
    desk.given.borrow_mut().extend(output.map(|output| (number, call, output)));
    Done { number, payload, reply, result, has_stream, span }
}
