//! Streams that come to their end, and who goes on meanwhile.

use std::cell::Cell;

use cloison_msg::contract::{Client, Stub};
use cloison_msg::{CallFailure, Failure, Message, Route, STREAM_ITEMS};
use cloison_worker::{Link, MethodError, PerLink, Stream, Worker};

use super::numbers::{AddOne, AskerServer, Counter, NUMBERS, Numbers, NumbersClient, NumbersServer, TooMany, served};
use crate::world::World;

over_both_routes![
    items_come_in_order_and_end_once,
    an_error_ends_a_stream_once,
    what_is_fed_arrives,
    both_ways_at_once,
    a_slow_consumer_holds_up_its_producer_and_nobody_else,
    who_waits_for_an_item_serves_the_chain,
    many_streams_take_turns,
    a_server_without_streams_says_so,
];

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
