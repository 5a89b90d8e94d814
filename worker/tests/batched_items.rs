//! Streams whose items share packets.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::os::fd::OwnedFd;
use std::sync::mpsc::channel;
use std::time::Duration;

use cloison_msg::contract::{Client, Stub};
use cloison_msg::{CallId, Failure, Header, Kind, Message, Route, STREAM_ITEMS, Streams};
use cloison_worker::{Answer, Link, Request, Stream, Worker, interface};
use world::World;
use world::raw::{Raw, call};

over_both_routes![all_arrive_in_order, an_item_leaves_before_its_worker_waits];

#[interface]
trait Mill {
    fn up_to(&self, last: u32) -> Stream<u32>;
    fn sum(&self, numbers: Stream<u32>) -> Answer<u32>;
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32>;
}

struct Wheel;

impl Mill for Wheel {
    fn up_to(&self, last: u32) -> Stream<u32> {
        Stream::of(1..=last).in_batches()
    }

    fn sum(&self, mut numbers: Stream<u32>) -> Answer<u32> {
        numbers.try_fold(0, |sum, number| Ok(sum + number?))
    }

    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
        Stream::new(numbers.map(|number| Ok(number? * 2))).in_batches()
    }
}

fn scene(route: Route) -> (World, Worker, MillClient<Link>) {
    let mut world = World::new(route);
    world.worker("mill", |worker| worker.serve(MillServer::new(Wheel)));
    let worker = world.here("client");
    let mill = MillClient::bind(&worker, "mill").unwrap();
    (world, worker, mill)
}

/// More of them than there is credit for, and than one packet has room for.
fn all_arrive_in_order(route: Route) {
    let (_world, _worker, mill) = scene(route);
    for last in [0, 1, 50_000] {
        let given: Vec<u32> = mill.up_to(last).map(Result::unwrap).collect();
        assert_eq!(given, (1..=last).collect::<Vec<_>>());
        let doubled = mill.doubled(Stream::of(1..=last).in_batches()).map(Result::unwrap);
        assert!(doubled.eq((1..=last).map(|number| number * 2)));
    }
    assert_eq!(mill.sum(Stream::of(1..=60_000).in_batches()), Ok(1_800_030_000));
}

/// Each item is made of one that is fed only when the last has come back.
fn an_item_leaves_before_its_worker_waits(route: Route) {
    let (_world, _worker, mill) = scene(route);
    let (mut feeder, mut items) = mill.start().doubled();
    for number in 1..=500 {
        feeder.push(&number).unwrap();
        assert_eq!(items.next(), Some(Ok(number * 2)));
    }
    feeder.finish();
    assert_eq!(items.next(), None);
}

/// Fewer than there is credit for at once.
const FEW: u32 = 32;

const _: () = assert!((FEW as u64) < STREAM_ITEMS, "nobody gives credit here");

/// What came in how many packets, to the first message of another kind.
fn count_items(raw: &mut Raw) -> (u32, usize) {
    let before = raw.packets;
    let items =
        std::iter::repeat_with(|| raw.recv().0).take_while(|header| header.kind == Kind::Item && is_item(header));
    let items = u32::try_from(items.count()).unwrap();
    (items, raw.packets - before)
}

fn is_item(header: &Header) -> bool {
    !header.streams.contains(Streams::END)
}

#[test]
fn what_is_given_shares_packets() {
    let mut world = World::new(Route::Direct);
    let mut raw = Raw::new(&mut world, "reader");
    world.worker("mill", |worker| {
        let _link = worker.open("reader", &MILL).unwrap();
        worker.serve(MillServer::new(Wheel))
    });
    raw.granted();
    let mut arguments = Message::<()>::new();
    arguments.append(&FEW).unwrap();
    raw.send(Header { streams: Streams::ITEMS, ..call(0, 1) }, arguments.payload());
    let (items, packets) = count_items(&mut raw);
    assert_eq!(items, FEW);
    // The kernel may take the core away between any two of them, and time passes.
    assert!(packets < FEW as usize / 2, "{packets} packets for {items} items");
}

#[test]
fn what_is_fed_shares_packets() {
    let mut world = World::new(Route::Direct);
    let mut raw = Raw::new(&mut world, "mill");
    world.worker("client", |worker| {
        let mill = MillClient::over(Stub::new(worker.open("mill", &MILL).unwrap(), 3));
        let _ = mill.sum(Stream::of(1..=FEW).in_batches());
    });
    raw.granted();
    assert_eq!(raw.recv().0.kind, Kind::Call);
    let (items, packets) = count_items(&mut raw);
    assert_eq!(items, FEW);
    // The kernel may take the core away between any two of them, and time passes.
    assert!(packets < FEW as usize / 2, "{packets} packets for {items} items");
}

/// How long what must not wait would, if it did.
const AMPLE: Duration = Duration::from_secs(3);

fn expect_items(raw: &mut Raw, count: u32) {
    for _ in 0..count {
        let (header, _) = raw.recv();
        assert!(header.kind == Kind::Item && is_item(&header), "{header:?}");
    }
}

/// Both requests are of the chain of the call that is fed, so they are served while that waits for credit.
#[test]
fn an_answer_does_not_wait_for_the_next_request_to_be_served() {
    let mut world = World::new(Route::Direct);
    let mut raw = Raw::new(&mut world, "mill");
    let (say, word) = channel();
    world.worker("client", move |worker| {
        let mill = MillClient::over(Stub::new(worker.open("mill", &MILL).unwrap(), 3));
        worker.provide(move |_: &Worker, request: &mut Request<'_>, _: &mut Message<OwnedFd>| {
            let is_first = request.rpc().0 == 0 || word.recv_timeout(AMPLE).is_ok();
            is_first.then_some(()).ok_or_else(|| Failure::remote(0, "the first answer has not come"))
        });
        let _ = mill.sum(Stream::of(1..).in_batches());
    });
    raw.granted();
    let fed = raw.recv().0;
    expect_items(&mut raw, u32::try_from(STREAM_ITEMS).unwrap());
    let calls =
        [call(0, 1), call(1, 2)].map(|call| Header { destination: raw.link, chain: fed.chain, ..call }.encode());
    raw.send_bytes(&calls.concat());
    let first = raw.recv().0;
    assert_eq!((first.kind, first.call), (Kind::Reply, CallId(1)));
    let _ = say.send(());
    let second = raw.recv().0;
    assert_eq!((second.kind, second.call), (Kind::Reply, CallId(2)));
}
