//! Routes that change while everything runs.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and helpers have none")]

#[allow(dead_code, unused_macros, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cloison_msg::control::ToBroker;
use cloison_msg::{
    CALLS_IN_FLIGHT, CallFailure, Destination, Gone, Header, Interface, Kind, Message, Receipt, Route, RpcIndex,
    WINDOW_MESSAGES, decode_whole,
};
use cloison_worker::{Link, Request, Worker};
use world::World;
use world::raw::{self, Raw};

const TEST: Interface = Interface::new("test", &["note", "ask"]);
const NOTE: RpcIndex = TEST.method("note");
const ASK: RpcIndex = TEST.method("ask");

type Reply = Message<OwnedFd>;
type Notes = Rc<RefCell<Vec<u32>>>;

/// A worker that notes the numbers it is sent, and a link to a raw peer.
fn pair(world: &mut World) -> (Worker, Link, Raw, Notes) {
    let mut raw = Raw::new(world, "peer");
    let worker = world.here("worker");
    let link = worker.open("peer", &TEST).unwrap();
    raw.granted();
    let notes = Notes::default();
    let taken = Rc::clone(&notes);
    worker.provide(move |_: &Worker, request: &mut Request<'_>, _: &mut Reply| {
        taken.borrow_mut().push(request.recv()?);
        Ok(request.finish()?)
    });
    (worker, link, raw, notes)
}

fn number(number: u32) -> Reply {
    let mut message = Message::new();
    message.append(&number).unwrap();
    message
}

/// Serves until nothing more comes.
fn serve_all(worker: &Worker) {
    while worker.serve_once(Duration::from_millis(30)).unwrap() {}
}

fn crashed() -> Gone {
    Gone::Crashed("signal 9".into())
}

/// Brings the link between a worker and its raw peer on the direct route.
fn go_direct(world: &World, worker: &Worker, raw: &mut Raw) {
    world.reroute("worker", "peer", Route::Direct);
    raw.rerouted();
    raw.send_relayed(raw::switch(), &[]);
    raw.say(&ToBroker::Settled { link: raw.link });
    serve_all(worker);
    while raw.recv_by(Route::Relayed).0.kind != Kind::Switch {}
    world.settled("worker", "peer");
}

/// Numbers that must come one after the other.
#[derive(Default)]
struct Sequence(RefCell<u32>);

impl Sequence {
    fn next(&self, number: u32) {
        assert_eq!(self.0.replace(number + 1), number, "none lost, none doubled, none overtaken");
    }
}

/// Two workers that tell and ask each other numbers, while the link between them changes its route again and again.
fn traffic(idle: [Duration; 2]) {
    const ROUNDS: u32 = 1500;
    let mut world = World::new(Route::Relayed);
    let run = |worker: &Worker, to: Option<&str>, idle: Duration| {
        let expected = Rc::new(Sequence::default());
        let (seen, link) = (Rc::clone(&expected), Rc::new(RefCell::new(None)));
        let back = Rc::clone(&link);
        worker.provide(move |_: &Worker, request: &mut Request<'_>, reply: &mut Reply| {
            let number: u32 = request.recv()?;
            seen.next(number);
            back.borrow_mut().get_or_insert_with(|| request.link());
            if number.is_multiple_of(100) {
                std::thread::sleep(idle);
            }
            reply.append(&number)?;
            Ok(request.finish()?)
        });
        *link.borrow_mut() = to.map(|to| worker.open(to, &TEST).unwrap());
        while link.borrow().is_none() {
            worker.serve_once(Duration::from_secs(60)).unwrap();
        }
        let link = link.borrow().clone().unwrap();
        for i in 0..ROUNDS {
            // Both flood each other: neither may wait without serving.
            let serve = |within| worker.serve_once(Duration::from_millis(within)).unwrap();
            let mut message = number(i);
            if i % 5 == 4 && to.is_some() {
                let call = link.start_within(ASK, &mut message, Duration::from_secs(60)).unwrap();
                while !call.is_done() {
                    serve(0);
                }
                assert_eq!(call.wait().unwrap().value(), Ok(i));
            } else {
                while let Err(error) = link.oneway_within(NOTE, &mut message, Duration::from_millis(1)) {
                    assert_eq!(error.why, CallFailure::Overloaded);
                    while serve(1) {}
                }
            }
            while serve(0) {}
        }
        while *expected.0.borrow() < ROUNDS {
            worker.serve_once(Duration::from_secs(60)).unwrap();
        }
        (worker.clone(), link)
    };
    let (done, ready) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let workers: Vec<_> = [("a", None), ("b", Some("a"))]
        .into_iter()
        .zip(idle)
        .map(|((role, to), idle)| {
            let (done, ready) = (Arc::clone(&done), Arc::clone(&ready));
            world.worker(role, move |worker| {
                let (worker, link) = run(worker, to, idle);
                ready.fetch_add(1, Ordering::Relaxed);
                while !done.load(Ordering::Relaxed) {
                    worker.serve_once(Duration::from_millis(1)).unwrap();
                }
                assert_eq!(link.gone(), None);
            })
        })
        .collect();
    while world.open_links("a", "b") == 0 {
        std::thread::yield_now();
    }
    let mut flips = 0;
    while ready.load(Ordering::Relaxed) < 2 && workers.iter().all(|worker| !worker.is_finished()) {
        for route in [Route::Direct, Route::Relayed] {
            world.reroute("a", "b", route);
            world.settled("a", "b");
            flips += 1;
        }
        if world.heard_count() > 0 {
            panic!("{:?}", world.heard(|word| Some(word.clone())));
        }
    }
    done.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().unwrap();
    }
    assert!(flips >= 10, "{flips}");
}

#[test]
fn nothing_is_lost_doubled_or_overtaken_while_routes_change() {
    traffic([Duration::ZERO; 2]);
}

#[test]
fn a_worker_that_is_slow_to_switch_loses_nothing() {
    traffic([Duration::from_millis(5), Duration::ZERO]);
    traffic([Duration::ZERO, Duration::from_millis(5)]);
}

#[test]
fn the_last_relayed_word_is_a_switch_and_the_socket_is_read_behind_the_peers() {
    let mut world = World::new(Route::Relayed);
    let (worker, link, mut raw, notes) = pair(&mut world);
    raw.send(raw::oneway(NOTE.0), &[1]);
    link.oneway(NOTE, &mut number(1)).unwrap();
    world.reroute("worker", "peer", Route::Direct);
    raw.rerouted();
    raw.send(raw::oneway(NOTE.0), &[3]);
    serve_all(&worker);
    assert_eq!(*notes.borrow(), [1], "what is early waits in the kernel");
    link.oneway(NOTE, &mut number(2)).unwrap();
    assert_eq!((raw.recv_by(Route::Relayed).1, raw.recv_by(Route::Relayed).0.kind), (vec![1], Kind::Switch));
    assert_eq!(raw.recv_by(Route::Direct).1, [2]);
    raw.send_relayed(raw::oneway(NOTE.0), &[2]);
    raw.send_relayed(raw::switch(), &[]);
    raw.say(&ToBroker::Settled { link: raw.link });
    serve_all(&worker);
    assert_eq!(*notes.borrow(), [1, 2, 3]);
    world.settled("worker", "peer");
}

#[test]
fn what_the_socket_still_holds_comes_before_what_is_relayed() {
    let mut world = World::new(Route::Relayed);
    let (worker, link, mut raw, notes) = pair(&mut world);
    go_direct(&world, &worker, &mut raw);
    world.reroute("worker", "peer", Route::Relayed);
    raw.rerouted();
    for i in 0..20 {
        raw.send(raw::oneway(NOTE.0), &[i]);
    }
    raw.say(&ToBroker::Left { link: raw.link, calls: cloison_msg::CallId::NONE });
    for i in 20..40 {
        raw.send_relayed(raw::oneway(NOTE.0), &[i]);
    }
    // All of it is there before the worker looks.
    std::thread::sleep(Duration::from_millis(30));
    serve_all(&worker);
    assert_eq!(*notes.borrow(), (0..40).collect::<Vec<_>>());
    assert!(raw.is_at_end());
    raw.say(&ToBroker::Settled { link: raw.link });
    world.settled("worker", "peer");
    link.oneway(NOTE, &mut number(7)).unwrap();
    while raw.recv_by(Route::Relayed).0.kind == Kind::Credit {}
}

#[test]
fn what_did_not_leave_by_the_socket_goes_the_new_way() {
    let mut world = World::new(Route::Relayed);
    let mut raw = Raw::new(&mut world, "peer");
    let serving = world.worker("worker", |worker| {
        worker.open("peer", &TEST).unwrap();
        worker.serve(|_: &Worker, request: &mut Request<'_>, reply: &mut Reply| {
            reply.append(&request.recv::<u8>()?)?.append_bytes(&[7; 60_000])?;
            if request.recv::<u8>()? == 1 {
                // It is accepted behind the answers, and waits with them.
                request.link().oneway_within(NOTE, &mut number(99), Duration::from_millis(20)).unwrap();
            }
            Ok(request.finish()?)
        })
    });
    raw.granted();
    world.reroute("worker", "peer", Route::Direct);
    raw.rerouted();
    raw.send_relayed(raw::switch(), &[]);
    raw.say(&ToBroker::Settled { link: raw.link });
    assert_eq!(raw.recv_by(Route::Relayed).0.kind, Kind::Switch);
    world.settled("worker", "peer");
    let last = u8::try_from(CALLS_IN_FLIGHT).unwrap();
    for i in 1..=last {
        raw.send(raw::call(ASK.0, u64::from(i)), &[i, u8::from(i == last)]);
    }
    std::thread::sleep(Duration::from_millis(100));
    world.reroute("worker", "peer", Route::Relayed);
    raw.rerouted();
    raw.say(&ToBroker::Left { link: raw.link, calls: cloison_msg::CallId(u64::from(last)) });
    let mut answers = Vec::new();
    // As much as the kernel took, and not one more.
    while let Some((header, payload)) = raw.recv_to_end() {
        assert_eq!((header.kind, payload.len()), (Kind::Reply, 60_004));
        answers.push(payload[0]);
    }
    raw.say(&ToBroker::Settled { link: raw.link });
    assert!(answers.len() < usize::from(last) / 2, "{}", answers.len());
    while answers.len() < usize::from(last) {
        let (header, payload) = raw.recv_by(Route::Relayed);
        match header.kind {
            Kind::Reply => answers.push(payload[0]),
            Kind::Oneway => assert_eq!((payload, answers.len()), (vec![99], usize::from(last) - 1)),
            kind => assert_eq!(kind, Kind::Credit),
        }
    }
    assert_eq!(answers, (1..=last).collect::<Vec<_>>());
    world.settled("worker", "peer");
    drop((world, raw));
    serving.join().unwrap().unwrap();
}

#[test]
fn calls_in_flight_do_not_notice() {
    let mut world = World::new(Route::Relayed);
    let (worker, link, mut raw, _) = pair(&mut world);
    let first = link.start(ASK, &mut number(1)).unwrap();
    let (one, _) = raw.recv();
    go_direct(&world, &worker, &mut raw);
    raw.reply(&one, &[1]);
    assert_eq!(first.wait().unwrap().value(), Ok(1u8));
    let second = link.start(ASK, &mut number(2)).unwrap();
    let (two, _) = raw.recv_by(Route::Direct);
    world.reroute("worker", "peer", Route::Relayed);
    raw.rerouted();
    raw.say(&ToBroker::Left { link: raw.link, calls: cloison_msg::CallId::NONE });
    raw.send_relayed(Header { kind: Kind::Reply, remaining: 0, ..two }, &[2]);
    assert_eq!(second.wait().unwrap().value(), Ok(2u8));
    assert_eq!(link.gone(), None);
}

#[test]
fn receipts_name_the_route_that_they_are_about() {
    let mut world = World::new(Route::Relayed);
    let (worker, _link, mut raw, notes) = pair(&mut world);
    let receipts = |raw: &mut Raw, worker: &Worker, by: Route| {
        // A credit is due when half a window was taken.
        for i in 0..WINDOW_MESSAGES / 2 {
            raw.send(raw::oneway(NOTE.0), &[u8::try_from(i).unwrap()]);
            assert_eq!(worker.serve_once(Duration::from_secs(60)), Ok(true));
        }
        let (header, payload) = raw.recv_by(by);
        assert_eq!(header.kind, Kind::Credit);
        let receipt: Receipt = decode_whole(&payload).unwrap();
        (receipt.route, receipt.taken.messages)
    };
    assert_eq!(receipts(&mut raw, &worker, Route::Relayed), (Route::Relayed, WINDOW_MESSAGES / 2));
    go_direct(&world, &worker, &mut raw);
    assert_eq!(receipts(&mut raw, &worker, Route::Direct), (Route::Direct, WINDOW_MESSAGES / 2));
    assert_eq!(notes.borrow().len() as u64, WINDOW_MESSAGES);
}

/// What a receiver sees of a peer that dies is a prefix of what it sent, and all of it where its order is known.
#[test]
fn a_death_in_any_phase_leaves_a_prefix() {
    type Phase = fn(&World, &Worker, &mut Raw);
    fn to_direct(world: &World, raw: &mut Raw) {
        raw.send(raw::oneway(NOTE.0), &[1]);
        world.reroute("worker", "peer", Route::Direct);
        raw.rerouted();
    }
    let phases: [(Phase, &[u32]); 6] = [
        // Its switch never came: what stands on the socket is not known to be next.
        (
            |world, _, raw| {
                to_direct(world, raw);
                raw.send(raw::oneway(NOTE.0), &[9]);
            },
            &[1],
        ),
        (
            |world, _, raw| {
                to_direct(world, raw);
                raw.send_relayed(raw::switch(), &[]);
                raw.send(raw::oneway(NOTE.0), &[2]);
            },
            &[1, 2],
        ),
        (
            |world, worker, raw| {
                go_direct(world, worker, raw);
                world.reroute("worker", "peer", Route::Relayed);
                raw.rerouted();
                raw.send(raw::oneway(NOTE.0), &[1]);
            },
            &[1],
        ),
        (
            |world, worker, raw| {
                go_direct(world, worker, raw);
                world.reroute("worker", "peer", Route::Relayed);
                raw.rerouted();
                raw.send(raw::oneway(NOTE.0), &[1]);
                raw.say(&ToBroker::Left { link: raw.link, calls: cloison_msg::CallId::NONE });
                raw.send_relayed(raw::oneway(NOTE.0), &[2]);
            },
            &[1, 2],
        ),
        // In the midst of an excursion that never came back.
        (
            |world, worker, raw| {
                go_direct(world, worker, raw);
                raw.send(raw::oneway(NOTE.0), &[1]);
                raw.send(raw::switch(), &[]);
                raw.send(raw::oneway(NOTE.0), &[9]);
            },
            &[1],
        ),
        (
            |world, worker, raw| {
                go_direct(world, worker, raw);
                raw.send(raw::oneway(NOTE.0), &[1]);
                raw.send(raw::switch(), &[]);
                raw.send(raw::oneway(NOTE.0), &[3]);
                raw.send_relayed(raw::oneway(NOTE.0), &[2]);
                raw.send_relayed(raw::switch(), &[]);
            },
            &[1, 2, 3],
        ),
    ];
    for (phase, expected) in phases {
        let mut world = World::new(Route::Relayed);
        let (worker, link, mut raw, notes) = pair(&mut world);
        phase(&world, &worker, &mut raw);
        std::thread::sleep(Duration::from_millis(10));
        world.bury("peer", &crashed());
        serve_all(&worker);
        assert_eq!(*notes.borrow(), expected);
        assert_eq!(link.gone(), Some(crashed()));
    }
}

#[test]
fn nothing_is_delivered_after_a_revocation_is_acknowledged() {
    for direct in [false, true] {
        let mut world = World::new(Route::Relayed);
        let (worker, link, mut raw, notes) = pair(&mut world);
        if direct {
            go_direct(&world, &worker, &mut raw);
        }
        let [first, second] = [1, 2].map(|i| link.start(ASK, &mut number(i)).unwrap());
        let asked = [raw.recv().0, raw.recv().0];
        raw.reply(&asked[0], &[1]);
        raw.send(raw::oneway(NOTE.0), &[1]);
        // The answer has arrived, but nobody has picked it up; the oneway waits in the queue.
        while !first.is_done() {}
        raw.send(raw::oneway(NOTE.0), &[2]);
        raw.reply(&asked[1], &[2]);
        std::thread::sleep(Duration::from_millis(10));
        world.revoke_all();
        while link.gone().is_none() {
            let _ = second.is_done();
        }
        let released = world.heard(|word| match word {
            ToBroker::Released { link } => Some(*link),
            _ => None,
        });
        assert_eq!(released, Destination { index: 1, generation: 1 });
        for call in [first, second] {
            assert_eq!(call.wait().unwrap_err().why, CallFailure::Gone(Gone::Revoked));
        }
        serve_all(&worker);
        assert_eq!(*notes.borrow(), [0; 0]);
    }
}

#[test]
fn a_peer_that_breaks_the_protocol_of_switching_is_accused() {
    let send_two = |raw: &Raw, headers: [Header; 2]| {
        let packet: Vec<u8> =
            headers.iter().flat_map(|header| Header { destination: raw.link, ..*header }.encode()).collect();
        raw.send_bytes(&packet);
    };
    type Crime = (bool, Box<dyn Fn(&Raw)>, &'static str);
    let other_way = "a switch to a route that there is not";
    let crimes: [Crime; 4] = [
        (false, Box::new(|raw| raw.send_relayed(raw::switch(), &[])), other_way),
        (true, Box::new(|raw| raw.send_relayed(raw::switch(), &[])), other_way),
        (
            true,
            Box::new(move |raw| send_two(raw, [raw::switch(), raw::oneway(NOTE.0)])),
            "a message behind the switch to the other route",
        ),
        (
            true,
            Box::new(|raw| {
                let header = Header { destination: raw.link, links: 1, ..raw::oneway(NOTE.0) };
                raw.send_bytes(&[&header.encode()[..], &[0; cloison_msg::LINK_REF_LEN]].concat());
            }),
            "a link that only the broker can hand on",
        ),
    ];
    for (direct, crime, what) in crimes {
        let mut world = World::new(Route::Relayed);
        let (worker, link, mut raw, _) = pair(&mut world);
        if direct {
            go_direct(&world, &worker, &mut raw);
        }
        crime(&raw);
        while link.gone().is_none() {
            let _ = worker.serve_once(Duration::from_millis(1));
        }
        assert_eq!(link.gone(), Some(Gone::CutOff(what.into())));
        assert_eq!(worker.disconnected(), None);
        world.heard(|word| matches!(word, ToBroker::Accuse { .. }).then_some(()));
    }
}
