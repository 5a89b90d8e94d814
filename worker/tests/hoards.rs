//! How much a worker can be fed that it does not read.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::RefCell;
use std::time::Duration;

use cloison_msg::contract::{Client, Stub};
use cloison_msg::{CALLS_IN_FLIGHT, Route, STREAM_BYTES, STREAM_ITEMS};
use cloison_worker::{Answer, FED_BYTES_MAX, Link, Stream, Worker, interface};
use world::World;

over_both_routes![
    who_fills_a_worker_s_memory_loses_its_own,
    who_gives_a_link_away_keeps_what_it_has_fed,
    many_that_are_read_late_are_not_too_many,
];

#[interface]
trait Silo {
    /// Adds up how long they are.
    fn store(&self, blocks: Stream<Vec<u8>>) -> Answer<u64>;
    /// How long each is.
    fn lengths(&self, blocks: Stream<Vec<u8>>) -> Stream<u64>;
}

/// Somebody who is given links to it.
#[interface]
trait Heir<L> {
    fn take(&self, silo: SiloClient<L>) -> Answer<()>;
}

#[derive(Default)]
struct Attic(RefCell<Vec<SiloClient<Link>>>);

impl Heir<Link> for Attic {
    fn take(&self, silo: SiloClient<Link>) -> Answer<()> {
        self.0.borrow_mut().push(silo);
        Ok(())
    }
}

struct Barn;

impl Silo for Barn {
    fn store(&self, mut blocks: Stream<Vec<u8>>) -> Answer<u64> {
        blocks.try_fold(0, |sum, block| Ok(sum + block?.len() as u64))
    }

    fn lengths(&self, blocks: Stream<Vec<u8>>) -> Stream<u64> {
        Stream::new(blocks.map(|block| Ok(block?.len() as u64)))
    }
}

/// Items that take all of a packet each, so many that a stream is full.
const BLOCK: usize = 60_000;
const BLOCKS: u64 = STREAM_BYTES.div_ceil(BLOCK as u64);

fn open(worker: &Worker) -> SiloClient<Link> {
    SiloClient::over(Stub::new(worker.open("silo", &SILO).unwrap(), 2)).within(Duration::from_secs(60))
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

/// What lies there was fed by whoever had the link then: not by whoever was given it.
fn who_gives_a_link_away_keeps_what_it_has_fed(route: Route) {
    let mut world = World::new(route);
    world.worker("silo", |worker| worker.serve(SiloServer::new(Barn)));
    let (honest, hog) = (world.here("honest"), world.here("hog"));
    honest.provide(HeirServer::new(Attic::default()));
    // As much as there may be, almost, and none of it is taken: its callers do not take what is made of it.
    let links: Vec<_> = (0..3).map(|_| open(&hog)).collect();
    let mut calls = Vec::new();
    for silo in links.iter().cycle().take(FED_BYTES_MAX / usize::try_from(BLOCKS).unwrap() / BLOCK - 8) {
        let (mut feeder, lengths) = silo.start().lengths();
        (0..STREAM_ITEMS).for_each(|_| feeder.push(&vec![1]).unwrap());
        (0..BLOCKS).for_each(|_| feeder.push(&vec![7; BLOCK]).unwrap());
        calls.push((feeder, lengths));
    }
    let (mut slow, answer) = open(&honest).start().store();
    slow.push(&vec![1]).unwrap();
    let heir = HeirClient::over(Stub::new(hog.open("honest", &HEIR).unwrap(), 1));
    for silo in links {
        let taken = heir.start().take(silo);
        while !honest.serve_once(Duration::from_secs(60)).unwrap() {}
        taken.wait().unwrap();
    }
    // The largest of all.
    let (block, silo) = (vec![7; BLOCK + 4000], open(&honest));
    let unread: Vec<_> = (0..16)
        .map(|_| {
            let (mut feeder, answer) = silo.start().store();
            (0..BLOCKS).for_each(|_| feeder.push(&block).unwrap());
            feeder.finish();
            answer
        })
        .collect();
    slow.finish();
    assert_eq!(answer.wait(), Ok(1));
    assert!(unread.into_iter().all(|answer| answer.wait() == Ok(BLOCKS * block.len() as u64)));
    drop(calls);
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
