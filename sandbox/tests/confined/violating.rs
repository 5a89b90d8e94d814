//! Forbidden calls fail or kill, and the host hears of them by name.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use cloison_sandbox::{Consequence, Exit, Launch, LaunchError, Layer, Profile, Rule, Simulated, Standing};

use crate::host::{SOON, end, plan, start, tiers};

pub fn trials() -> Vec<(&'static str, fn())> {
    vec![
        ("an_unknown_call_fails_and_is_reported_once", an_unknown_call_fails_and_is_reported_once),
        ("a_flood_costs_the_worker_its_own_time", a_flood_costs_the_worker_its_own_time),
        ("a_hostile_call_kills_and_is_named", a_hostile_call_kills_and_is_named),
        ("a_second_thread_is_no_way_round", a_second_thread_is_no_way_round),
        ("what_a_worker_notes_comes_with_its_forbidden_call", what_a_worker_notes_comes_with_its_forbidden_call),
        ("nothing_is_missed_of_a_worker_that_ends_at_once", nothing_is_missed_of_a_worker_that_ends_at_once),
        ("abort_shows_as_abort", abort_shows_as_abort),
        ("threads_are_bounded", threads_are_bounded),
        ("a_learning_worker_shows_the_rules_it_needs", a_learning_worker_shows_the_rules_it_needs),
        ("hostile_calls_kill_a_learning_worker_too", hostile_calls_kill_a_learning_worker_too),
        ("nobody_learns_without_a_listener", nobody_learns_without_a_listener),
    ]
}

fn an_unknown_call_fails_and_is_reported_once() {
    for &tier in tiers() {
        let (child, mut channel) = start(plan("getppid", tier)).unwrap();
        let mut failed = [0; 4];
        channel.read_exact(&mut failed).unwrap();
        assert_eq!(u32::from_le_bytes(failed), 300, "{tier}");
        let violations = child.violations();
        let [one] = violations.calls() else { panic!("{violations:?}") };
        assert_eq!((one.call.as_str(), one.count, one.consequence), ("getppid", 300, Consequence::Failed(1)));
        assert_eq!(violations.more(), 0);
    }
}

fn a_flood_costs_the_worker_its_own_time() {
    let begun = Instant::now();
    let (child, mut channel) = start(plan("getppid", tiers()[0])).unwrap();
    channel.read_exact(&mut [0; 4]).unwrap();
    // 64 answers at once, then one every two milliseconds.
    assert!(begun.elapsed() > Duration::from_millis(200), "{:?}", begun.elapsed());
    assert_eq!(child.violations().calls().len(), 1);
}

fn a_hostile_call_kills_and_is_named() {
    for &tier in tiers() {
        let (child, _channel) = start(plan("connect", tier)).unwrap();
        let exit = end(child).exit;
        let Exit::ForbiddenCall { name, details } = &exit else { panic!("{exit}") };
        assert_eq!(name, "socket");
        assert!(details.starts_with("socket(AF_INET, "), "{details}");
        assert_eq!(exit.to_string(), "forbidden system call socket");
    }
}

fn a_second_thread_is_no_way_round() {
    for &tier in tiers() {
        let (child, _channel) = start(plan("other-thread", tier)).unwrap();
        assert_eq!(end(child).exit.to_string(), "forbidden system call socket", "{tier}");
    }
}

fn what_a_worker_notes_comes_with_its_forbidden_call() {
    for &tier in tiers() {
        let (mut child, mut channel) = start(plan("noting", tier)).unwrap();
        channel.write_all(b"!").unwrap();
        let ended = child.wait(SOON).unwrap().expect("the child ends");
        assert_eq!(ended.exit.to_string(), "forbidden system call socket", "{tier}");
        let violations = child.violations();
        let notes: Vec<_> = violations.calls().iter().map(|call| call.note.map(|note| (note[0], note[1]))).collect();
        assert_eq!(notes, [Some((7, 0)), Some((8, u64::MAX))], "{tier}");
        assert_eq!(child.note().map(|note| note[0]), Some(8), "{tier}: what is written outlives the writer");
    }
    let (child, _channel) = start(plan("idle", tiers()[0])).unwrap();
    assert_eq!(child.note(), None);
}

/// A call of a learning worker is noted before it is answered, so that it makes no difference how soon the worker ends.
fn nothing_is_missed_of_a_worker_that_ends_at_once() {
    for &tier in tiers() {
        for _ in 0..20 {
            let launch = Launch { profile: Profile::decoder().learning(), ..plan("thread-and-end", tier) };
            let (mut child, _channel) = start(launch).unwrap();
            assert!(child.wait(SOON).unwrap().is_some());
            let learned = child.learned();
            assert!(learned.lessons().iter().any(|lesson| lesson.violation.call == "clone3"), "{tier}: {learned}");
        }
    }
}

fn abort_shows_as_abort() {
    for &tier in tiers() {
        let (child, _channel) = start(plan("abort", tier)).unwrap();
        assert_eq!(end(child).exit.to_string(), "killed by SIGABRT", "{tier}");
    }
}

fn threads_are_bounded() {
    for &tier in tiers() {
        let launch = Launch { profile: Profile::decoder().threads(6), ..plan("thread-flood", tier) };
        let (_child, mut channel) = start(launch).unwrap();
        let mut count = [0; 4];
        channel.read_exact(&mut count).unwrap();
        // One more may slip in while the stub, which the kernel counts too, is still there to be counted.
        assert!((6..=7).contains(&u32::from_le_bytes(count)), "{tier}");
    }
}

fn a_learning_worker_shows_the_rules_it_needs() {
    for &tier in tiers() {
        let run = |profile| {
            let (child, mut channel) = start(Launch { profile, ..plan("getppid", tier) }).unwrap();
            let mut failed = [0; 4];
            channel.read_exact(&mut failed).unwrap();
            (child, u32::from_le_bytes(failed))
        };
        let (child, failed) = run(Profile::decoder().learning());
        assert_eq!(failed, 0, "{tier}: the calls are let through");
        assert_eq!((child.report().tier, child.report().learning), (tier, true));
        assert!(child.report().to_string().starts_with("LEARNING, NO CALL IS REFUSED"), "{}", child.report());
        assert_eq!(child.report().standing(Layer::SeccompRules), &Standing::Off);
        let learned = child.learned().to_string();
        assert!(
            learned.contains(".rule(Rule::allow(\"getppid\", \"who needs it?\")) // getppid(), 300 times"),
            "{learned}"
        );
        let (child, failed) = run(Profile::decoder().rule(Rule::allow("getppid", "this test")));
        assert_eq!(failed, 0, "{tier}: the rule that was learned is enough");
        assert!(child.violations().calls().is_empty() && child.learned().lessons().is_empty());
        assert!(!child.report().learning);
    }
}

fn hostile_calls_kill_a_learning_worker_too() {
    let launch = Launch { profile: Profile::decoder().learning(), ..plan("connect", tiers()[0]) };
    let (mut child, _channel) = start(launch).unwrap();
    let ended = child.wait(SOON).unwrap().expect("the child ends");
    assert_eq!(ended.exit.to_string(), "forbidden system call socket");
    let learned = child.learned().to_string();
    assert!(learned.contains("// socket(AF_INET, SOCK_STREAM, 0), 1 times: killed"), "{learned}");
}

fn nobody_learns_without_a_listener() {
    let profile = Profile::decoder().learning().simulate(Layer::SeccompNotify, Simulated::Missing);
    let refused = start(Launch { profile, ..plan("idle", tiers()[0]) }).unwrap_err();
    assert!(matches!(&refused, LaunchError::Unmet { missing } if missing[0].0 == Layer::SeccompNotify), "{refused}");
}
