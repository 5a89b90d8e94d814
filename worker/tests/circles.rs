//! Workers that wait for each other in circles, over both routes and while these change.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Duration;

use cloison_msg::{CallFailure, Failure, Gone, Header, Interface, Kind, Message, Probe, Route, RpcIndex, decode_whole};
use cloison_worker::{Link, Request, Worker};
use world::World;
use world::raw::{self, Raw};

const TEST: Interface = Interface::new("test", &["ping", "visit"]);
const PING: RpcIndex = TEST.method("ping");
const VISIT: RpcIndex = TEST.method("visit");

/// Far longer than any circle is to last.
const LONG: Duration = Duration::from_secs(50);

over_both_routes![
    two_wait_for_each_other,
    three_wait_in_a_circle,
    four_wait_in_a_circle,
    a_circle_through_a_nested_call_is_ended,
    a_call_that_comes_late_closes_a_circle,
    a_death_in_a_circle_ends_it,
    who_waits_for_somebody_busy_is_left_alone,
    a_made_up_probe_costs_its_author_a_call,
    calls_in_one_direction_never_fail,
    calls_in_all_directions_end,
];

type Reply = Message<OwnedFd>;

const ROLES: [&str; 4] = ["a", "b", "c", "d"];

fn ping(link: &Link) -> Result<(), CallFailure> {
    link.call_within(PING, &mut Message::new(), LONG).map(drop).map_err(|error| error.why)
}

/// The circle that a call was refused for.
fn circle(outcome: &Result<(), CallFailure>) -> Option<String> {
    match outcome {
        Err(CallFailure::Failed(Failure::WouldDeadlock(text))) => Some(text.as_str().to_owned()),
        Err(other) => panic!("{other:?}"),
        Ok(()) => None,
    }
}

/// Each calls the next at the same moment; what became of the calls. All serve until all are done.
fn in_a_circle(route: Route, count: usize) -> Vec<Result<(), CallFailure>> {
    let mut world = World::new(route);
    let (meet, done) = (Arc::new(Barrier::new(count)), Arc::new(AtomicUsize::new(0)));
    let members: Vec<JoinHandle<_>> = (0..count)
        .map(|at| {
            let (meet, done) = (Arc::clone(&meet), Arc::clone(&done));
            world.worker(ROLES[at], move |worker| {
                let next = worker.open(ROLES[(at + 1) % count], &TEST).unwrap();
                worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
                meet.wait();
                let outcome = ping(&next);
                finish(worker, &done, count);
                outcome
            })
        })
        .collect();
    members.into_iter().map(|member| member.join().unwrap()).collect()
}

/// Serves until all are done.
fn finish(worker: &Worker, done: &AtomicUsize, count: usize) {
    done.fetch_add(1, Ordering::SeqCst);
    while done.load(Ordering::SeqCst) < count {
        worker.serve_once(Duration::from_millis(1)).unwrap();
    }
}

fn one_is_refused(route: Route, count: usize) {
    for _ in 0..3 {
        let outcomes = in_a_circle(route, count);
        let refused: Vec<_> =
            outcomes.iter().enumerate().filter_map(|(at, outcome)| Some((at, circle(outcome)?))).collect();
        let [(at, text)] = &refused[..] else { panic!("{outcomes:?}") };
        let round: Vec<_> = (0..=count).map(|step| ROLES[(at + step) % count]).collect();
        // Of four, whoever is opposite is not for this one to see.
        let expected = if count < 4 {
            round.join(" → ")
        } else {
            format!("{0} → {1} → … → {2} → {0}", round[0], round[1], round[3])
        };
        assert_eq!(*text, expected);
    }
}

fn two_wait_for_each_other(route: Route) {
    one_is_refused(route, 2);
}

fn three_wait_in_a_circle(route: Route) {
    one_is_refused(route, 3);
}

fn four_wait_in_a_circle(route: Route) {
    one_is_refused(route, 4);
}

/// `a` calls `b`, which calls `c` to answer that; `c` calls `a` by itself.
fn a_circle_through_a_nested_call_is_ended(route: Route) {
    let mut world = World::new(route);
    let (meet, done) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let met = Arc::clone(&meet);
    world.worker("b", move |worker| {
        let c = worker.open("c", &TEST).unwrap();
        worker.serve(move |_: &Worker, _: &mut Request<'_>, reply: &mut Reply| {
            met.wait();
            reply.append(&circle(&ping(&c)))?;
            Ok(())
        })
    });
    let finished = Arc::clone(&done);
    let c = world.worker("c", move |worker| {
        let a = worker.open("a", &TEST).unwrap();
        worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
        meet.wait();
        let outcome = ping(&a);
        finish(worker, &finished, 2);
        circle(&outcome)
    });
    let a = world.here("a");
    a.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
    let reply = a.open("b", &TEST).unwrap().call_within(VISIT, &mut Message::new(), LONG).unwrap();
    let by_b: Option<String> = reply.value().unwrap();
    finish(&a, &done, 2);
    match (by_b.as_deref(), c.join().unwrap().as_deref()) {
        (Some("b → c → a → b"), None) | (None, Some("c → a → b → c")) => {}
        other => panic!("{other:?}"),
    }
}

/// The circle is closed by a call that comes long after the other wait has begun.
fn a_call_that_comes_late_closes_a_circle(route: Route) {
    let mut world = World::new(route);
    let done = Arc::new(AtomicUsize::new(0));
    let finished = Arc::clone(&done);
    let b = world.worker("b", move |worker| {
        let a = worker.open("a", &TEST).unwrap();
        worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
        std::thread::sleep(Duration::from_millis(50));
        let outcome = ping(&a);
        finish(worker, &finished, 2);
        circle(&outcome)
    });
    let a = world.here("a");
    a.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
    let outcome = ping(&a.open("b", &TEST).unwrap());
    finish(&a, &done, 2);
    assert_eq!([circle(&outcome), b.join().unwrap()].iter().flatten().count(), 1);
}

/// `c` is in a circle, and passes no probe on.
fn a_death_in_a_circle_ends_it(route: Route) {
    let mut world = World::new(route);
    let mut c = Raw::new(&mut world, "c");
    c.hears_probes = true;
    let (meet, done) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let (met, finished) = (Arc::clone(&meet), Arc::clone(&done));
    let b = world.worker("b", move |worker| {
        let c = worker.open("c", &TEST).unwrap();
        worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
        met.wait();
        let outcome = ping(&c);
        finish(worker, &finished, 2);
        outcome
    });
    c.granted();
    c.send(raw::call(PING.0, 1), &[]);
    let a = world.here("a");
    let link = a.open("b", &TEST).unwrap();
    a.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
    meet.wait();
    let call = link.start_within(PING, &mut Message::new(), LONG).unwrap();
    assert_eq!(c.recv().0.kind, Kind::Call);
    assert_eq!(c.recv().0.kind, Kind::Probe);
    world.bury("c", &Gone::Crashed("signal 9".into()));
    call.wait().unwrap();
    finish(&a, &done, 2);
    assert!(matches!(b.join().unwrap(), Err(CallFailure::PeerRestarted(Gone::Crashed(_)))));
}

fn who_waits_for_somebody_busy_is_left_alone(route: Route) {
    let mut world = World::new(route);
    let mut b = Raw::new(&mut world, "b");
    b.hears_probes = true;
    let done = Arc::new(AtomicUsize::new(0));
    let finished = Arc::clone(&done);
    let a = world.worker("a", move |worker| {
        let b = worker.open("b", &TEST).unwrap();
        worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
        let outcome = ping(&b);
        finish(worker, &finished, 2);
        outcome
    });
    b.granted();
    let (call, _) = b.recv();
    let c = world.here("c");
    let held = c.open("a", &TEST).unwrap().start_within(PING, &mut Message::new(), LONG).unwrap();
    for _ in 0..3 {
        let (probe, payload) = b.recv();
        assert_eq!((probe.kind, probe.call), (Kind::Probe, call.call));
        assert_eq!(Probe::read(&payload).unwrap().path.len(), 1);
    }
    b.reply(&call, &[]);
    held.wait().unwrap();
    done.fetch_add(1, Ordering::SeqCst);
    assert_eq!(a.join().unwrap(), Ok(()));
}

/// `b`, for whom `a` waits, shows its probe to a friend, who sends it back after a call of its own.
fn a_made_up_probe_costs_its_author_a_call(route: Route) {
    let mut world = World::new(route);
    let (mut b, mut friend) = (Raw::new(&mut world, "b"), Raw::new(&mut world, "friend"));
    b.hears_probes = true;
    let a = world.worker("a", move |worker| {
        let b = worker.open("b", &TEST).unwrap();
        worker.open("friend", &TEST).unwrap();
        worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
        let outcome = ping(&b);
        while !worker.serve_once(Duration::from_secs(60)).unwrap() {}
        outcome
    });
    b.granted();
    friend.granted();
    let (call, _) = b.recv();
    let honest = world.here("honest");
    let held = honest.open("a", &TEST).unwrap().start_within(PING, &mut Message::new(), LONG).unwrap();
    friend.send(raw::call(PING.0, 1), &[]);
    let (_, payload) = b.recv();
    // About a call that there is not, and about one that is not held back.
    let probe = |call| Header { kind: Kind::Probe, call: cloison_msg::CallId(call), ..Header::default() };
    friend.send(probe(9), &payload);
    friend.send(probe(1), &payload);
    let (refusal, said) = friend.recv();
    assert_eq!((refusal.kind, refusal.call.0), (Kind::Error, 1));
    assert!(matches!(decode_whole(&said), Ok(Failure::Circle(_))));
    b.reply(&call, &[]);
    held.wait().unwrap();
    assert_eq!(a.join().unwrap(), Ok(()));
}

/// A number from 0 to below `limit`, of a row that `seed` begins.
fn draw(seed: &mut u64, limit: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % limit
}

/// What the members of a crowd do.
#[derive(Clone, Copy)]
struct Crowd {
    /// Whether each calls only those behind itself.
    is_ordered: bool,
    rounds: u64,
    /// How many have to be done until all may end.
    count: usize,
}

/// Each member makes calls, and calls others to answer some; the failures.
fn crowd(world: &mut World, crowd: Crowd, done: &Arc<AtomicUsize>) -> Vec<JoinHandle<Vec<CallFailure>>> {
    let meet = Arc::new(Barrier::new(ROLES.len()));
    let member = |at: usize| {
        let (done, meet) = (Arc::clone(done), Arc::clone(&meet));
        world.worker(ROLES[at], move |worker| {
            let peers = |other: &usize| if crowd.is_ordered { *other > at } else { *other != at };
            let links: BTreeMap<usize, Link> = (0..ROLES.len())
                .filter(peers)
                .map(|other| (other, worker.open(ROLES[other], &TEST).unwrap()))
                .collect();
            let (served, mut seed) = (links.clone(), 77 + at as u64);
            let nested = std::cell::Cell::new(1234 + at as u64);
            worker.provide(move |_: &Worker, request: &mut Request<'_>, reply: &mut Reply| {
                let mut seed = nested.get();
                let (next, nap) = (draw(&mut seed, 2 * ROLES.len() as u64), draw(&mut seed, 8));
                nested.set(seed);
                std::thread::sleep(Duration::from_millis(nap));
                let next = served.get(&usize::try_from(next).unwrap()).filter(|_| request.depth() < 3);
                let failed: Option<String> = next.and_then(|next| visit(next).err()).map(|why| format!("{why:?}"));
                reply.append(&failed)?;
                Ok(())
            });
            meet.wait();
            let mut failures = Vec::new();
            for _ in 0..crowd.rounds {
                let next = draw(&mut seed, ROLES.len() as u64);
                if let Some(next) = links.get(&usize::try_from(next).unwrap()) {
                    failures.extend(visit(next).err());
                }
                let _ = worker.serve_once(Duration::ZERO).unwrap();
            }
            finish(worker, &done, crowd.count);
            failures
        })
    };
    (0..ROLES.len()).map(member).collect()
}

fn visit(next: &Link) -> Result<(), CallFailure> {
    let reply = next.call_within(VISIT, &mut Message::new(), LONG).map_err(|error| error.why)?;
    let failed: Option<String> = reply.value().unwrap();
    match failed {
        Some(why) => Err(CallFailure::Failed(Failure::remote(1, why))),
        None => Ok(()),
    }
}

/// There is no circle, however long everybody waits for somebody.
fn calls_in_one_direction_never_fail(route: Route) {
    let mut world = World::new(route);
    let members = crowd(&mut world, Crowd { is_ordered: true, rounds: 25, count: 4 }, &Arc::default());
    for member in members {
        assert_eq!(member.join().unwrap(), []);
    }
}

/// There are circles all the time, and what fails fails by its name.
fn all_end(members: Vec<JoinHandle<Vec<CallFailure>>>) {
    for member in members {
        for failure in member.join().unwrap() {
            assert!(format!("{failure:?}").contains("WouldDeadlock"), "{failure:?}");
        }
    }
}

fn calls_in_all_directions_end(route: Route) {
    let mut world = World::new(route);
    let members = crowd(&mut world, Crowd { is_ordered: false, rounds: 25, count: 4 }, &Arc::default());
    all_end(members);
}

#[test]
fn circles_are_ended_while_routes_change() {
    for is_ordered in [true, false] {
        let mut world = World::new(Route::Direct);
        let done = Arc::new(AtomicUsize::new(0));
        let members = crowd(&mut world, Crowd { is_ordered, rounds: 25, count: 5 }, &done);
        let (mut seed, mut routes) = (99, BTreeMap::new());
        while done.load(Ordering::SeqCst) < ROLES.len() {
            let role = |seed: &mut u64| usize::try_from(draw(seed, 4)).unwrap();
            let (one, two) = (role(&mut seed), role(&mut seed));
            let (from, to) = (ROLES[one.min(two)], ROLES[one.max(two)]);
            if from != to && world.open_links(from, to) > 0 {
                let route = routes.entry((from, to)).or_insert(Route::Direct);
                *route = if *route == Route::Direct { Route::Relayed } else { Route::Direct };
                world.reroute(from, to, *route);
                world.settled(from, to);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        done.fetch_add(1, Ordering::SeqCst);
        if is_ordered {
            assert!(members.into_iter().all(|member| member.join().unwrap().is_empty()));
        } else {
            all_end(members);
        }
    }
}
