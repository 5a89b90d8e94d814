//! What comes by which route, and in which order.

use std::time::Duration;

use cloison_msg::control::ToBroker;
use cloison_msg::{CALLS_IN_FLIGHT, Header, Kind, Receipt, Route, WINDOW_MESSAGES, decode_whole};
use cloison_worker::{Request, Worker};

use super::pair::{ASK, NOTE, Reply, TEST, go_direct, number, pair, serve_all};
use crate::world::World;
use crate::world::raw::{self, Raw};

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
