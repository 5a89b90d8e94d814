//! Nested calls, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cloison_msg::{
    CALL_DEPTH_MAX, CALLS_IN_FLIGHT, CallError, CallFailure, Failure, Interface, Kind, Message, Route, RpcIndex,
};
use cloison_worker::{Link, Request, Worker};
use world::World;
use world::raw::{self, Raw};

const TEST: Interface = Interface::new("test", &["down", "note", "log", "time"]);
const DOWN: RpcIndex = TEST.method("down");
const NOTE: RpcIndex = TEST.method("note");
const LOG: RpcIndex = TEST.method("log");
const TIME: RpcIndex = TEST.method("time");

over_both_routes![
    two_call_each_other_back,
    three_call_in_a_ring,
    a_chain_that_is_too_deep_is_refused_by_name,
    a_chain_is_no_deeper_than_whoever_serves_it_can_count,
    calls_that_are_in_flight_together_may_all_call_back,
    a_worker_that_serves_nothing_refuses_its_own_chain,
    other_chains_wait_their_turn,
    oneways_of_the_chain_keep_their_place,
    nested_calls_inherit_the_deadline,
    serving_within_serving_is_refused,
    what_is_out_of_time_is_not_served,
];

type Reply = Message<OwnedFd>;

fn number(number: u32) -> Vec<u8> {
    let mut message = Message::<()>::new();
    message.append(&number).unwrap();
    message.payload().to_vec()
}

/// Calls `DOWN` on the next of the ring until the number is 0, and adds up one for each hop.
fn step(next: &Link, request: &mut Request<'_>, reply: &mut Reply) -> Result<(), Failure> {
    let left: u32 = request.recv()?;
    let hops = if left == 0 { 0 } else { 1 + down(next, left - 1).map_err(|error| inner(&error))? };
    reply.append(&hops)?;
    Ok(())
}

fn down(next: &Link, left: u32) -> Result<u32, CallError> {
    let mut message = Message::new();
    message.append(&left).unwrap();
    Ok(next.call(DOWN, &mut message)?.value().unwrap())
}

fn inner(error: &CallError) -> Failure {
    match &error.why {
        CallFailure::Failed(failure) => failure.clone(),
        other => Failure::remote(1, other.to_string()),
    }
}

/// A worker that passes `DOWN` on to `next`.
fn member(world: &mut World, role: &str, next: &'static str) {
    world.worker(role, move |worker| {
        let next = worker.open(next, &TEST).unwrap();
        worker.serve(move |_: &Worker, request: &mut Request<'_>, reply: &mut Reply| step(&next, request, reply))
    });
}

/// A worker on this thread that passes `DOWN` on to `next`, without waiting for anything but its own calls.
fn first(world: &mut World, next: &str) -> (Worker, Link) {
    let worker = world.here("a");
    let next = worker.open(next, &TEST).unwrap();
    let link = next.clone();
    worker.provide(move |_: &Worker, request: &mut Request<'_>, reply: &mut Reply| step(&link, request, reply));
    (worker, next)
}

fn two_call_each_other_back(route: Route) {
    let mut world = World::new(route);
    member(&mut world, "b", "a");
    let (_a, b) = first(&mut world, "b");
    for hops in [0, 1, 2, 5, 10] {
        assert_eq!(down(&b, hops), Ok(hops));
    }
}

fn three_call_in_a_ring(route: Route) {
    let mut world = World::new(route);
    member(&mut world, "b", "c");
    member(&mut world, "c", "a");
    let (_a, b) = first(&mut world, "b");
    for hops in [1, 2, 3, 4, 11] {
        assert_eq!(down(&b, hops), Ok(hops));
    }
}

fn a_chain_that_is_too_deep_is_refused_by_name(route: Route) {
    let mut world = World::new(route);
    member(&mut world, "b", "a");
    let (_a, b) = first(&mut world, "b");
    let deepest = u32::from(CALL_DEPTH_MAX);
    assert_eq!(down(&b, deepest), Ok(deepest));
    let CallFailure::Failed(Failure::WouldDeadlock(text)) = down(&b, deepest + 1).unwrap_err().why else { panic!() };
    let way = "… → a → b → a → b → a → b → a → b → a";
    assert_eq!(text.as_str(), format!("16 nested calls in chain 2:2 already, the last from b to a: {way}"));
    assert_eq!(down(&b, 3), Ok(3), "nothing is left behind");
}

fn a_worker_that_serves_nothing_refuses_its_own_chain(route: Route) {
    let mut world = World::new(route);
    member(&mut world, "b", "a");
    let worker = world.here("a");
    let b = worker.open("b", &TEST).unwrap();
    let CallFailure::Failed(Failure::WouldDeadlock(text)) = down(&b, 1).unwrap_err().why else { panic!() };
    assert_eq!(text.as_str(), "a waits for b in the same chain, and serves nothing");
    assert_eq!(down(&b, 0), Ok(0));
}

/// A peer that says of each request that it is the first, and of most that nobody waits for them: a stack has an end all the same.
fn a_chain_is_no_deeper_than_whoever_serves_it_can_count(route: Route) {
    const TOLD: u32 = 60;
    let mut world = World::new(route);
    let mut b = Raw::new(&mut world, "b");
    let [depth, most, served] = [(); 3].map(|()| Arc::new(AtomicU32::new(0)));
    let counts = [&depth, &most, &served].map(Arc::clone);
    world.worker("a", move |worker| {
        let b = worker.open("b", &TEST).unwrap();
        let [depth, most, served] = counts;
        worker.serve(move |_: &Worker, request: &mut Request<'_>, reply: &mut Reply| {
            most.fetch_max(depth.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let outcome = step(&b, request, reply);
            depth.fetch_sub(1, Ordering::Relaxed);
            served.fetch_add(1, Ordering::Relaxed);
            outcome
        })
    });
    b.granted();
    b.send(raw::call(DOWN.0, 1), &number(1));
    let (nested, _) = b.recv();
    for _ in 0..TOLD {
        b.send(cloison_msg::Header { chain: nested.chain, ..raw::oneway(DOWN.0) }, &number(1));
    }
    let deepest = u32::from(CALLS_IN_FLIGHT) + u32::from(CALL_DEPTH_MAX);
    let is_soon = |is: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !is() {
            assert!(start.elapsed() < Duration::from_secs(30), "{most:?}, {served:?}");
            std::thread::yield_now();
        }
    };
    is_soon(&|| most.load(Ordering::Relaxed) >= deepest);
    // What was told is served all the same, when what is around it has ended.
    drop(b);
    is_soon(&|| served.load(Ordering::Relaxed) >= TOLD);
    assert_eq!(most.load(Ordering::Relaxed), deepest);
}

/// Each is served within the one before, since that one waits.
fn calls_that_are_in_flight_together_may_all_call_back(route: Route) {
    let mut world = World::new(route);
    world.worker("a", |worker| {
        let own = worker.open("a", &TEST).unwrap();
        worker.serve(move |_: &Worker, request: &mut Request<'_>, reply: &mut Reply| {
            if request.rpc() != LOG {
                return step(&own, request, reply);
            }
            let started: Vec<_> = (0..CALLS_IN_FLIGHT / 2)
                .map(|_| own.start(DOWN, Message::new().append(&1u32).unwrap()).unwrap())
                .collect();
            let hops = started.into_iter().map(|call| call.wait()?.value::<u32>().map_err(|error| panic!("{error}")));
            let hops: Result<Vec<u32>, CallError> = hops.collect();
            reply.append(&hops.map_err(|error| inner(&error))?.iter().sum::<u32>())?;
            Ok(())
        })
    });
    let client = world.here("client");
    let link = client.open("a", &TEST).unwrap();
    let answer = link.call(LOG, &mut Message::new()).unwrap();
    assert_eq!(answer.value::<u32>(), Ok(u32::from(CALLS_IN_FLIGHT) / 2));
}

/// While `a` serves a request of one chain and waits for `b`, one of another chain comes.
fn other_chains_wait_their_turn(route: Route) {
    let mut world = World::new(route);
    let mut b = Raw::new(&mut world, "b");
    let mut stranger = Raw::new(&mut world, "stranger");
    let a = world.worker("a", |worker| {
        let b = worker.open("b", &TEST).unwrap();
        let stranger = worker.open("stranger", &TEST).unwrap();
        let log = RefCell::new(Vec::new());
        let busy = Cell::new(false);
        worker.serve(move |_: &Worker, request: &mut Request<'_>, reply: &mut Reply| {
            log.borrow_mut().push(format!("{} {}", request.peer(), request.rpc().0));
            if request.rpc() == DOWN {
                assert!(!busy.replace(true));
                stranger.oneway(NOTE, &mut Message::new()).unwrap();
                b.call(DOWN, &mut Message::new()).unwrap();
                busy.set(false);
            } else if request.rpc() == LOG {
                reply.append(&*log.borrow())?;
            } else {
                assert!(busy.get(), "the same chain, at once");
            }
            Ok(())
        })
    });
    b.granted();
    stranger.granted();

    b.send(raw::call(DOWN.0, 1), &[]);
    let (nested, _) = b.recv();
    stranger.recv();
    stranger.send(raw::call(LOG.0, 2), &[]);
    // What comes next over b's link must not be overtaken by what the stranger sent: give that time to arrive.
    std::thread::sleep(Duration::from_millis(30));
    b.send(cloison_msg::Header { chain: nested.chain, depth: 2, ..raw::call(NOTE.0, 2) }, &[]);
    assert_eq!(b.recv().0.rpc, NOTE, "answered while the call waits");
    b.reply(&nested, &[]);
    assert_eq!(b.recv().0.rpc, DOWN);
    let log: Vec<String> = cloison_msg::decode_whole(&stranger.recv().1).unwrap();
    assert_eq!(log, ["b 0", "b 1", "stranger 2"]);
    drop(world);
    a.join().unwrap().unwrap();
}

/// A oneway and then a call of one chain, over one link, are served in that order.
fn oneways_of_the_chain_keep_their_place(route: Route) {
    let mut world = World::new(route);
    let mut b = Raw::new(&mut world, "b");
    let worker = world.here("a");
    let link = worker.open("b", &TEST).unwrap();
    b.granted();
    let log = Rc::new(RefCell::new(Vec::new()));
    let served = Rc::clone(&log);
    worker.provide(move |_: &Worker, request: &mut Request<'_>, _: &mut Reply| {
        served.borrow_mut().push(request.recv::<u8>()?);
        Ok(())
    });
    let call = link.start(DOWN, &mut Message::new()).unwrap();
    let (header, _) = b.recv();
    for i in 0..3 {
        b.send(cloison_msg::Header { chain: header.chain, ..raw::oneway(NOTE.0) }, &[i]);
    }
    b.send(cloison_msg::Header { chain: header.chain, depth: 1, ..raw::call(NOTE.0, 2) }, &[3]);
    b.reply(&header, &[]);
    call.wait().unwrap();
    assert_eq!(*log.borrow(), [0, 1, 2, 3]);
}

fn nested_calls_inherit_the_deadline(route: Route) {
    let mut world = World::new(route);
    world.worker("c", |worker| {
        worker.serve(|_: &Worker, request: &mut Request<'_>, reply: &mut Reply| {
            reply.append(&request.time_left())?;
            Ok(())
        })
    });
    world.worker("b", |worker| {
        let c = worker.open("c", &TEST).unwrap();
        worker.serve(move |_: &Worker, request: &mut Request<'_>, reply: &mut Reply| {
            let left = request.time_left();
            let nested: Option<Duration> = c.call(TIME, &mut Message::new()).unwrap().value()?;
            reply.append(&(left, nested))?;
            Ok(())
        })
    });
    let worker = world.here("a");
    let b = worker.open("b", &TEST).unwrap();
    let within = Duration::from_millis(800);
    let reply = b.call_within(TIME, &mut Message::new(), within).unwrap();
    let (left, nested): (Option<Duration>, Option<Duration>) = reply.value().unwrap();
    assert!(left.unwrap() <= within && nested.unwrap() <= left.unwrap(), "{left:?} {nested:?}");
}

fn serving_within_serving_is_refused(route: Route) {
    let mut world = World::new(route);
    let (told, hear) = mpsc::channel();
    world.worker("b", move |worker| {
        worker.serve(move |worker: &Worker, _: &mut Request<'_>, _: &mut Reply| {
            told.send(worker.serve_once(Duration::ZERO)).unwrap();
            Ok(())
        })
    });
    let worker = world.here("a");
    worker.open("b", &TEST).unwrap().call(DOWN, &mut Message::new()).unwrap();
    assert_eq!(hear.recv().unwrap(), Err(cloison_worker::ServeError::Nested));
    assert_eq!(worker.serve_once(Duration::ZERO), Err(cloison_worker::ServeError::NoService));
}

fn what_is_out_of_time_is_not_served(route: Route) {
    let mut world = World::new(route);
    let mut b = Raw::new(&mut world, "b");
    let worker = world.here("a");
    let link = worker.open("b", &TEST).unwrap();
    b.granted();
    let call = link.start(DOWN, &mut Message::new()).unwrap();
    let (header, _) = b.recv();
    b.send(cloison_msg::Header { remaining: 1000, ..raw::call(DOWN.0, 1) }, &[]);
    b.reply(&header, &[]);
    call.wait().unwrap();
    std::thread::sleep(Duration::from_millis(2));
    worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| panic!("it was served"));
    while !worker.serve_once(Duration::from_secs(60)).unwrap() {}
    assert_eq!(b.recv().0.kind, Kind::Error);
}
