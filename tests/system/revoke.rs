//! Links that are taken back.

use std::time::{Duration, Instant};

use cloison_broker::msg::{CallFailure, Gone};
use cloison_broker::{Item, Model};

use crate::case::{Case, both, module, once, thrice};
use crate::host::{AMPLE, Host, delegable, message};
use crate::watch::eventually;
use crate::words::{ECHO, NAP, Outcome, Step, encoded, monotonic};

pub fn cases() -> Vec<Case> {
    module(
        "revoke",
        vec![
            thrice("after_the_acknowledgement_nothing_is_delivered", after_the_acknowledgement_nothing_is_delivered),
            both("what_lies_unread_is_not_delivered", what_lies_unread_is_not_delivered),
            once("what_lies_unread_in_the_inbox_is_not_delivered", what_lies_unread_in_the_inbox_is_not_delivered),
            thrice("a_revoked_link_is_gone_at_both_ends", a_revoked_link_is_gone_at_both_ends),
            once("who_does_not_release_is_evicted", who_does_not_release_is_evicted),
        ],
    )
}

fn after_the_acknowledgement_nothing_is_delivered(model: Model) {
    let host = Host::new(model, delegable);
    let [a, b] = ["a", "b"].map(|role| {
        host.spawn(role);
        host.puppet(role)
    });
    let (mut to_ack, mut to_failure) = (Vec::new(), Vec::new());
    for round in 0..10 {
        let link = a.open("b");
        let stream = a.start(&Step::Stream { link, from: 0, lasting: AMPLE });
        let before = b.served();
        eventually("it runs", || (b.served() > before + 50).then_some(()));
        let start = (Instant::now(), monotonic());
        host.broker.link(host.view("a", "b").id).revoke().wait();
        to_ack.push(start.0.elapsed());
        let served = b.served();
        let Outcome::Streamed(_, stop, when) = stream.wait().unwrap() else { panic!("no stream") };
        assert_eq!(stop, Some(format!("{:?}", CallFailure::Gone(Gone::Revoked))), "in round {round}");
        to_failure.push(Duration::from_nanos(when - start.1));
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(b.served(), served, "something was delivered after the acknowledgement");
    }
    to_ack.sort();
    to_failure.sort();
    println!("{model:?}: {:?} to the acknowledgement, {:?} to the next failure (medians)", to_ack[5], to_failure[5]);
}

fn what_lies_unread_is_not_delivered(model: Model) {
    let host = Host::new(model, delegable);
    let [a, b] = ["a", "b"].map(|role| {
        host.spawn(role);
        host.puppet(role)
    });
    let link = a.open("b");
    let napping = b.0.start(NAP, message(&encoded(&400u64)), AMPLE);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(a.notes(link, 0, 40), (40, None));
    let start = Instant::now();
    host.broker.link(host.view("a", "b").id).revoke().wait();
    assert!(start.elapsed() > Duration::from_millis(100), "b was asleep: {:?}", start.elapsed());
    assert!(napping.wait().is_ok());
    // Over the broker they came before the word that the link was taken back, and may have been served before it; never
    // after it.
    let noted = b.noted();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(b.noted(), noted);
    if model == Model::Orchestrator {
        assert_eq!(noted, [0u32; 0]);
    }
}

fn what_lies_unread_in_the_inbox_is_not_delivered() {
    let mut host = Host::new(Model::Broker, delegable);
    host.spawn("a");
    let a = host.puppet("a");
    let link = a.open("host");
    assert_eq!(a.notes(link, 0, 20), (20, None));
    // A call of the host's own is answered, and its outcome waits in the inbox.
    let own = host.broker.open("a", &crate::words::PEER).unwrap();
    own.post(ECHO, message(&encoded("answered")), AMPLE, 7);
    let other = host.broker.open("a", &crate::words::PEER).unwrap();
    assert!(other.call(ECHO, message(&encoded("well"))).is_ok());
    let waiting = own.start(ECHO, message(&encoded("answered")), AMPLE);
    assert!(other.call(ECHO, message(&encoded("well"))).is_ok());
    for view in host.broker.links() {
        // All but the reins of the puppet.
        let is_rein = view.id == host.broker.explain("host", "a")[0].id;
        if !is_rein && view.id != host.broker.explain("host", "a").last().unwrap().id {
            host.broker.link(view.id).revoke().wait();
        }
    }
    let mut gone = 0;
    let mut outcomes = Vec::new();
    while let Some(item) = host.inbox.next_within(Duration::from_millis(100)) {
        match item {
            Item::Message(message) => panic!("delivered: {message:?}"),
            Item::Outcome(7, outcome) => outcomes.push(outcome.map(drop).unwrap_err().why),
            Item::LinkGone { why, .. } => {
                assert_eq!(why, Gone::Revoked);
                gone += 1;
            }
            _ => {}
        }
    }
    assert_eq!((gone, outcomes), (2, vec![CallFailure::Gone(Gone::Revoked)]));
    assert_eq!(waiting.wait().map(drop).unwrap_err().why, CallFailure::Gone(Gone::Revoked));
    assert_eq!(own.call(ECHO, message(&[])).unwrap_err().why, CallFailure::Gone(Gone::Closed));
}

fn a_revoked_link_is_gone_at_both_ends(model: Model) {
    let host = Host::new(model, delegable);
    let [a, b] = ["a", "b"].map(|role| {
        host.spawn(role);
        host.puppet(role)
    });
    let (link, other) = (a.open("b"), b.open("a"));
    let call = a.start(&Step::Call { link, rpc: NAP.0, payloads: vec![encoded(&200u64); 3], within: AMPLE });
    std::thread::sleep(Duration::from_millis(50));
    let handle = host.broker.link(host.view("a", "b").id);
    handle.revoke().wait();
    assert!(handle.view().is_none());
    let revoked = format!("{:?}", CallFailure::Gone(Gone::Revoked));
    let Outcome::Replies(replies) = call.wait().unwrap() else { panic!("no replies") };
    assert!(replies.iter().all(|reply| *reply == Err(revoked.clone())), "{replies:?}");
    assert_eq!(a.gone(link), Some("Revoked".to_owned()));
    assert_eq!(b.call(other, ECHO, encoded("well")), Ok(encoded("well")));
    // Once more, and of what never was: nothing to wait for.
    handle.revoke().wait();
}

/// It stands still, so that it confirms nothing: after the acknowledgement nothing is delivered all the same.
fn who_does_not_release_is_evicted() {
    let mut host = Host::new(Model::Orchestrator, delegable);
    let [a, _] = ["a", "b"].map(|role| {
        host.spawn(role);
        host.puppet(role)
    });
    let link = a.open("b");
    assert_eq!(a.call(link, ECHO, encoded("well")), Ok(encoded("well")));
    host.freeze("b");
    let start = Instant::now();
    host.broker.link(host.view("a", "b").id).revoke().wait();
    assert!(start.elapsed() >= cloison_broker::RELEASE_WITHIN);
    let (death, _) = host.death("b");
    assert!(death.to_string().contains("not confirmed in time"), "{death}");
    assert_eq!(a.gone(link), Some("Revoked".to_owned()));
}
