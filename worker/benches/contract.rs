//! What a contract's client and server add to the same call written by hand, and what it costs to serve it on a thread beside:
//! two workers that are threads of one process, over a link's own socket, on one core. The rounds of the two take turns, so that slow minutes hit both alike.
//!
//! `cargo bench -p cloison-worker --bench contract`; without `--bench` it is only tried.

#![expect(clippy::unwrap_used, reason = "the world is a test's, which may")]

#[allow(dead_code, reason = "each program uses its part")]
#[path = "../tests/world/mod.rs"]
mod world;

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cloison_msg::{Failure, Message, Route};
use cloison_worker::{Answer, Link, Request, Threads, Worker, interface};
use world::World;

/// What a call carries, there and back.
type Words = [u64; 8];

#[interface]
trait Echo {
    fn say(&self, words: &Words) -> Answer<Words>;
}

struct Parrot;

impl Echo for Parrot {
    fn say(&self, words: &Words) -> Answer<Words> {
        Ok(*words)
    }
}

fn by_hand(_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
    let words: Words = request.recv()?;
    request.finish()?;
    reply.append(&words)?;
    Ok(())
}

fn main() {
    let rounds = if std::env::args().any(|argument| argument == "--bench") { 400 } else { 2 };
    let mut world = World::new(Route::Direct);
    pin();
    world.worker("hand", |worker| worker.serve(by_hand));
    world.worker("contract", |worker| worker.serve(EchoServer::new(Parrot)));
    world.worker("threads", |worker| worker.serve_on(Threads::new(2, |_| EchoServer::new(Parrot))));
    let worker = world.here("client");
    let hand = worker.open("hand", &ECHO).expect("it is there");
    let contract = EchoClient::bind(&worker, "contract").expect("it is there");
    let threads = EchoClient::bind(&worker, "threads").expect("it is there");
    let mut ratios = Vec::new();
    let (mut hand_best, mut contract_best, mut threads_best) = (Duration::MAX, Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        // Neither is always the first.
        let (hand, contract) = (|| round(|| call_by_hand(&hand)), || round(|| call_by_contract(&contract)));
        let (first, second, third, fourth) = (hand(), contract(), contract(), hand());
        ratios.push((second + third).as_secs_f64() / (first + fourth).as_secs_f64());
        (hand_best, contract_best) = (hand_best.min(first).min(fourth), contract_best.min(second).min(third));
        threads_best = threads_best.min(round(|| call_by_contract(&threads)));
    }
    ratios.sort_by(f64::total_cmp);
    println!("by hand {hand_best:.2?}, by contract {contract_best:.2?}: the best rounds' calls");
    println!("by contract, served on a thread beside: {threads_best:.2?}");
    println!("by contract / by hand: {:.3}, the median of {rounds} rounds", ratios[ratios.len() / 2]);
}

const CALLS: u32 = 200;

/// How long one of so many calls takes.
fn round(mut call: impl FnMut()) -> Duration {
    let since = Instant::now();
    (0..CALLS).for_each(|_| call());
    since.elapsed() / CALLS
}

fn call_by_hand(link: &Link) {
    thread_local!(static MESSAGE: std::cell::RefCell<Message<OwnedFd>> = Default::default());
    let words: Words = [u64::MAX; 8];
    MESSAGE.with_borrow_mut(|message| {
        message.append(&words).expect("it is short");
        let mut reply = link.call(ECHO.method("say"), message).expect("it is served");
        let mut reader = reply.reader();
        assert_eq!(reader.recv::<Words>(), Ok(words));
        reader.finish().expect("it is all");
    });
}

fn call_by_contract(echo: &EchoClient<Link>) {
    let words: Words = [u64::MAX; 8];
    assert_eq!(echo.say(&words), Ok(words));
}

/// All threads that are started from now on share this one's core.
fn pin() {
    let mut core = rustix::thread::CpuSet::new();
    core.set(0);
    rustix::thread::sched_setaffinity(None, &core).expect("there is a core");
}
