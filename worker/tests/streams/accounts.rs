//! Credit of items: what is said of it, and who exceeds it.

use std::time::Duration;

use cloison_msg::{CallFailure, CallId, Gone, Header, Kind, Route, RpcIndex, STREAM_ITEMS, Streams, decode_whole};

use super::numbers::{AddOne, AskerServer, by_hand, item};
use crate::world::raw::call;

over_both_routes![
    more_than_the_credit_cuts_the_link,
    a_demand_from_nowhere_cuts_the_link,
    items_of_no_call_harm_nobody,
];

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
