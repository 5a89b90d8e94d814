//! Streams between workers, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::Cell;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use cloison_msg::contract::{Client, Stub};
use cloison_msg::{
    CallFailure, CallId, Failure, Gone, Header, Kind, Message, Route, RpcIndex, STREAM_ITEMS, Streams, decode_whole,
};
use cloison_worker::{Answer, Link, MethodError, PerLink, Stream, Worker, interface};
use serde::{Deserialize, Serialize};
use world::World;
use world::raw::{Raw, call};

over_both_routes![
    items_come_in_order_and_end_once,
    an_error_ends_a_stream_once,
    what_is_fed_arrives,
    both_ways_at_once,
    a_slow_consumer_holds_up_its_producer_and_nobody_else,
    a_stream_that_is_dropped_ends_its_producer,
    a_server_that_has_enough_is_fed_no_more,
    a_feeder_that_fails_is_told_from_one_that_ends,
    a_producer_that_dies_leaves_a_prefix,
    a_consumer_that_dies_ends_its_producer,
    each_wait_has_the_deadline,
    who_waits_for_an_item_serves_the_chain,
    many_streams_take_turns,
    a_server_without_streams_says_so,
    more_than_the_credit_cuts_the_link,
    a_demand_from_nowhere_cuts_the_link,
    items_of_no_call_harm_nobody,
    a_revoked_link_delivers_nothing_more,
];

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct TooMany(u32);

#[interface]
trait Numbers {
    fn up_to(&self, last: u32) -> Stream<u32, TooMany>;
    fn sum(&self, numbers: Stream<u32>) -> Answer<u32, TooMany>;
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32>;
    fn blocks(&self, count: u32, len: u32) -> Stream<Vec<u8>>;
    fn ping(&self) -> Answer<u32>;
    /// Calls back over the link before each number it gives.
    fn asked(&self, numbers: Stream<u32>) -> Answer<u32>;
    #[deadline("30ms")]
    fn never(&self) -> Stream<u32>;
    fn first(&self, numbers: Stream<u32>) -> Answer<Option<u32>>;
}

struct Counter {
    link: Link,
    made: Cell<u32>,
    told: Option<Sender<u32>>,
}

/// Tells when what makes a stream is dropped.
struct Telling(Option<Sender<u32>>, u32);

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(told) = &self.0 {
            let _ = told.send(self.1);
        }
    }
}

impl Numbers for Counter {
    fn up_to(&self, last: u32) -> Stream<u32, TooMany> {
        let mut telling = Telling(self.told.clone(), 0);
        let next = move || {
            let telling = &mut telling;
            telling.1 += 1;
            match telling.1 {
                1001 if last > 1000 => Some(Err(TooMany(1000).into())),
                next if next > last => None,
                next => Some(Ok(next)),
            }
        };
        Stream::new(std::iter::from_fn(next))
    }

    fn sum(&self, numbers: Stream<u32>) -> Answer<u32, TooMany> {
        let mut sum = 0;
        for number in numbers {
            match number {
                Ok(number) => sum += number,
                Err(error) => {
                    self.told.iter().for_each(|told| told.send(sum).unwrap());
                    Err(cloison_msg::CallError::from(error))?;
                }
            }
        }
        if sum > 1_000_000 { Err(TooMany(sum).into()) } else { Ok(sum) }
    }

    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
        Stream::new(numbers.map(|number| Ok(number? * 2)))
    }

    fn blocks(&self, count: u32, len: u32) -> Stream<Vec<u8>> {
        Stream::of((0..count).map(move |at| vec![at.to_le_bytes()[0]; len as usize]))
    }

    fn ping(&self) -> Answer<u32> {
        self.made.set(self.made.get() + 1);
        Ok(self.made.get())
    }

    fn asked(&self, numbers: Stream<u32>) -> Answer<u32> {
        let asker = AskerClient::over(Stub::new(self.link.clone(), 1));
        let mut sum = 0;
        for number in numbers {
            sum += asker.more(number?)?;
        }
        Ok(sum)
    }

    fn never(&self) -> Stream<u32> {
        let begun = std::time::Instant::now();
        Stream::of(std::iter::from_fn(move || {
            std::thread::sleep(Duration::from_millis(200));
            Some(u32::try_from(begun.elapsed().as_millis()).unwrap())
        }))
    }

    fn first(&self, mut numbers: Stream<u32>) -> Answer<Option<u32>> {
        numbers.next().transpose()
    }
}

#[interface]
trait Asker {
    fn more(&self, number: u32) -> Answer<u32>;
}

struct AddOne;

impl Asker for AddOne {
    fn more(&self, number: u32) -> Answer<u32> {
        Ok(number + 1)
    }
}

/// A world in which `server` serves numbers, and a client of it here. What it tells comes out.
fn served(route: Route) -> (World, Worker, NumbersClient<Link>, Receiver<u32>) {
    let mut world = World::new(route);
    let (told, hear) = mpsc::channel();
    world.worker("server", move |worker| {
        worker.serve(PerLink::new(move |link: &Link| {
            NumbersServer::new(Counter { link: link.clone(), made: Cell::new(0), told: Some(told.clone()) })
        }))
    });
    let worker = world.here("client");
    let client = NumbersClient::bind(&worker, "server").unwrap();
    (world, worker, client, hear)
}

/// A world in which `server` is a hand, and a client of it here.
fn by_hand(route: Route) -> (World, Raw, Worker, NumbersClient<Link>) {
    let mut world = World::new(route);
    let mut raw = Raw::new(&mut world, "server");
    let worker = world.here("client");
    let link = worker.open("server", &NUMBERS).unwrap();
    raw.granted();
    let client = NumbersClient::over(Stub::new(link, 8));
    (world, raw, worker, client)
}

fn item(call: &Header) -> Header {
    Header { kind: Kind::Item, remaining: 0, streams: Streams::ITEMS, ..*call }
}

fn items_come_in_order_and_end_once(route: Route) {
    let (_world, _, client, _) = served(route);
    let numbers: Vec<u32> = client.up_to(1000).map(Result::unwrap).collect();
    assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
    let mut none = client.up_to(0);
    assert!(none.next().is_none() && none.next().is_none());
    let blocks: Vec<Vec<u8>> = client.blocks(50, 60_000).map(Result::unwrap).collect();
    assert!(blocks.iter().zip(0u8..).all(|(block, at)| block.len() == 60_000 && block[59_999] == at));
    assert_eq!(blocks.len(), 50);
    let begun: Vec<u32> = client.start().up_to(100).map(Result::unwrap).collect();
    assert_eq!(begun.len(), 100);
}

fn an_error_ends_a_stream_once(route: Route) {
    let (_world, _, client, _) = served(route);
    let mut numbers = client.up_to(2000);
    assert_eq!(numbers.by_ref().take_while(Result::is_ok).count(), 1000);
    assert!(numbers.next().is_none());
    assert_eq!(client.up_to(1001).last(), Some(Err(MethodError::Own(TooMany(1000)))));
}

fn what_is_fed_arrives(route: Route) {
    let (_world, _, client, _) = served(route);
    assert_eq!(client.sum(Stream::of(1..=1000)), Ok(500_500));
    assert_eq!(client.sum(Stream::of([])), Ok(0));
    assert_eq!(client.sum(Stream::of(1..=2000)), Err(MethodError::Own(TooMany(2_001_000))));
    assert_eq!(client.ping(), Ok(1));
}

fn both_ways_at_once(route: Route) {
    let (mut world, worker, client, _hear) = served(route);
    let doubled: Vec<u32> = client.doubled(Stream::of(0..1000)).map(Result::unwrap).collect();
    assert_eq!(doubled, (0..1000).map(|number| number * 2).collect::<Vec<_>>());
    // From one to the next: each pulls the one before. Who adds up serves nobody else meanwhile.
    world.worker("adder", |worker| {
        worker.serve(PerLink::new(|link: &Link| {
            NumbersServer::new(Counter { link: link.clone(), made: Cell::new(0), told: None })
        }))
    });
    let adder = NumbersClient::bind(&worker, "adder").unwrap();
    let numbers = client.up_to(500).map(|number| number.map_err(|_| unreachable!()));
    assert_eq!(adder.sum(client.doubled(Stream::new(numbers))), Ok(250_500));
}

fn a_slow_consumer_holds_up_its_producer_and_nobody_else(route: Route) {
    let (_world, _, client, hear) = served(route);
    let mut slow = client.up_to(1000);
    let mut blocks = client.blocks(1000, 60_000);
    assert!(matches!((slow.next(), blocks.next()), (Some(Ok(1)), Some(Ok(_)))));
    for round in 1..=200 {
        assert_eq!(client.ping(), Ok(round));
    }
    assert_eq!(client.up_to(300).count(), 300);
    assert_eq!(hear.recv().unwrap(), 301);
    drop(slow);
    let made = hear.recv().unwrap();
    assert!(u64::from(made) <= STREAM_ITEMS + 1, "{made} were made for one that was taken");
    assert_eq!(blocks.count(), 999);
}

fn a_stream_that_is_dropped_ends_its_producer(route: Route) {
    let (_world, _, client, hear) = served(route);
    // More than may be under way: each gives its place back.
    for taken in 0..100 {
        let mut numbers = client.up_to(1000);
        for number in 1..=taken % 3 {
            assert_eq!(numbers.next(), Some(Ok(number)));
        }
        drop(numbers);
        assert!(hear.recv().unwrap() <= 1000);
    }
    assert_eq!(client.ping(), Ok(1));
}

fn a_server_that_has_enough_is_fed_no_more(route: Route) {
    let (_world, _, client, _) = served(route);
    assert_eq!(client.first(Stream::of(7..)), Ok(Some(7)));
    assert_eq!(client.first(Stream::of([])), Ok(None));
    assert_eq!(client.ping(), Ok(1));
}

fn a_feeder_that_fails_is_told_from_one_that_ends(route: Route) {
    let (_world, _, client, hear) = served(route);
    let why = client.start().never().next().unwrap().unwrap_err().call().unwrap().clone();
    let broken = (1..=3).map(Ok).chain([Err(why.clone().into())]);
    assert_eq!(client.sum(Stream::new(broken)), Err(MethodError::Call(why)));
    assert_eq!(hear.recv().unwrap(), 6, "what came before was taken");
    assert_eq!(client.ping(), Ok(1));
}

fn a_producer_that_dies_leaves_a_prefix(route: Route) {
    let (world, mut raw, _, client) = by_hand(route);
    let mut numbers = client.up_to(9);
    let ping = client.start().ping();
    let prefix = numbers.by_ref();
    let (asked, pinged) = (raw.recv().0, raw.recv().0);
    assert_eq!((asked.kind, asked.streams), (Kind::Call, Streams::ITEMS));
    for number in 1..=3u8 {
        raw.send(item(&asked), &[number]);
    }
    raw.reply(&pinged, &[1]);
    assert_eq!((prefix.next(), ping.wait()), (Some(Ok(1)), Ok(1)), "all of them have arrived");
    world.bury("server", &Gone::Crashed("signal 11".into()));
    assert_eq!((prefix.next(), prefix.next()), (Some(Ok(2)), Some(Ok(3))));
    let error = prefix.next().unwrap().unwrap_err();
    assert_eq!(error.call().unwrap().why, CallFailure::PeerRestarted(Gone::Crashed("signal 11".into())));
    assert!(numbers.next().is_none());
}

fn a_consumer_that_dies_ends_its_producer(route: Route) {
    let (world, _worker, client, hear) = served(route);
    let mut numbers = client.up_to(1000);
    assert_eq!(numbers.next(), Some(Ok(1)));
    world.bury("client", &Gone::Closed);
    assert!(hear.recv().unwrap() <= 1000);
}

fn each_wait_has_the_deadline(route: Route) {
    let (_world, mut raw, _, client) = by_hand(route);
    let client = client.within(Duration::from_millis(150));
    let mut numbers = client.up_to(9);
    let asked = raw.recv().0;
    for number in 1..=4u8 {
        std::thread::sleep(Duration::from_millis(60));
        raw.send(item(&asked), &[number]);
        assert_eq!(numbers.next(), Some(Ok(number.into())));
    }
    let late = numbers.next().unwrap().unwrap_err();
    assert_eq!(late.call().unwrap().why, CallFailure::Deadline);
    assert!(numbers.next().is_none());
    let (told, _) = raw.recv();
    assert_eq!((told.kind, told.call), (Kind::Cancel, asked.call));
    // What comes all the same is for nobody.
    raw.send(item(&asked), &[5]);
    raw.reply(&Header { streams: Streams::empty(), ..asked }, &[0]);
    let pending = client.start().ping();
    let ping = raw.recv().0;
    raw.reply(&ping, &[1]);
    assert_eq!(pending.wait(), Ok(1));
}

fn who_waits_for_an_item_serves_the_chain(route: Route) {
    let (_world, worker, client, _) = served(route);
    worker.provide(AskerServer::new(AddOne));
    assert_eq!(client.asked(Stream::of(1..=100)), Ok(5150));
}

fn many_streams_take_turns(route: Route) {
    let (_world, _, client, _) = served(route);
    let mut streams: Vec<_> = (0..20).map(|_| client.start().up_to(200)).collect();
    for number in 1..=200 {
        assert!(streams.iter_mut().all(|stream| stream.next() == Some(Ok(number))));
    }
    assert!(streams.iter_mut().all(|stream| stream.next().is_none()));
}

/// One that answers at once, or by an error, has answered.
fn a_server_without_streams_says_so(route: Route) {
    let mut world = World::new(route);
    world.worker("server", |worker| {
        worker.serve(
            |_: &Worker, request: &mut cloison_worker::Request<'_>, _: &mut Message<_>| {
                if request.rpc() == NUMBERS.method("up_to") { Err(Failure::NoSuchMethod) } else { Ok(()) }
            },
        )
    });
    let worker = world.here("client");
    let link = worker.open("server", &NUMBERS).unwrap();
    let client = NumbersClient::over(Stub::new(link, 8));
    let error = client.up_to(3).next().unwrap().unwrap_err();
    assert_eq!(error.call().unwrap().why, CallFailure::Failed(Failure::NoSuchMethod));
    assert!(client.doubled(Stream::of(0..)).next().is_none(), "it has answered");
}

fn more_than_the_credit_cuts_the_link(route: Route) {
    let (_world, mut raw, worker, client) = by_hand(route);
    let numbers = client.start().up_to(9);
    let asked = raw.recv().0;
    for sent in 0..=STREAM_ITEMS {
        raw.send(item(&asked), &[1]);
        if sent % 16 == 0 {
            let _ = worker.serve_once(Duration::ZERO);
            worker.provide(AskerServer::new(AddOne));
            let _ = worker.serve_once(Duration::from_millis(5));
        }
    }
    while client.link().gone().is_none() {
        worker.serve_once(Duration::from_millis(5)).unwrap();
    }
    let cut = numbers.last().unwrap().unwrap_err();
    assert!(matches!(cut.call().unwrap().why, CallFailure::Gone(Gone::CutOff(_))), "{cut:?}");
}

fn a_demand_from_nowhere_cuts_the_link(route: Route) {
    let (_world, mut raw, worker, client) = by_hand(route);
    let call = client.start().up_to(9);
    let asked = raw.recv().0;
    // It was fed nothing.
    raw.send(Header { kind: Kind::Demand, remaining: 0, streams: Streams::FEED, ..asked }, &[1, 1]);
    worker.provide(AskerServer::new(AddOne));
    while client.link().gone().is_none() {
        worker.serve_once(Duration::from_millis(5)).unwrap();
    }
    assert!(call.last().unwrap().is_err());
}

fn items_of_no_call_harm_nobody(route: Route) {
    let (_world, mut raw, _, client) = by_hand(route);
    for streams in [Streams::ITEMS, Streams::FEED] {
        raw.send(Header { kind: Kind::Item, streams, ..call(0, 77) }.no_time(), &[1]);
        raw.send(Header { kind: Kind::Demand, streams, ..call(0, 77) }.no_time(), &[1, 1]);
    }
    let pending = client.start().ping();
    let ping = raw.recv().0;
    raw.reply(&ping, &[3]);
    assert_eq!(pending.wait(), Ok(3));
}

trait NoTime {
    fn no_time(self) -> Self;
}

impl NoTime for Header {
    fn no_time(self) -> Self {
        Self { remaining: 0, ..self }
    }
}

fn a_revoked_link_delivers_nothing_more(route: Route) {
    let (world, mut raw, worker, client) = by_hand(route);
    let mut numbers = client.start().up_to(9);
    let asked = raw.recv().0;
    raw.send(item(&asked), &[1]);
    raw.send(item(&asked), &[2]);
    assert_eq!(numbers.next(), Some(Ok(1)));
    world.revoke_all();
    worker.provide(AskerServer::new(AddOne));
    while client.link().gone().is_none() {
        worker.serve_once(Duration::from_millis(5)).unwrap();
    }
    let error = numbers.next().unwrap().unwrap_err();
    assert_eq!(error.call().unwrap().why, CallFailure::Gone(Gone::Revoked));
}

/// The bytes of a demand: totals of items and bytes taken.
#[test]
fn a_demand_is_said_at_half_the_credit() {
    let (_world, mut raw, _, client) = by_hand(Route::Direct);
    let mut numbers = client.start().up_to(9);
    let asked = raw.recv().0;
    for _ in 0..STREAM_ITEMS / 2 {
        raw.send(item(&asked), &[1]);
        assert_eq!(numbers.next(), Some(Ok(1)));
    }
    let (demand, payload) = raw.recv();
    assert_eq!((demand.kind, demand.call), (Kind::Demand, CallId(1)));
    assert_eq!(decode_whole::<(u64, u64)>(&payload), Ok((STREAM_ITEMS / 2, STREAM_ITEMS / 2)));
    assert_eq!(demand.rpc, RpcIndex(0));
}

/// The route changes while a stream is under way, and back.
#[test]
fn a_stream_goes_on_while_its_route_changes() {
    let (world, _, client, _) = served(Route::Relayed);
    let doubled = client.doubled(Stream::of(0..900));
    for (at, number) in doubled.enumerate() {
        assert_eq!(number, Ok(u32::try_from(at).unwrap() * 2));
        if at % 100 == 99 {
            let route = if at % 200 == 99 { Route::Direct } else { Route::Relayed };
            world.reroute("client", "server", route);
            client.ping().unwrap();
            while client.ping().is_ok() && !world.is_settled("client", "server") {}
        }
    }
}
