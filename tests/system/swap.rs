//! Routes that change while links are in use.

use std::time::{Duration, Instant};

use cloison_broker::msg::{Gone, Rights, Route};
use cloison_broker::router::Violation;
use cloison_broker::{Death, Model, SWITCH_WITHIN, WhyRelayed};

use crate::case::{Case, module, once};
use crate::host::{AMPLE, Host, Random, anything_goes};
use crate::raw::RawStep;
use crate::watch::eventually;
use crate::words::{ECHO, Outcome, PEER, ROUND, Step, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "swap",
        vec![
            once("nothing_is_lost_doubled_or_reordered", nothing_is_lost_doubled_or_reordered),
            once("one_link_changes_alone", one_link_changes_alone),
            once("rights_that_protect_others_keep_a_link_relayed", rights_that_protect_others_keep_a_link_relayed),
            once("who_does_not_cooperate_is_evicted_alone", who_does_not_cooperate_is_evicted_alone),
            once("a_sender_that_dies_in_mid_switch_leaves_a_prefix", a_sender_that_dies_in_mid_switch_leaves_a_prefix),
            once("a_receiver_that_dies_in_mid_switch_ends_each_call_once", a_receiver_that_dies_in_mid_switch),
        ],
    )
}

fn nothing_is_lost_doubled_or_reordered() {
    let host = Host::with(Model::Broker, &["a", "b", "c"]);
    let [a, b, c] = ["a", "b", "c"].map(|role| host.puppet(role));
    let links = [a.open("b"), c.open("b")];
    let lasting = Duration::from_millis(1500);
    let streams = [(&a, links[0], 0), (&c, links[1], ROUND)]
        .map(|(one, link, from)| one.start(&Step::Stream { link, from, lasting }));
    let (start, mut flips, mut random) = (Instant::now(), 0, Random(7));
    while start.elapsed() < lasting {
        for model in [Model::Orchestrator, Model::Broker] {
            host.broker.set_model(model).wait();
            flips += 1;
            std::thread::sleep(Duration::from_micros(random.below(2000)));
        }
    }
    let ends = streams.map(|stream| match stream.wait().unwrap() {
        Outcome::Streamed(end, stop, _) => {
            assert_eq!(stop, None);
            end
        }
        other => panic!("{other:?}"),
    });
    // A call behind all of it, on the same link: once that is answered, all was taken.
    assert_eq!(a.call(links[0], ECHO, encoded("all?")), Ok(encoded("all?")));
    assert_eq!(c.call(links[1], ECHO, encoded("all?")), Ok(encoded("all?")));
    println!("{flips} flips while {} messages passed", ends[0] + ends[1] - ROUND);
    assert!(flips >= 10 && ends[0] > 100 && ends[1] > ROUND + 100, "{flips} flips, {ends:?}");
    assert_eq!((b.runs(0), b.runs(1)), (vec![(0, ends[0])], vec![(ROUND, ends[1] - ROUND)]), "each once, in order");
}

fn one_link_changes_alone() {
    let host = Host::with(Model::Broker, &["a", "b", "c"]);
    let a = host.puppet("a");
    let (to_b, to_c) = (a.open("b"), a.open("c"));
    let link = host.broker.link(host.view("a", "b").id);
    for route in [Some(Route::Direct), Some(Route::Relayed), Some(Route::Direct), None] {
        link.set_route(route).wait();
        let view = link.view().unwrap();
        assert_eq!((view.route, view.changing), (route.unwrap_or(Route::Relayed), false), "{view}");
        assert_eq!(host.view("a", "c").route, Route::Relayed);
        for link in [to_b, to_c] {
            assert_eq!(a.call(link, ECHO, encoded("well")), Ok(encoded("well")));
        }
    }
    // The host's wish is above the model.
    host.broker.set_model(Model::Orchestrator).wait();
    link.set_route(Some(Route::Relayed)).wait();
    assert_eq!((link.view().unwrap().route, host.view("a", "c").route), (Route::Relayed, Route::Direct));
    assert_eq!(link.view().unwrap().why_relayed, Some(WhyRelayed::Wish));
    a.tell(&Step::Close(to_b));
    eventually("the link has ended", || link.view().is_none().then_some(()));
    link.set_route(Some(Route::Direct)).wait();
}

fn rights_that_protect_others_keep_a_link_relayed() {
    let counted = |ask: &cloison_broker::Ask<'_>| {
        let mut grant = anything_goes(ask)?;
        if ask.to.as_str() == "b" && ask.from.as_str() == "a" {
            grant.rights = Rights::methods(PEER.all()).for_uses(1000);
        }
        Some(grant)
    };
    let host = Host::new(Model::Orchestrator, counted);
    for role in ["a", "b"] {
        host.spawn(role);
    }
    let a = host.puppet("a");
    let link = a.open("b");
    let handle = host.broker.link(host.view("a", "b").id);
    handle.set_route(Some(Route::Direct)).wait();
    let view = handle.view().unwrap();
    assert_eq!(view.route, Route::Relayed);
    assert!(view.to_string().contains("only the broker can count uses"), "{view}");
    assert_eq!(a.call(link, ECHO, encoded("well")), Ok(encoded("well")));
}

/// One that ignores what the broker says, and one that is not even scheduled.
fn who_does_not_cooperate_is_evicted_alone() {
    let mut host = Host::with(Model::Broker, &["a", "b", "c", "raw"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let (to_b, to_c, to_raw) = (a.open("b"), a.open("c"), a.open("raw"));
    host.attacker("raw").tell(&RawStep::Cooperate(false));
    host.freeze("c");
    let trips = a.start(&Step::RoundTrips { link: to_b, lasting: SWITCH_WITHIN + Duration::from_secs(1) });
    let start = Instant::now();
    let change = host.broker.set_model(Model::Orchestrator);
    eventually("the link of the others changes", || (host.view("a", "b").route == Route::Direct).then_some(()));
    change.wait();
    assert!(start.elapsed() >= SWITCH_WITHIN, "{:?}", start.elapsed());
    let mut evicted = Vec::new();
    for _ in 0..2 {
        evicted.push(host.hear("two evictions", |item| match item {
            cloison_broker::Item::Worker(cloison_broker::WorkerEvent::Died { role, death, .. }) => {
                assert!(matches!(death, Death::Evicted(Violation::Late(_))), "{role}: {death}");
                Some(role.to_string())
            }
            _ => None,
        }));
    }
    evicted.sort();
    assert_eq!(evicted, ["c", "raw"]);
    let Outcome::RoundTrips(trips) = trips.wait().unwrap() else { panic!("no round trips") };
    assert_eq!(trips.stopped_by, None);
    assert!(trips.slowest < Duration::from_secs(2), "{:?}", trips.slowest);
    for link in [to_c, to_raw] {
        assert!(a.gone(link).is_some_and(|why| why.starts_with("Evicted(")));
    }
    assert!(b.served() > 0);
}

fn a_sender_that_dies_in_mid_switch_leaves_a_prefix() {
    let mut host = Host::with(Model::Broker, &["a", "b"]);
    let b = host.puppet("b");
    let mut random = Random(11);
    for round in 1..=8 {
        let a = host.puppet("a");
        let link = a.open("b");
        let stream = a.start(&Step::Stream { link, from: round * ROUND, lasting: AMPLE });
        eventually("it has begun", || (!b.runs(round).is_empty()).then_some(()));
        drop(host.broker.set_model(if round % 2 == 1 { Model::Orchestrator } else { Model::Broker }));
        std::thread::sleep(Duration::from_micros(random.below(1500)));
        host.broker.kill("a", "the test says so");
        host.death("a");
        assert!(stream.wait::<Outcome>().is_err());
        host.restarted("a");
        let mut seen = b.runs(round);
        eventually("it does not change any more", || {
            std::thread::sleep(Duration::from_millis(20));
            let now = b.runs(round);
            (std::mem::replace(&mut seen, now.clone()) == now).then_some(())
        });
        assert!(
            matches!(seen[..], [(first, _)] if first == round * ROUND),
            "a prefix, each once and in order: {seen:?}"
        );
    }
}

fn a_receiver_that_dies_in_mid_switch() {
    let mut host = Host::with(Model::Broker, &["a", "b"]);
    let a = host.puppet("a");
    let mut random = Random(13);
    for round in 1..=8 {
        let link = a.open("b");
        let stream = a.start(&Step::Stream { link, from: 0, lasting: AMPLE });
        std::thread::sleep(Duration::from_millis(5));
        drop(host.broker.set_model(if round % 2 == 1 { Model::Orchestrator } else { Model::Broker }));
        std::thread::sleep(Duration::from_micros(random.below(1500)));
        host.broker.kill("b", "the test says so");
        host.death("b");
        let crashed = Gone::Crashed("killed by the host: the test says so".into());
        let Outcome::Streamed(_, stop, _) = stream.wait().unwrap() else { panic!("no stream") };
        assert_eq!(stop, Some(format!("PeerRestarted({crashed:?})")));
        assert_eq!(a.gone(link), Some(format!("{crashed:?}")));
        host.restarted("b");
        let again = a.open("b");
        assert_eq!(a.call(again, ECHO, encoded("well")), Ok(encoded("well")));
    }
}
