//! Calls and oneways between workers: answers, order, windows, nesting.

use std::time::{Duration, Instant};

use cloison_broker::Model;
use cloison_broker::msg::{CALLS_IN_FLIGHT, CallFailure, Failure, HEADER_LEN, Message, PAYLOAD_MAX, WINDOW_MESSAGES};
use rustix::process::Signal;

use crate::case::{Case, both, thrice};
use crate::host::{AMPLE, Host, message, saying};
use crate::words::{
    ABSENT, ADD, DO, ECHO, FAIL, NAP, NOTE, Outcome, Step, VISIT, decoded, encoded, monotonic, numbers,
};

pub fn cases() -> Vec<Case> {
    [
        thrice("calls_bring_replies_or_typed_errors", calls_bring_replies_or_typed_errors),
        thrice("deadlines_end_calls_and_are_inherited", deadlines_end_calls_and_are_inherited),
        thrice("order_holds_on_each_link", order_holds_on_each_link),
        thrice("windows_are_the_same_size", windows_are_the_same_size),
        thrice("calls_nest_through_three_workers", calls_nest_through_three_workers),
        thrice("payloads_up_to_the_limit_travel", payloads_up_to_the_limit_travel),
        both("only_relayed_links_need_the_router", only_relayed_links_need_the_router),
    ]
    .concat()
}

fn calls_bring_replies_or_typed_errors(model: Model) {
    let host = Host::with(model, &["a", "b"]);
    let a = host.puppet("a");
    let link = a.open("b");
    assert_eq!(a.call(link, ADD, numbers(2, 3)), Ok(encoded(&5u32)));
    assert_eq!(a.call(link, ECHO, encoded("both ways")), Ok(encoded("both ways")));
    let failure = |rpc, payload| a.call(link, rpc, payload).unwrap_err();
    assert_eq!(failure(FAIL, vec![]), r#"Failed(Remote { code: 7, text: "as asked" })"#);
    assert_eq!(failure(ABSENT, vec![]), "Failed(NoSuchMethod)");
    assert_eq!(failure(ADD, vec![]), r#"Failed(Undecodable("the payload holds no such value here"))"#);
    let left_over = [numbers(2, 3), vec![0, 0]].concat();
    assert_eq!(failure(ADD, left_over), r#"Failed(Undecodable("2 bytes of the payload were left over"))"#);
    // Several at once, each with its own answer, and the failures between them.
    let payloads = vec![numbers(1, 1), vec![], numbers(3, 3)];
    let answers = a.calls(link, ADD, payloads, AMPLE);
    assert_eq!((&answers[0], &answers[2]), (&Ok(encoded(&2u32)), &Ok(encoded(&6u32))));
    assert!(answers[1].is_err());
    // And from the host itself.
    let own = host.puppet("b").0;
    assert_eq!(
        decoded::<u32>(&encoded(&own.call(ADD, message(&numbers(4, 5))).unwrap().reader().recv::<u32>().unwrap())),
        9
    );
    let error = own.call(FAIL, Message::new()).unwrap_err();
    assert_eq!((error.peer.as_str(), error.rpc), ("b", FAIL));
    assert_eq!(error.why, CallFailure::Failed(Failure::remote(7, "as asked")));
}

fn deadlines_end_calls_and_are_inherited(model: Model) {
    let host = Host::with(model, &["a", "b"]);
    let a = host.puppet("a");
    let link = a.open("b");
    let nap = |millis: u64| encoded(&millis);
    let start = Instant::now();
    assert_eq!(a.calls(link, NAP, vec![nap(2000)], Duration::from_millis(50)), [Err("Deadline".to_owned())]);
    assert!(start.elapsed() < Duration::from_millis(1990), "{:?}", start.elapsed());
    assert_eq!(a.call(link, ECHO, encoded("late answers harm nobody")), Ok(encoded("late answers harm nobody")));
    // More than there are places for calls in flight: each place comes back with its late answer.
    for _ in 0..3 {
        let payloads = vec![nap(1); usize::from(CALLS_IN_FLIGHT)];
        let answers = a.calls(link, NAP, payloads, Duration::from_micros(300));
        assert!(
            answers.iter().all(|answer| answer.is_ok()
                || *answer == Err("Deadline".to_owned())
                || answer.as_ref().is_err_and(|why| why.contains("its deadline had passed") || why == "Overloaded")),
            "{answers:?}"
        );
        assert_eq!(a.call(link, ECHO, encoded("still")), Ok(encoded("still")));
    }
    // What the host leaves is what the inner call gets, whatever that asks for.
    let step = Step::Call { link, rpc: NAP.0, payloads: vec![nap(20_000)], within: AMPLE };
    let start = Instant::now();
    let inner = Outcome::Replies(vec![Err("Deadline".to_owned())]);
    match a.0.start(DO, saying(&step), Duration::from_millis(100)).wait() {
        Err(outer) => assert_eq!(outer.why, CallFailure::Deadline),
        // Both end at the same moment; the news of the inner end may just be in time.
        Ok(mut outer) => assert_eq!(outer.reader().recv::<Outcome>(), Ok(inner)),
    }
    assert!(start.elapsed() >= Duration::from_millis(99), "{:?}", start.elapsed());
    assert_eq!(a.tell(&Step::Noted), Outcome::Noted(vec![]));
    assert!(start.elapsed() < AMPLE / 3, "a waited on: {:?}", start.elapsed());
}

fn order_holds_on_each_link(model: Model) {
    let host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let links = [a.open("b"), a.open("b")];
    let mut expected = [vec![], vec![]];
    for round in 0..20u32 {
        for (i, &link) in links.iter().enumerate() {
            let from = (u32::try_from(i).unwrap() + 1) * 10_000 + round * 100;
            assert_eq!(a.notes(link, from, 7), (7, None));
            let calls = (7..9).map(|number| encoded(&(from + number))).collect();
            assert_eq!(a.calls(link, NOTE, calls, AMPLE), [Ok(vec![]), Ok(vec![])]);
            expected[i].extend(from..from + 9);
        }
    }
    let noted = b.noted();
    let of = |i: u32| noted.iter().copied().filter(|number| number / 10_000 == i).collect::<Vec<_>>();
    assert_eq!([of(1), of(2)], expected);
}

fn windows_are_the_same_size(model: Model) {
    let host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let (notes, bytes, calls) = (a.open("b"), a.open("b"), a.open("b"));
    let witness = host.witness("b");
    witness.stop();
    let brief = Duration::from_millis(60);
    let overloaded = Some("Overloaded".to_owned());
    let window = u32::try_from(WINDOW_MESSAGES).unwrap();
    let step = |link, count, bytes| Step::Notes { link, from: 0, count, bytes, within: brief };
    assert_eq!(a.sent(&step(notes, 1000, 0)), (window, overloaded.clone()));
    assert_eq!(a.sent(&step(notes, 1, 0)), (0, overloaded.clone()));
    // 128 KiB: two of 60,000 bytes, not three.
    assert_eq!(a.sent(&step(bytes, 10, 60_000)), (2, overloaded));
    let answers =
        a.calls(calls, ECHO, vec![encoded("x"); usize::from(CALLS_IN_FLIGHT) + 2], Duration::from_millis(300));
    let places = answers.iter().filter(|answer| **answer == Err("Deadline".to_owned())).count();
    assert_eq!(places, usize::from(CALLS_IN_FLIGHT), "{answers:?}");
    assert_eq!(answers.last(), Some(&Err("Overloaded".to_owned())));
    witness.signal(Signal::CONT);
    // As soon as it goes on, all of it is taken, and there is room again.
    for link in [notes, bytes, calls] {
        assert_eq!(a.call(link, ECHO, encoded("room")), Ok(encoded("room")));
    }
    assert_eq!(b.noted().len(), usize::try_from(WINDOW_MESSAGES).unwrap() + 2);
    assert_eq!(a.sent(&step(notes, 200, 3000)), (200, None));
}

fn calls_nest_through_three_workers(model: Model) {
    let host = Host::with(model, &["a", "b", "c"]);
    let a = host.puppet("a");
    let visit = |roles: &[&str]| -> Result<Vec<String>, CallFailure> {
        let mut reply = a.0.start(VISIT, saying(&roles), AMPLE).wait().map_err(|error| error.why)?;
        Ok(reply.reader().recv::<Vec<String>>().unwrap())
    };
    for path in [&["b"][..], &["b", "a"], &["b", "c", "a"], &["b", "c", "b", "a", "c", "b", "a"]] {
        let mut all = vec!["a"];
        all.extend(path);
        assert_eq!(visit(path).unwrap(), all);
    }
    let too_long: Vec<&str> = ["b", "c", "a"].into_iter().cycle().take(30).collect();
    let failure = visit(&too_long).unwrap_err();
    assert!(matches!(failure, CallFailure::Failed(Failure::WouldDeadlock(_))), "{failure:?}");
    assert_eq!(visit(&["b"]).unwrap(), ["a", "b"], "and all are well");
}

fn payloads_up_to_the_limit_travel(model: Model) {
    let host = Host::with(model, &["a", "b"]);
    let a = host.puppet("a");
    let link = a.open("b");
    // What the host tells a, and a tells the host, must fit too: the note carries the bytes only between a and b.
    let room = u32::try_from(PAYLOAD_MAX).unwrap();
    let exact = room - 1 - 3; // a one-byte number, three bytes of length
    let step = |bytes| Step::Notes { link, from: 0, count: 20, bytes, within: AMPLE };
    assert_eq!(a.sent(&step(exact)), (20, None));
    assert_eq!(a.call(link, ECHO, encoded("through")), Ok(encoded("through")));
    assert_eq!(host.puppet("b").noted().len(), 20);
    let mut longest = message(&vec![7; PAYLOAD_MAX - 8]);
    assert!(longest.append(&[0u8; 9]).is_err(), "the limit is {PAYLOAD_MAX}, with {HEADER_LEN} for the header");
}

fn only_relayed_links_need_the_router(model: Model) {
    let host = Host::with(model, &["a", "b"]);
    let a = host.puppet("a");
    let link = a.open("b");
    let trips = a.start(&Step::RoundTrips { link, lasting: Duration::from_millis(2500) });
    std::thread::sleep(Duration::from_millis(200));
    let standing = host.broker.suspend();
    let start = monotonic();
    std::thread::sleep(Duration::from_secs(1));
    let end = monotonic();
    drop(standing);
    let Outcome::RoundTrips(trips) = trips.wait().unwrap() else { panic!("no round trips") };
    assert_eq!(trips.stopped_by, None);
    let meanwhile = trips.between(start, end);
    match model {
        // At most the one whose answer was under way.
        Model::Broker => assert!(meanwhile <= 1, "{meanwhile} of {}", trips.count()),
        Model::Orchestrator => assert!(meanwhile > 20, "{meanwhile} of {}", trips.count()),
    }
}
