//! The router in a world of its own.

mod handing;
mod hostile;
mod offering;
mod random;
mod streams;
mod switching;
mod world;

use cloison_msg::control::{ToBroker, ToWorker};
use cloison_msg::{
    CallId, Credit, Denial, DescriptorClasses, Destination, Failure, Gone, Header, Key, Kind, Overdraft, Receipt,
    Refusal, Rights, Route, RpcIndex, RpcSet, WINDOW_MESSAGES,
};

use super::{Body, LINKS_PER_PAIR, LINKS_PER_WORKER, OPENS_WAITING, POOL_BYTES_EVER, POOLS_PER_LINK, Violation};
use crate::policy::Model;
use world::{Got, INTERFACE, Mark, SHAPE, World};

fn rights() -> Rights {
    Rights::methods(INTERFACE.all()).lending()
}

fn oneway(destination: Destination, rpc: u16) -> Header {
    Header { destination, rpc: RpcIndex(rpc), ..Header::default() }
}

fn call(destination: Destination, rpc: u16) -> Header {
    Header { kind: Kind::Call, call: CallId(1), remaining: 1000, ..oneway(destination, rpc) }
}

fn reply(destination: Destination) -> Header {
    Header { kind: Kind::Reply, call: CallId(1), ..oneway(destination, 0) }
}

/// Two workers and a link from the first to the second.
fn pair(rights: Rights) -> (World, [Key; 2], [Destination; 2]) {
    let mut world = World::new(Model::Broker, rights);
    let (a, b) = (world.worker("a"), world.worker("b"));
    let names = world.link(a, b);
    world.take(a);
    world.take(b);
    (world, [a, b], names)
}

#[test]
fn a_message_arrives_under_the_receivers_own_name() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    let second = world.link(a, b);
    assert_ne!(second[0], ours);
    world.take(b);
    assert!(world.send(a, &call(ours, 1), &[], Vec::new()));
    assert_eq!(world.take(b), [Got::Message(Header { destination: theirs, ..call(ours, 1) }, 0)]);
    assert!(world.send(b, &reply(theirs), &[], Vec::new()));
    assert_eq!(world.violation_of(a).or(world.violation_of(b)), None);
}

#[test]
fn a_name_that_was_never_granted_evicts_and_a_closed_one_does_not() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    world.word(b, &ToBroker::Close { link: theirs });
    assert_eq!(world.take(a), [Got::Word(ToWorker::Closed { link: ours, why: Gone::Closed }, 0)]);
    assert!(!world.send(a, &oneway(ours, 0), &[], Vec::new()), "late, and honest");
    assert_eq!(world.violation_of(a), None);
    let forged = Destination { generation: ours.generation + 1, ..ours };
    world.send(a, &oneway(forged, 0), &[], Vec::new());
    assert_eq!(world.violation_of(a), Some(&Violation::Forged(forged)));
    assert_eq!(world.take(b), []);
}

#[test]
fn denials_answer_calls_and_give_the_window_back() {
    let one = Rights::methods(RpcSet::first(1));
    let (mut world, [a, b], [ours, _]) = pair(one);
    for id in 1..=3 * WINDOW_MESSAGES {
        assert!(!world.send(a, &Header { call: CallId(id), ..call(ours, 2) }, &[], Vec::new()));
    }
    let got = world.take(a);
    let denied = Body::Failure(Failure::Denied(Denial::Method));
    let answers = got.iter().filter(|got| matches!(got, Got::Body(_, body) if *body == denied)).count();
    assert_eq!(answers as u64, 3 * WINDOW_MESSAGES);
    let credit = Credit { messages: 3 * WINDOW_MESSAGES, bytes: 0, descriptors: 0 };
    assert!(got.iter().any(|got| matches!(got, Got::Body(_, Body::Credit(last)) if last.taken == credit)));
    assert_eq!((world.take(b), world.violation_of(a)), (vec![], None));
    // What the receiver says it took is seen by the sender on top of what it never saw.
    assert!(world.send(a, &oneway(ours, 0), &[], Vec::new()));
}

#[test]
fn overdrafts_evict() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    for _ in 0..WINDOW_MESSAGES {
        assert!(world.send(a, &oneway(ours, 0), &[], Vec::new()));
    }
    world.send(a, &oneway(ours, 0), &[], Vec::new());
    assert_eq!(world.violation_of(a), Some(&Violation::Overdraft(Overdraft::Messages)));
    world.send(b, &reply(theirs), &[], Vec::new());
    assert_eq!(world.violation_of(b), None, "the link was closed by the eviction, so that is only late");
}

#[test]
fn an_answer_without_a_call_evicts() {
    let (mut world, [_, b], [_, theirs]) = pair(rights());
    world.send(b, &reply(theirs), &[], Vec::new());
    assert_eq!(world.violation_of(b), Some(&Violation::Overdraft(Overdraft::Answer)));
}

#[test]
fn descriptors_pass_by_class_only() {
    let (mut world, [a, b], [ours, _]) = pair(rights().passing(DescriptorClasses::PIPE));
    let with = |count| Header { descriptors: count, ..oneway(ours, 0) };
    assert!(world.send(a, &with(1), &[], vec![Mark(DescriptorClasses::PIPE)]));
    for class in [DescriptorClasses::OTHER, DescriptorClasses::SOCKET, DescriptorClasses::READ_WRITE_FILE] {
        assert!(!world.send(a, &with(1), &[], vec![Mark(class)]));
    }
    assert_eq!(world.take(b).len(), 1);
    assert_eq!(world.violation_of(a), None);
    world.send(a, &with(2), &[], vec![Mark(DescriptorClasses::PIPE)]);
    assert_eq!(world.violation_of(a), Some(&Violation::Descriptors { announced: 2, found: 1 }));
}

#[test]
fn whoever_waits_for_a_role_is_connected_when_somebody_plays_it() {
    let mut world = World::new(Model::Broker, rights());
    let a = world.worker("a");
    let b = world.silent_worker("b");
    let (role, interface) = (cloison_msg::Name::new("b").unwrap(), INTERFACE.name());
    world.word(a, &ToBroker::Open { request: 7, role: role.clone(), interface: interface.clone() });
    world.take(a);
    world.word(b, &ToBroker::Hello { version: cloison_msg::control::PROTOCOL_VERSION });
    assert!(matches!(
        &world.take(a)[..],
        [Got::Word(ToWorker::Granted { .. }, 0), Got::Word(ToWorker::Opened { request: 7, link: Ok(_) }, 0)]
    ));
    world.death(b);
    world.take(a);
    world.word(a, &ToBroker::Open { request: 8, role: role.clone(), interface });
    assert_eq!(world.take(a), [], "it may come back");
    world.router.handle_retirement(&role, Gone::Closed);
    world.settle();
    let gone = Err(Refusal::PeerGone(Gone::Closed));
    assert_eq!(world.take(a), [Got::Word(ToWorker::Opened { request: 8, link: gone }, 0)]);
}

#[test]
fn what_a_worker_can_pile_up_is_capped() {
    let (mut world, [a, b], [ours, _]) = pair(rights());
    let peers: Vec<_> = (1..LINKS_PER_WORKER / LINKS_PER_PAIR).map(|n| world.worker(&format!("peer-{n}"))).collect();
    for peer in [b].into_iter().chain(peers) {
        for _ in 0..LINKS_PER_PAIR + 1 {
            let role = world.router.role_at(peer).unwrap().clone();
            world.word(a, &ToBroker::Open { request: 1, role, interface: INTERFACE.name() });
        }
    }
    let last = world.worker("last");
    let role = world.router.role_at(last).unwrap().clone();
    world.word(a, &ToBroker::Open { request: 1, role, interface: INTERFACE.name() });
    let refused = |got: &Got| matches!(got, Got::Word(ToWorker::Opened { link: Err(Refusal::Limit(_)), .. }, _));
    assert_eq!(world.take(a).iter().filter(|got| refused(got)).count(), 2 + 7 + 1);
    world.router.declare(cloison_msg::Name::new("nobody").unwrap());
    for request in (0..).take(OPENS_WAITING + 2) {
        let role = cloison_msg::Name::new("nobody").unwrap();
        world.word(a, &ToBroker::Open { request, role, interface: INTERFACE.name() });
    }
    assert_eq!(world.take(a).iter().filter(|got| refused(got)).count(), 2);
    for request in (0..).take(POOLS_PER_LINK + 2) {
        world.word(a, &ToBroker::MakePool { request, link: ours, shape: SHAPE });
    }
    let pools = world.take(a);
    let made = pools.iter().filter(|got| matches!(got, Got::Word(ToWorker::Pool { pool: Ok(_), .. }, 1))).count();
    assert_eq!((made, pools.len()), (POOLS_PER_LINK, POOLS_PER_LINK + 2));
    assert_eq!(world.violation_of(a), None, "asking for too much is no violation");
}

#[test]
fn pools_need_the_right_to_lend() {
    let (mut world, [a, _], [ours, _]) = pair(Rights::methods(INTERFACE.all()));
    world.word(a, &ToBroker::MakePool { request: 1, link: ours, shape: SHAPE });
    assert_eq!(world.take(a), [Got::Word(ToWorker::Pool { request: 1, pool: Err(Refusal::Denied) }, 0)]);
    world.word(a, &ToBroker::DropPool { link: ours, pool: 1 });
    assert_eq!(world.violation_of(a), Some(&Violation::Pool));
}

#[test]
fn the_model_decides_the_route_and_guarding_rights_overrule_it() {
    let cases = [
        (Model::Broker, rights(), false),
        (Model::Orchestrator, rights(), true),
        (Model::Orchestrator, Rights { uses: Some(9), ..rights() }, false),
        (Model::Orchestrator, rights().passing(DescriptorClasses::PIPE), false),
    ];
    for (model, rights, direct) in cases {
        let mut world = World::new(model, rights);
        let (a, b) = (world.worker("a"), world.worker("b"));
        let [ours, _] = world.link(a, b);
        assert_eq!(world.pairs.len(), usize::from(direct));
        if direct {
            world.send(a, &oneway(ours, 0), &[], Vec::new());
            assert_eq!(world.violation_of(a), Some(&Violation::Route));
        }
        let host = world.router.host();
        let [_, to_host] = world.link(b, host);
        assert_eq!(world.pairs.len(), 0, "the first link was cut by the eviction, and one with the host has no socket");
        assert_ne!(to_host, Destination::BROKER);
        if !direct {
            world.death(b);
        }
    }
}

#[test]
fn a_death_cuts_direct_links_before_the_survivor_is_told() {
    let mut world = World::new(Model::Orchestrator, rights());
    let (a, b) = (world.worker("a"), world.worker("b"));
    let [ours, _] = world.link(a, b);
    world.take(a);
    world.router.handle_death(b, &Gone::Crashed("killed".into()));
    assert!(matches!(world.router.poll(), Some(super::Output::Cut { .. })));
    world.pairs.clear();
    world.settle();
    assert_eq!(world.take(a), [Got::Word(ToWorker::Closed { link: ours, why: Gone::Crashed("killed".into()) }, 0)]);
}

#[test]
fn peers_are_told_whether_the_dead_come_back() {
    let why_gone = |is_last: &[bool], end: fn(&mut World, Key)| {
        let mut world = World::new(Model::Broker, rights());
        let (a, b) = (world.worker("a"), world.worker("b"));
        world.link(a, b);
        is_last.iter().for_each(|&is_last| world.router.handle_last_life(b, is_last));
        end(&mut world, b);
        world.settle();
        match world.take(a).pop() {
            Some(Got::Word(ToWorker::Closed { why, .. }, 0)) => why,
            other => panic!("{other:?}"),
        }
    };
    let dies = |world: &mut World, port| world.router.handle_death(port, &Gone::Crashed("killed".into()));
    let lies = |world: &mut World, port| world.router.evict(port, Violation::Switch);
    assert!(matches!(why_gone(&[], dies), Gone::Crashed(_)));
    assert!(matches!(why_gone(&[true, false], lies), Gone::Evicted(_)));
    assert_eq!(why_gone(&[true], dies), Gone::GivenUp("peer crashed: killed".into()));
    assert!(matches!(why_gone(&[true], lies), Gone::GivenUp(_)));
    // Who is stopped has not died of anything.
    assert_eq!(why_gone(&[true], |world, port| world.router.handle_death(port, &Gone::Closed)), Gone::Closed);
}

#[test]
fn an_accusation_cuts_the_link_and_evicts_nobody() {
    let mut world = World::new(Model::Orchestrator, rights());
    let (a, b) = (world.worker("a"), world.worker("b"));
    let [_, theirs] = world.link(a, b);
    world.word(b, &ToBroker::Accuse { link: theirs, what: "lied".into() });
    assert_eq!((world.evicted.len(), world.pairs.len()), (0, 0));
    for port in [a, b] {
        assert!(matches!(world.take(port).last(), Some(Got::Word(ToWorker::Closed { why: Gone::CutOff(_), .. }, 0))));
    }
}

/// No right is asked for a credit, so what it carried would pass unseen.
#[test]
fn a_credit_carries_no_descriptor_past_the_rights() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    assert!(world.send(a, &oneway(ours, 0), &[], Vec::new()));
    let mut credit = cloison_msg::Message::<()>::new();
    let taken = Credit { messages: 1, bytes: 0, descriptors: 0 };
    credit.append(&Receipt { route: Route::Relayed, taken }).unwrap();
    let header = Header { kind: Kind::Credit, descriptors: 1, payload: credit.payload_len(), ..oneway(theirs, 0) };
    let forwarded = world.send(b, &header, credit.payload(), vec![Mark(DescriptorClasses::OTHER)]);
    assert!(!forwarded && world.violation_of(b).is_some() && world.violation_of(a).is_none());
}

/// Windows bound one link, not one link after the other.
#[test]
fn a_crowded_port_gets_no_new_links_until_it_has_caught_up() {
    let (mut world, [a, b], [ours, _]) = pair(rights());
    world.router.handle_crowd(b, true);
    let open = ToBroker::Open { request: 9, role: "b".try_into().unwrap(), interface: INTERFACE.name() };
    world.word(a, &open);
    world.word(a, &ToBroker::MakePool { request: 10, link: ours, shape: SHAPE });
    assert_eq!(world.take(b), [], "nobody can make more wait for it");
    assert!(matches!(world.take(a)[..], [Got::Word(ToWorker::Pool { pool: Err(Refusal::Limit(_)), .. }, 0)]));
    assert!(world.send(a, &oneway(ours, 0), &[], Vec::new()), "the links it has go on");
    world.router.handle_crowd(b, false);
    world.settle();
    assert!(world.take(a).iter().any(|got| matches!(got, Got::Word(ToWorker::Opened { request: 9, link: Ok(_) }, _))));
}

/// Who gives a pool up may have kept its memory, so it does not get all of it again, and again.
#[test]
fn giving_pools_up_does_not_make_memory_endless() {
    let (mut world, [a, _], [ours, _]) = pair(rights());
    let shape = cloison_msg::control::PoolShape { buffer_size: 512 << 20, count: 1 };
    for pool in 1..=POOL_BYTES_EVER / shape.bytes() {
        world.word(a, &ToBroker::MakePool { request: 1, link: ours, shape });
        world.word(a, &ToBroker::DropPool { link: ours, pool: u32::try_from(pool).unwrap() });
    }
    assert!(world.take(a).iter().all(|got| matches!(got, Got::Word(ToWorker::Pool { pool: Ok(_), .. }, 1))));
    world.word(a, &ToBroker::MakePool { request: 2, link: ours, shape });
    assert!(matches!(world.take(a)[..], [Got::Word(ToWorker::Pool { pool: Err(Refusal::Limit(_)), .. }, 0)]));
}

#[test]
fn a_message_that_cannot_be_delivered_is_answered_and_its_place_given_back() {
    let (mut world, [a, b], [ours, _]) = pair(rights().passing(DescriptorClasses::PIPE));
    world.router.handle_crowd(b, true);
    for id in 1..=2 * WINDOW_MESSAGES {
        let carrying = Header { call: CallId(id), descriptors: 1, ..call(ours, 0) };
        assert!(!world.send(a, &carrying, &[], vec![Mark(DescriptorClasses::PIPE)]));
    }
    let crowded = Body::Failure(Failure::Denied(Denial::Crowded));
    let told = world.take(a).iter().filter(|got| matches!(got, Got::Body(_, body) if *body == crowded)).count();
    assert_eq!((told as u64, world.violation_of(a)), (2 * WINDOW_MESSAGES, None));
    world.take(b);
}

#[test]
fn what_the_condemned_still_send_is_closed() {
    let (mut world, [a, _], [ours, theirs]) = pair(rights().passing(DescriptorClasses::PIPE));
    world.send(a, &oneway(Destination { generation: 9, ..theirs }, 0), &[], Vec::new());
    assert!(world.violation_of(a).is_some());
    let mut marks = vec![Mark(DescriptorClasses::PIPE)];
    assert!(!world.send_with(a, &Header { descriptors: 1, ..oneway(ours, 0) }, &[], &[], &mut marks));
    assert_eq!(marks, []);
}
