use super::*;
use crate::DescriptorClasses;
use crate::{Message, Streams};

const NONE: DescriptorClasses = DescriptorClasses::empty();
const BOTH: Streams = Streams::FEED.union(Streams::ITEMS);

type End = LinkEnd<char>;

fn pair(route: Route, rights: Rights) -> (End, End) {
    let name = Destination { index: 1, generation: 1 };
    let end = |peer: &str| LinkEnd::new(name, Name::new(peer).unwrap(), route, rights.clone());
    (end("b"), end("a"))
}

/// A call with these streams that has arrived.
fn streaming(a: &mut End, b: &mut End, route: Route, streams: Streams) -> CallId {
    let frame = CallFrame { now: Time(0), deadline: Time(1_000_000), chain: ChainId::new(1, 1), depth: 0 };
    let call = a.call_streaming(RpcIndex(0), Shape::default(), frame, streams, 'x').unwrap();
    assert_eq!(b.handle(route, &call, &[], NONE, Time(0)), Ok(Arrival::Request));
    b.taken(b.via(route), &call);
    call.call
}

const fn bytes(payload: u32) -> Shape {
    Shape { payload, descriptors: 0, links: 0 }
}

/// Sends an item, which is taken off the link at once.
fn pass(from: &mut End, to: &mut End, call: CallId, caller: Caller, shape: Shape) -> Result<Arrival<char>, Breach> {
    let header = from.item(call, caller, shape).expect("the link has room");
    let arrival = to.handle(Route::Relayed, &header, &[], NONE, Time(0));
    to.taken(to.via(Route::Relayed), &header);
    while let Some(receipt) = to.due() {
        let mut payload = Message::<()>::new();
        payload.append(&receipt).unwrap();
        let (credit, _) = to.credit(receipt, payload.shape());
        from.handle(Route::Relayed, &credit, payload.payload(), NONE, Time(0)).unwrap();
    }
    arrival
}

fn demand(to: &mut End, header: Header, drawn: Drawn) -> Result<Arrival<char>, Breach> {
    let mut payload = Message::<()>::new();
    payload.append(&drawn).unwrap();
    to.handle(Route::Relayed, &header, payload.payload(), NONE, Time(0))
}

#[test]
fn a_stream_is_as_long_as_its_reader_goes_on() {
    for caller in [Caller::Own, Caller::Peer] {
        let (mut a, mut b) = pair(Route::Relayed, Rights::default());
        let call = streaming(&mut a, &mut b, Route::Relayed, BOTH);
        // What is its own call for the one is its peer's for the other.
        let other = if caller == Caller::Own { Caller::Peer } else { Caller::Own };
        let (from, to) = if caller == Caller::Own { (&mut a, &mut b) } else { (&mut b, &mut a) };
        for _ in 0..STREAM_ITEMS {
            assert_eq!(from.room(call, caller), Room::Free);
            assert_eq!(pass(from, to, call, caller, bytes(8)), Ok(Arrival::Item));
        }
        assert_eq!(from.room(call, caller), Room::Full, "and the window is not");
        let mut said = 0;
        for _ in 0..10 * STREAM_ITEMS {
            if let Some((header, drawn)) = to.draw(call, other, 8) {
                said += 1;
                assert_eq!(demand(from, header, drawn), Ok(Arrival::Demand));
            }
            while from.room(call, caller) == Room::Free {
                assert_eq!(pass(from, to, call, caller, bytes(8)), Ok(Arrival::Item));
            }
        }
        assert_eq!(said, 20, "at half the credit");
    }
}

#[test]
fn large_items_are_counted_by_their_bytes() {
    let (mut a, mut b) = pair(Route::Relayed, Rights::default());
    let call = streaming(&mut a, &mut b, Route::Relayed, Streams::ITEMS);
    let mut sent = 0;
    while b.room(call, Caller::Peer) == Room::Free {
        assert_eq!(pass(&mut b, &mut a, call, Caller::Peer, bytes(60_000)), Ok(Arrival::Item));
        sent += 1;
    }
    assert_eq!(sent, STREAM_BYTES.div_ceil(60_000));
    assert!(a.draw(call, Caller::Own, 60_000).is_none());
    let (header, drawn) = a.draw(call, Caller::Own, 60_000).expect("more than half");
    assert_eq!(demand(&mut b, header, drawn), Ok(Arrival::Demand));
    assert_eq!(b.room(call, Caller::Peer), Room::Free);
}

#[test]
fn each_ends_once_and_what_comes_behind_is_a_breach() {
    let (mut a, mut b) = pair(Route::Relayed, Rights::default());
    let call = streaming(&mut a, &mut b, Route::Relayed, Streams::FEED);
    let item = a.item(call, Caller::Own, bytes(1)).unwrap();
    assert_eq!(b.handle(Route::Relayed, &item, &[], NONE, Time(0)), Ok(Arrival::Item));
    let end = a.end_feed(call).unwrap().expect("it was not ended");
    assert_eq!(end.streams, Streams::FEED | Streams::END);
    assert_eq!(b.handle(Route::Relayed, &end, &[], NONE, Time(0)), Ok(Arrival::Item));
    assert_eq!(a.end_feed(call), Ok(None), "once");
    assert_eq!(b.handle(Route::Relayed, &item, &[], NONE, Time(0)), Err(Breach::Item));
    assert!(b.draw(call, Caller::Peer, 1).is_none() && b.refuse(call, Caller::Peer).is_none(), "nobody wants to know");
}

#[test]
fn who_has_enough_is_sent_no_more() {
    let (mut a, mut b) = pair(Route::Relayed, Rights::default());
    let call = streaming(&mut a, &mut b, Route::Relayed, BOTH);
    for (caller, other) in [(Caller::Own, Caller::Peer), (Caller::Peer, Caller::Own)] {
        let (from, to) = if caller == Caller::Own { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let (header, drawn) = to.refuse(call, other).expect("it has not ended");
        // What is under way meanwhile is dropped there.
        assert_eq!(pass(from, to, call, caller, bytes(1)), Ok(Arrival::Item));
        assert_eq!(demand(from, header, drawn), Ok(Arrival::Demand));
        assert_eq!(from.room(call, caller), Room::Unwanted);
    }
    assert_eq!(a.end_feed(call), Ok(None));
}

#[test]
fn an_answer_ends_all_and_what_comes_late_is_stray() {
    let (mut a, mut b) = pair(Route::Relayed, Rights::default());
    let call = streaming(&mut a, &mut b, Route::Relayed, BOTH);
    let (fed, given) = (a.item(call, Caller::Own, bytes(1)).unwrap(), b.item(call, Caller::Peer, bytes(1)).unwrap());
    let reply = b.answer(&Header { call, ..Header::default() }, false, Shape::default()).unwrap();
    assert_eq!(b.handle(Route::Relayed, &fed, &[], NONE, Time(0)), Ok(Arrival::Stray));
    assert_eq!(b.room(call, Caller::Peer), Room::Over);
    assert!(matches!(a.handle(Route::Relayed, &reply, &[], NONE, Time(0)), Ok(Arrival::Outcome(_))));
    assert_eq!(a.handle(Route::Relayed, &given, &[], NONE, Time(0)), Ok(Arrival::Stray));
    assert_eq!(a.room(call, Caller::Own), Room::Over);
    let made_up = Header { kind: Kind::Demand, call: CallId(99), streams: Streams::FEED, ..Header::default() };
    assert_eq!(demand(&mut a, made_up, Drawn { items: 1, bytes: 1 }), Ok(Arrival::Demand), "of no call");
}

#[test]
fn lies_about_credit_are_seen() {
    let (mut a, mut b) = pair(Route::Relayed, Rights::default());
    let call = streaming(&mut a, &mut b, Route::Relayed, Streams::ITEMS);
    for _ in 0..3 {
        pass(&mut b, &mut a, call, Caller::Peer, bytes(8)).unwrap();
    }
    let header = Header { kind: Kind::Demand, call, streams: Streams::ITEMS, ..Header::default() };
    let says = |items, bytes| Drawn { items, bytes };
    assert_eq!(demand(&mut b, header, says(2, 16)), Ok(Arrival::Demand));
    for lie in [says(4, 24), says(3, 25), says(1, 16), says(2, 8), says(u64::MAX, u64::MAX)] {
        assert_eq!(demand(&mut b, header, lie), Err(Breach::Demand), "{lie:?}");
    }
    let of_the_other = Header { streams: Streams::FEED, ..header };
    assert_eq!(demand(&mut a, of_the_other, says(0, 0)), Err(Breach::Demand), "it is fed nothing");
    assert_eq!(b.handle(Route::Relayed, &header, &[1], NONE, Time(0)), Err(Breach::Demand));
    let item = b.item(call, Caller::Peer, bytes(8)).unwrap();
    for _ in 3..STREAM_ITEMS {
        assert_eq!(a.handle(Route::Relayed, &item, &[], NONE, Time(0)), Ok(Arrival::Item));
        a.taken(a.via(Route::Relayed), &item);
        while let Some(receipt) = a.due() {
            let _ = a.credit(receipt, Shape::default());
        }
    }
    assert_eq!(a.handle(Route::Relayed, &item, &[], NONE, Time(0)), Err(Breach::Item));
}

#[test]
fn a_link_that_moves_takes_no_stream_with_it() {
    let (mut a, mut b) = pair(Route::Relayed, Rights::default());
    let call = streaming(&mut a, &mut b, Route::Relayed, BOTH);
    let of_b = streaming(&mut b, &mut a, Route::Relayed, BOTH);
    // The end of b has another holder: a's calls up to that one failed, and b's are for nobody.
    let failed = a.handle_move(Name::new("c").unwrap(), call);
    assert_eq!(failed.len(), 1);
    assert_eq!((a.room(call, Caller::Own), a.room(of_b, Caller::Peer)), (Room::Over, Room::Over));
}

#[test]
fn on_a_direct_link_the_receiver_asks_for_the_right() {
    let rights = Rights { flags: crate::RightsFlags::CALL, ..Rights::methods(crate::RpcSet::ALL) };
    let (mut a, mut b) = pair(Route::Direct, rights);
    let frame = CallFrame { now: Time(0), deadline: Time(1_000_000), chain: ChainId::new(1, 1), depth: 0 };
    let call = a.call_streaming(RpcIndex(0), Shape::default(), frame, Streams::FEED, 'x').unwrap();
    let denied = Ok(Arrival::Denied(Denial::Kind));
    assert_eq!(b.handle(Route::Direct, &call, &[], NONE, Time(0)), denied);
    let item = a.item(call.call, Caller::Own, bytes(1)).unwrap();
    assert_eq!(b.handle(Route::Direct, &item, &[], NONE, Time(0)), denied);
}
