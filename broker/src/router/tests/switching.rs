//! Links that change their route while they are in use.

use std::time::Duration;

use cloison_msg::control::{ToBroker, ToWorker};
use cloison_msg::{CallId, Destination, Gone, Header, Key, Kind, Overdraft, Route, WINDOW_MESSAGES};

use super::world::{Got, World};
use super::{call, oneway, pair, reply, rights};
use crate::policy::Model;
use crate::router::{SWITCH_WITHIN, Violation, WhyRelayed};

fn switch(destination: Destination) -> Header {
    Header { kind: Kind::Switch, ..oneway(destination, 0) }
}

fn reroute(got: &[Got]) -> Option<(Destination, Route, usize)> {
    got.iter().find_map(|got| match got {
        Got::Word(ToWorker::Reroute { link, route }, sockets) => Some((*link, *route, *sockets)),
        _ => None,
    })
}

/// Both ends do their part.
pub(super) fn become_direct(world: &mut World, ports: [Key; 2], names: [Destination; 2]) {
    world.router.set_model(Model::Orchestrator, world.now);
    world.settle();
    for (port, name) in ports.into_iter().zip(names) {
        assert_eq!(reroute(&world.take(port)), Some((name, Route::Direct, 1)));
    }
    for (port, name) in ports.into_iter().zip(names) {
        assert!(world.send(port, &switch(name), &[], Vec::new()));
    }
    for (port, name) in ports.into_iter().zip(names) {
        world.word(port, &ToBroker::Settled { link: name });
        world.take(port);
    }
    assert_eq!(world.router.next_deadline(), None);
}

#[test]
fn a_link_changes_its_route_and_back() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    become_direct(&mut world, [a, b], [ours, theirs]);
    assert_eq!(world.pairs.len(), 1);
    let [view] = &world.router.explain(None, None)[..] else { panic!() };
    assert_eq!((view.route, view.changing, view.why_relayed), (Route::Direct, false, None));
    world.router.set_model(Model::Broker, world.now);
    world.settle();
    for (port, name) in [(a, ours), (b, theirs)] {
        assert_eq!(reroute(&world.take(port)), Some((name, Route::Relayed, 0)));
        world.word(port, &ToBroker::Left { link: name, calls: CallId::NONE });
    }
    assert_eq!(world.pairs.len(), 0, "its holders read what is left");
    for (port, name) in [(a, ours), (b, theirs)] {
        assert!(world.send(port, &oneway(name, 0), &[], Vec::new()));
        world.word(port, &ToBroker::Settled { link: name });
    }
    assert_eq!(world.violation_of(a).or(world.violation_of(b)), None);
    let [view] = &world.router.explain(None, None)[..] else { panic!() };
    assert_eq!((view.route, view.changing, view.why_relayed), (Route::Relayed, false, Some(WhyRelayed::Model)));
}

#[test]
fn only_a_link_at_rest_changes_again() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    world.router.set_model(Model::Orchestrator, world.now);
    world.router.set_model(Model::Broker, world.now);
    world.settle();
    let heard = world.take(a);
    assert_eq!(heard.iter().filter(|got| matches!(got, Got::Word(ToWorker::Reroute { .. }, _))).count(), 1);
    world.take(b);
    for (port, name) in [(a, ours), (b, theirs)] {
        world.send(port, &switch(name), &[], Vec::new());
    }
    world.take(a);
    for (port, name) in [(a, ours), (b, theirs)] {
        world.word(port, &ToBroker::Settled { link: name });
    }
    assert_eq!(reroute(&world.take(a)), Some((ours, Route::Relayed, 0)), "now it is the next one's turn");
}

#[test]
fn who_cannot_see_the_sockets_end_loses_the_link_and_nothing_else() {
    let (mut world, [a, b], names) = pair(rights());
    world.router.set_model(Model::Orchestrator, world.now);
    world.settle();
    for (port, name) in [a, b].into_iter().zip(names) {
        world.send(port, &switch(name), &[], Vec::new());
        world.word(port, &ToBroker::Settled { link: name });
    }
    world.router.set_model(Model::Broker, world.now);
    world.settle();
    for (port, link) in [a, b].into_iter().zip(names) {
        world.word(port, &ToBroker::Left { link, calls: CallId::NONE });
    }
    // On the socket, where the broker sees nothing, `b` has said that its next word is relayed; it says none.
    world.word(b, &ToBroker::Settled { link: names[1] });
    world.take(a);
    let due = world.router.next_deadline().expect("it is waited for");
    world.router.handle_time(due);
    world.settle();
    assert_eq!((world.violation_of(a), world.violation_of(b)), (None, None));
    let heard = world.take(a);
    assert!(matches!(&heard[..], [Got::Word(ToWorker::Closed { why: Gone::CutOff(_), .. }, _)]), "{heard:?}");
    assert_eq!(world.router.next_deadline(), None);
}

#[test]
fn whoever_does_not_do_its_part_is_evicted_and_nobody_else() {
    let late = Violation::Late("a change of route");
    for b_leaves in [false, true] {
        let (mut world, [a, b], [ours, theirs]) = pair(rights());
        world.router.set_model(Model::Orchestrator, world.now);
        world.settle();
        world.send(a, &switch(ours), &[], Vec::new());
        if b_leaves {
            world.send(b, &switch(theirs), &[], Vec::new());
            world.word(a, &ToBroker::Settled { link: ours });
        }
        let due = world.router.next_deadline().expect("it is waited for");
        assert_eq!(due, world.now.after(SWITCH_WITHIN));
        world.router.handle_time(due);
        world.settle();
        assert_eq!((world.violation_of(a), world.violation_of(b)), (None, Some(&late)));
        assert_eq!(world.router.next_deadline(), None);
        assert!(
            world.take(a).iter().any(|got| matches!(got, Got::Word(ToWorker::Closed { why: Gone::Evicted(_), .. }, _)))
        );
    }
}

#[test]
fn words_that_are_not_due_evict() {
    let words: [fn(Destination) -> ToBroker; 2] =
        [|link| ToBroker::Left { link, calls: CallId::NONE }, |link| ToBroker::Settled { link }];
    for word in words {
        let (mut world, [a, _], [ours, _]) = pair(rights());
        world.word(a, &word(ours));
        assert_eq!(world.violation_of(a), Some(&Violation::Switch));
    }
    let (mut world, [a, b], [ours, _]) = pair(rights());
    assert!(!world.send(a, &switch(ours), &[], Vec::new()));
    assert_eq!(world.take(b).len(), 1, "the end of the link, and nothing else");
    assert_eq!(world.violation_of(a), Some(&Violation::Switch));
}

/// Answers to calls that the broker never saw pass, but no more of them than there can be.
#[test]
fn unseen_calls_are_answered_and_not_without_end() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    become_direct(&mut world, [a, b], [ours, theirs]);
    world.router.set_model(Model::Broker, world.now);
    world.settle();
    world.word(b, &ToBroker::Left { link: theirs, calls: CallId::NONE });
    for id in 1..=u64::from(cloison_msg::CALLS_IN_FLIGHT) {
        assert!(world.send(b, &Header { call: CallId(id), ..reply(theirs) }, &[], Vec::new()));
    }
    assert!(!world.send(b, &reply(theirs), &[], Vec::new()));
    // Whether `a` called once more by the socket only the two of them know.
    assert_eq!((world.violation_of(a), world.violation_of(b)), (None, None));
    assert!(world.router.explain(None, None).is_empty());
}

/// What could not leave by the socket any more is relayed, calls included.
#[test]
fn calls_that_were_made_for_the_socket_may_come_over_the_broker() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    become_direct(&mut world, [a, b], [ours, theirs]);
    world.router.set_model(Model::Broker, world.now);
    world.settle();
    world.word(a, &ToBroker::Left { link: ours, calls: CallId(3) });
    for id in 2..=3 {
        assert!(world.send(a, &Header { call: CallId(id), ..call(ours, 0) }, &[], Vec::new()));
    }
    assert_eq!(world.violation_of(a), None);
}

#[test]
fn an_excursion_is_bounded_by_the_window() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    become_direct(&mut world, [a, b], [ours, theirs]);
    assert!(!world.send(a, &call(ours, 0), &[], Vec::new()), "nothing to carry");
    assert_eq!(world.violation_of(a), Some(&Violation::Route));
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    become_direct(&mut world, [a, b], [ours, theirs]);
    for _ in 0..WINDOW_MESSAGES {
        assert!(world.send(a, &switch(ours), &[], Vec::new()));
    }
    assert!(!world.send(a, &switch(ours), &[], Vec::new()));
    assert_eq!(world.violation_of(a), Some(&Violation::Overdraft(Overdraft::Messages)));
}

#[test]
fn a_revocation_is_acknowledged_when_nobody_delivers_any_more() {
    let (mut world, [a, b], [ours, theirs]) = pair(rights());
    become_direct(&mut world, [a, b], [ours, theirs]);
    let [view] = &world.router.explain(None, None)[..] else { panic!() };
    world.router.revoke(view.id.0, 7, world.now);
    world.settle();
    assert_eq!((world.pairs.len(), &world.revoked[..]), (1, &[][..]), "what is queued may still be read");
    for (port, name) in [(a, ours), (b, theirs)] {
        assert_eq!(world.take(port), [Got::Word(ToWorker::Closed { link: name, why: Gone::Revoked }, 0)]);
        assert_eq!(world.revoked, []);
        world.word(port, &ToBroker::Released { link: name });
    }
    assert_eq!((&world.revoked[..], world.router.next_deadline()), (&[7][..], None));
    assert_eq!(world.pairs.len(), 0);

    let (mut world, [a, b], [ours, _]) = pair(rights());
    let [view] = &world.router.explain(None, None)[..] else { panic!() };
    world.router.revoke(view.id.0, 8, world.now);
    world.word(a, &ToBroker::Released { link: ours });
    world.router.handle_time(world.now.after(Duration::from_secs(60)));
    world.settle();
    assert!(matches!(world.violation_of(b), Some(Violation::Late(_))) && world.violation_of(a).is_none());
    assert_eq!(world.revoked, [], "it may still run");
    world.death(b);
    assert_eq!(world.revoked, [8]);
}

/// Whoever asked for rest hears of it also when the socket pair that was being made could not be.
#[test]
fn a_link_without_a_pair_is_at_rest() {
    let (mut world, [a, _], [ours, _]) = pair(rights());
    world.router.set_model(Model::Orchestrator, world.now);
    world.router.handle_word(a, ToBroker::Rest { link: ours }, world.now);
    let made = std::iter::from_fn(|| world.router.poll()).find_map(|output| match output {
        crate::router::Output::MakePair { link } => Some(link),
        _ => None,
    });
    world.router.handle_pair(made.expect("it was to become direct"), None, world.now);
    world.settle();
    assert_eq!(world.take(a), [Got::Word(ToWorker::AtRest { link: ours }, 0)]);
}
