//! How workers live and end, and what their host sees of it.

use std::time::{Duration, Instant};

use cloison_broker::msg::{CallFailure, Gone, Refusal, TEXT_MAX};
use cloison_broker::sandbox::LaunchError;
use cloison_broker::{
    Death, Item, Model, QUARANTINE_AFTER, Quarantined, RESTART_PAUSE, RESTARTS, SpawnError, WorkerEvent, WorkerSpec,
    WorkerState,
};
use rustix::process::Signal;

use crate::case::{Case, alone, module, once};
use crate::host::{AMPLE, Host, anything_goes, message, saying};
use crate::raw::{RawStep, Via};
use crate::watch::{Holdings, eventually, settles_at};
use crate::words::{ECHO, End, Outcome, PEER, Step};

pub fn cases() -> Vec<Case> {
    module(
        "life",
        vec![
            once("deaths_are_told_apart", deaths_are_told_apart),
            once("last_words_are_whole_capped_and_escaped", last_words_are_whole_capped_and_escaped),
            once("who_hangs_is_killed_and_named", who_hangs_is_killed_and_named),
            once("who_hangs_up_is_ended", who_hangs_up_is_ended),
            once("restarts_have_a_budget_and_pauses", restarts_have_a_budget_and_pauses),
            once("progress_makes_the_budget_whole", progress_makes_the_budget_whole),
            once("an_input_that_kills_twice_is_quarantined", an_input_that_kills_twice_is_quarantined),
            alone(once("what_is_no_worker_is_a_clear_error", what_is_no_worker_is_a_clear_error)),
            once("a_role_has_one_player_at_a_time", a_role_has_one_player_at_a_time),
        ],
    )
}

/// Has a puppet end; the outcome of the call that told it to.
fn end(host: &Host, role: &str, end: End) -> CallFailure {
    host.puppet(role).start(&Step::End(end)).wait::<Outcome>().unwrap_err()
}

fn deaths_are_told_apart() {
    let mut host = Host::with(Model::Broker, &["a"]);
    let deaths = [
        (Some(End::Abort), "killed by SIGABRT"),
        (Some(End::Exit(42)), "exit code 42"),
        (Some(End::Exit(0)), "exit code 0"),
        (Some(End::Panic), "exit code 101"),
        (Some(End::Forbidden), "forbidden system call socket"),
        (None, "killed by SIGKILL"),
    ];
    for (how, said) in deaths {
        let witness = host.witness("a");
        if let Some(how) = how {
            assert_eq!(end(&host, "a", how), CallFailure::PeerRestarted(Gone::Crashed(said.into())));
        } else {
            witness.signal(Signal::KILL);
        }
        let (death, _) = host.death("a");
        assert!(matches!(death, Death::Itself(_)), "{death:?}");
        assert_eq!(death.to_string(), said);
        host.restarted("a");
        assert!(witness.is_gone());
        assert_ne!(host.pid("a"), 0);
    }
}

fn last_words_are_whole_capped_and_escaped() {
    let mut host = Host::with(Model::Broker, &["a"]);
    // However soon after its words it dies.
    for _ in 0..20 {
        end(&host, "a", End::Panic);
        let (_, words) = host.death("a");
        assert!(words.last().is_some_and(|word| word.contains("as told")), "{words:?}");
        host.restarted("a");
    }
    let nasty = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\u{202e}evil\u{9b}31m and \u{0}more".to_owned();
    let a = host.puppet("a");
    a.tell(&Step::Print { line: nasty, count: 5000 });
    a.tell(&Step::Print { line: "x".repeat(10_000), count: 1 });
    a.tell(&Step::Print { line: "last".to_owned(), count: 1 });
    host.broker.kill("a", "enough");
    let (_, words) = host.death("a");
    assert!((2..=16).contains(&words.len()), "{words:?}");
    for word in &words {
        assert!(word.len() <= TEXT_MAX, "{word}");
        assert!(!word.chars().any(|c| c.is_control() || c == '\u{202e}'), "{word:?}");
    }
    assert_eq!(words.last().map(String::as_str), Some("last"));
    assert!(words[words.len() - 2].starts_with("xxxx"));
}

fn who_hangs_is_killed_and_named() {
    let mut host = Host::with(Model::Broker, &["a", "b", "c"]);
    let links = ["a", "b", "c"].map(|role| host.broker.open(role, &PEER).unwrap());
    let brief = Duration::from_millis(80);
    let pending = |role: &str, how: End| host.puppet(role).0.start(crate::words::DO, saying(&Step::End(how)), AMPLE);
    let (spinning, sleeping) = (pending("a", End::Spin), pending("b", End::Sleep));
    host.freeze("c");
    for (role, link) in ["a", "b", "c"].into_iter().zip(links) {
        let failure = link.start(ECHO, message(&[0]), brief).wait().unwrap_err();
        assert_eq!(failure.why, CallFailure::Deadline);
        assert!(host.broker.kill(role, "no answer"));
        let (death, _) = host.death(role);
        assert!(matches!(&death, Death::ByHost(why) if why.as_str() == "no answer"), "{death:?}");
        host.restarted(role);
        assert!(matches!(host.puppet(role).tell(&Step::Noted), Outcome::Noted(_)));
    }
    let killed = CallFailure::PeerRestarted(Gone::Crashed("killed by the host: no answer".into()));
    assert_eq!(spinning.wait().unwrap_err().why, killed);
    assert_eq!(sleeping.wait().unwrap_err().why, killed);
}

fn who_hangs_up_is_ended() {
    let mut host = Host::with(Model::Broker, &["raw"]);
    let witness = host.witness("raw");
    let own = host.broker.open("raw", &PEER).unwrap();
    let raw = host.attacker("raw");
    raw.tell(&RawStep::Reverse(100));
    let pending = own.start(ECHO, message(&[0]), AMPLE);
    let start = Instant::now();
    raw.tell(&RawStep::HangUp);
    let (death, _) = host.death("raw");
    assert!(matches!(death, Death::HungUp), "{death:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(matches!(pending.wait().unwrap_err().why, CallFailure::PeerRestarted(Gone::Crashed(_))));
    host.restarted("raw");
    assert!(witness.is_gone());
    // An empty packet reads like the end, and is treated like it.
    let raw = host.attacker("raw");
    let empty = RawStep::Send { via: Via::Control, packet: vec![], loot: vec![], times: 1 };
    let _ = raw.try_tell(&empty);
    // Unless it sees that nobody listens any more, and leaves by itself.
    let (death, _) = host.death("raw");
    assert!(matches!(death, Death::HungUp) || death.to_string() == "exit code 0", "{death:?}");
}

fn restarts_have_a_budget_and_pauses() {
    let mut host = Host::with(Model::Broker, &["a"]);
    let mut told = Vec::new();
    for death in 1..=RESTARTS + 1 {
        // Before it dies: what passes until this test hears of its death belongs to the pause, too.
        let dies = Instant::now();
        end(&host, "a", End::Exit(3));
        let pause = host.hear("what becomes of it", |item| match item {
            Item::Worker(WorkerEvent::Restarting { attempt, most, pause, .. }) => {
                assert_eq!((attempt, most), (death, RESTARTS));
                Some(Some(pause))
            }
            Item::Worker(WorkerEvent::GivenUp { deaths, death, .. }) => {
                assert_eq!((deaths, death.to_string().as_str()), (RESTARTS + 1, "exit code 3"));
                Some(None)
            }
            _ => None,
        });
        told.push(pause);
        if let Some(pause) = pause {
            host.started("a");
            assert!(dies.elapsed() >= pause, "{:?}", dies.elapsed());
        }
    }
    let pauses = [1, 2, 4].map(|times| Some(RESTART_PAUSE * times));
    assert_eq!(told, [&pauses[..], &[None]].concat());
    let refused = host.broker.open("a", &PEER).unwrap_err();
    assert_eq!(refused.why, Refusal::PeerGone(Gone::Crashed("exit code 3".into())));
    let workers = host.broker.workers();
    assert_eq!((workers[0].state, workers[0].restarts), (WorkerState::Ended, RESTARTS));
    // The host may try again all the same.
    host.spawn("a");
    assert!(matches!(host.puppet("a").tell(&Step::Noted), Outcome::Noted(_)));
}

fn progress_makes_the_budget_whole() {
    let mut host = Host::with(Model::Broker, &["a"]);
    for round in 0..3 * RESTARTS {
        // Whether the host says so before it hears of the death or after it must not matter.
        if round % 2 == 0 {
            host.broker.progress("a");
        }
        end(&host, "a", End::Exit(3));
        if round % 2 == 1 {
            host.broker.progress("a");
        }
        host.started("a");
    }
}

fn an_input_that_kills_twice_is_quarantined() {
    let mut host = Host::with(Model::Broker, &["a"]);
    for kill in 1..=QUARANTINE_AFTER {
        assert_eq!(host.broker.begin_input("a", 7), Ok(()));
        end(&host, "a", End::Abort);
        host.death("a");
        if kill < QUARANTINE_AFTER {
            host.restarted("a");
            // A death of something else, with no input given, is not the input's fault.
            end(&host, "a", End::Exit(1));
            host.restarted("a");
        }
    }
    let quarantined = host.hear("the quarantine", |item| match item {
        Item::Worker(WorkerEvent::Quarantined { role, input }) => Some((role.to_string(), input)),
        Item::Worker(WorkerEvent::Started { .. }) => panic!("it was started again before that"),
        _ => None,
    });
    assert_eq!(quarantined, ("a".to_owned(), 7));
    host.restarted("a");
    assert_eq!(host.broker.begin_input("a", 7), Err(Quarantined(7)));
    assert_eq!(host.broker.begin_input("a", 8), Ok(()));
}

fn what_is_no_worker_is_a_clear_error() {
    let host = Host::new(Model::Broker, anything_goes);
    host.spawn("a");
    let before = Holdings::steady();
    // Those who end are awaited long enough that a time-out cannot be taken for their end.
    let (long, brief) = (AMPLE, Duration::from_millis(700));
    let refused = |spec: WorkerSpec, within| match host.broker.spawn(spec.ready_within(within)) {
        Err(SpawnError::Launch { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let program = |path: &str, within| refused(WorkerSpec::program("w", path).unwrap(), within);
    let why = program("/nonexistent/decoder", long);
    assert!(matches!(why, LaunchError::Spawn { .. }) && why.to_string().contains("/nonexistent/decoder"), "{why}");
    let why = program("/etc/passwd", long);
    assert!(matches!(why, LaunchError::Spawn { .. }), "{why}");
    let why = program("/", long);
    assert!(matches!(why, LaunchError::Spawn { .. }), "{why}");
    for path in ["/bin/true", "/bin/false", "/bin/ls"] {
        let why = program(path, long);
        assert!(matches!(why, LaunchError::Died { .. }), "{path}: {why}");
    }
    let why = refused(WorkerSpec::own("stranger").unwrap(), long);
    assert!(why.to_string().contains("exit code 7"), "{why}");
    for path in ["/bin/cat", "/usr/bin/yes"] {
        let start = Instant::now();
        let why = program(path, brief);
        assert!(matches!(why, LaunchError::TooLate { .. } | LaunchError::Died { .. }), "{path}: {why}");
        assert!(start.elapsed() < AMPLE / 2, "{path}: {:?}", start.elapsed());
    }
    let why = refused(WorkerSpec::own("mute").unwrap(), brief);
    assert!(matches!(why, LaunchError::TooLate { .. }), "{why}");
    settles_at(&before);
    let gone = host.broker.open("w", &PEER).unwrap_err();
    assert!(matches!(gone.why, Refusal::PeerGone(_)), "{gone}");
    assert!(matches!(host.puppet("a").tell(&Step::Noted), Outcome::Noted(_)));
}

fn a_role_has_one_player_at_a_time() {
    let host = Host::with(Model::Broker, &["a"]);
    let taken = host.broker.spawn(WorkerSpec::own("a").unwrap());
    assert!(matches!(taken, Err(SpawnError::Taken(role)) if role.as_str() == "a"));
    assert!(matches!(host.puppet("a").tell(&Step::Noted), Outcome::Noted(_)));
    let first = host.witness("a");
    assert!(host.broker.stop("a"));
    eventually("it is gone", || first.is_gone().then_some(()));
    eventually("its role is free", || host.broker.spawn(WorkerSpec::own("a").unwrap()).ok());
    assert!(matches!(host.puppet("a").tell(&Step::Noted), Outcome::Noted(_)));
    for role in ["nobody", "not a name", ""] {
        assert!(!host.broker.kill(role, "?") && !host.broker.stop(role) && !host.broker.freeze(role));
    }
}
