//! How much a worker can be fed that it does not read.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use cloison_msg::contract::{Client, Stub};
use cloison_msg::{CALLS_IN_FLIGHT, Route, STREAM_BYTES};
use cloison_worker::{Answer, FED_BYTES_MAX, Link, Stream, Worker, interface};
use world::World;

over_both_routes![who_fills_a_worker_s_memory_loses_its_own, many_that_are_read_late_are_not_too_many];

#[interface]
trait Silo {
    /// Adds up how long they are.
    fn store(&self, blocks: Stream<Vec<u8>>) -> Answer<u64>;
}

struct Barn;

impl Silo for Barn {
    fn store(&self, mut blocks: Stream<Vec<u8>>) -> Answer<u64> {
        blocks.try_fold(0, |sum, block| Ok(sum + block?.len() as u64))
    }
}

/// Items that take all of a packet each, so many that a stream is full.
const BLOCK: usize = 60_000;
const BLOCKS: u64 = STREAM_BYTES.div_ceil(BLOCK as u64);

fn open(worker: &Worker) -> SiloClient<Link> {
    SiloClient::over(Stub::new(worker.open("silo", &SILO).unwrap(), 1)).within(std::time::Duration::from_secs(60))
}

/// One reads and is slow; another feeds so many calls that nobody can read them meanwhile.
fn who_fills_a_worker_s_memory_loses_its_own(route: Route) {
    let mut world = World::new(route);
    world.worker("silo", |worker| worker.serve(SiloServer::new(Barn)));
    let (honest, hog) = (world.here("honest"), world.here("hog"));
    let block = vec![7; BLOCK];
    let (mut slow, answer) = open(&honest).start().store();
    let (mut unread, other) = open(&honest).start().store();
    slow.push(&vec![1]).unwrap();
    for _ in 0..BLOCKS {
        unread.push(&block).unwrap();
    }
    let links: Vec<_> = (0..4).map(|_| open(&hog)).collect();
    let mut calls = Vec::new();
    for link in &links {
        for _ in 0..CALLS_IN_FLIGHT {
            let (mut feeder, call) = link.start().store();
            let _ = (0..BLOCKS).try_for_each(|_| feeder.push(&block));
            feeder.finish();
            calls.push(call);
        }
    }
    // What is slow goes on, and so does what waits for it.
    for _ in 0..1000 {
        slow.push(&vec![1]).unwrap();
    }
    slow.finish();
    unread.finish();
    assert_eq!((answer.wait(), other.wait()), (Ok(1001), Ok(BLOCKS * BLOCK as u64)));
    let (stored, lost): (Vec<_>, Vec<_>) = calls.into_iter().map(|call| call.wait()).partition(Result::is_ok);
    let most = FED_BYTES_MAX as u64 / (BLOCKS * BLOCK as u64);
    assert!(!lost.is_empty() && stored.len() as u64 <= most, "{} of {}", stored.len(), stored.len() + lost.len());
    for error in lost {
        let said = error.unwrap_err().to_string();
        assert!(said.contains("overloaded"), "{said}");
    }
    assert_eq!(links[0].store(Stream::of([vec![1]])), Ok(1), "and its links are well");
}

/// A whole link's calls that are full are all read in their turn.
fn many_that_are_read_late_are_not_too_many(route: Route) {
    let mut world = World::new(route);
    world.worker("silo", |worker| worker.serve(SiloServer::new(Barn)));
    let client = world.here("client");
    let silo = open(&client);
    let (mut first, answer) = silo.start().store();
    let calls: Vec<_> = (1..CALLS_IN_FLIGHT)
        .map(|_| {
            let (mut feeder, call) = silo.start().store();
            (0..BLOCKS).try_for_each(|_| feeder.push(&vec![7; BLOCK])).unwrap();
            feeder.finish();
            call
        })
        .collect();
    first.push(&vec![1]).unwrap();
    first.finish();
    assert_eq!(answer.wait(), Ok(1));
    assert!(calls.into_iter().all(|call| call.wait() == Ok(BLOCKS * BLOCK as u64)));
}
