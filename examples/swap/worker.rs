//! The four workers. None of them knows by which route its link runs, or that there are two.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cloison_worker::msg::{Failure, HOST, Message, RpcIndex};
use cloison_worker::{Disconnect, Link, PendingCall, Request, ServeError, Service, Worker};
use rustix::time::{ClockId, clock_gettime};

use crate::protocol::{
    BACK, BYSTANDERS, DONE, ECHO, GO, LEFT, LIMIT, LOG, NOTE, PEER, RECEIVED, RIGHT, SENT, TAKEN, TALLY, TRIPS, Tally,
    ends_with_call, is_call, share_of_left,
};

/// Most oneways that the other side has not answered, and most calls. A worker whose sending waits for room serves nothing
/// meanwhile, so two that fill each other's windows would wait for each other.
const UNANSWERED: u64 = 32;
const CALLS: usize = 8;

/// Of so many messages, one is a call that is waited for at once, to see how long it takes.
const TIMED_EVERY: u64 = 512;

/// So many entries of a log are told at a time.
const BATCH: usize = 64;

/// How long the bystanders pause between round trips.
const PAUSE: Duration = Duration::from_micros(300);

type Ended = Box<dyn Error>;

/// Does not return in a process that is one of the workers.
pub fn roles() {
    let [caller, callee] = BYSTANDERS;
    cloison_worker::roles::<Ended>(&[(LEFT, left), (RIGHT, right), (caller, call_idly), (callee, echo)]);
}

/// What a worker keeps, and what others make it do.
struct State {
    go: Cell<Option<u64>>,
    limit: Cell<u64>,
    tally: RefCell<Tally>,
    received: Log,
    taken: Log,
    sent: Log,
}

/// Times that are told to the host in batches.
struct Log {
    host: Link,
    rpc: RpcIndex,
    last: Cell<u64>,
    batch: RefCell<Vec<u64>>,
}

impl Log {
    fn new(host: &Link, rpc: RpcIndex) -> Self {
        Self { host: host.clone(), rpc, last: Cell::new(0), batch: RefCell::default() }
    }

    fn note(&self, now: u64) -> Result<(), Failure> {
        self.batch.borrow_mut().push(now - self.last.replace(now));
        if self.batch.borrow().len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut *self.batch.borrow_mut());
        let mut message = Message::new();
        message.append(&batch)?;
        Ok(self.host.oneway(self.rpc, &mut message)?)
    }
}

impl State {
    fn new(worker: &Worker) -> Result<Rc<Self>, Ended> {
        let host = worker.open(HOST, &LOG)?;
        Ok(Rc::new(Self {
            go: Cell::default(),
            limit: Cell::default(),
            tally: RefCell::default(),
            received: Log::new(&host, RECEIVED),
            taken: Log::new(&host, TAKEN),
            sent: Log::new(&host, SENT),
        }))
    }

    /// A oneway of the left one's is answered with one of our own.
    fn take_note(&self, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        let number: u64 = request.recv()?;
        request.finish()?;
        self.tally.borrow_mut().note(number);
        self.received.note(monotonic())?;
        if !request.is_oneway() {
            reply.append(&number)?;
            return Ok(());
        }
        let own = self.tally.borrow().sent;
        let mut message = Message::new();
        message.append(&own)?;
        request.link().oneway(BACK, &mut message)?;
        self.tally.borrow_mut().sent += 1;
        Ok(())
    }
}

impl Service for State {
    fn serve(&self, _: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        match request.rpc() {
            // The two interfaces number their methods alike; who asks tells them apart.
            rpc if request.peer().as_str() == HOST => match rpc {
                GO => self.go.set(Some(request.recv()?)),
                LIMIT => self.limit.set(request.recv()?),
                TALLY => {
                    self.received.flush()?;
                    reply.append(&*self.tally.borrow())?;
                }
                _ => return Err(Failure::NoSuchMethod),
            },
            NOTE => self.take_note(request, reply)?,
            BACK => {
                let number = request.recv()?;
                self.tally.borrow_mut().note(number);
                self.taken.note(monotonic())?;
            }
            ECHO => {
                reply.append_bytes(request.recv()?)?;
            }
            _ => return Err(Failure::NoSuchMethod),
        }
        Ok(())
    }
}

fn left(worker: &Worker) -> Result<(), Ended> {
    let state = State::new(worker)?;
    worker.provide(state.clone());
    let link = worker.open(RIGHT, &PEER)?;
    let all = wait_for_go(worker, &state)?;
    let host = worker.open(HOST, &LOG)?;
    if let Err(error) = send_all(worker, &state, &link, all) {
        state.tally.borrow_mut().fail(error.to_string());
    }
    state.sent.flush()?;
    state.taken.flush()?;
    host.oneway(DONE, &mut Message::new())?;
    loop {
        serve(worker, Duration::from_secs(1))?;
    }
}

/// Serves until the host says that it is time.
fn wait_for_go(worker: &Worker, state: &State) -> Result<u64, Ended> {
    loop {
        if let Some(messages) = state.go.get() {
            return Ok(messages);
        }
        serve(worker, Duration::from_secs(1))?;
    }
}

/// A worker that is told to end leaves in good order.
fn serve(worker: &Worker, within: Duration) -> Result<bool, Ended> {
    match worker.serve_once(within) {
        Err(ServeError::Disconnected(Disconnect::Ended)) => std::process::exit(0),
        other => Ok(other?),
    }
}

/// Sends its share of `all` messages.
fn send_all(worker: &Worker, state: &State, link: &Link, all: u64) -> Result<(), Ended> {
    let share = share_of_left(all);
    let (mut pending, mut message, mut oneways) = (VecDeque::new(), Message::new(), 0);
    let mut trips = Trips::new(&state.sent.host);
    for number in 0..share {
        while number >= state.limit.get() || oneways - state.tally.borrow().received >= UNANSWERED {
            serve(worker, Duration::from_millis(1))?;
        }
        message.clear().append(&number)?;
        state.sent.note(monotonic())?;
        if is_call(number) || (number + 1 == share && ends_with_call(all)) {
            let since = monotonic();
            let call = (number, link.start(NOTE, &mut message)?);
            if number % TIMED_EVERY == TIMED_EVERY - 1 {
                finish(state, call);
                trips.note(since, monotonic())?;
            } else {
                pending.push_back(call);
            }
            if pending.len() > CALLS {
                pending.pop_front().into_iter().for_each(|call| finish(state, call));
            }
        } else {
            link.oneway(NOTE, &mut message)?;
            oneways += 1;
        }
        state.tally.borrow_mut().sent += 1;
        if oneways - state.tally.borrow().received >= UNANSWERED / 2 {
            serve(worker, Duration::ZERO)?;
        }
    }
    pending.into_iter().for_each(|call| finish(state, call));
    let deadline = Instant::now() + Duration::from_secs(10);
    while state.tally.borrow().received < oneways && Instant::now() < deadline {
        serve(worker, Duration::from_millis(10))?;
    }
    trips.flush()
}

/// Waits for a call's answer, which must be its own number.
fn finish(state: &State, (number, call): (u64, PendingCall)) {
    let answer = call.wait().map_err(|error| error.to_string());
    match answer.and_then(|reply| reply.value::<u64>().map_err(|error| error.to_string())) {
        Ok(answer) if answer == number => {}
        Ok(answer) => state.tally.borrow_mut().fail(format!("call {number} was answered with {answer}")),
        Err(why) => state.tally.borrow_mut().fail(format!("call {number}: {why}")),
    }
}

/// Round trips, told to the host in batches.
struct Trips {
    host: Link,
    batch: Vec<(u64, u64)>,
}

impl Trips {
    fn new(host: &Link) -> Self {
        Self { host: host.clone(), batch: Vec::new() }
    }

    fn note(&mut self, since: u64, until: u64) -> Result<(), Ended> {
        self.batch.push((since, until - since));
        if self.batch.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Ended> {
        let mut message = Message::new();
        message.append(&self.batch)?;
        self.batch.clear();
        Ok(self.host.oneway(TRIPS, &mut message)?)
    }
}

fn right(worker: &Worker) -> Result<(), Ended> {
    worker.provide(State::new(worker)?);
    loop {
        serve(worker, Duration::from_secs(1))?;
    }
}

fn echo(worker: &Worker) -> Result<(), Ended> {
    right(worker)
}

fn call_idly(worker: &Worker) -> Result<(), Ended> {
    let state = State::new(worker)?;
    worker.provide(state.clone());
    let link = worker.open(BYSTANDERS[1], &PEER)?;
    wait_for_go(worker, &state)?;
    let mut trips = Trips::new(&state.sent.host);
    let mut message = Message::new();
    loop {
        message.clear().append_bytes(b"round trip")?;
        let since = monotonic();
        link.call(ECHO, &mut message)?;
        trips.note(since, monotonic())?;
        serve(worker, PAUSE)?;
    }
}

/// Nanoseconds on the monotonic clock, which all processes share.
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
