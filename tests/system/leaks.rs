//! Many rounds of everything, in a process of their own, and then a look at what that process still holds.

use std::time::Duration;

use cloison_broker::msg::Denial::Descriptor;
use cloison_broker::msg::Failure::Denied;
use cloison_broker::msg::control::PoolShape;
use cloison_broker::msg::{CallFailure, DescriptorClasses, Header, Overdraft, WINDOW_DESCRIPTORS};
use cloison_broker::router::Violation;
use cloison_broker::{Ask, Death, Grant, HOST, Model, WorkerSpec, WorkerState};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::case::{Case, alone, both, module, once};
use crate::host::{AMPLE, Host, anything_goes, message};
use crate::raw::{Loot, RawOutcome, RawStep, Via, packet};
use crate::watch::{Holdings, eventually, resident_memory, settles_at};
use crate::words::{DESCRIPTOR, ECHO, End, NAP, Outcome, PEER, Step, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "leaks",
        vec![
            alone(both("workers_that_come_and_go", workers_that_come_and_go)),
            alone(both("workers_that_crash_in_the_middle", workers_that_crash_in_the_middle)),
            alone(both("brokers_that_come_and_go", brokers_that_come_and_go)),
            alone(once("descriptors_under_way_to_the_dead", descriptors_under_way_to_the_dead)),
            alone(both("descriptors_hoarded_harm_nobody_else", descriptors_hoarded_harm_nobody_else)),
            alone(once("a_pipe_that_outlives_its_worker", a_pipe_that_outlives_its_worker)),
            alone(once("starts_that_fail", starts_that_fail)),
            alone(both("links_that_come_and_go", links_that_come_and_go)),
        ],
    )
}

const SHAPE: PoolShape = PoolShape { buffer_size: 10_000, count: 4 };

/// A bit of everything between a, b and the host.
fn exercise(host: &mut Host) {
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let links = [a.open("b"), a.open(HOST)];
    assert_eq!(a.call(links[0], ECHO, encoded("x")), Ok(encoded("x")));
    assert_eq!(a.notes(links[0], 0, 100), (100, None));
    b.tell(&Step::Keep(true));
    for link in links {
        let Outcome::Got(Ok(pool)) = a.tell(&Step::MakePool { link, shape: SHAPE }) else { panic!("no pool") };
        assert_eq!(a.sent(&Step::Lend { pool, fill: 1, count: 2, within: AMPLE }), (2, None));
    }
    drop(host.message());
}

fn ended(host: &Host, roles: &[&str]) {
    for role in roles {
        host.broker.stop(role);
    }
    eventually("all have ended", || {
        host.broker.workers().iter().all(|worker| worker.state == WorkerState::Ended).then_some(())
    });
}

fn workers_that_come_and_go(model: Model) {
    let mut host = Host::new(model, anything_goes);
    let before = Holdings::steady();
    for _ in 0..15 {
        host.spawn("a");
        host.spawn("b");
        exercise(&mut host);
        ended(&host, &["a", "b"]);
    }
    while host.inbox.next_within(Duration::ZERO).is_some() {}
    settles_at(&before);
}

fn workers_that_crash_in_the_middle(model: Model) {
    let mut host = Host::with(model, &["a", "b", "raw"]);
    exercise(&mut host);
    for role in ["a", "b", "raw"] {
        host.broker.kill(role, "to begin with");
        host.restarted(role);
    }
    let before = Holdings::steady();
    let ends = [End::Abort, End::Panic, End::Exit(1), End::Forbidden];
    for round in 0..12 {
        exercise(&mut host);
        let (a, raw) = (host.puppet("a"), host.attacker("raw"));
        let link = a.open("raw");
        raw.tell(&RawStep::Reverse(100));
        let pending = a.start(&Step::Call { link, rpc: ECHO.0, payloads: vec![vec![]; 8], within: AMPLE });
        let _told = match round % 3 {
            0 => Some(raw.start(&RawStep::Exit)),
            1 => {
                host.broker.kill("raw", "a test");
                None
            }
            _ => Some(raw.start(&RawStep::HangUp)),
        };
        assert!(matches!(pending.wait::<Outcome>().unwrap(), Outcome::Replies(replies) if replies.len() == 8));
        let _told_too = host.puppet("b").start(&Step::End(ends[round % ends.len()]));
        host.broker.kill("a", "a test");
        // Their deaths come in whatever order; each is started again.
        let mut left = vec!["a", "b", "raw"];
        while !left.is_empty() {
            let role = host.hear("the restarts", |item| match item {
                cloison_broker::Item::Worker(cloison_broker::WorkerEvent::Started { role, .. }) => {
                    Some(role.to_string())
                }
                _ => None,
            });
            host.broker.progress(&role);
            left.retain(|one| *one != role);
        }
    }
    while host.inbox.next_within(Duration::from_millis(50)).is_some() {}
    settles_at(&before);
}

fn brokers_that_come_and_go(model: Model) {
    drop(Host::with(model, &["a"]));
    let before = Holdings::steady();
    for round in 0..10 {
        let mut host = Host::with(model, &["a", "b"]);
        exercise(&mut host);
        let a = host.puppet("a");
        let pending = a.start(&Step::Call { link: 0, rpc: NAP.0, payloads: vec![encoded(&5000u64)], within: AMPLE });
        if round % 2 == 0 {
            host.freeze("b");
        }
        drop(host);
        assert!(pending.wait::<Outcome>().is_err());
    }
    settles_at(&before);
}

/// Pipes may pass.
fn pipes(ask: &Ask<'_>) -> Option<Grant> {
    let mut grant = anything_goes(ask)?;
    grant.rights = grant.rights.passing(DescriptorClasses::PIPE);
    Some(grant)
}

fn descriptors_under_way_to_the_dead() {
    let mut host = Host::new(Model::Broker, pipes);
    for role in ["b", "raw"] {
        host.spawn(role);
    }
    let raw = host.attacker("raw");
    let before = Holdings::steady();
    for _ in 0..5 {
        let RawOutcome::Opened(Ok(at)) = raw.tell(&RawStep::Open { role: "b".into(), interface: "peer".into() }) else {
            panic!("no link")
        };
        let RawOutcome::Links(links) = raw.tell(&RawStep::Links) else { panic!("no links") };
        host.freeze("b");
        let header = Header { destination: links[at].name, descriptors: 8, rpc: DESCRIPTOR, ..Header::default() };
        let step =
            RawStep::Send { via: Via::Control, packet: packet(&header, &[]), loot: vec![Loot::Pipe; 8], times: 4 };
        assert!(matches!(raw.tell(&step), RawOutcome::Sent(4, None)));
        // The host's own, too.
        let own = host.broker.open("b", &PEER).unwrap();
        let mut with_file = message(&[]);
        let file = std::fs::File::open("/dev/null").unwrap();
        with_file.attach(std::os::fd::OwnedFd::from(file).into()).unwrap();
        let _sent = own.start(DESCRIPTOR, with_file, AMPLE);
        host.broker.kill("b", "a test");
        host.death("b");
        host.restarted("b");
    }
    while host.inbox.next_within(Duration::from_millis(50)).is_some() {}
    settles_at(&before);
}

/// One worker sends all the descriptors it can, over all the links it can get, to one that stands still.
fn descriptors_hoarded_harm_nobody_else(model: Model) {
    let few = Rlimit { current: Some(300), maximum: getrlimit(Resource::Nofile).maximum };
    setrlimit(Resource::Nofile, few).unwrap();
    let mut host = Host::new(model, pipes);
    for role in ["a", "b", "c", "raw"] {
        host.spawn(role);
    }
    let (a, c, raw) = (host.puppet("a"), host.puppet("c"), host.attacker("raw"));
    let link = a.open("c");
    // Who stands still before its first word is not there yet, and whoever opens a link to it waits.
    host.puppet("b");
    host.freeze("b");
    let open = RawStep::Open { role: "b".into(), interface: "peer".into() };
    let opened = (0..20).map(|_| raw.tell(&open)).take_while(|opened| matches!(opened, RawOutcome::Opened(Ok(_))));
    assert!((1..20).contains(&opened.count()), "there is a limit, and it is not none");
    let RawOutcome::Links(links) = raw.tell(&RawStep::Links) else { panic!("no links") };
    // As far as the window goes, and then beyond it: that is the end of the attacker, and of what it had sent.
    for times in [WINDOW_DESCRIPTORS / 16, 64] {
        for link in links.iter().filter(|link| link.peer == "b") {
            let header = Header { destination: link.name, descriptors: 16, rpc: DESCRIPTOR, ..Header::default() };
            let (packet, loot) = (packet(&header, &[]), vec![Loot::Pipe; 16]);
            let times = u32::try_from(times).unwrap();
            let _ = raw.try_tell(&RawStep::Send { via: Via::Control, packet, loot, times });
        }
        for _ in 0..100 {
            assert!(a.call(link, DESCRIPTOR, vec![]).is_ok());
        }
        let Outcome::Got(pool) = a.tell(&Step::MakePool { link, shape: SHAPE }) else { panic!("no pool") };
        assert!(pool.is_ok(), "{pool:?}");
        let again = a.open("c");
        assert_eq!(a.call(again, ECHO, encoded("well")), Ok(encoded("well")));
        let mut file = message(&[]);
        file.attach(std::os::fd::OwnedFd::from(std::fs::File::open("/proc/self/exe").unwrap()).into()).unwrap();
        assert!(
            matches!(c.0.call(DESCRIPTOR, file), Err(error) if error.why == CallFailure::Failed(Denied(Descriptor)))
        );
        host.spawn(if times == 64 { "e" } else { "d" });
    }
    assert!(matches!(host.death("raw").0, Death::Evicted(Violation::Overdraft(Overdraft::Descriptors))));
}

/// A worker hands its standard error to another, who keeps it when its owner is dead.
fn a_pipe_that_outlives_its_worker() {
    let mut host = Host::new(Model::Broker, pipes);
    for role in ["raw", "raw-2"] {
        host.spawn(role);
    }
    let before = Holdings::steady();
    for _ in 0..3 {
        let raw = host.attacker("raw");
        let open = RawStep::Open { role: "raw-2".into(), interface: "peer".into() };
        let RawOutcome::Opened(Ok(at)) = raw.tell(&open) else { panic!("no link") };
        let RawOutcome::Links(links) = raw.tell(&RawStep::Links) else { panic!("no links") };
        let header = Header { destination: links[at].name, descriptors: 1, rpc: DESCRIPTOR, ..Header::default() };
        let (packet, loot) = (packet(&header, &[]), vec![Loot::Pipe]);
        assert!(matches!(
            raw.tell(&RawStep::Send { via: Via::Control, packet, loot, times: 1 }),
            RawOutcome::Sent(1, None)
        ));
        assert!(matches!(host.attacker("raw-2").tell(&RawStep::Links), RawOutcome::Links(_)), "it has it now");
        host.broker.kill("raw", "a test");
        host.death("raw");
        host.restarted("raw");
    }
    settles_at(&before);
}

fn starts_that_fail() {
    let host = Host::with(Model::Broker, &["a"]);
    let before = Holdings::steady();
    for _ in 0..10 {
        for spec in [
            WorkerSpec::program("w", "/nonexistent"),
            WorkerSpec::program("w", "/bin/true"),
            WorkerSpec::program("w", "/bin/cat"),
            WorkerSpec::own("stranger"),
        ] {
            let spec = spec.unwrap().ready_within(Duration::from_millis(40));
            assert!(host.broker.spawn(spec).is_err());
        }
    }
    settles_at(&before);
}

fn links_that_come_and_go(model: Model) {
    let host = Host::with(model, &["a", "b"]);
    let a = host.puppet("a");
    let round = |count: usize| {
        for _ in 0..count {
            let link = a.open("b");
            assert_eq!(a.tell(&Step::Close(link)), Outcome::Done);
            let own = host.broker.open("b", &PEER).unwrap();
            own.close();
        }
    };
    round(100);
    let before = Holdings::steady();
    let memory = resident_memory();
    round(500);
    settles_at(&before);
    let grown = resident_memory().saturating_sub(memory);
    assert!(grown < 2 << 20, "500 links left {grown} bytes");
}
