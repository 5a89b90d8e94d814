//! What methods on threads call themselves.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use cloison_msg::contract::bind;
use cloison_msg::{CALL_DEPTH_MAX, CALLS_IN_FLIGHT, Gone, Message, Reader, Route};
use cloison_worker::{MethodError, Worker};

use crate::crew::*;
use crate::peer::*;
use crate::world::World;
use crate::world::raw::{self, Raw};

over_both_routes![
    links_are_taken_and_given,
    a_chain_goes_on_on_the_thread_that_waits_for_it,
    a_chain_is_no_deeper_than_the_crew_can_count,
    a_thread_has_many_calls_in_flight,
    what_a_thread_tells_stays_in_its_order,
    what_a_thread_calls_has_no_streams,
    what_a_thread_leaves_to_its_peer_is_served,
    a_link_is_waited_for_no_longer_than_its_call,
    what_a_thread_calls_is_given_up_with_its_call,
    what_a_thread_calls_inherits_the_deadline,
    a_dead_peer_ends_what_a_thread_waits_for,
    a_circle_through_a_thread_is_found,
];

fn links_are_taken_and_given(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 1);
    let (worker, client) = client(&mut world);
    let counter = CounterClient::offer(&worker, Count(Cell::new(0))).unwrap();
    let counter = client.keep(counter).unwrap();
    assert_eq!(counter.add(1), Ok(11), "it is the same, and came back");
    let counter = client.keep(counter).unwrap();
    assert_eq!(client.count(&counter), Ok(22));
    assert_eq!(counter.add(1), Ok(23));
}

/// With fewer threads than the chain is deep, and others besides.
fn a_chain_goes_on_on_the_thread_that_waits_for_it(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 2);
    peer(&mut world);
    let (_worker, client) = client(&mut world);
    assert_eq!(client.relay(4), Ok(104));
    assert_eq!(shared.most.load(Ordering::Relaxed), 5, "all of it at a time");
    let held = client.start().hold(1);
    shared.begun.pass();
    assert_eq!(client.relay(5), Ok(105), "with one thread busy");
    shared.gate.open(1);
    assert_eq!(held.wait(), Ok(1));
    for _ in 0..20 {
        let both = [1, 2].map(|deep| client.start().relay_many(deep * 10));
        assert_eq!(both.map(|call| call.wait()), [Ok(55), Ok(210)]);
    }
    assert_eq!(client.relay(20).map_err(|error| matches!(error, MethodError::Call(_))), Err(true), "that is too deep");
    assert_eq!(client.relay(1), Ok(101));
}

/// A peer that says of each call that it is the first: a stack has an end all the same, and this one is small.
fn a_chain_is_no_deeper_than_the_crew_can_count(route: Route) {
    let mut world = World::new(route);
    let mut peer = Raw::new(&mut world, "peer");
    let shared = Arc::<Shared>::default();
    let (threads, relay) = (threads(&shared, 1), WORK.method("relay"));
    world.worker("crew", move |worker| worker.serve_on(threads));
    let (_worker, client) = client(&mut world);
    let call = client.start().relay(1);
    peer.granted();
    let (bind, asked) = peer.recv();
    let mut bound = Message::<()>::new();
    bind::answer(&PEER, &mut Reader::new(&asked, Vec::<()>::new()), &mut bound).unwrap();
    peer.reply(&bind, bound.payload());
    let payload = |value: u32| {
        let mut message = Message::<()>::new();
        message.append(&value).unwrap();
        message.payload().to_vec()
    };
    let deepest = u32::from(CALLS_IN_FLIGHT) + u32::from(CALL_DEPTH_MAX);
    let (nested, _) = peer.recv();
    for _ in 0..60 {
        peer.send(cloison_msg::Header { chain: nested.chain, ..raw::oneway(relay.0) }, &payload(1));
    }
    let start = Instant::now();
    while shared.most.load(Ordering::Relaxed) < deepest {
        assert!(start.elapsed() < SOON, "{:?}", shared.most);
        std::thread::yield_now();
    }
    // What was told is served all the same, when what is around it has ended.
    drop(peer);
    assert!(call.wait().is_err());
    assert_eq!(shared.most.load(Ordering::Relaxed), deepest);
}

fn a_thread_has_many_calls_in_flight(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 2);
    peer(&mut world);
    let (_worker, client) = client(&mut world);
    // More than a link has places, and more than a thread may have asked for.
    let calls = [300, 200, 100].map(|many| client.start().relay_many(many));
    assert_eq!(calls.map(|call| call.wait()), [Ok(45_150), Ok(20_100), Ok(5050)]);
}

fn what_a_thread_tells_stays_in_its_order(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 2);
    let heard = peer(&mut world);
    let (worker, client) = client(&mut world);
    (0..40).for_each(|round| client.tell_on(round * 5).unwrap());
    let peer = PeerClient::bind(&worker, "peer").unwrap();
    let start = Instant::now();
    while peer.noted().unwrap().len() < 200 {
        assert!(start.elapsed() < SOON);
    }
    // Each round was told by one of two threads, each over a link of its own, and was sent when it returned.
    let noted = heard.noted.lock().unwrap().clone();
    for round in noted.chunks(5) {
        let rounds: Vec<u32> = round.iter().map(|number| number / 5).collect();
        assert!(rounds.is_sorted() || noted.len() == 200, "{noted:?}");
    }
    let of = |round: u32| noted.iter().copied().filter(move |number| number / 5 == round).collect::<Vec<_>>();
    (0..40).for_each(|round| assert_eq!(of(round), (round * 5..round * 5 + 5).collect::<Vec<_>>()));
}

/// More than there are places for at a time.
fn what_a_thread_leaves_to_its_peer_is_served(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 1);
    let heard = peer(&mut world);
    let (_worker, client) = client(&mut world);
    client.leave(60).unwrap();
    let start = Instant::now();
    while heard.noted.lock().unwrap().len() < 60 {
        assert!(start.elapsed() < SOON, "{:?}", heard.noted);
        assert_eq!(client.who().unwrap().0, "client");
    }
    assert_eq!(*heard.noted.lock().unwrap(), (0..60).collect::<Vec<_>>());
}

fn a_link_is_waited_for_no_longer_than_its_call(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 1);
    let (_worker, client) = client(&mut world);
    let call = client.start().wait_for_nobody();
    shared.begun.pass();
    drop(call);
    shared.begun.pass();
    assert_eq!(client.noted().unwrap(), [1]);
}

fn what_a_thread_calls_has_no_streams(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 1);
    peer(&mut world);
    let (_worker, client) = client(&mut world);
    let said = format!("{:?}", client.first_of_peer());
    assert!(said.contains("there are no streams here"), "{said}");
    assert_eq!(client.relay(0), Ok(100));
}

fn what_a_thread_calls_is_given_up_with_its_call(route: Route) {
    let mut world = World::new(route);
    let heard = peer(&mut world);
    let (_shared, _served) = crew(&mut world, 2);
    let (_worker, client) = client(&mut world);
    let call = client.start().pass_on_lingering();
    heard.begun.pass();
    drop(call);
    heard.begun.pass();
    assert_eq!(client.relay(0), Ok(100), "and all are well");
}

fn what_a_thread_calls_inherits_the_deadline(route: Route) {
    let mut world = World::new(route);
    let heard = peer(&mut world);
    let (_shared, _served) = crew(&mut world, 1);
    let (_worker, client) = client(&mut world);
    let brief = client.clone().within(Duration::from_millis(50));
    client.relay(0).unwrap();
    let start = Instant::now();
    // Both ends see the same moment pass; what is answered then may be just in time.
    let _ = brief.pass_on_lingering();
    heard.begun.pass();
    heard.begun.pass();
    assert!(start.elapsed() < SOON / 2);
    assert_eq!(client.relay(0), Ok(100));
}

fn a_dead_peer_ends_what_a_thread_waits_for(route: Route) {
    let mut world = World::new(route);
    let heard = peer(&mut world);
    let (_shared, _served) = crew(&mut world, 1);
    let (_worker, client) = client(&mut world);
    client.relay(0).unwrap();
    let call = client.start().pass_on_lingering();
    heard.begun.pass();
    world.bury("peer", &Gone::Crashed("signal 9".into()));
    let failure = why(call.wait());
    let said = failure.to_string();
    assert!(said.contains("call of peer, method linger of peer, failed") && said.contains("signal 9"), "{said}");
}

/// The client waits for a thread, which waits for the peer, which is busy and waits for the client.
fn a_circle_through_a_thread_is_found(route: Route) {
    let mut world = World::new(route);
    let (meet, is_warm, done) =
        (Arc::new(Barrier::new(2)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (met, warm, finished) = (Arc::clone(&meet), Arc::clone(&is_warm), Arc::clone(&done));
    let serve_until = |worker: &Worker, is_over: &dyn Fn() -> bool| {
        while !is_over() {
            worker.serve_once(Duration::from_millis(1)).unwrap();
        }
    };
    let peer = world.worker("peer", move |worker| {
        worker.provide(PeerServer::new(Echo { crew: OnceCell::new(), worker: worker.clone(), shared: Arc::default() }));
        let client = CounterClient::bind(worker, "client").unwrap();
        serve_until(worker, &|| warm.load(Ordering::SeqCst));
        met.wait();
        let answer = client.add(1);
        finished.fetch_add(1, Ordering::SeqCst);
        serve_until(worker, &|| finished.load(Ordering::SeqCst) == 2);
        format!("{answer:?}")
    });
    let (_shared, _served) = crew(&mut world, 1);
    let worker = world.here("client");
    worker.provide(CounterServer::new(Count(Cell::new(0))));
    while !worker.serve_once(SOON).unwrap() {}
    let client = WorkClient::bind(&worker, "crew").unwrap();
    client.relay(0).unwrap();
    is_warm.store(true, Ordering::SeqCst);
    meet.wait();
    let answer = format!("{:?}", client.relay(0));
    done.fetch_add(1, Ordering::SeqCst);
    serve_until(&worker, &|| done.load(Ordering::SeqCst) == 2);
    let answers = [answer, peer.join().unwrap()];
    // Whose call was refused hears it as such, and whose call needed that one as the failure of a nested call.
    let is_refused = |answer: &&String| answer.contains("WouldDeadlock") || answer.contains("wait for itself");
    assert_eq!(answers.iter().filter(is_refused).count(), 1, "{answers:?}");
}
