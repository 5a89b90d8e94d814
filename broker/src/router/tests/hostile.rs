//! What one worker, or two that collude, try against an honest third.

use cloison_msg::control::{ToBroker, ToWorker};
use cloison_msg::{CALLS_IN_FLIGHT, CallId, Destination, Gone, Header, Key};

use super::switching::become_direct;
use super::world::{Got, World};
use super::{call, pair, reply, rights};
use crate::policy::Model;

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
        assert!(!world.send(b, &Header { call: CallId(40), ..reply(theirs) }, &[], Vec::new()), "there is an end to it");
        assert_eq!((world.violation_of(a), world.violation_of(b)), (None, None));
        assert!(matches!(world.take(b).last(), Some(Got::Word(ToWorker::Closed { why: Gone::CutOff(_), .. }, _))));
    }
}
