//! Streams that end early: dropped, failed, late, dead or revoked.

use std::time::Duration;

use cloison_msg::{CallFailure, Gone, Header, Kind, Route, Streams};
use cloison_worker::{MethodError, Stream};

use super::numbers::{AddOne, AskerServer, Numbers, by_hand, item, served};

over_both_routes![
    a_stream_that_is_dropped_ends_its_producer,
    a_server_that_has_enough_is_fed_no_more,
    a_feeder_that_fails_is_told_from_one_that_ends,
    a_producer_that_dies_leaves_a_prefix,
    a_consumer_that_dies_ends_its_producer,
    each_wait_has_the_deadline,
    a_revoked_link_delivers_nothing_more,
];

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
