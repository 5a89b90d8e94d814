//! Streams, as the router sees them: items and demands, in the window and by right.

use cloison_msg::{RightsFlags, Streams};

use super::*;

fn streaming(destination: Destination, streams: Streams) -> Header {
    Header { streams, ..call(destination, 1) }
}

fn item(destination: Destination, streams: Streams) -> Header {
    Header { kind: Kind::Item, remaining: 0, ..streaming(destination, streams) }
}

fn demand(destination: Destination, streams: Streams) -> Header {
    Header { kind: Kind::Demand, ..item(destination, streams) }
}

#[test]
fn items_pass_under_the_receivers_own_name_and_take_their_place_in_the_window() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    assert!(world.send(a, &streaming(ours, Streams::FEED | Streams::ITEMS), &[], Vec::new()));
    assert!(world.send(a, &item(ours, Streams::FEED), &[], Vec::new()));
    let expected = Got::Message(Header { destination: theirs, ..item(ours, Streams::FEED) }, 0);
    assert_eq!(world.take(b).last(), Some(&expected));
    for _ in 0..WINDOW_MESSAGES {
        assert!(world.send(b, &item(theirs, Streams::ITEMS), &[], Vec::new()));
    }
    assert_eq!(world.violation_of(b), None);
    world.send(b, &item(theirs, Streams::ITEMS), &[], Vec::new());
    assert_eq!(world.violation_of(b), Some(&Violation::Overdraft(Overdraft::Messages)));
}

#[test]
fn a_stream_is_a_right_of_its_own() {
    let without = Rights { flags: RightsFlags::CALL | RightsFlags::ONEWAY, ..rights() };
    let (mut world, [a, b], [ours, _]) = pair(without);
    assert!(!world.send(a, &streaming(ours, Streams::ITEMS), &[], Vec::new()));
    assert!(!world.send(a, &item(ours, Streams::FEED), &[], Vec::new()));
    let denied = Body::Failure(Failure::Denied(Denial::Kind));
    let got = world.take(a);
    let answers: Vec<_> = got.iter().filter(|got| matches!(got, Got::Body(_, body) if *body == denied)).collect();
    assert_eq!(answers.len(), 1, "the call is answered, the item dropped: {got:?}");
    assert!(matches!(answers[0], Got::Body(header, _) if header.streams.is_empty() && header.kind == Kind::Error));
    assert_eq!((world.take(b), world.violation_of(a)), (vec![], None));
    let of_another = Header { rpc: RpcIndex(40), ..item(ours, Streams::FEED) };
    assert!(!world.send(a, &of_another, &[], Vec::new()));
}

#[test]
fn what_is_counted_is_the_call_and_not_its_items() {
    let (mut world, [a, _], [ours, _]) = pair(rights().for_uses(1));
    assert!(world.send(a, &streaming(ours, Streams::FEED), &[], Vec::new()));
    for _ in 0..3 {
        assert!(world.send(a, &item(ours, Streams::FEED), &[], Vec::new()));
    }
    assert!(!world.send(a, &Header { call: CallId(2), ..streaming(ours, Streams::FEED) }, &[], Vec::new()));
}

#[test]
fn nobody_demands_more_often_than_there_were_items() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    assert!(world.send(a, &streaming(ours, Streams::ITEMS), &[], Vec::new()));
    assert!(world.send(b, &item(theirs, Streams::ITEMS), &[], Vec::new()));
    // One for the item, one to refuse the rest.
    assert!(world.send(a, &demand(ours, Streams::ITEMS), &[1, 0], Vec::new()));
    assert!(world.send(a, &demand(ours, Streams::ITEMS | Streams::END), &[1, 0], Vec::new()));
    assert_eq!(world.violation_of(a), None);
    world.send(a, &demand(ours, Streams::ITEMS), &[1, 0], Vec::new());
    assert_eq!(world.violation_of(a), Some(&Violation::Overdraft(Overdraft::Credit)));
}
