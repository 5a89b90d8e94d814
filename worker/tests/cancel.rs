//! Calls that are given up, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::time::Duration;

use cloison_msg::contract::{Client, Stub};
use cloison_msg::{
    CALLS_IN_FLIGHT, CallFailure, CallId, Credit, Failure, Gone, Header, Interface, Kind, Message, Name, Receipt,
    Rights, Route, RpcIndex, RpcSet,
};
use cloison_worker::{Answer, Link, OpenFailure, Request, Worker, interface};
use world::World;
use world::raw::{self, Raw};

const TEST: Interface = Interface::new("test", &["linger", "pass"]);
const LINGER: RpcIndex = TEST.method("linger");
const PASS: RpcIndex = TEST.method("pass");

#[interface]
trait Slow {
    #[idempotent]
    fn work(&self) -> Answer<()>;
}

over_both_routes![
    a_call_that_waits_its_turn_is_answered_at_once,
    what_was_made_for_a_call_is_given_up_with_it,
    nobody_works_for_the_dead,
    a_revoked_link_ends_what_came_by_it,
    an_answer_that_comes_too_late_is_counted,
    a_detached_call_is_left_to_its_peer,
    a_wait_for_a_link_ends_with_what_it_was_for,
    a_retry_s_wait_for_a_link_does_too,
    a_deadline_is_told,
    every_call_can_be_given_up_for_ever,
    a_call_is_given_up_by_the_other_route,
    a_lie_about_calls_is_not_heard,
];

type Reply = Message<OwnedFd>;

fn cancel(call: u64) -> Header {
    Header { kind: Kind::Cancel, call: CallId(call), ..Header::default() }
}

/// Serves until nobody waits any more.
fn linger(request: &Request<'_>) {
    while !request.is_cancelled() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// A worker `a` that lingers, or passes calls on to `next` until one ends, and says why it did.
fn lingering(world: &mut World, next: Option<&'static str>) -> mpsc::Receiver<Option<CallFailure>> {
    let (told, hear) = mpsc::channel();
    world.worker("a", move |worker| {
        let next = next.map(|next| worker.open(next, &TEST).unwrap());
        worker.serve(move |_: &Worker, request: &mut Request<'_>, _: &mut Reply| {
            let why = if request.rpc() == PASS { pass(next.as_ref().unwrap(), request) } else { None };
            linger(request);
            told.send(why).unwrap();
            Ok(())
        })
    });
    hear
}

fn pass(next: &Link, request: &Request<'_>) -> Option<CallFailure> {
    let why = next.call_within(PASS, &mut Message::new(), Duration::from_secs(60)).unwrap_err().why;
    assert!(request.is_cancelled(), "{why:?}");
    // Nothing is begun for a call that nobody waits for; to tell something is still possible.
    let again = next.call(LINGER, &mut Message::new()).unwrap_err().why;
    assert_eq!(again, CallFailure::Cancelled);
    next.oneway(LINGER, &mut Message::new()).unwrap();
    Some(why)
}

fn a_call_that_waits_its_turn_is_answered_at_once(route: Route) {
    let mut world = World::new(route);
    let served = lingering(&mut world, None);
    let b = world.here("b");
    let a = b.open("a", &TEST).unwrap();
    let first = a.start(LINGER, &mut Message::new()).unwrap();
    let (second, third) =
        (a.start(LINGER, &mut Message::new()).unwrap(), a.start(LINGER, &mut Message::new()).unwrap());
    drop(second);
    while b.late_answers() < 1 {
        assert!(!first.is_done() && !third.is_done());
    }
    assert!(served.try_recv().is_err());
    drop(first);
    assert_eq!(served.recv().unwrap(), None, "the first was served, and ended");
    drop(third);
    assert_eq!(served.recv().unwrap(), None, "and so was the third");
    while b.late_answers() < 3 {
        b.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
        b.serve_once(Duration::from_millis(5)).unwrap();
    }
    assert!(served.try_recv().is_err(), "the second never was");
}

/// From `b` over `a` to a third: it is told.
fn what_was_made_for_a_call_is_given_up_with_it(route: Route) {
    let mut world = World::new(route);
    let mut end = Raw::new(&mut world, "end");
    let ended = lingering(&mut world, Some("end"));
    end.granted();
    let b = world.here("b");
    let call = b.open("a", &TEST).unwrap().start(PASS, &mut Message::new()).unwrap();
    let (nested, _) = end.recv();
    drop(call);
    let (told, _) = end.recv();
    assert_eq!((told.kind, told.call, told.rpc), (Kind::Cancel, nested.call, PASS));
    assert_eq!(end.recv().0.kind, Kind::Oneway);
    assert_eq!(ended.recv().unwrap(), Some(CallFailure::Cancelled));
}

fn nobody_works_for_the_dead(route: Route) {
    let mut world = World::new(route);
    let mut end = Raw::new(&mut world, "end");
    let ended = lingering(&mut world, Some("end"));
    end.granted();
    let b = world.here("b");
    let link = b.open("a", &TEST).unwrap();
    let _calls = [PASS, PASS, LINGER].map(|rpc| link.start(rpc, &mut Message::new()).unwrap());
    let (nested, _) = end.recv();
    world.bury("b", &Gone::Crashed("signal 9".into()));
    assert_eq!(end.recv().0.call, nested.call);
    assert_eq!(ended.recv().unwrap(), Some(CallFailure::Cancelled));
    assert_eq!(end.recv().0.kind, Kind::Oneway);
    assert!(ended.recv_timeout(Duration::from_millis(20)).is_err(), "those that waited their turn are not served");
}

fn a_revoked_link_ends_what_came_by_it(route: Route) {
    let mut world = World::new(route);
    let (told, begun) = mpsc::channel();
    let served = world.worker("a", |worker| {
        worker.provide(move |_: &Worker, request: &mut Request<'_>, _: &mut Reply| {
            told.send(()).unwrap();
            linger(request);
            Ok(())
        });
        while !worker.serve_once(Duration::from_secs(60)).unwrap() {}
    });
    let b = world.here("b");
    let call = b.open("a", &TEST).unwrap().start(LINGER, &mut Message::new()).unwrap();
    begun.recv().unwrap();
    world.revoke_all();
    served.join().unwrap();
    assert_eq!(call.wait().unwrap_err().why, CallFailure::Gone(Gone::Revoked));
}

fn an_answer_that_comes_too_late_is_counted(route: Route) {
    let mut world = World::new(route);
    let mut b = Raw::new(&mut world, "b");
    let worker = world.here("a");
    let link = worker.open("b", &TEST).unwrap();
    b.granted();
    let (kept, dropped) =
        (link.start(LINGER, &mut Message::new()).unwrap(), link.start(LINGER, &mut Message::new()).unwrap());
    drop(dropped);
    let calls = [b.recv().0, b.recv().0];
    assert_eq!((b.recv().0.call, worker.late_answers()), (calls[1].call, 0));
    b.reply(&calls[1], &[]);
    b.reply(&calls[0], &[]);
    kept.wait().unwrap();
    assert_eq!(worker.late_answers(), 1);
}

fn a_detached_call_is_left_to_its_peer(route: Route) {
    let mut world = World::new(route);
    let mut b = Raw::new(&mut world, "b");
    let worker = world.here("a");
    let link = worker.open("b", &TEST).unwrap();
    b.granted();
    link.start(LINGER, &mut Message::new()).unwrap().detach();
    SlowClient::over(Stub::new(link.clone(), 1)).start().work().detach();
    let kept = link.start(LINGER, &mut Message::new()).unwrap();
    let calls = [b.recv().0, b.recv().0, b.recv().0];
    assert_eq!(calls.map(|call| call.kind), [Kind::Call; 3], "nobody is told");
    calls.iter().for_each(|call| b.reply(call, &[]));
    kept.wait().unwrap();
    assert_eq!(worker.late_answers(), 2);
}

/// Nobody plays the role for as long as the test takes.
const NOBODY: &str = "later";

fn a_wait_for_a_link_ends_with_what_it_was_for(route: Route) {
    let mut world = World::new(route);
    let ((begins, begun), (told, hear)) = (mpsc::channel(), mpsc::channel());
    world.worker("a", move |worker| {
        worker.serve(move |worker: &Worker, _: &mut Request<'_>, _: &mut Reply| {
            begins.send(()).unwrap();
            let first = worker.open_within(NOBODY, &TEST, Duration::from_secs(60)).unwrap_err();
            told.send([first.why, worker.open(NOBODY, &TEST).unwrap_err().why]).unwrap();
            Ok(())
        })
    });
    let b = world.here("b");
    let link = b.open("a", &TEST).unwrap();
    for _ in 0..3 {
        let call = link.start(PASS, &mut Message::new()).unwrap();
        begun.recv().unwrap();
        drop(call);
        let ends = hear.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(matches!(ends, [OpenFailure::Cancelled, OpenFailure::Cancelled]), "{ends:?}");
    }
}

/// Its server dies, and then its caller waits no more.
fn a_retry_s_wait_for_a_link_does_too(route: Route) {
    let mut world = World::new(route);
    let mut x = Raw::new(&mut world, "x");
    let (told, hear) = mpsc::channel();
    world.worker("a", move |worker| {
        let link = worker.open("x", &TEST).unwrap();
        let work = SlowClient::over(Stub::bound(Name::new(NOBODY).unwrap(), &SLOW, link, 1));
        let work = work.within(Duration::from_secs(60));
        worker.serve(move |_: &Worker, _: &mut Request<'_>, _: &mut Reply| {
            told.send(work.work().unwrap_err()).unwrap();
            Ok(())
        })
    });
    x.granted();
    let b = world.here("b");
    let call = b.open("a", &TEST).unwrap().start(PASS, &mut Message::new()).unwrap();
    assert_eq!(x.recv().0.kind, Kind::Call);
    world.bury("x", &Gone::Crashed("signal 9".into()));
    drop(call);
    let error = hear.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(error.call().unwrap().why, CallFailure::Cancelled);
}

/// A call whose deadline passes before it is read would be served for nobody.
fn a_deadline_is_told(route: Route) {
    let mut world = World::new(route);
    let mut b = Raw::new(&mut world, "b");
    let worker = world.here("a");
    let link = worker.open("b", &TEST).unwrap();
    b.granted();
    let error = link.call_within(LINGER, &mut Message::new(), Duration::from_millis(5)).unwrap_err();
    assert_eq!(error.why, CallFailure::Deadline);
    let call = b.recv().0;
    assert_eq!((b.recv().0.kind, call.kind), (Kind::Cancel, Kind::Call));
}

/// The accounts of both ends stay right, however many are given up, and however full the window is.
fn every_call_can_be_given_up_for_ever(route: Route) {
    let mut world = World::new(route);
    let mut b = Raw::new(&mut world, "b");
    let worker = world.here("a");
    let link = worker.open("b", &TEST).unwrap();
    b.granted();
    let mut taken = Credit::default();
    for round in 1..=8u64 {
        let calls: Vec<_> = (0..CALLS_IN_FLIGHT).map(|_| link.start(LINGER, &mut Message::new()).unwrap()).collect();
        for _ in 1..CALLS_IN_FLIGHT {
            link.oneway(LINGER, &mut Message::new()).unwrap();
        }
        drop(calls);
        let mut unanswered = Vec::new();
        for _ in 1..3 * CALLS_IN_FLIGHT {
            let (header, _) = b.recv();
            taken.messages += 1;
            match header.kind {
                Kind::Call => unanswered.push(header),
                Kind::Cancel => assert!(unanswered.iter().any(|call| call.call == header.call)),
                kind => assert_eq!(kind, Kind::Oneway),
            }
        }
        let mut receipt = Message::<()>::new();
        receipt.append(&Receipt { route, taken }).unwrap();
        b.send(Header { kind: Kind::Credit, ..Header::default() }, receipt.payload());
        let cancelled = Message::<()>::new().append(&Failure::Cancelled).unwrap().payload().to_vec();
        for call in unanswered {
            b.send(Header { kind: Kind::Error, remaining: 0, ..call }, &cancelled);
        }
        let last = link.start(LINGER, &mut Message::new()).unwrap();
        let (header, _) = b.recv();
        taken.messages += 1;
        b.reply(&header, &[]);
        last.wait().unwrap();
        assert_eq!(worker.late_answers(), round * u64::from(CALLS_IN_FLIGHT));
    }
}

/// What was called by one route is given up by the other.
fn a_call_is_given_up_by_the_other_route(route: Route) {
    let other = if route == Route::Direct { Route::Relayed } else { Route::Direct };
    let mut world = World::new(route);
    let everything = Rights::methods(RpcSet::ALL);
    world.allow("a", "b", everything.clone());
    world.allow("b", "a", everything);
    let served = lingering(&mut world, None);
    let b = world.here("b");
    let link = b.open("a", &TEST).unwrap();
    let call = link.start(LINGER, &mut Message::new()).unwrap();
    world.reroute("a", "b", other);
    let second = link.start(LINGER, &mut Message::new()).unwrap();
    drop((call, second));
    assert_eq!(served.recv().unwrap(), None);
    b.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
    while b.late_answers() < 2 {
        b.serve_once(Duration::from_millis(5)).unwrap();
    }
    let third = link.start(LINGER, &mut Message::new()).unwrap();
    drop(third);
    assert_eq!(served.recv().unwrap(), None);
}

/// Calls that were never made, or were answered long ago.
fn a_lie_about_calls_is_not_heard(route: Route) {
    let mut world = World::new(route);
    let mut b = Raw::new(&mut world, "b");
    world.worker("a", |worker| {
        worker.open("b", &TEST).unwrap();
        worker.serve(|_: &Worker, _: &mut Request<'_>, reply: &mut Reply| {
            reply.append(&1u8)?;
            Ok(())
        })
    });
    b.granted();
    b.send(raw::call(LINGER.0, 1), &[]);
    assert_eq!(b.recv().0.kind, Kind::Reply);
    for call in [1, 2, 7, u64::MAX] {
        b.send(cancel(call), &[]);
    }
    b.send(raw::call(LINGER.0, 2), &[]);
    let (header, payload) = b.recv();
    assert_eq!((header.kind, header.call, payload), (Kind::Reply, CallId(2), vec![1]));
}
