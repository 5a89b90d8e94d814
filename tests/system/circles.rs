//! Workers that call each other for different chains, in all directions at once.

use cloison_broker::Model;
use cloison_broker::msg::{CallError, CallFailure, Failure};
use rustix::process::Signal;

use crate::case::{Case, module, thrice};
use crate::host::{AMPLE, Host, Puppet, saying};
use crate::words::VISIT;

pub fn cases() -> Vec<Case> {
    module(
        "circles",
        vec![
            thrice("of_two_are_ended", |model| are_ended(model, &["a", "b"])),
            thrice("of_three_are_ended", |model| are_ended(model, &["a", "b", "c"])),
            thrice("of_four_are_ended", |model| are_ended(model, &["a", "b", "c", "d"])),
            thrice("end_with_a_death_in_them", end_with_a_death_in_them),
        ],
    )
}

/// How often it is tried to bring a circle about.
const ROUNDS_MAX: usize = 3000;

fn puppets(host: &Host, roles: &[&str]) -> Vec<Puppet> {
    roles.iter().map(|role| host.puppet(role)).collect()
}

/// Each calls the next at the same moment, which calls the one after it, and so on round to the first.
fn around(own: &[Puppet], roles: &[&str]) -> Vec<Result<(), CallError>> {
    let start = |at: usize| {
        let way: Vec<&str> = roles.iter().cycle().skip(at + 1).take(roles.len()).copied().collect();
        own[at].0.start(VISIT, saying(&way), AMPLE)
    };
    around_while(roles.len(), start, || ())
}

fn around_while(
    count: usize,
    start: impl Fn(usize) -> cloison_broker::PendingCall,
    meanwhile: impl FnOnce(),
) -> Vec<Result<(), CallError>> {
    let started: Vec<_> = (0..count).map(start).collect();
    meanwhile();
    started.into_iter().map(|call| call.wait().map(drop)).collect()
}

/// The way that a call was refused for.
fn refused(outcome: &Result<(), CallError>) -> Option<&str> {
    match outcome.as_ref().map_err(|error| &error.why) {
        Ok(()) => None,
        Err(CallFailure::Failed(Failure::WouldDeadlock(way))) => Some(way.as_str()),
        Err(other) => panic!("{other:?}"),
    }
}

fn are_ended(model: Model, roles: &[&str]) {
    let host = Host::with(model, roles);
    // Opened once: thousands of links, one after the other, are closed later than they are opened.
    let own = puppets(&host, roles);
    let mut found = false;
    for round in 0..ROUNDS_MAX {
        let outcomes = around(&own, roles);
        let ways: Vec<&str> = outcomes.iter().filter_map(refused).collect();
        for way in &ways {
            let (first, last) = (way.split(' ').next(), way.split(' ').next_back());
            assert!(first == last && way.contains(" → ") && roles.contains(&first.unwrap()), "{way}");
        }
        assert!(ways.len() < roles.len(), "some are served: {outcomes:?}");
        found |= !ways.is_empty();
        if found && round >= 20 {
            return;
        }
    }
    assert!(found, "no circle came about, so nothing was shown");
}

fn end_with_a_death_in_them(model: Model) {
    let mut host = Host::with(model, &["a", "b", "c"]);
    let roles = ["a", "b", "c"];
    around(&puppets(&host, &roles), &roles);
    for _ in 0..3 {
        let own = puppets(&host, &roles);
        let start = |at: usize| {
            let way: Vec<&str> = roles.iter().cycle().skip(at + 1).take(3).copied().collect();
            own[at].0.start(VISIT, saying(&way), AMPLE)
        };
        let witness = host.witness("c");
        let outcomes = around_while(3, start, || witness.signal(Signal::KILL));
        for outcome in outcomes {
            let why = outcome.err().map(|error| error.why);
            assert!(!matches!(why, Some(CallFailure::Deadline | CallFailure::Overloaded)), "{why:?}");
        }
        // Its first start is among what was not heard yet.
        host.death("c");
        host.restarted("c");
    }
    assert!(
        around(&puppets(&host, &roles), &roles).iter().all(|outcome| outcome.is_ok() || refused(outcome).is_some())
    );
}
