//! Links that a worker makes to itself, to give one end away.

use cloison_msg::control::{OfferedEnds, ToBroker, ToWorker};
use cloison_msg::{Denial, Destination, Failure, Gone, Header, Key, LinkRef, Rights, RpcSet, Transfer};

use super::world::{Got, INTERFACE, World};
use super::{call, oneway, rights};
use crate::policy::{Ask, Grant, Model};
use crate::router::{Body, LINKS_PER_WORKER, OFFERS_PER_PAIR, Violation};

fn offer(world: &mut World, from: Key) -> Option<OfferedEnds> {
    world.word(from, &ToBroker::Offer { request: 9, interface: INTERFACE.name() });
    let answer = world.take(from).into_iter().rev().find_map(|got| match got {
        Got::Word(ToWorker::Offered { ends, .. }, _) => Some(ends),
        _ => None,
    });
    answer.unwrap().ok()
}

fn carrying(destination: Destination) -> Header {
    Header { links: 1, ..oneway(destination, 0) }
}

/// Gives the end away: what the receiver calls it.
fn give(world: &mut World, from: Key, by: Destination, link: Destination, transfer: Transfer) -> Option<Destination> {
    let links = [LinkRef { link, transfer, rights: Rights::methods(RpcSet::first(2)).delegable() }];
    let has_passed = world.send_with(from, &carrying(by), &[], &links, &mut Vec::new());
    has_passed.then(|| world.carried[0])
}

#[test]
fn nothing_can_be_said_before_it_is_given_and_then_what_the_policy_grants() {
    let mut world = World::new(Model::Broker, rights());
    let [a, b] = ["a", "b"].map(|role| world.worker(role));
    let [to_b, _] = world.link(a, b);
    let OfferedEnds { own, given } = offer(&mut world, a).unwrap();
    for end in [own, given] {
        assert!(!world.send(a, &oneway(end, 0), &[], Vec::new()), "from {end}");
    }
    world.take(b);
    let at_b = give(&mut world, a, to_b, given, Transfer::Move).unwrap();
    let granted = world.take(b).into_iter().find_map(|got| match got {
        Got::Word(ToWorker::Granted { peer, rights, balance, .. }, _) => Some((peer, rights, balance.moves)),
        _ => None,
    });
    let (peer, its, moves) = granted.unwrap();
    assert_eq!((peer.as_str(), its, moves), ("a", Rights::methods(RpcSet::first(2)), 1));
    assert!(world.send(b, &Header { call: cloison_msg::CallId(1 << 48 | 1), ..call(at_b, 1) }, &[], Vec::new()));
    let got = world.take(a);
    assert!(
        got.iter()
            .any(|got| matches!(got, Got::Word(ToWorker::Closed { link, why: Gone::Moved }, _) if *link == given))
    );
    assert!(got.iter().any(|got| matches!(got, Got::Word(ToWorker::Moved { link, .. }, _) if *link == own)));
    assert!(got.iter().any(|got| matches!(got, Got::Message(header, _) if header.destination == own)));
    assert!(world.send(a, &oneway(own, 0), &[], Vec::new()), "what the policy grants back");
    assert!(world.evicted.is_empty());
}

/// A worker cannot give anybody more of itself than the policy lets that one have.
#[test]
fn what_the_policy_would_not_grant_is_not_given() {
    let policy = |ask: &Ask<'_>| {
        (ask.from.as_str() != "b").then(|| Grant { rights: rights().delegable(), back: rights().delegable() })
    };
    let mut world = World::new(Model::Broker, rights());
    let [a, b] = ["a", "b"].map(|role| world.worker(role));
    let [to_b, _] = world.link(a, b);
    assert!(world.router.set_policy(std::sync::Arc::new(policy), world.now).is_empty());
    let OfferedEnds { given, .. } = offer(&mut world, a).unwrap();
    assert_eq!(give(&mut world, a, to_b, given, Transfer::Move), None);
    let other = offer(&mut world, a).unwrap();
    world.take(a);
    assert_eq!(give(&mut world, a, to_b, other.own, Transfer::Move), None, "nor its other end");
    let OfferedEnds { own, given } = offer(&mut world, a).unwrap();
    assert_eq!(give(&mut world, a, to_b, given, Transfer::Move), None);
    let events = format!("{:?}", world.events);
    assert!(events.contains(&format!("{:?}", Denial::Delegation)), "{events}");
    let closed =
        world.take(a).into_iter().any(|got| matches!(got, Got::Word(ToWorker::Closed { link, .. }, _) if link == own));
    assert!(closed, "what could not be given is gone, at both ends");
    assert_eq!(world.router.explain(None, None).len(), 1);
}

/// Its maker hears why, and may still give it away.
#[test]
fn what_was_just_offered_is_not_copied() {
    let mut world = World::new(Model::Broker, rights());
    let [a, b] = ["a", "b"].map(|role| world.worker(role));
    let [to_b, _] = world.link(a, b);
    let OfferedEnds { given, .. } = offer(&mut world, a).unwrap();
    world.take(a);
    let header = Header { links: 1, ..call(to_b, 0) };
    let copy = [LinkRef { link: given, transfer: Transfer::Copy, rights: rights() }];
    assert!(!world.send_with(a, &header, &[], &copy, &mut Vec::new()));
    let denied = Body::Failure(Failure::Denied(Denial::Offered));
    assert!(world.take(a).iter().any(|got| matches!(got, Got::Body(_, body) if *body == denied)));
    assert!(give(&mut world, a, to_b, given, Transfer::Move).is_some());
}

#[test]
fn another_policy_leaves_what_was_not_given_yet() {
    let mut world = World::new(Model::Broker, rights());
    let [a, b] = ["a", "b"].map(|role| world.worker(role));
    let ends = [offer(&mut world, a).unwrap(), offer(&mut world, a).unwrap()];
    let [to_b, _] = world.link(a, b);
    let at_b = give(&mut world, a, to_b, ends[0].given, Transfer::Move).unwrap();
    let only_from_a =
        |ask: &Ask<'_>| (ask.from.as_str() == "a").then(|| Grant { rights: rights(), ..Grant::default() });
    let refused = world.router.set_policy(std::sync::Arc::new(only_from_a), world.now);
    assert_eq!(refused.len(), 1, "what b was given, which it would not be granted now");
    assert_eq!(give(&mut world, a, to_b, ends[1].given, Transfer::Move), None);
    let _ = at_b;
}

#[test]
fn so_many_are_given_to_one_peer_and_made_by_one_worker() {
    let mut world = World::new(Model::Broker, rights().delegable());
    let [a, b, c] = ["a", "b", "c"].map(|role| world.worker(role));
    let ([to_b, _], [to_c, _]) = (world.link(a, b), world.link(a, c));
    let mut given = Vec::new();
    for _ in 0..OFFERS_PER_PAIR {
        let ends = offer(&mut world, a).unwrap();
        given.push(give(&mut world, a, to_b, ends.given, Transfer::Move).unwrap());
    }
    let ends = offer(&mut world, a).unwrap();
    assert_eq!(give(&mut world, a, to_b, ends.given, Transfer::Move), None);
    let ends = offer(&mut world, a).unwrap();
    assert!(give(&mut world, a, to_c, ends.given, Transfer::Move).is_some(), "another peer may have one");
    world.word(b, &ToBroker::Close { link: given[0] });
    let ends = offer(&mut world, a).unwrap();
    assert!(give(&mut world, a, to_b, ends.given, Transfer::Move).is_some(), "there is room again");
    let made = std::iter::from_fn(|| offer(&mut world, a)).count();
    assert!(made > 0 && made < LINKS_PER_WORKER / 2);
    assert!(world.evicted.is_empty());
}

/// A copy says of which of its own links its server is to take it for one more.
#[test]
fn a_copy_names_its_original_to_whoever_is_at_the_same_end() {
    let mut world = World::new(Model::Broker, rights().delegable());
    let [a, b, c] = ["a", "b", "c"].map(|role| world.worker(role));
    let ([to_b, _], [b_to_c, _]) = (world.link(a, b), world.link(b, c));
    let OfferedEnds { own, given } = offer(&mut world, a).unwrap();
    let at_b = give(&mut world, a, to_b, given, Transfer::Move).unwrap();
    for port in [a, b, c] {
        world.take(port);
    }
    give(&mut world, b, b_to_c, at_b, Transfer::Copy).unwrap();
    let original = |got: Vec<Got>| {
        got.into_iter().find_map(|got| match got {
            Got::Word(ToWorker::Granted { copy_of, .. }, _) => Some(copy_of),
            _ => None,
        })
    };
    assert_eq!(original(world.take(a)), Some(Some(own)));
    assert_eq!(original(world.take(c)), Some(None), "its receiver never had it");
}

#[test]
fn a_liar_about_its_own_ends_harms_itself() {
    let mut world = World::new(Model::Orchestrator, rights());
    let [a, b] = ["a", "b"].map(|role| world.worker(role));
    let [b_to_a, _] = world.link(b, a);
    let OfferedEnds { own, given } = offer(&mut world, a).unwrap();
    // Calls of itself, which are denied; what is denied is answered, to itself.
    for at in 1..100 {
        assert!(!world.send(a, &Header { call: cloison_msg::CallId(at), ..call(given, 0) }, &[], Vec::new()));
    }
    let denied = |got: &Got| matches!(got, Got::Body(_, Body::Failure(Failure::Denied(_))));
    assert_eq!(world.take(a).iter().filter(|got| denied(got)).count(), 99);
    world.word(a, &ToBroker::Settled { link: own });
    assert!(matches!(world.violation_of(a), Some(Violation::Switch)));
    assert!(world.violation_of(b).is_none());
    let _ = b_to_a;
    world.death(a);
    assert!(world.router.explain(None, None).is_empty());
}
