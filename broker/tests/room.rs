//! Calls of the host's that wait for room go on as soon as there is some.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use cloison_broker::harness::Harness;
use cloison_broker::msg::CALLS_IN_FLIGHT;
use cloison_broker::msg::contract::{Client, Stub};
use cloison_broker::{Answer, Ask, Grant, Model, interface};
use cloison_worker::{Threads, Worker};

#[interface]
trait Ferry {
    /// Answers the first calls when all that may be under way are.
    fn cross(&self) -> Answer<()>;
}

struct Boat {
    crossing: AtomicUsize,
    is_full: Barrier,
}

impl Ferry for Boat {
    fn cross(&self) -> Answer<()> {
        if self.crossing.fetch_add(1, Ordering::Relaxed) < CALLS_IN_FLIGHT as usize {
            self.is_full.wait();
        }
        Ok(())
    }
}

/// The server has taken all of them before it answers any, so that no credit is to come behind the answers.
#[test]
fn a_call_that_waits_for_others_to_be_answered_goes_on_when_they_are() {
    let policy = |_: &Ask<'_>| Some(Grant { rights: FERRY.rights(), ..Grant::default() });
    let mut harness = Harness::new(policy, Model::Broker).unwrap();
    let control = harness.seat("ferry").unwrap();
    let calls = usize::from(CALLS_IN_FLIGHT);
    let boat = Arc::new(Boat { crossing: AtomicUsize::new(0), is_full: Barrier::new(calls) });
    let ferry = std::thread::spawn(move || {
        let worker = Worker::over(control).unwrap();
        worker.serve_on(Threads::new(calls, move |_| FerryServer::new(Arc::clone(&boat))))
    });
    let link = harness.open("ferry", &FERRY).unwrap();
    let client = FerryClient::over(Stub::new(link, 1)).within(Duration::from_secs(20));
    let crossings: Vec<_> = (0..2 * calls).map(|_| client.start().cross()).collect();
    harness.during(|| crossings.into_iter().for_each(|crossing| assert_eq!(crossing.wait(), Ok(()))));
    drop((client, harness));
    assert_eq!(ferry.join().unwrap(), Ok(()));
}
