//! Links that travel in messages.

use cloison_msg::control::{ToBroker, ToWorker};
use cloison_msg::{
    CallId, Denial, DescriptorClasses, Destination, Failure, Gone, Header, Key, LinkRef, Rights, RpcSet, Time,
    Transfer, WINDOW_MESSAGES,
};

use super::world::{Got, INTERFACE, World};
use super::{call, oneway, reply, rights};
use crate::policy::{Decision, Grant, Model};
use crate::router::{Body, COPIES_DEEP, COPIES_PER_WORKER, Violation};

/// `a` has a link to `b` and one to `c`.
struct Three {
    world: World,
    ports: [Key; 3],
    /// Of `a`.
    to_b: Destination,
    to_c: Destination,
    /// What `b` calls its link to `a`.
    b_to_a: Destination,
}

fn three(rights: Rights) -> Three {
    let mut world = World::new(Model::Broker, rights);
    let ports @ [a, b, c] = ["a", "b", "c"].map(|role| world.worker(role));
    let [to_b, b_to_a] = world.link(a, b);
    let [to_c, _] = world.link(a, c);
    for port in ports {
        world.take(port);
    }
    Three { world, ports, to_b, to_c, b_to_a }
}

fn carry(link: Destination, transfer: Transfer, rights: Rights) -> LinkRef {
    LinkRef { link, transfer, rights }
}

fn carrying(destination: Destination) -> Header {
    Header { links: 1, ..oneway(destination, 0) }
}

/// `a` gives `c` its link to `b`: what the two then call it.
fn give(three: &mut Three, transfer: Transfer, wanted: Rights) -> Option<[Destination; 2]> {
    let [a, b, c] = three.ports;
    let links = [carry(three.to_b, transfer, wanted)];
    if !three.world.send_with(a, &carrying(three.to_c), &[], &links, &mut Vec::new()) {
        return None;
    }
    let granted = |got: &Got| if let Got::Word(ToWorker::Granted { link, .. }, _) = got { Some(*link) } else { None };
    let at_c = three.world.got[&c].iter().find_map(granted).expect("it hears of the link before the message");
    assert_eq!(three.world.carried, [at_c]);
    let at_b = three.world.got.get(&b).and_then(|got| got.iter().find_map(granted)).unwrap_or(three.b_to_a);
    Some([at_c, at_b])
}

#[test]
fn a_copy_is_a_link_of_its_own_with_no_more_rights() {
    let mut three = three(rights().delegable());
    let [a, b, c] = three.ports;
    let few = Rights::methods(RpcSet::first(1));
    let [at_c, at_b] = give(&mut three, Transfer::Copy, few).unwrap();
    let Three { mut world, to_b, .. } = three;
    world.take(b);
    assert!(world.send(c, &oneway(at_c, 0), &[], Vec::new()));
    assert!(!world.send(c, &oneway(at_c, 1), &[], Vec::new()), "a method that the giver left out");
    assert!(world.send(a, &oneway(to_b, 1), &[], Vec::new()), "the giver keeps its own");
    let Some(Got::Message(header, _)) = world.take(b).into_iter().next() else { panic!() };
    assert_eq!(header.destination, at_b);
    let view = world.router.explain(Some(&"c".try_into().unwrap()), None).pop().unwrap();
    assert_eq!(view.given_by.unwrap().as_str(), "a");
}

#[test]
fn what_may_not_be_handed_on_is_not() {
    let mut three = three(rights());
    assert_eq!(give(&mut three, Transfer::Copy, Rights::default()), None);
    let [a, b, c] = three.ports;
    let denied = |got: &Got| matches!(got, Got::Body(..));
    assert!(three.world.take(a).iter().any(denied), "the place in the window comes back");
    assert_eq!((three.world.take(b), three.world.take(c), three.world.violation_of(a)), (vec![], vec![], None));
    let forged = carry(Destination { index: 9, generation: 1 }, Transfer::Copy, Rights::default());
    three.world.send_with(a, &carrying(three.to_c), &[], &[forged], &mut Vec::new());
    assert!(matches!(three.world.violation_of(a), Some(Violation::Forged(_))));
}

#[test]
fn a_closed_link_arrives_closed() {
    let mut three = three(rights().delegable());
    let [a, b, c] = three.ports;
    three.world.word(b, &ToBroker::Close { link: three.b_to_a });
    let links = [carry(three.to_b, Transfer::Copy, Rights::default())];
    assert!(three.world.send_with(a, &carrying(three.to_c), &[], &links, &mut Vec::new()), "an honest race");
    let dead = three.world.carried[0];
    assert!(!three.world.send(c, &oneway(dead, 0), &[], Vec::new()));
    assert_eq!(three.world.violation_of(c), None);
}

#[test]
fn counted_uses_are_shared_and_once_only_methods_stay() {
    let counted = rights().delegable().for_uses(5).once(RpcSet::NONE.with(cloison_msg::RpcIndex(2)));
    let mut three = three(counted.clone());
    let [a, _, c] = three.ports;
    // Sending the message that carries it uses another link.
    let [at_c, _] = give(&mut three, Transfer::Copy, Rights { uses: Some(3), ..counted }).unwrap();
    let sent =
        |world: &mut World, port, name| (0..9).filter(|_| world.send(port, &oneway(name, 0), &[], Vec::new())).count();
    assert!(!three.world.send(c, &oneway(at_c, 2), &[], Vec::new()));
    assert_eq!((sent(&mut three.world, c, at_c), sent(&mut three.world, a, three.to_b)), (3, 2));
}

#[test]
fn a_moved_end_changes_hands_and_nobody_hears_an_answer_that_is_not_its_own() {
    let mut three = three(rights().delegable());
    let [a, b, c] = three.ports;
    // Both have a call under way, and unread oneways.
    assert!(three.world.send(a, &call(three.to_b, 0), &[], Vec::new()));
    assert!(three.world.send(b, &call(three.b_to_a, 0), &[], Vec::new()));
    for _ in 0..10 {
        assert!(three.world.send(b, &oneway(three.b_to_a, 0), &[], Vec::new()));
    }
    let [at_c, at_b] = give(&mut three, Transfer::Move, rights().delegable()).unwrap();
    let Three { mut world, to_b, .. } = three;
    let heard = world.take(b);
    assert!(heard.iter().any(|got| matches!(got, Got::Word(ToWorker::Moved { own: CallId(1), .. }, _))));
    assert!(heard.iter().any(|got| matches!(got, Got::Body(_, Body::Credit(receipt)) if receipt.taken.messages == 11)));
    world.take(c);
    assert!(!world.send(a, &oneway(to_b, 0), &[], Vec::new()), "the giver has it no more");
    assert!(!world.send(b, &reply(at_b), &[], Vec::new()), "an answer to the former holder");
    assert_eq!(world.take(c), []);
    let first = CallId((1 << 48) + 1);
    assert!(world.send(c, &Header { call: first, ..call(at_c, 0) }, &[], Vec::new()));
    assert!(world.send(b, &Header { call: first, ..reply(at_b) }, &[], Vec::new()));
    for _ in 0..WINDOW_MESSAGES {
        assert!(world.send(b, &oneway(at_b, 0), &[], Vec::new()), "its whole window is free");
    }
    for port in [a, b, c] {
        assert_eq!(world.violation_of(port), None);
    }
    world.send(c, &Header { call: CallId(9), ..call(at_c, 0) }, &[], Vec::new());
    assert_eq!(world.violation_of(c), Some(&Violation::Call), "an id of the former holder's");
}

#[test]
fn a_move_that_is_denied_closes_the_link() {
    let mut three = three(rights());
    assert_eq!(give(&mut three, Transfer::Move, rights()), None);
    let [_, b, _] = three.ports;
    assert_eq!(three.world.take(b), [Got::Word(ToWorker::Closed { link: three.b_to_a, why: Gone::Closed }, 0)]);
}

#[test]
fn grants_form_a_tree() {
    let mut three = three(rights().delegable());
    let [a, b, c] = three.ports;
    let [at_c, _] = give(&mut three, Transfer::Copy, rights().delegable()).unwrap();
    let Three { mut world, to_b, to_c, .. } = three;
    // c gives a copy of its copy to d.
    let d = world.worker("d");
    let [c_to_d, _] = world.link(c, d);
    let links = [carry(at_c, Transfer::Copy, rights())];
    assert!(world.send_with(c, &carrying(c_to_d), &[], &links, &mut Vec::new()));
    let at_d = world.carried[0];
    let find = |world: &World, from: &str| {
        let views = world.router.explain(Some(&from.try_into().unwrap()), Some(&"b".try_into().unwrap()));
        views.into_iter().next().map(|view| view.id)
    };
    let (root, of_c, of_d) = (find(&world, "a").unwrap(), find(&world, "c").unwrap(), find(&world, "d").unwrap());
    world.word(c, &ToBroker::Close { link: at_c });
    let orphan = world.router.explain(Some(&"d".try_into().unwrap()), None).pop().unwrap();
    assert_eq!((orphan.id, orphan.parent), (of_d, Some(root)), "who closes its own takes nothing from others");
    assert_ne!(of_c, of_d);
    world.router.revoke(root.0, 1, world.now);
    world.settle();
    for (port, name) in [(a, to_b), (d, at_d)] {
        let revoked = Got::Word(ToWorker::Closed { link: name, why: Gone::Revoked }, 0);
        assert!(world.take(port).contains(&revoked));
    }
    assert!(world.send(a, &oneway(to_c, 0), &[], Vec::new()), "another link");
    assert_eq!(world.take(b).iter().filter(|got| matches!(got, Got::Word(ToWorker::Closed { .. }, _))).count(), 3);
}

/// Else whoever closes its own link would keep from the host what came of it.
#[test]
fn what_came_of_a_link_that_has_ended_is_still_taken_back() {
    let mut three = three(rights().delegable());
    let [a, ..] = three.ports;
    let [at_c, _] = give(&mut three, Transfer::Copy, rights().delegable()).unwrap();
    let Three { mut world, ports: [_, _, c], to_b, .. } = three;
    let root = world.router.explain(Some(&"a".try_into().unwrap()), Some(&"b".try_into().unwrap()))[0].id;
    world.word(a, &ToBroker::Close { link: to_b });
    assert!(world.send(c, &oneway(at_c, 0), &[], Vec::new()), "it lives on by itself");
    world.router.revoke(root.0, 1, world.now);
    world.settle();
    assert!(!world.send(c, &oneway(at_c, 0), &[], Vec::new()));
    assert!(world.take(c).contains(&Got::Word(ToWorker::Closed { link: at_c, why: Gone::Revoked }, 0)));
}

#[test]
fn a_row_of_copies_has_an_end() {
    let mut world = World::new(Model::Broker, rights().delegable());
    let peer = world.worker("peer");
    let mut holder = world.worker("holder-0");
    let [mut name, _] = world.link(holder, peer);
    for depth in 0..=COPIES_DEEP {
        let next = world.worker(&format!("holder-{}", depth + 1));
        let [to_next, _] = world.link(holder, next);
        let links = [carry(name, Transfer::Copy, rights().delegable())];
        let passed = world.send_with(holder, &carrying(to_next), &[], &links, &mut Vec::new());
        assert_eq!(passed, depth < COPIES_DEEP);
        if passed {
            (holder, name) = (next, world.carried[0]);
        }
    }
}

#[test]
fn copies_are_counted() {
    let mut three = three(rights().delegable());
    let [a, ..] = three.ports;
    for at in 0..=COPIES_PER_WORKER {
        assert_eq!(give(&mut three, Transfer::Copy, rights()).is_some(), at < COPIES_PER_WORKER);
        three.world.got.clear();
    }
    let id = three.world.router.explain(Some(&"c".try_into().unwrap()), None)[0].id;
    three.world.router.revoke(id.0, 1, Time(0));
    three.world.settle();
    three.world.got.clear();
    assert!(give(&mut three, Transfer::Copy, rights()).is_some(), "there is room again");
    assert_eq!(three.world.violation_of(a), None);
}

#[test]
fn calls_that_carry_what_may_not_pass_are_answered() {
    let mut three = three(rights());
    let [a, ..] = three.ports;
    let header = Header { links: 1, ..call(three.to_c, 0) };
    let links = [carry(three.to_b, Transfer::Copy, rights())];
    assert!(!three.world.send_with(a, &header, &[], &links, &mut Vec::new()));
    let denied = Body::Failure(Failure::Denied(Denial::Delegation));
    assert!(three.world.take(a).iter().any(|got| matches!(got, Got::Body(_, body) if *body == denied)));
}

#[test]
fn another_policy_takes_back_what_it_would_not_grant() {
    let mut three = three(rights().passing(DescriptorClasses::PIPE));
    let [a, b, c] = three.ports;
    let narrow = |ask: &crate::policy::Ask<'_>| {
        (ask.to.as_str() == "b").then(|| Grant { rights: Rights::methods(RpcSet::first(1)), ..Grant::default() })
    };
    let refused = three.world.router.set_policy(std::sync::Arc::new(narrow), Time(0));
    three.world.settle();
    assert_eq!(refused.len(), 1);
    assert!(three.world.take(a).iter().any(|got| matches!(got, Got::Word(ToWorker::Attenuated { .. }, _))));
    assert!(three.world.send(a, &oneway(three.to_b, 0), &[], Vec::new()));
    assert!(!three.world.send(a, &oneway(three.to_b, 1), &[], Vec::new()));
    assert!(!three.world.send(b, &oneway(three.b_to_a, 0), &[], Vec::new()), "nothing in turn any more");
    let _ = c;
}

#[test]
fn the_host_may_be_asked_and_nobody_else_waits() {
    let mut world = World::new(Model::Broker, rights());
    let (a, b) = (world.worker("a"), world.worker("b"));
    world.got.clear();
    let ask = |_: &crate::policy::Ask<'_>| Decision::Defer;
    assert!(world.router.set_policy(std::sync::Arc::new(ask), Time(0)).is_empty());
    let open = |request| ToBroker::Open { request, role: "b".try_into().unwrap(), interface: INTERFACE.name() };
    for request in 1..4 {
        world.word(a, &open(request));
    }
    let questions = std::mem::take(&mut world.asked);
    assert_eq!((questions.len(), world.take(a)), (3, vec![]));
    world.router.handle_decision(questions[1], Some(Grant { rights: rights(), ..Grant::default() }));
    world.router.handle_decision(questions[0], None);
    world.settle();
    let answers: Vec<_> = world
        .take(a)
        .into_iter()
        .filter_map(|got| {
            if let Got::Word(ToWorker::Opened { request, link }, _) = got {
                Some((request, link.is_ok()))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(answers, [(2, true), (1, false)]);
    world.death(a);
    world.router.handle_decision(questions[2], Some(Grant::default()));
    world.settle();
    assert_eq!(world.take(b).len(), 2, "granted, and closed by the death; whoever asked last is gone");
}

#[test]
fn a_former_holder_confirms_a_revocation_too_unless_it_has_delivered_all() {
    for has_delivered in [false, true] {
        let mut three = three(rights().delegable());
        let [a, b, c] = three.ports;
        let [at_c, at_b] = give(&mut three, Transfer::Move, rights().delegable()).unwrap();
        let Three { mut world, to_b, .. } = three;
        let moved = Got::Word(ToWorker::Closed { link: to_b, why: Gone::Moved }, 0);
        assert!(world.take(a).contains(&moved), "nothing more comes over it");
        if has_delivered {
            world.word(a, &ToBroker::Released { link: to_b });
        }
        let link = world.router.explain(None, Some(&"b".try_into().unwrap()))[0].id.0;
        world.router.revoke(link, 7, world.now);
        world.settle();
        let revoked = Got::Word(ToWorker::Closed { link: to_b, why: Gone::Revoked }, 0);
        assert_eq!(world.take(a).contains(&revoked), !has_delivered);
        world.word(b, &ToBroker::Released { link: at_b });
        world.word(c, &ToBroker::Released { link: at_c });
        assert_eq!(world.revoked.len(), usize::from(has_delivered));
        world.word(a, &ToBroker::Released { link: to_b });
        assert_eq!(world.revoked, [7]);
    }
}

#[test]
fn whoever_gets_an_end_hears_how_often_the_other_has_moved() {
    let mut three = three(rights().delegable());
    let [_, b, c] = three.ports;
    let [_, at_b] = give(&mut three, Transfer::Move, rights().delegable()).unwrap();
    let mut world = three.world;
    let d = world.worker("d");
    let [to_d, _] = world.link(b, d);
    let links = [carry(at_b, Transfer::Move, rights())];
    assert!(world.send_with(b, &carrying(to_d), &[], &links, &mut Vec::new()));
    let balance = world.take(d).into_iter().rev().find_map(|got| match got {
        Got::Word(ToWorker::Granted { balance, .. }, _) => Some((balance.moves, balance.peer_moves)),
        _ => None,
    });
    assert_eq!(balance, Some((1, 1)));
    assert_eq!(world.violation_of(c), None);
}

/// On a direct link the peer judges what the new holder may, so it has to know.
#[test]
fn the_peer_of_a_moved_end_hears_what_its_new_holder_may() {
    let mut three = three(rights().delegable());
    let b = three.ports[1];
    let few = Rights::methods(RpcSet::first(1));
    give(&mut three, Transfer::Move, few.clone()).unwrap();
    let heard = three.world.take(b);
    let told = heard.iter().find_map(|got| match got {
        Got::Word(ToWorker::Attenuated { link, peer_rights, .. }, _) => Some((*link, peer_rights.clone())),
        _ => None,
    });
    assert_eq!(told, Some((three.b_to_a, few)));
}
