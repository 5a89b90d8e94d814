//! Brokers as their hosts hold them: several at a time, on an executor, dropped, or dying with the host.

use std::time::{Duration, Instant};

use cloison_broker::msg::{CallFailure, Gone, Refusal};
use cloison_broker::{Ask, Item, Model, SpawnError, WorkerSpec};

use crate::case::{Case, both, module, once};
use crate::host::{AMPLE, Host, Puppet, anything_goes, saying};
use crate::promptly::promptly;
use crate::raw::RawStep;
use crate::watch::{Holdings, Witness, eventually};
use crate::words::{ECHO, End, NAP, Outcome, PEER, Step, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "brokers",
        vec![
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
