//! How workers live and end, and what their host sees of it.

use std::time::{Duration, Instant};

use cloison_broker::msg::control::ToBroker;
use cloison_broker::msg::{CallFailure, DescriptorClasses, Gone, Header, Kind, Name, Refusal, TEXT_MAX};
use cloison_broker::router::Violation;
use cloison_broker::sandbox::LaunchError;
use cloison_broker::{
    Ask, Death, Item, Model, QUARANTINE_AFTER, Quarantined, RESTART_PAUSE, RESTARTS, SpawnError, WorkerEvent,
    WorkerSpec, WorkerState,
};
use rustix::process::Signal;

use crate::case::{Case, alone, both, module, once};
use crate::host::{AMPLE, Host, Puppet, anything_goes, message, saying};
use crate::promptly::promptly;
use crate::raw::{Loot, RawOutcome, RawStep, Via, message_packet, word_packet};
use crate::watch::{Holdings, Witness, eventually, peak_memory, settles_at};
use crate::words::{ECHO, End, NAP, NOTE, Outcome, PEER, Step, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "life",
        vec![
            once("deaths_are_told_apart", deaths_are_told_apart),
            once("last_words_are_whole_capped_and_escaped", last_words_are_whole_capped_and_escaped),
            once("who_hangs_is_killed_and_named", who_hangs_is_killed_and_named),
            once("who_hangs_up_is_ended", who_hangs_up_is_ended),
            both("who_floods_is_evicted", who_floods_is_evicted),
            both("a_stolen_socket_dies_with_its_owner", a_stolen_socket_dies_with_its_owner),
            alone(once("who_asks_and_never_reads_is_evicted", who_asks_and_never_reads_is_evicted)),
            once("restarts_have_a_budget_and_pauses", restarts_have_a_budget_and_pauses),
            once("progress_makes_the_budget_whole", progress_makes_the_budget_whole),
            once("an_input_that_kills_twice_is_quarantined", an_input_that_kills_twice_is_quarantined),
            alone(once("what_is_no_worker_is_a_clear_error", what_is_no_worker_is_a_clear_error)),
            once("a_role_has_one_player_at_a_time", a_role_has_one_player_at_a_time),
            both("two_brokers_live_in_one_host", two_brokers_live_in_one_host),
            both("dropped_it_leaves_nobody", dropped_it_leaves_nobody),
            once("dropped_while_workers_start_it_leaves_nobody", dropped_while_workers_start_it_leaves_nobody),
            once("workers_die_with_their_host", workers_die_with_their_host),
            both("a_host_on_tokio", a_host_on_tokio),
            once("a_host_that_hears_nothing", a_host_that_hears_nothing),
            once("a_policy_that_panics", a_policy_that_panics),
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

fn who_floods_is_evicted(model: Model) {
    let mut host = Host::with(model, &["a", "raw"]);
    let a = host.puppet("a");
    let link = a.open("raw");
    let raw = host.attacker("raw");
    let RawOutcome::Links(links) = raw.tell(&RawStep::Links) else { panic!("no links") };
    let to_host = links.iter().find(|link| link.peer == "host").unwrap().name;
    let to_a = links.iter().position(|link| link.peer == "a").unwrap();
    // At a worker, while that one waits for an answer which never comes. On a direct link, it is the worker that finds
    // it too much.
    raw.tell(&RawStep::Reverse(1000));
    let waiting = a.start(&Step::Call { link, rpc: ECHO.0, payloads: vec![vec![0]], within: AMPLE });
    let via = if links[to_a].is_direct { Via::Direct(to_a) } else { Via::Control };
    let packet = message_packet(links[to_a].name, Kind::Oneway, NOTE, &encoded(&1u32));
    let flood = raw.try_tell(&RawStep::Send { via, packet, loot: vec![], times: 100_000 });
    let Outcome::Replies(replies) = waiting.wait().unwrap() else { panic!("no replies") };
    let failed = replies[0].as_ref().unwrap_err();
    match model {
        Model::Broker => {
            assert!(matches!(flood, Err(CallFailure::PeerRestarted(Gone::Evicted(_)))), "{flood:?}");
            assert!(matches!(host.death("raw").0, Death::Evicted(Violation::Overdraft(_))));
            assert!(failed.starts_with("PeerRestarted(Evicted("), "{failed}");
            host.restarted("raw");
        }
        Model::Orchestrator => {
            assert!(matches!(flood, Ok(RawOutcome::Sent(..))), "{flood:?}");
            assert!(failed.starts_with("Gone(CutOff("), "{failed}");
            assert!(matches!(raw.tell(&RawStep::Links), RawOutcome::Links(_)), "it was not evicted");
        }
    }
    // At the host, over the broker in either model.
    let raw = host.attacker("raw");
    let packet = message_packet(to_host, Kind::Oneway, NOTE, &encoded(&1u32));
    let flood = raw.try_tell(&RawStep::Send { via: Via::Control, packet, loot: vec![], times: 100_000 });
    assert!(matches!(flood, Err(CallFailure::PeerRestarted(Gone::Evicted(_)))), "{flood:?}");
    assert!(matches!(host.death("raw").0, Death::Evicted(_)));
    assert!(a.noted().len() <= 64);
}

/// The attacker's own socket, handed to an accomplice who goes on writing to it when its owner is dead.
fn a_stolen_socket_dies_with_its_owner(model: Model) {
    let sockets_may_pass = |ask: &Ask<'_>| {
        let mut grant = anything_goes(ask)?;
        if ask.from.as_str() == "raw" {
            grant.rights = grant.rights.passing(DescriptorClasses::SOCKET);
        }
        Some(grant)
    };
    let mut host = Host::new(model, sockets_may_pass);
    for role in ["a", "b", "raw", "raw-2"] {
        host.spawn(role);
    }
    let (a, raw, accomplice) = (host.puppet("a"), host.attacker("raw"), host.attacker("raw-2"));
    let link = a.open("b");
    let open = RawStep::Open { role: "raw-2".into(), interface: "peer".into() };
    let RawOutcome::Opened(Ok(at)) = raw.tell(&open) else { panic!("no link") };
    let RawOutcome::Links(links) = raw.tell(&RawStep::Links) else { panic!("no links") };
    let header = Header { destination: links[at].name, descriptors: 1, rpc: NOTE, ..Header::default() };
    let packet = crate::raw::packet(&header, &[]);
    let handed = raw.tell(&RawStep::Send { via: Via::Control, packet, loot: vec![Loot::Control], times: 1 });
    assert!(matches!(handed, RawOutcome::Sent(1, None)));

    let name = |name: &str| Name::new(name).unwrap();
    let packet = word_packet(&ToBroker::Open { request: 9, role: name("nobody"), interface: name("peer") });
    let flood = RawStep::Send { via: Via::Stolen(0), packet, loot: vec![], times: u32::MAX };
    let flooding = accomplice.start(&flood);
    std::thread::sleep(Duration::from_millis(50));
    let witness = host.witness("raw");
    assert!(host.broker.kill("raw", "it is time"));
    host.death("raw");
    host.restarted("raw");
    assert!(witness.is_gone());
    // The accomplice is told that the socket is of no more use, and the broker is at nobody's mercy.
    let flooded = flooding.wait::<RawOutcome>().unwrap();
    assert!(matches!(flooded, RawOutcome::Sent(1.., Some(_))), "{flooded:?}");
    assert_eq!(a.call(link, ECHO, encoded("well")), Ok(encoded("well")));
    assert!(matches!(host.attacker("raw").tell(&RawStep::Links), RawOutcome::Links(_)));
}

fn who_asks_and_never_reads_is_evicted() {
    let mut host = Host::with(Model::Broker, &["raw", "a", "b"]);
    let (a, raw) = (host.puppet("a"), host.attacker("raw"));
    let link = a.open("b");
    let before = peak_memory();
    let name = |name: &str| Name::new(name).unwrap();
    let packet = word_packet(&ToBroker::Open { request: 9, role: name("nobody"), interface: name("peer") });
    let trips = a.start(&Step::RoundTrips { link, lasting: Duration::from_secs(2) });
    let flood = raw.start(&RawStep::Send { via: Via::Control, packet, loot: vec![], times: u32::MAX });
    let Outcome::RoundTrips(trips) = trips.wait().unwrap() else { panic!("no round trips") };
    assert_eq!(trips.stopped_by, None);
    assert!(trips.count() > 50, "{trips:?}");
    let (death, _) = host.death("raw");
    assert!(matches!(death, Death::Evicted(Violation::Backlog(_))), "{death:?}");
    assert!(flood.wait::<RawOutcome>().is_err());
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < 256 << 20, "the host grew by {grown} bytes");
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

fn two_brokers_live_in_one_host(model: Model) {
    let first = Host::with(model, &["a", "b"]);
    let second = Host::with(Model::Broker, &["a", "b"]);
    let (in_first, in_second) = (first.puppet("a"), second.puppet("a"));
    let (link, other) = (in_first.open("b"), in_second.open("b"));
    assert_eq!(in_first.notes(link, 1, 3), (3, None));
    assert_eq!(in_first.call(link, ECHO, encoded("first")), Ok(encoded("first")));
    assert_eq!(in_second.call(other, ECHO, encoded("second")), Ok(encoded("second")));
    assert_eq!((first.puppet("b").noted(), second.puppet("b").noted()), (vec![1, 2, 3], vec![]));
    let standing = first.broker.suspend();
    assert_eq!(in_second.call(other, ECHO, encoded("second")), Ok(encoded("second")));
    drop(standing);
    let witnesses = first.witnesses();
    drop(first);
    assert!(witnesses.iter().all(Witness::is_gone));
    assert_eq!(in_second.call(other, ECHO, encoded("second")), Ok(encoded("second")));
    let why = in_first.start(&Step::Noted).wait::<Outcome>().unwrap_err();
    assert_eq!(why, CallFailure::Gone(Gone::BrokerEnded));
}

fn dropped_it_leaves_nobody(model: Model) {
    promptly(Duration::from_secs(1), || dropped_with_workers_of_all_kinds(model));
}

/// How long it took to drop a host whose workers are busy, stand still, wait, or have hung up.
fn dropped_with_workers_of_all_kinds(model: Model) -> Duration {
    let host = Host::with(model, &["a", "b", "c", "d", "raw", "raw-2", "raw-3"]);
    let (a, d) = (host.puppet("a"), host.puppet("d"));
    let (link, _) = (a.open("c"), d.open("b"));
    let busy = host.puppet("b").start(&Step::End(End::Spin));
    host.freeze("c");
    let pending = a.start(&Step::Call { link, rpc: ECHO.0, payloads: vec![vec![0]], within: AMPLE });
    // These close their sockets a moment before, and live on.
    for raw in ["raw", "raw-2", "raw-3"] {
        host.attacker(raw).tell(&RawStep::HangUp);
    }
    let witnesses = host.witnesses();
    assert_eq!(witnesses.len(), 7);
    assert!(witnesses.iter().all(|witness| !witness.is_gone()));
    let start = Instant::now();
    drop(host);
    let took = start.elapsed();
    assert!(witnesses.iter().all(Witness::is_gone));
    for outcome in [busy, pending] {
        let why = outcome.wait::<Outcome>().unwrap_err();
        assert!(matches!(why, CallFailure::Gone(Gone::BrokerEnded | Gone::Closed)), "{why:?}");
    }
    took
}

fn dropped_while_workers_start_it_leaves_nobody() {
    promptly(Duration::from_secs(1), dropped_with_a_worker_that_starts);
}

/// How long it took to drop a host one of whose workers was being launched.
fn dropped_with_a_worker_that_starts() -> Duration {
    let host = Host::new(Model::Broker, anything_goes);
    host.spawn("a");
    let children = |what| Holdings::children_named(what);
    let (broker, spec) = (&host.broker, |role: &str| WorkerSpec::own(role).unwrap());
    let mut starting = Box::pin(broker.spawn_async(spec("mute")));
    let waker = std::task::Waker::noop();
    assert!(starting.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    let mute = eventually("it is there", || children("mute").first().copied());
    let witness = Witness::of(mute);
    drop(starting);
    let start = Instant::now();
    drop(host);
    let took = start.elapsed();
    assert!(witness.is_gone());
    took
}

fn workers_die_with_their_host() {
    promptly(Duration::from_secs(1), kill_a_host);
}

/// How long the workers of a host that was killed lived on.
fn kill_a_host() -> Duration {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let mut host = Command::new(std::env::current_exe().unwrap())
        .arg(crate::VICTIM)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let workers: Vec<_> = lines.take(3).map(|line| Witness::of(line.unwrap().parse().unwrap())).collect();
    assert_eq!(workers.len(), 3);
    let start = Instant::now();
    host.kill().unwrap();
    host.wait().unwrap();
    eventually("all of them are gone", || workers.iter().all(Witness::has_ended).then_some(()));
    start.elapsed()
}

/// A host that is about to be killed, with a worker that is busy, one that stands still and one that waits.
pub fn victim() {
    let host = Host::with(Model::Orchestrator, &["a", "b", "c"]);
    let _busy = host.puppet("a").start(&Step::End(End::Spin));
    host.freeze("b");
    for worker in host.broker.workers() {
        println!("{}", worker.pid.unwrap());
    }
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn a_host_on_tokio(model: Model) {
    let multi = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let single = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for runtime in [multi, single] {
        let witnesses = runtime.block_on(on_tokio(model));
        assert!(witnesses.iter().all(Witness::is_gone));
    }
}

async fn on_tokio(model: Model) -> Vec<Witness> {
    let mut host = Host::new(model, anything_goes);
    let spec = |role: &str| WorkerSpec::own(role).unwrap();
    let (a, b) = tokio::join!(host.broker.spawn_async(spec("a")), host.broker.spawn_async(spec("b")));
    a.unwrap();
    b.unwrap();
    let (a, b) = tokio::join!(host.broker.open_async("a", &PEER), host.broker.open_async("b", &PEER));
    let (a, b) = (a.unwrap(), b.unwrap());
    // Two calls at once, one of which waits for the other end to be done with the first.
    let (slow, quick) = tokio::join!(a.start(NAP, saying(&50u64), AMPLE), b.start(ECHO, saying(&"quick"), AMPLE));
    assert!(slow.is_ok());
    assert_eq!(quick.unwrap().reader().recv::<String>().unwrap(), "quick");
    // A worker calls the host while the host awaits the worker.
    let open = Step::Open { role: "host".into(), interface: "peer".into(), within: AMPLE };
    a.start(crate::words::DO, saying(&open), AMPLE).await.unwrap();
    let call = Step::Call { link: 0, rpc: ECHO.0, payloads: vec![encoded("up")], within: AMPLE };
    let calling = a.start(crate::words::DO, saying(&call), AMPLE);
    let serving = async {
        loop {
            if let Some(Item::Message(message)) = host.inbox.next().await {
                return message.reply(saying(&"down"));
            }
        }
    };
    let (outcome, ()) = tokio::join!(calling, serving);
    let outcome = outcome.unwrap().reader().recv::<Outcome>().unwrap();
    assert_eq!(outcome, Outcome::Replies(vec![Ok(encoded("down"))]));
    // Asked for and not waited for: nothing of it stays.
    for _ in 0..200 {
        let mut opening = Box::pin(host.broker.open_async("a", &PEER));
        let poll = opening.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        if let std::task::Poll::Ready(link) = poll {
            link.unwrap().close();
        }
    }
    host.broker.open_async("a", &PEER).await.unwrap();
    a.post(ECHO, saying(&"posted"), AMPLE, 17);
    let posted = loop {
        if let Some(Item::Outcome(17, outcome)) = host.inbox.next().await {
            break outcome;
        }
    };
    assert_eq!(posted.unwrap().reader().recv::<String>().unwrap(), "posted");
    let hung = tokio::time::timeout(Duration::from_millis(50), host.inbox.next()).await;
    assert!(hung.is_err(), "{hung:?}");
    host.witnesses()
}

fn a_host_that_hears_nothing() {
    let Host { broker, inbox, .. } = Host::with(Model::Broker, &["a"]);
    drop(inbox);
    let a = Puppet(broker.open("a", &PEER).unwrap());
    let link = a.open("host");
    let unanswered = r#"Failed(Unanswerable("the host did not answer"))"#.to_owned();
    for _ in 0..100 {
        assert_eq!(a.call(link, ECHO, vec![0]), Err(unanswered.clone()));
    }
    assert_eq!(a.notes(link, 0, 500), (500, None));
}

fn a_policy_that_panics() {
    let host = Host::new(Model::Broker, |ask: &Ask<'_>| match ask.to.as_str() {
        "a" => anything_goes(ask),
        _ => panic!("on purpose: the policy has a mistake"),
    });
    host.spawn("a");
    host.spawn("b");
    let a = host.puppet("a");
    let witnesses = host.witnesses();
    let ended = Refusal::PeerGone(Gone::BrokerEnded);
    assert_eq!(host.broker.open("b", &PEER).unwrap_err().why, ended);
    assert_eq!(host.broker.open("a", &PEER).unwrap_err().why, ended);
    let why = a.start(&Step::Noted).wait::<Outcome>().unwrap_err();
    assert_eq!(why, CallFailure::Gone(Gone::BrokerEnded));
    assert!(matches!(host.broker.spawn(WorkerSpec::own("c").unwrap()), Err(SpawnError::BrokerEnded)));
    drop(host);
    assert!(witnesses.iter().all(Witness::is_gone));
}
