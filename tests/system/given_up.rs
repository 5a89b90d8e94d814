//! Calls that are given up, and callers that die.

use std::time::Duration;

use cloison_broker::{HOST, Model};
use rustix::process::Signal;

use crate::case::{Case, module, thrice};
use crate::host::{AMPLE, Host, Puppet, message};
use crate::words::{ECHO, LINGER, NOTE, Outcome, Step, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "given_up",
        vec![
            thrice("a_dropped_call_ends_what_was_made_for_it", a_dropped_call_ends_what_was_made_for_it),
            thrice("nobody_works_for_the_dead", nobody_works_for_the_dead),
            thrice("a_call_that_waits_its_turn_is_answered_at_once", a_call_that_waits_its_turn_is_answered_at_once),
            thrice("a_detached_call_is_served_whatever_is_dropped", a_detached_call_is_served_whatever_is_dropped),
            thrice("the_host_hears_that_nobody_waits", the_host_hears_that_nobody_waits),
            thrice("a_ticket_is_given_up_by_name", a_ticket_is_given_up_by_name),
        ],
    )
}

/// The host has a worker call another that lingers, and waits until it does.
fn lingering(host: &mut Host, number: u32) -> (crate::host::Awaited, Puppet) {
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let link = a.open("b");
    let call = a.start(&Step::Call { link, rpc: LINGER.0, payloads: vec![encoded(&number)], within: AMPLE });
    assert_eq!(host.message().value::<u32>(), Ok(number));
    (call, b)
}

fn a_dropped_call_ends_what_was_made_for_it(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    for number in 1..4 {
        let (call, b) = lingering(&mut host, number);
        drop(call);
        assert_eq!(b.noted().last(), Some(&number));
        assert_eq!(host.puppet("a").tell(&Step::Noted), Outcome::Noted(vec![]), "and a is well");
    }
}

fn nobody_works_for_the_dead(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let (call, b) = lingering(&mut host, 7);
    host.witness("a").signal(Signal::KILL);
    assert_eq!(b.noted(), [7]);
    assert!(call.wait::<Outcome>().is_err());
}

fn a_call_that_waits_its_turn_is_answered_at_once(model: Model) {
    let mut host = Host::with(model, &["b"]);
    let b = host.puppet("b");
    let first = b.0.start(LINGER, message(&encoded(&1u32)), AMPLE);
    assert_eq!(host.message().value::<u32>(), Ok(1));
    let (second, third) =
        (b.0.start(NOTE, message(&encoded(&9u32)), AMPLE), b.0.start(ECHO, message(&encoded("x")), AMPLE));
    drop(second);
    while b.0.late_answers() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(first);
    third.wait().unwrap();
    assert_eq!(b.noted(), [1], "the second was never served");
    assert_eq!(b.0.late_answers(), 2);
}

fn a_detached_call_is_served_whatever_is_dropped(model: Model) {
    let mut host = Host::with(model, &["b"]);
    let b = host.puppet("b");
    for round in 1..20u32 {
        let first = b.0.start(LINGER, message(&encoded(&round)), AMPLE);
        assert_eq!(host.message().value::<u32>(), Ok(round));
        let (second, third) = (
            b.0.start(NOTE, message(&encoded(&(100 + round))), AMPLE),
            b.0.start(NOTE, message(&encoded(&0u32)), AMPLE),
        );
        second.detach();
        drop((third, first));
        assert_eq!(b.noted().last(), Some(&(100 + round)), "the third was never served");
    }
}

fn the_host_hears_that_nobody_waits(model: Model) {
    let mut host = Host::with(model, &["a"]);
    let a = host.puppet("a");
    let link = a.open(HOST);
    let brief = Duration::from_millis(40);
    let step = Step::Call { link, rpc: ECHO.0, payloads: vec![vec![1], vec![2]], within: brief };
    let told = a.start(&step);
    let taken = host.message();
    assert_eq!(taken.time_left().map(|left| left <= brief), Some(true));
    while !taken.is_cancelled() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(told.wait::<Outcome>(), Ok(Outcome::Replies(vec![Err("Deadline".to_owned()); 2])));
    taken.fail(cloison_broker::msg::Failure::NoSuchMethod);
    // The second was not taken before it was given up, so the next that comes is this one.
    assert_eq!(a.notes(link, 5, 1), (1, None));
    assert_eq!(host.message().rpc(), NOTE);
    // All places are free again.
    let payloads = vec![vec![0]; 40];
    let many = a.start(&Step::Call { link, rpc: ECHO.0, payloads, within: Duration::from_millis(5) });
    assert!(matches!(many.wait::<Outcome>(), Ok(Outcome::Replies(all)) if all.len() == 40));
    let last = a.start(&Step::Call { link, rpc: ECHO.0, payloads: vec![vec![3]], within: AMPLE });
    let call = loop {
        let call = host.message();
        if !call.is_cancelled() {
            break call;
        }
    };
    call.reply(message(b"heard"));
    assert!(matches!(last.wait::<Outcome>(), Ok(Outcome::Replies(replies)) if replies[0].is_ok()));
}

fn a_ticket_is_given_up_by_name(model: Model) {
    let mut host = Host::with(model, &["b"]);
    let b = host.puppet("b");
    for ticket in 1..3 {
        b.0.post(LINGER, message(&encoded(&1u32)), AMPLE, ticket);
    }
    assert_eq!(host.message().value::<u32>(), Ok(1));
    b.0.cancel(2);
    b.0.cancel(1);
    for expected in [2, 1] {
        let outcome = host.hear("an outcome", |item| match item {
            cloison_broker::Item::Outcome(ticket, outcome) => Some((ticket, outcome.unwrap_err().why)),
            _ => None,
        });
        assert_eq!(outcome, (expected, cloison_broker::msg::CallFailure::Cancelled));
    }
    assert_eq!(b.noted(), [1]);
}
