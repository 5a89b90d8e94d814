//! Links that end in the midst of a change: by a death, a revocation, a breach.

use std::time::Duration;

use cloison_msg::control::ToBroker;
use cloison_msg::{CallFailure, Destination, Gone, Header, Route};
use cloison_worker::Worker;

use super::pair::{ASK, NOTE, go_direct, number, pair, serve_all};
use crate::world::World;
use crate::world::raw::{self, Raw};

fn crashed() -> Gone {
    Gone::Crashed("signal 9".into())
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
