//! The honest worker of these tests: it does what its host tells it, step by step.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cloison_worker::msg::{Descriptor, Failure, Interface, Message, Rights, RpcIndex};
use cloison_worker::{Borrowed, Link, OpenFailure, Pool, PoolShape, Request, Service, Worker};

use crate::words::{
    ADD, BACK, BUCKET, DESCRIPTOR, DO, ECHO, End, FAIL, FAILURE, LINGER, NAP, NOTE, Outcome, PEER, PICTURE, Picture,
    RAW, RoundTrips, Step, TAKE, VISIT, Verbatim, monotonic, runs,
};

/// An interface that no policy of these tests grants.
pub const OTHER: Interface = Interface::new("other", &["anything"]);

/// The whole life of a puppet.
pub fn main() -> ExitCode {
    cloison_worker::run(|worker| worker.serve(Puppet::default()))
}

#[derive(Default)]
struct Puppet {
    links: RefCell<Vec<Link>>,
    pools: RefCell<Vec<Option<Rc<Pool>>>>,
    noted: RefCell<Vec<u32>>,
    /// Links that came from others, until they are adopted.
    taken: RefCell<VecDeque<Link>>,
    served: Cell<u64>,
    kept: RefCell<VecDeque<Borrowed>>,
    keeps: Cell<bool>,
    /// Links opened for [`VISIT`], by role.
    visited: RefCell<BTreeMap<String, Link>>,
}

impl Service for Puppet {
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        self.served.set(self.served.get() + u64::from(request.rpc() != DO));
        match request.rpc() {
            DO => {
                let step = request.recv()?;
                request.finish()?;
                reply.append(&self.act(worker, step))?;
            }
            ECHO => {
                reply.append_bytes(request.recv()?)?;
                request.finish()?;
            }
            ADD => {
                let (a, b): (u32, u32) = (request.recv()?, request.recv()?);
                request.finish()?;
                reply.append(&a.wrapping_add(b))?;
            }
            NOTE => self.noted.borrow_mut().push(request.recv()?),
            FAIL => return Err(Failure::remote(FAILURE.0, FAILURE.1)),
            NAP => std::thread::sleep(Duration::from_millis(request.recv()?)),
            LINGER => self.linger(worker, request)?,
            BACK => back(request, reply)?,
            VISIT => self.visit(worker, request, reply)?,
            DESCRIPTOR => {
                let class = request.descriptor()?.class();
                reply.append(&class)?;
            }
            PICTURE => self.show(request)?,
            TAKE => {
                self.taken.borrow_mut().push_back(request.recv_link()?);
                self.noted.borrow_mut().push(u32::MAX);
            }
            _ => return Err(Failure::NoSuchMethod),
        }
        Ok(())
    }
}

/// Calls back whoever called, until the depth that was asked for is reached.
fn back(request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
    let (left, bytes): (u8, &[u8]) = (request.recv()?, request.recv()?);
    let mut message = Message::new();
    let rpc = if left == 0 {
        message.append_bytes(bytes)?;
        ECHO
    } else {
        message.append(&(left - 1))?.append_bytes(bytes)?;
        BACK
    };
    let answer = request.link().call(rpc, &mut message).map_err(|error| inner(error.why))?;
    reply.append(&Verbatim(answer.payload()))?;
    Ok(())
}

/// What a nested call died of, for whoever made the outer one.
fn inner(why: cloison_worker::msg::CallFailure) -> Failure {
    match why {
        cloison_worker::msg::CallFailure::Failed(failure) => failure,
        other => Failure::remote(1, other.to_string()),
    }
}

impl Puppet {
    fn visit(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        let roles: Vec<String> = request.recv()?;
        request.finish()?;
        let _span = tracing::info_span!("visit", left = roles.len()).entered();
        tracing::info!(before = true, "visited");
        let mut visited = vec![worker.role().to_string()];
        if let Some((next, rest)) = roles.split_first() {
            let link = self.link_to(worker, next)?;
            let mut message = Message::new();
            message.append(rest)?;
            let answer = link.call(VISIT, &mut message).map_err(|error| inner(error.why))?;
            visited.extend(answer.value::<Vec<String>>()?);
        }
        reply.append(&visited)?;
        Ok(())
    }

    fn linger(&self, worker: &Worker, request: &mut Request<'_>) -> Result<(), Failure> {
        let number: u32 = request.recv()?;
        let mut message = Message::new();
        message.append(&number)?;
        self.link_to(worker, cloison_worker::msg::HOST)?.oneway(NOTE, &mut message)?;
        while !request.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.noted.borrow_mut().push(number);
        Ok(())
    }

    fn link_to(&self, worker: &Worker, role: &str) -> Result<Link, Failure> {
        if let Some(link) = self.visited.borrow().get(role).filter(|link| link.gone().is_none()) {
            return Ok(link.clone());
        }
        let link = worker.open(role, &PEER).map_err(|error| Failure::remote(2, error.to_string()))?;
        self.visited.borrow_mut().insert(role.to_owned(), link.clone());
        Ok(link)
    }

    fn show(&self, request: &mut Request<'_>) -> Result<(), Failure> {
        let picture: Picture = request.recv()?;
        let borrowed = request.borrow(picture.buffer).map_err(|error| Failure::remote(3, error.to_string()))?;
        if self.keeps.get() {
            self.kept.borrow_mut().push_back(borrowed);
        }
        Ok(())
    }

    fn act(&self, worker: &Worker, step: Step) -> Outcome {
        let link = |at: usize| self.links.borrow()[at].clone();
        match step {
            Step::Open { role, interface, within } => Outcome::Got(self.open(worker, &role, &interface, within)),
            Step::Close(at) => {
                link(at).close();
                Outcome::Done
            }
            Step::Gone(at) => Outcome::Gone(link(at).gone().map(|gone| format!("{gone:?}"))),
            Step::Call { link: at, rpc, payloads, within } => {
                Outcome::Replies(call(&link(at), RpcIndex(rpc), &payloads, within))
            }
            Step::Notes { link: at, from, count, bytes, within } => {
                let (sent, stop) = notes(&link(at), from..from + count, bytes, within);
                Outcome::Sent(sent, stop)
            }
            Step::RoundTrips { link: at, lasting } => Outcome::RoundTrips(round_trips(&link(at), lasting)),
            Step::Noted => Outcome::Noted(self.noted.borrow().clone()),
            Step::Runs => Outcome::Runs(runs(&self.noted.borrow())),
            Step::MakePool { link: at, shape } => Outcome::Got(self.make_pool(&link(at), shape)),
            Step::Print { line, count } => {
                for _ in 0..count {
                    eprintln!("{line}");
                }
                Outcome::Done
            }
            Step::NoteAll(role, number) => {
                let mut message = Message::new();
                message.append(&number).expect("short");
                let missed = worker.oneway_to_all(&role, NOTE, &message);
                Outcome::Served(missed.len() as u64)
            }
            Step::Batch(at, step) => {
                let batch = link(at).batch();
                let outcome = self.act(worker, *step);
                batch.send();
                outcome
            }
            Step::Trespass => {
                let _ = std::os::unix::process::parent_id();
                Outcome::Done
            }
            Step::Record { message, count } => {
                (0..count).for_each(|number| tracing::info!(number, "{message}"));
                Outcome::Done
            }
            Step::End(end) => die(end),
            Step::Served => Outcome::Served(self.served.get()),
            Step::Peer(at) => Outcome::Peer(link(at).peer().to_string()),
            Step::Stream { link: at, from, lasting } => stream(&link(at), from, lasting),
            Step::Hand { .. } | Step::HandBusy { .. } | Step::Adopt => self.act_with_links(step),
            other => self.act_with_pictures(other),
        }
    }

    fn act_with_links(&self, step: Step) -> Outcome {
        match step {
            Step::Hand { by, link, moves, calls, rights } => {
                let (by, link) = (self.links.borrow()[by].clone(), self.links.borrow()[link].clone());
                Outcome::Replies(vec![hand(&by, &link, moves, calls, &rights)])
            }
            Step::HandBusy { by, link, calls, nap, rights } => {
                let (by, link) = (self.links.borrow()[by].clone(), self.links.borrow()[link].clone());
                Outcome::Replies(hand_busy(&by, &link, calls, nap, &rights))
            }
            Step::Adopt => match self.taken.borrow_mut().pop_front() {
                Some(link) => {
                    self.links.borrow_mut().push(link);
                    Outcome::Got(Ok(self.links.borrow().len() - 1))
                }
                None => Outcome::Got(Err("there is none".to_owned())),
            },
            other => unreachable!("{other:?} is no step with links"),
        }
    }

    fn act_with_pictures(&self, step: Step) -> Outcome {
        let pool = |at: usize| self.pools.borrow()[at].clone().expect("the pool was not dropped");
        match step {
            Step::Lend { pool: at, fill, count, within } => {
                let (lent, stop) = lend(&pool(at), fill, count, within);
                Outcome::Sent(lent, stop)
            }
            Step::Lent(at) => Outcome::Lent(pool(at).lent()),
            Step::DropPool(at) => {
                let dropped = self.pools.borrow_mut()[at].take();
                drop(dropped);
                Outcome::Done
            }
            Step::Keep(keeps) => {
                self.keeps.set(keeps);
                Outcome::Done
            }
            Step::Kept => Outcome::Kept(self.kept.borrow().iter().map(ends_of).collect()),
            Step::GiveBack(count) => {
                let back: Vec<_> = self.kept.borrow_mut().drain(..count).collect();
                drop(back);
                Outcome::Done
            }
            other => unreachable!("{other:?} is no step with pictures"),
        }
    }

    fn open(&self, worker: &Worker, role: &str, interface: &str, within: Duration) -> Result<usize, String> {
        let interface = match interface {
            "peer" => &PEER,
            "raw" => &RAW,
            _ => &OTHER,
        };
        match worker.open_within(role, interface, within) {
            Ok(link) => {
                self.links.borrow_mut().push(link);
                Ok(self.links.borrow().len() - 1)
            }
            Err(error) => Err(match error.why {
                OpenFailure::Refused(refusal) => format!("{refusal:?}"),
                other => format!("{other:?}"),
            }),
        }
    }

    fn make_pool(&self, link: &Link, shape: PoolShape) -> Result<usize, String> {
        let pool = link.pool(shape).map_err(|error| format!("{error}"))?;
        self.pools.borrow_mut().push(Some(Rc::new(pool)));
        Ok(self.pools.borrow().len() - 1)
    }
}

fn call(link: &Link, rpc: RpcIndex, payloads: &[Vec<u8>], within: Duration) -> Vec<Result<Vec<u8>, String>> {
    let started = payloads.iter().map(|payload| {
        let mut message = Message::new();
        message.append(&Verbatim(payload)).map_err(|error| format!("{error:?}"))?;
        if rpc == DESCRIPTOR {
            let pipe = std::io::stderr().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
            message.attach(pipe).map_err(|error| format!("{error:?}"))?;
        }
        link.start_within(rpc, &mut message, within).map_err(|error| format!("{:?}", error.why))
    });
    let started: Vec<_> = started.collect();
    let mut replies: Vec<_> = started
        .into_iter()
        .rev()
        .map(|pending| match pending?.wait() {
            Ok(reply) => Ok(reply.payload().to_vec()),
            Err(error) => Err(format!("{:?}", error.why)),
        })
        .collect();
    replies.reverse();
    replies
}

fn hand(by: &Link, link: &Link, moves: bool, calls: bool, rights: &Rights) -> Result<Vec<u8>, String> {
    let mut message = Message::new();
    let appended = if moves { message.move_link(link, rights) } else { message.append_link(link, rights) };
    appended.map_err(|error| format!("{error:?}"))?;
    let handed = if calls { by.call(TAKE, &mut message).map(drop) } else { by.oneway(TAKE, &mut message) };
    handed.map(|()| Vec::new()).map_err(|error| format!("{:?}", error.why))
}

fn hand_busy(by: &Link, link: &Link, calls: u32, nap: u64, rights: &Rights) -> Vec<Result<Vec<u8>, String>> {
    let why = |error: cloison_worker::msg::CallError| format!("{:?}", error.why);
    let pending: Vec<_> = (0..calls)
        .map(|_| {
            let mut message = Message::new();
            message.append(&nap).expect("it fits");
            link.start(NAP, &mut message).map_err(why)
        })
        .collect();
    let handed = hand(by, link, true, true, rights);
    let outcomes =
        pending.into_iter().map(|pending| pending?.wait().map(|reply| reply.payload().to_vec()).map_err(why));
    let mut outcomes: Vec<_> = outcomes.collect();
    outcomes.push(handed);
    outcomes
}

/// Every fourth number is sent as a call of [`NOTE`], the others as oneways.
fn stream(link: &Link, from: u32, lasting: Duration) -> Outcome {
    let end = Instant::now() + lasting;
    let mut number = from;
    let mut message = Message::new();
    while Instant::now() < end {
        message.clear().append(&number).expect("it fits");
        let sent = match number % 4 {
            0 => link.call(NOTE, &mut message).map(drop),
            _ => link.oneway(NOTE, &mut message),
        };
        if let Err(error) = sent {
            return Outcome::Streamed(number, Some(format!("{:?}", error.why)), monotonic());
        }
        number += 1;
    }
    Outcome::Streamed(number, None, monotonic())
}

fn notes(link: &Link, numbers: std::ops::Range<u32>, bytes: u32, within: Duration) -> (u32, Option<String>) {
    let filler = vec![0x5a; bytes as usize];
    let mut sent = 0;
    for number in numbers {
        let mut message = Message::new();
        message.append(&number).and_then(|message| message.append_bytes(&filler)).expect("the host asks for what fits");
        match link.oneway_within(NOTE, &mut message, within) {
            Ok(()) => sent += 1,
            Err(error) => return (sent, Some(format!("{:?}", error.why))),
        }
    }
    (sent, None)
}

fn round_trips(link: &Link, lasting: Duration) -> RoundTrips {
    let mut trips = RoundTrips::default();
    let end = Instant::now() + lasting;
    let bucket = u64::try_from(BUCKET.as_nanos()).expect("short");
    while Instant::now() < end {
        let mut message = Message::new();
        message.append_bytes(b"round").expect("it fits");
        let start = Instant::now();
        if let Err(error) = link.call(ECHO, &mut message) {
            trips.stopped_by = Some(format!("{:?}", error.why));
            break;
        }
        trips.slowest = trips.slowest.max(start.elapsed());
        let at = monotonic() / bucket * bucket;
        match trips.buckets.last_mut() {
            Some((last, count)) if *last == at => *count += 1,
            _ => trips.buckets.push((at, 1)),
        }
    }
    trips
}

fn lend(pool: &Pool, fill: u8, count: u32, within: Duration) -> (u32, Option<String>) {
    let mut fill = fill;
    for lent in 0..count {
        let mut buffer = match pool.acquire_within(within) {
            Ok(buffer) => buffer,
            Err(error) => return (lent, Some(format!("{error:?}"))),
        };
        buffer.fill(fill);
        fill = fill.wrapping_add(1);
        let len = buffer.len();
        let mut message = Message::new();
        message.append(&Picture { buffer: buffer.lend(len) }).expect("it fits");
        if let Err(error) = pool.link().oneway_within(PICTURE, &mut message, within) {
            return (lent, Some(format!("{:?}", error.why)));
        }
    }
    (count, None)
}

fn ends_of(picture: &Borrowed) -> (u8, u8) {
    let mut byte = [0];
    let mut at = |offset| {
        picture.copy_range_to(offset, &mut byte).expect("within the buffer");
        byte[0]
    };
    (at(0), at(picture.len() - 1))
}

fn die(end: End) -> ! {
    match end {
        End::Panic => panic!("as told"),
        End::Abort => std::process::abort(),
        End::Exit(code) => std::process::exit(code),
        End::Forbidden => {
            let _ = std::net::TcpStream::connect("127.0.0.1:9");
            unreachable!("asking for an Internet socket kills");
        }
        End::Spin => loop {
            std::hint::black_box(end);
        },
        End::Sleep => loop {
            std::thread::park();
        },
    }
}
