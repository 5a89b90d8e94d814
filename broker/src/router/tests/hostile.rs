//! What one worker, or two that collude, try against an honest third.

use cloison_msg::control::{ToBroker, ToWorker};
use cloison_msg::{
    CALLS_IN_FLIGHT, CallId, DescriptorClasses, Destination, Gone, Header, HeaderError, Key, Kind, LinkRef, RpcIndex,
    RpcSet, Time, Transfer,
};

use super::switching::become_direct;
use super::world::{Got, INTERFACE, SHAPE, World};
use super::{call, oneway, pair, reply, rights};
use crate::policy::Model;
use crate::router::{DESCRIPTOR_LINKS_PER_WORKER, LINKS_BY_OTHERS, LINKS_PER_PAIR};

/// A link that has just been told to be relayed again.
fn leaving() -> (World, [Key; 2], [Destination; 2]) {
    let (mut world, ports, names) = pair(rights());
    become_direct(&mut world, ports, names);
    world.router.set_model(Model::Broker, world.now);
    world.settle();
    (world, ports, names)
}

/// A peer that has not left the socket answers by it, where nobody counts.
#[test]
fn a_caller_is_not_evicted_for_answers_that_the_broker_cannot_see() {
    let (mut world, [a, b], [ours, theirs]) = leaving();
    world.word(a, &ToBroker::Left { link: ours, calls: CallId::NONE });
    for id in 1..=u64::from(CALLS_IN_FLIGHT) + 9 {
        assert!(world.send(a, &Header { call: CallId(id), ..call(ours, 0) }, &[], Vec::new()));
    }
    world.word(b, &ToBroker::Left { link: theirs, calls: CallId::NONE });
    assert_eq!(world.violation_of(a), None);
}

/// A peer that calls by the socket although it was told to leave it makes its callee answer what the broker never saw.
#[test]
fn a_callee_is_not_evicted_for_calls_that_the_broker_cannot_see() {
    for caller_leaves in [false, true] {
        let (mut world, [a, b], [ours, theirs]) = leaving();
        world.word(b, &ToBroker::Left { link: theirs, calls: CallId::NONE });
        if caller_leaves {
            world.word(a, &ToBroker::Left { link: ours, calls: CallId(40) });
        }
        for id in 1..=u64::from(CALLS_IN_FLIGHT) {
            assert!(world.send(b, &Header { call: CallId(id), ..reply(theirs) }, &[], Vec::new()));
        }
        assert!(
            !world.send(b, &Header { call: CallId(40), ..reply(theirs) }, &[], Vec::new()),
            "there is an end to it"
        );
        assert_eq!((world.violation_of(a), world.violation_of(b)), (None, None));
        assert!(matches!(world.take(b).last(), Some(Got::Word(ToWorker::Closed { why: Gone::CutOff(_), .. }, _))));
    }
}

fn carrying(destination: Destination) -> Header {
    Header { links: 1, ..oneway(destination, 0) }
}

fn hand(world: &mut World, from: Key, by: Destination, link: Destination, transfer: Transfer) -> Option<Destination> {
    let links = [LinkRef { link, transfer, rights: rights().delegable() }];
    world.send_with(from, &carrying(by), &[], &links, &mut Vec::new()).then(|| world.carried[0])
}

/// Each copy and each move is a word, or a socket, more for the peer, who need not have asked for any of it.
#[test]
fn nobody_floods_a_crowded_peer_by_handing_links_to_it_around() {
    for transfer in [Transfer::Copy, Transfer::Move] {
        let mut world = World::new(Model::Broker, rights().delegable());
        let [a, b, c] = ["a", "b", "c"].map(|role| world.worker(role));
        let ([to_b, _], [to_c, _]) = (world.link(a, b), world.link(a, c));
        world.take(b);
        world.router.handle_crowd(b, true);
        assert_eq!(hand(&mut world, a, to_c, to_b, transfer), None);
        let granted = |got: &Got| !matches!(got, Got::Word(ToWorker::Closed { .. }, _));
        assert!(!world.take(b).iter().any(granted));
        assert_eq!(world.violation_of(a), None);
    }
}

/// Who asks for rest over and over hears of it over and over, and the peer does not.
#[test]
fn only_who_asks_for_rest_is_answered() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    world.word(b, &ToBroker::Rest { link: theirs });
    for _ in 0..100 {
        world.word(a, &ToBroker::Rest { link: ours });
    }
    assert_eq!((world.take(a).len(), world.take(b).len()), (100, 1));
}

/// The peer has not more uses, nor a method once more, for every copy that somebody makes for it.
#[test]
fn a_copy_does_not_renew_what_its_peer_has_used() {
    let counted = rights().delegable().for_uses(3).once(RpcSet::NONE.with(RpcIndex(2)));
    let mut world = World::new(Model::Broker, counted);
    let [a, b, c] = ["a", "b", "c"].map(|role| world.worker(role));
    let ([to_b, b_to_a], [to_c, _]) = (world.link(a, b), world.link(a, c));
    world.take(b);
    hand(&mut world, a, to_c, to_b, Transfer::Copy).expect("handed on");
    let b_to_c = world.take(b).into_iter().find_map(|got| match got {
        Got::Word(ToWorker::Granted { link, .. }, _) => Some(link),
        _ => None,
    });
    let b_to_c = b_to_c.expect("granted");
    let mut delivered = 0;
    for name in [b_to_a, b_to_c] {
        for rpc in [2, 2, 0, 0, 0] {
            delivered += usize::from(world.send(b, &oneway(name, rpc), &[], Vec::new()));
        }
    }
    assert_eq!(delivered, 3);
}

/// An asker that gives its links away has asked for them all the same.
#[test]
fn moves_do_not_lift_the_limits_of_who_asks() {
    let mut world = World::new(Model::Broker, rights().delegable().passing(DescriptorClasses::PIPE));
    let [a, b, c] = ["a", "b", "c"].map(|role| world.worker(role));
    let [to_c, _] = world.link(a, c);
    world.take(a);
    let mut opened = 1;
    for request in 100..132 {
        world.word(a, &ToBroker::Open { request, role: "b".try_into().unwrap(), interface: INTERFACE.name() });
        let link = world.take(a).into_iter().find_map(|got| match got {
            Got::Word(ToWorker::Opened { link: Ok(link), .. }, _) => Some(link),
            _ => None,
        });
        let Some(link) = link else { continue };
        opened += 1;
        hand(&mut world, a, to_c, link, Transfer::Move).expect("handed on");
        world.word(a, &ToBroker::Released { link });
    }
    assert_eq!(opened, DESCRIPTOR_LINKS_PER_WORKER);
    world.death(c);
    world.take(a);
    assert_eq!(world.router.explain(None, None).len(), 0);
    world.link(a, b);
}

/// Asking for rest is a worker's own affair: its busy peer loses the link by it, at most.
#[test]
fn nobody_is_evicted_for_being_busy_when_its_peer_asks_for_rest() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    become_direct(&mut world, [a, b], [ours, theirs]);
    world.word(a, &ToBroker::Rest { link: ours });
    world.word(a, &ToBroker::Left { link: ours, calls: CallId::NONE });
    let due = world.router.next_deadline().expect("it is waited for");
    world.router.handle_time(due);
    world.settle();
    assert_eq!((world.violation_of(a), world.violation_of(b)), (None, None));
    assert!(matches!(world.take(b).last(), Some(Got::Word(ToWorker::Closed { why: Gone::CutOff(_), .. }, _))));
    // Who has asked for it itself has no such excuse.
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    become_direct(&mut world, [a, b], [ours, theirs]);
    world.word(a, &ToBroker::Rest { link: ours });
    world.word(b, &ToBroker::Left { link: theirs, calls: CallId::NONE });
    let due = world.router.next_deadline().expect("it is waited for");
    world.router.handle_time(due);
    world.settle();
    assert!(world.violation_of(a).is_some() && world.violation_of(b).is_none());
}

/// A buffer's return asks for no right, so it must not say anything else.
#[test]
fn returns_are_no_way_round_the_rights() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights().until(Time(5)));
    world.now = Time(9);
    let release = |destination| Header { kind: Kind::Release, ..oneway(destination, 0) };
    assert!(!world.send(a, &release(ours), &[], Vec::new()), "nothing was ever lent here");
    world.word(b, &ToBroker::MakePool { request: 1, link: theirs, shape: SHAPE });
    assert!(world.send(a, &release(ours), &[], Vec::new()), "what was lent goes back, also after the end of the right");
    assert!(!world.send(b, &release(theirs), &[], Vec::new()), "and whoever lent it returns nothing");
    assert_eq!((world.violation_of(a), world.violation_of(b)), (None, None));
    let long = Header { payload: 64, ..release(ours) };
    assert_eq!(Header::decode(&long.encode()), Err(HeaderError::Stowaway(Kind::Release)));
}

/// The host confirms nothing, but has to hear of it: its inbox may hold what came before it gave the link away.
#[test]
fn the_host_hears_that_what_it_gave_away_is_revoked() {
    let mut world = World::new(Model::Broker, rights().delegable());
    let [b, c] = ["b", "c"].map(|role| world.worker(role));
    let host = world.router.host();
    let ([to_b, b_to_host], [to_c, _]) = (world.link(host, b), world.link(host, c));
    let at_c = hand(&mut world, host, to_c, to_b, Transfer::Move).expect("handed on");
    let link = world.router.explain(Some(&"c".try_into().unwrap()), None)[0].id.0;
    world.take(host);
    world.router.revoke(link, 7, world.now);
    world.settle();
    assert_eq!(world.take(host), [Got::Word(ToWorker::Closed { link: to_b, why: Gone::Revoked }, 0)]);
    world.word(b, &ToBroker::Released { link: b_to_host });
    world.word(c, &ToBroker::Released { link: at_c });
    assert_eq!(world.revoked, [7]);
}

/// Each asks for links of its own, and moves to the victim what it has to others.
#[test]
fn however_many_conspire_a_worker_keeps_links_for_itself_and_the_host() {
    let mut world = World::new(Model::Broker, rights().delegable());
    let [victim, friend] = ["victim", "friend"].map(|role| world.worker(role));
    let asks = |world: &mut World, from: Key, role: &str| {
        let before = world.router.explain(None, None).len();
        world.word(from, &ToBroker::Open { request: 1, role: role.try_into().unwrap(), interface: INTERFACE.name() });
        world.router.explain(None, None).len() > before
    };
    for number in 0..12 {
        let colluder = world.worker(&format!("colluder-{number}"));
        let [to_victim, _] = world.link(colluder, victim);
        let [to_friend, _] = world.link(colluder, friend);
        let _ = hand(&mut world, colluder, to_victim, to_friend, Transfer::Move);
        asks(&mut world, colluder, "victim");
        asks(&mut world, colluder, "victim");
    }
    for number in 12..40 {
        let colluder = world.worker(&format!("colluder-{number}"));
        (0..9).for_each(|_| _ = asks(&mut world, colluder, "victim"));
    }
    let held = |world: &World| {
        let views = world.router.explain(None, None);
        views.iter().filter(|view| [&view.from, &view.to].iter().any(|role| role.as_str() == "victim")).count()
    };
    assert_eq!(held(&world), LINKS_BY_OTHERS);
    let late = world.worker("late");
    assert!(!asks(&mut world, late, "victim"));
    let host = world.router.host();
    world.router.handle_open(host, 1, "victim".try_into().unwrap(), INTERFACE.name());
    world.settle();
    assert_eq!(held(&world), LINKS_BY_OTHERS + 1, "the host reaches it");
    for _ in 0..LINKS_PER_PAIR {
        assert!(asks(&mut world, victim, "late"), "it reaches others");
    }
    assert_eq!(world.violation_of(victim), None);
}
