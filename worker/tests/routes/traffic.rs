//! Two workers that never stop talking while routes change.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cloison_msg::{CallFailure, Route};
use cloison_worker::{Request, Worker};

use super::pair::{ASK, NOTE, Reply, TEST, number};
use crate::world::World;

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
