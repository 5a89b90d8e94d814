//! What makes the two models interchangeable: each body runs under both, and sees the same.

use std::time::{Duration, Instant};

use cloison_broker::msg::{
    CALLS_IN_FLIGHT, CallFailure, DescriptorClasses, Failure, Gone, HEADER_LEN, Message, PAYLOAD_MAX, Rights,
    RightsFlags, RpcIndex, RpcSet, Time, WINDOW_MESSAGES,
};
use cloison_broker::{Ask, Grant, HOST, Item, Model, WorkerEvent};

use rustix::process::Signal;

use crate::case::{Case, both, module, thrice};
use crate::host::{AMPLE, Host, Puppet, anything_goes, message, saying};
use crate::words::{
    ABSENT, ADD, DESCRIPTOR, DO, ECHO, End, FAIL, NAP, NOTE, Outcome, PEER, Step, VISIT, decoded, encoded, monotonic,
};

pub fn cases() -> Vec<Case> {
    module(
        "contract",
        vec![
            thrice("calls_bring_replies_or_typed_errors", calls_bring_replies_or_typed_errors),
            thrice("deadlines_end_calls_and_are_inherited", deadlines_end_calls_and_are_inherited),
            thrice("order_holds_on_each_link", order_holds_on_each_link),
            thrice("windows_are_the_same_size", windows_are_the_same_size),
            thrice("calls_nest_through_three_workers", calls_nest_through_three_workers),
            thrice("what_rights_leave_out_is_denied", what_rights_leave_out_is_denied),
            thrice("rights_that_guard_others_are_kept", rights_that_guard_others_are_kept),
            thrice("what_the_policy_does_not_grant_is_not_there", what_the_policy_does_not_grant_is_not_there),
            thrice("a_crash_ends_each_call_once", a_crash_ends_each_call_once),
            thrice("payloads_up_to_the_limit_travel", payloads_up_to_the_limit_travel),
            thrice("a_closed_link_is_closed_at_both_ends", a_closed_link_is_closed_at_both_ends),
            thrice("the_host_serves", the_host_serves),
            thrice("the_host_takes_more_than_a_window", the_host_takes_more_than_a_window),
            both("only_relayed_links_need_the_router", only_relayed_links_need_the_router),
        ],
    )
}

fn numbers(a: u32, b: u32) -> Vec<u8> {
    [encoded(&a), encoded(&b)].concat()
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

/// For how long a link to `b-soon` may be used.
const EXPIRES_AFTER: Duration = Duration::from_secs(2);

/// What each role may be used for: links to `b-…` are granted as the name says.
fn by_name(ask: &Ask<'_>) -> Option<Grant> {
    let all = Rights::methods(PEER.all());
    let once = RpcSet::NONE.with(ADD);
    let rights = match ask.to.as_str() {
        "b-echo" => Rights::methods(RpcSet::NONE.with(ECHO)),
        "b-calls" => Rights { flags: RightsFlags::CALL, ..all },
        "b-oneways" => Rights { flags: RightsFlags::ONEWAY, ..all },
        "b-three" => Rights { uses: Some(3), ..all },
        "b-once" => Rights { once, ..all },
        "b-never" => Rights { expires: Some(Time(1)), ..all },
        "b-soon" => Rights { expires: Some(Time(monotonic()).after(EXPIRES_AFTER)), ..all },
        "b-pipes" => all.passing(DescriptorClasses::PIPE),
        _ => return anything_goes(ask),
    };
    // The host itself is not to be kept out.
    let rights = if ask.from.as_str() == HOST { Rights::methods(PEER.all()) } else { rights };
    Some(Grant { rights, back: Rights::default() })
}

fn what_rights_leave_out_is_denied(model: Model) {
    let host = Host::new(model, by_name);
    for role in ["a", "b-echo", "b-calls", "b-oneways", "b"] {
        host.spawn(role);
    }
    let a = host.puppet("a");
    let [echo, calls, oneways, plain] = ["b-echo", "b-calls", "b-oneways", "b"].map(|role| a.open(role));
    let fine = Ok(encoded("fine"));

    assert_eq!(a.call(echo, ECHO, encoded("fine")), fine);
    assert_eq!(a.call(echo, ADD, numbers(1, 1)), Err("Failed(Denied(Method))".into()));
    assert_eq!(a.call(echo, RpcIndex(40), vec![]), Err("Failed(Denied(Method))".into()));
    assert_eq!(a.call(echo, RpcIndex(u16::MAX), vec![]), Err("Failed(Denied(Method))".into()));
    // Nobody answers a oneway, so a denied one vanishes; but not the room it took, however many there are.
    assert_eq!(a.notes(echo, 0, 300), (300, None));
    assert_eq!(a.call(echo, ECHO, encoded("fine")), fine);

    assert_eq!(a.call(calls, NOTE, encoded(&1u32)), Ok(vec![]));
    assert_eq!(a.notes(calls, 2, 100), (100, None));
    assert_eq!(a.call(calls, ECHO, encoded("fine")), fine);

    assert_eq!(a.notes(oneways, 3, 2), (2, None));
    for _ in 0..2 * CALLS_IN_FLIGHT {
        assert_eq!(a.call(oneways, ECHO, encoded("no")), Err("Failed(Denied(Kind))".into()));
    }
    assert_eq!(a.call(plain, DESCRIPTOR, vec![]), Err("Failed(Denied(Descriptor))".into()));

    let noted = ["b-echo", "b-calls", "b-oneways"].map(|role| host.puppet(role).noted());
    assert_eq!(noted, [vec![], vec![1], vec![3, 4]]);
    // Back is another direction, with rights of its own: here none. The asked side answers, and does nothing else.
    let back = host.puppet("b-echo");
    assert!(back.try_open("a", "peer").is_ok(), "a link of its own is another grant");
}

fn rights_that_guard_others_are_kept(model: Model) {
    let host = Host::new(model, by_name);
    for role in ["a", "b-three", "b-once", "b-never", "b-soon", "b-pipes"] {
        host.spawn(role);
    }
    let a = host.puppet("a");
    let soon = a.open("b-soon");
    assert_eq!(a.call(soon, ADD, numbers(1, 1)), Ok(encoded(&2u32)));
    let granted = Instant::now();

    let three = a.open("b-three");
    let mut answers: Vec<_> = (0..5).map(|_| a.call(three, ADD, numbers(1, 1))).collect();
    assert_eq!(answers.split_off(3), vec![Err("Failed(Denied(Exhausted))".to_owned()); 2]);
    assert_eq!(answers, vec![Ok(encoded(&2u32)); 3]);

    let once = a.open("b-once");
    assert_eq!(a.call(once, ADD, numbers(1, 1)), Ok(encoded(&2u32)));
    assert_eq!(a.call(once, ADD, numbers(1, 1)), Err("Failed(Denied(Spent))".into()));
    assert_eq!(a.call(once, ECHO, encoded("other methods go on")), Ok(encoded("other methods go on")));

    let never = a.open("b-never");
    assert_eq!(a.call(never, ADD, numbers(1, 1)), Err("Failed(Denied(Expired))".into()));

    let pipes = a.open("b-pipes");
    let class = a.call(pipes, DESCRIPTOR, vec![]).unwrap();
    assert_eq!(decoded::<DescriptorClasses>(&class), DescriptorClasses::PIPE);

    std::thread::sleep((EXPIRES_AFTER + Duration::from_millis(20)).saturating_sub(granted.elapsed()));
    assert_eq!(a.call(soon, ADD, numbers(1, 1)), Err("Failed(Denied(Expired))".into()));
}

fn what_the_policy_does_not_grant_is_not_there(model: Model) {
    let policy = |ask: &Ask<'_>| {
        let granted = ask.from.as_str() == HOST || (ask.from.as_str() == "a" && ask.to.as_str() == "b");
        granted.then(|| anything_goes(ask)).flatten()
    };
    let host = Host::new(model, policy);
    for role in ["a", "b", "c"] {
        host.spawn(role);
    }
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    assert!(a.try_open("b", "peer").is_ok());
    let not_found = Err("NotFound".to_owned());
    assert_eq!(a.try_open("b", "other"), not_found, "another interface");
    assert_eq!(a.try_open("c", "peer"), not_found, "another role");
    assert_eq!(b.try_open("a", "peer"), not_found, "the other way round");
    assert_eq!(a.try_open("a", "peer"), not_found, "oneself");
    assert_eq!(a.try_open("host", "peer"), not_found, "the host");
    assert_eq!(a.try_open("nobody", "peer"), not_found, "a role that is not");
    let unknown = host.broker.open("nobody", &PEER).unwrap_err();
    assert_eq!(unknown.why, cloison_broker::msg::Refusal::NotFound);
}

fn a_crash_ends_each_call_once(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let a = host.puppet("a");
    let ends = [
        (Some(End::Abort), "killed by SIGABRT"),
        (Some(End::Exit(42)), "exit code 42"),
        (Some(End::Panic), "exit code 101"),
        (Some(End::Forbidden), "forbidden system call socket"),
        (None, "killed by the host: it is time"),
    ];
    for (end, said) in ends {
        let b = host.puppet("b");
        let link = a.open("b");
        let payloads = vec![encoded(&20_000u64); 4];
        // The first call naps, so that all four are pending when b is told to end; b hears of that when it wakes, or
        // is killed before.
        let pending = a.start(&Step::Call { link, rpc: NAP.0, payloads, within: AMPLE });
        let crashed = Gone::Crashed(said.into());
        let own = end.map(|end| b.start(&Step::End(end)));
        if let Some(own) = own {
            // It never comes to that: the nap is longer than the test. So the nap is cut short by a second process.
            drop(own);
            drop(pending);
            host.broker.kill("b", "never mind");
            host.death("b");
            host.restarted("b");
            let b = host.puppet("b");
            let link = a.open("b");
            let dying = b.start(&Step::End(end.unwrap()));
            let answers = a.calls(link, ECHO, vec![encoded("?"); 4], AMPLE);
            assert_eq!(dying.wait::<Outcome>().unwrap_err(), CallFailure::from(crashed.clone()));
            for answer in answers {
                assert_eq!(answer, Err(format!("{:?}", CallFailure::from(crashed.clone()))));
            }
        } else {
            assert!(host.broker.kill("b", "it is time"));
            let expected = vec![Err(format!("{:?}", CallFailure::from(crashed))); 4];
            assert_eq!(pending.wait::<Outcome>().unwrap(), Outcome::Replies(expected));
        }
        let (death, _) = host.death("b");
        assert_eq!(death.to_string(), said);
        host.restarted("b");
    }
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

fn a_closed_link_is_closed_at_both_ends(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let (link, other) = (a.open("b"), a.open("b"));
    let back = b.open("a");
    assert_eq!(a.notes(link, 1, 10), (10, None));
    assert_eq!(a.tell(&Step::Close(link)), Outcome::Done);
    let closed = format!("{:?}", Gone::Closed);
    assert_eq!(a.tell(&Step::Gone(link)), Outcome::Gone(Some(closed.clone())));
    assert_eq!(a.call(link, ECHO, vec![0]), Err(format!("{:?}", CallFailure::Gone(Gone::Closed))));
    assert_eq!(a.call(other, ECHO, encoded("another link goes on")), Ok(encoded("another link goes on")));
    // The host's link to b is another one, and nothing is promised about order across links.
    crate::watch::eventually("what was sent before the end arrives", || (b.noted().len() == 10).then_some(()));
    assert_eq!(b.tell(&Step::Close(back)), Outcome::Done);
    // The host's end.
    let own = host.puppet("b").0;
    let name = own.name();
    let pending = own.start(NAP, saying(&5u64), AMPLE);
    own.clone().close();
    assert!(matches!(pending.wait().map(drop), Err(error) if error.why == CallFailure::Gone(Gone::Closed)));
    assert_eq!(own.call(ECHO, message(&[0])).unwrap_err().why, CallFailure::Gone(Gone::Closed));
    // And a worker that leaves tells everybody.
    let own = host.puppet("b").0;
    assert_ne!(own.name(), name, "names are not used again");
    assert!(host.broker.stop("b"));
    host.hear("the end of the link", |item| match item {
        Item::LinkGone { link, why, .. } if link == own.name() => {
            assert_eq!(why, Gone::Closed);
            Some(())
        }
        Item::Worker(WorkerEvent::Died { .. }) => panic!("b was asked to end"),
        _ => None,
    });
    assert_eq!(a.tell(&Step::Gone(other)), Outcome::Gone(Some(closed)));
    let gone = a.try_open("b", "peer").unwrap_err();
    assert_eq!(gone, "PeerGone(Closed)");
}

/// The puppet's own link to the host, opened by the puppet.
fn to_host(puppet: &Puppet) -> usize {
    puppet.open(HOST)
}

fn the_host_serves(model: Model) {
    let mut host = Host::with(model, &["a"]);
    let a = host.puppet("a");
    let link = to_host(&a);
    let step = |rpc: RpcIndex| Step::Call { link, rpc: rpc.0, payloads: vec![encoded("x")], within: AMPLE };

    let waiting = a.start(&step(ECHO));
    let mut call = host.message();
    assert_eq!((call.rpc(), call.peer().as_str(), call.is_call()), (ECHO, "a", true));
    let text = call.reader().recv::<String>().unwrap();
    call.reply(saying(&format!("{text}!")));
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Ok(encoded("x!"))]));

    let waiting = a.start(&step(ADD));
    host.message().fail(Failure::NoSuchMethod);
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Err("Failed(NoSuchMethod)".into())]));

    let waiting = a.start(&step(ADD));
    drop(host.message());
    let unanswered = r#"Failed(Unanswerable("the host did not answer"))"#.to_owned();
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Err(unanswered)]));

    // The host calls back over the link it was called by, while the caller waits.
    let waiting = a.start(&step(ECHO));
    let call = host.message();
    let back = call.link().start(ADD, message(&numbers(1, 2)), Duration::from_millis(500)).wait();
    call.reply(saying(&"y"));
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Ok(encoded("y"))]));
    // It is another chain: served before or after, but never in the way.
    if let Ok(mut back) = back {
        assert_eq!(back.reader().recv::<u32>(), Ok(3));
    }
}

fn the_host_takes_more_than_a_window(model: Model) {
    let mut host = Host::with(model, &["a"]);
    let a = host.puppet("a");
    let link = to_host(&a);
    let count = 1000;
    let sending = a.start(&Step::Notes { link, from: 0, count, bytes: 1000, within: AMPLE });
    for expected in 0..count {
        let mut note = host.message();
        assert_eq!(note.reader().recv::<u32>(), Ok(expected));
    }
    assert_eq!(sending.wait::<Outcome>().unwrap(), Outcome::Sent(count, None));
    for i in 0..200u32 {
        let step = Step::Call { link, rpc: ADD.0, payloads: vec![encoded(&i)], within: AMPLE };
        let waiting = a.start(&step);
        let mut call = host.message();
        let value = call.reader().recv::<u32>().unwrap();
        call.reply(saying(&value));
        assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Replies(vec![Ok(encoded(&i))]));
    }
    // A host that does not take what comes slows its sender down, at the window's end.
    let brief = Duration::from_millis(60);
    let (sent, stop) = a.sent(&Step::Notes { link, from: 0, count, bytes: 0, within: brief });
    assert_eq!(stop.as_deref(), Some("Overloaded"));
    assert!(u64::from(sent) <= WINDOW_MESSAGES && sent >= 32, "{sent}");
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
