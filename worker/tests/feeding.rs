//! Calls that a worker feeds item by item, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use cloison_msg::contract::{Client, FeedError, Here, Stub};
use cloison_msg::{CallFailure, Kind, Route, STREAM_ITEMS, Streams};
use cloison_worker::{Answer, Link, Stream, Worker, interface};
use world::World;
use world::raw::Raw;

over_both_routes![
    items_are_pushed_as_they_come,
    both_ways_item_by_item,
    a_feeder_that_is_dropped_gives_the_call_up,
    a_server_that_has_enough_is_fed_no_more,
    a_feeder_waits_no_longer_than_its_call,
];

#[interface]
trait Mill {
    fn sum(&self, numbers: Stream<u32>) -> Answer<u32>;
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32>;
    fn first(&self, numbers: Stream<u32>) -> Answer<Option<u32>>;
}

/// Tells how what it was fed ended.
struct Wheel(Sender<Option<CallFailure>>);

impl Mill for Wheel {
    fn sum(&self, mut numbers: Stream<u32>) -> Answer<u32> {
        let sum = numbers.try_fold(0, |sum, number| Ok(sum + number?));
        self.0
            .send(sum.as_ref().err().map(|error: &cloison_msg::MethodError<_>| error.call().unwrap().why.clone()))
            .unwrap();
        sum
    }

    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
        Stream::new(numbers.map(|number| Ok(number? * 2)))
    }

    fn first(&self, mut numbers: Stream<u32>) -> Answer<Option<u32>> {
        numbers.next().transpose()
    }
}

fn scene(route: Route) -> (World, Worker, MillClient<Link>, Receiver<Option<CallFailure>>) {
    let mut world = World::new(route);
    let (told, hear) = mpsc::channel();
    world.worker("mill", move |worker| worker.serve(MillServer::new(Wheel(told))));
    let worker = world.here("client");
    let mill = MillClient::bind(&worker, "mill").unwrap();
    (world, worker, mill, hear)
}

fn items_are_pushed_as_they_come(route: Route) {
    let (_world, _, mill, _hear) = scene(route);
    for last in [0, 1, 1000] {
        let (mut feeder, call) = mill.start().sum();
        (1..=last).try_for_each(|number| feeder.push(&number)).unwrap();
        feeder.finish();
        assert_eq!(call.wait(), Ok((1..=last).sum()));
    }
}

fn both_ways_item_by_item(route: Route) {
    let (_world, _, mill, _) = scene(route);
    let (mut feeder, mut items) = mill.start().doubled();
    for number in 1..=500 {
        feeder.push(&number).unwrap();
        assert_eq!(items.next(), Some(Ok(number * 2)));
    }
    feeder.finish();
    assert_eq!(items.next(), None);
}

fn a_feeder_that_is_dropped_gives_the_call_up(route: Route) {
    let (_world, _, mill, hear) = scene(route);
    for _ in 0..50 {
        let (mut feeder, call) = mill.start().sum();
        (1..=100).try_for_each(|number| feeder.push(&number)).unwrap();
        drop(feeder);
        assert_eq!(call.wait().unwrap_err().call().unwrap().why, CallFailure::Cancelled);
        assert_eq!(hear.recv().unwrap(), Some(CallFailure::Cancelled));
        // Nor does a feeder hold a call that nobody waits for.
        let (mut feeder, call) = mill.start().sum();
        drop(call);
        assert_eq!(feeder.push(&1), Err(FeedError::Unwanted));
        feeder.finish();
    }
}

fn a_server_that_has_enough_is_fed_no_more(route: Route) {
    let (_world, _, mill, _) = scene(route);
    let (mut feeder, call) = mill.start().first();
    let unwanted = (1..).find_map(|number| feeder.push(&number).err());
    assert_eq!(unwanted, Some(FeedError::Unwanted));
    assert_eq!(call.wait(), Ok(Some(1)));
}

fn a_feeder_waits_no_longer_than_its_call(route: Route) {
    let mut world = World::new(route);
    let mut raw = Raw::new(&mut world, "mill");
    let worker = world.here("client");
    let link = worker.open("mill", &MILL).unwrap();
    raw.granted();
    let mill = MillClient::over(Stub::new(link, 3)).within(Duration::from_millis(30));
    let (mut feeder, call) = mill.start().sum();
    let fed = (1..1000).find(|number| feeder.push(number).is_err());
    assert_eq!(fed.map(u64::from), Some(STREAM_ITEMS + 1));
    drop(feeder);
    assert_eq!(call.wait().unwrap_err().call().unwrap().why, CallFailure::Deadline);
    let kinds: Vec<Kind> = (0..=STREAM_ITEMS + 1)
        .map(|_| raw.recv().0)
        .map(|header| {
            assert!(header.kind != Kind::Item || header.streams == Streams::FEED);
            header.kind
        })
        .collect();
    assert_eq!((kinds[0], *kinds.last().unwrap()), (Kind::Call, Kind::Cancel));
}

#[test]
fn in_the_callers_own_process_what_is_fed_is_kept_until_it_is_waited_for() {
    let here = Here::<cloison_ipc::Passed>::new();
    let (told, hear) = mpsc::channel();
    let mill = MillClient::offer(&here, Wheel(told)).unwrap();
    let (mut feeder, call) = mill.start().sum();
    (1..=100).try_for_each(|number| feeder.push(&number)).unwrap();
    feeder.finish();
    assert_eq!((call.wait(), hear.recv().unwrap()), (Ok(5050), None));
    let (mut feeder, call) = mill.start().sum();
    feeder.push(&1).unwrap();
    drop(feeder);
    assert_eq!(call.wait().unwrap_err().call().unwrap().why, CallFailure::Cancelled);
}
