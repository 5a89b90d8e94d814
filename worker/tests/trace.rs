//! What a worker tells of itself, when it is asked to, and when that leaves.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cloison_msg::control::ToWorker;
use cloison_msg::trace::{MarkKind, Record, Task, TraceLevel, What};
use cloison_msg::{Interface, Message, Route, RpcIndex, Text};
use cloison_worker::{Answer, Link, Request, Stream, Threads, Worker, interface};
use world::World;

const TEST: Interface = Interface::new("test", &["echo"]);
const ECHO: RpcIndex = TEST.method("echo");
const SOON: Duration = Duration::from_secs(60);

over_both_routes![
    each_message_is_told_by_both_ends,
    many_records_share_a_packet,
    what_is_off_says_nothing,
    a_call_comes_after_the_span_that_makes_it,
    what_threads_serve_is_told_while_they_serve_it,
    items_are_told_by_both_ends,
    who_always_has_something_to_do_tells_it_all_the_same,
];

#[interface]
trait Numbers {
    /// As many as are wanted, each of which takes a millisecond to make.
    fn numbers(&self) -> Stream<u32>;
}

struct Slow;

impl Numbers for Slow {
    fn numbers(&self) -> Stream<u32> {
        Stream::of((0..).inspect(|_| std::thread::sleep(Duration::from_millis(1))))
    }
}

fn echo(_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), cloison_msg::Failure> {
    reply.append_bytes(request.recv::<&[u8]>()?)?;
    Ok(request.finish()?)
}

fn serve(worker: &Worker, requests: usize) {
    worker.provide(echo);
    (0..requests).for_each(|_| assert!(worker.serve_once(SOON).unwrap()));
    // What it has recorded is due some milliseconds later, while it waits.
    assert!(!worker.serve_once(Duration::from_millis(100)).unwrap());
}

fn call(link: &Link, calls: usize) {
    let mut message = Message::new();
    for _ in 0..calls {
        message.append_bytes(&[1, 2, 3]).unwrap();
        link.call(ECHO, &mut message).unwrap();
    }
}

/// All records, once there are those of both ends of so many calls and the batches that they came in.
fn told(world: &World, records: usize) -> (Vec<Record<Text>>, usize) {
    let start = std::time::Instant::now();
    loop {
        let batches = world.traced();
        let read = |batch: &Vec<u8>| {
            let mut rest = &batch[..];
            let records: Vec<_> = std::iter::from_fn(|| Record::decode(&mut rest)).collect();
            assert!(rest.is_empty());
            records
        };
        let told: Vec<_> = batches.iter().flat_map(read).collect();
        if told.len() >= records {
            return (told, batches.len());
        }
        assert!(start.elapsed() < SOON, "only {} records", told.len());
        std::thread::yield_now();
    }
}

/// Two workers at that level, one of which has called the other so often; what they told.
fn exchange(route: Route, level: TraceLevel, calls: usize, records: usize) -> (Vec<Record<Text>>, usize) {
    let mut world = World::new(route);
    let server = world.worker("server", move |worker| serve(worker, calls));
    let client = world.here("client");
    let link = client.open("server", &TEST).unwrap();
    ["server", "client"].iter().for_each(|role| world.say(role, &ToWorker::Trace { level }));
    // The word comes before the answer to this.
    client.open("nobody", &TEST).unwrap_err();
    call(&link, calls);
    server.join().unwrap();
    drop((link, client));
    told(&world, records)
}

fn each_message_is_told_by_both_ends(route: Route) {
    let (records, _) = exchange(route, TraceLevel::Trace, 1, 7);
    let of = |peer: &str| -> Vec<String> {
        let label = |record: &Record<Text>| match &record.what {
            What::Sent { mark, .. } if mark.peer.as_str() == peer => Some(format!("sent {:?}", mark.kind)),
            What::Taken(mark) if mark.peer.as_str() == peer => Some(format!("taken {:?}", mark.kind)),
            What::Began { task, mark, .. } if mark.peer.as_str() == peer => Some(format!("{task:?}")),
            _ => None,
        };
        records.iter().filter_map(label).collect()
    };
    assert_eq!(of("server"), ["sent Call", "Wait", "taken Reply"]);
    assert_eq!(of("client"), ["Serve", "sent Reply"]);
    let ended = records.iter().filter(|record| matches!(record.what, What::Ended { .. })).count();
    assert_eq!(ended, 2);
    let mark = |wanted: &str| {
        let mark = records.iter().find_map(|record| match &record.what {
            What::Sent { mark, .. } | What::Began { task: Task::Serve, mark, .. } if mark.peer.as_str() == wanted => {
                (mark.kind == MarkKind::Call).then_some(mark.clone())
            }
            _ => None,
        });
        mark.unwrap()
    };
    let (sent, served) = (mark("server"), mark("client"));
    assert_eq!((sent.call, sent.chain, sent.bytes), (served.call, served.chain, served.bytes));
    assert_eq!((sent.rpc, sent.depth, sent.interface.as_str()), (ECHO, 0, "test"));
}

fn many_records_share_a_packet(route: Route) {
    let (records, packets) = exchange(route, TraceLevel::Trace, 2000, 7 * 2000);
    assert!(packets * 10 < records.len(), "{packets} packets for {} records", records.len());
}

fn what_is_off_says_nothing(route: Route) {
    let (records, packets) = exchange(route, TraceLevel::Off, 100, 0);
    assert_eq!((records, packets), (Vec::new(), 0));
}

/// Else what the call causes could be told before what caused it.
fn a_call_comes_after_the_span_that_makes_it(route: Route) {
    let mut world = World::new(route);
    // Each hears of it before of any link, by whose own socket a call could come first.
    let trace = |world: &World, role: &str| world.say(role, &ToWorker::Trace { level: TraceLevel::Debug });
    let last = world.worker("last", |worker| serve(worker, 1));
    trace(&world, "last");
    let middle = world.worker("middle", |worker| {
        let last = worker.open("last", &TEST).unwrap();
        worker.provide(move |_: &Worker, request: &mut Request<'_>, _: &mut Message<OwnedFd>| {
            request.recv::<&[u8]>()?;
            call(&last, 1);
            Ok(())
        });
        assert!(worker.serve_once(SOON).unwrap());
        assert!(!worker.serve_once(Duration::from_millis(100)).unwrap());
    });
    trace(&world, "middle");
    let client = world.here("client");
    let link = client.open("middle", &TEST).unwrap();
    let mut message = Message::new();
    message.append_bytes(&[]).unwrap();
    link.call(ECHO, &mut message).unwrap();
    [last, middle].into_iter().for_each(|worker| worker.join().unwrap());
    let (records, _) = told(&world, 6);
    let began = |peer: &str| {
        let is = |record: &Record<Text>| matches!(&record.what, What::Began { mark, .. } if mark.peer.as_str() == peer);
        records.iter().position(is)
    };
    assert!(began("client").unwrap() < began("middle").unwrap(), "its own comes first");
}

#[interface]
trait Hold {
    fn hold(&self) -> Answer<()>;
}

struct Holding(Arc<(Mutex<bool>, Condvar)>);

impl Hold for Holding {
    fn hold(&self) -> Answer<()> {
        let (is_open, opened) = &*self.0;
        let (_guard, timeout) = opened.wait_timeout_while(is_open.lock().unwrap(), SOON, |open| !*open).unwrap();
        assert!(!timeout.timed_out());
        Ok(())
    }
}

fn what_threads_serve_is_told_while_they_serve_it(route: Route) {
    let mut world = World::new(route);
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let its = Arc::clone(&gate);
    let _crew = world.worker("crew", move |worker| {
        worker.serve_on(Threads::new(2, move |_| HoldServer::new(Holding(Arc::clone(&its)))))
    });
    let client = world.here("client");
    let hold = HoldClient::bind(&client, "crew").unwrap().within(SOON);
    world.say("crew", &ToWorker::Trace { level: TraceLevel::Trace });
    client.open("nobody", &TEST).unwrap_err();
    // The word came before the grant of this link. That it is answered is the first record.
    HoldClient::bind(&client, "crew").unwrap();
    let calls = [hold.start().hold(), hold.start().hold()];
    let (records, _) = told(&world, 3);
    let began = |record: &Record<Text>| match &record.what {
        What::Began { span, task: Task::Serve, mark, .. } if mark.rpc == RpcIndex(0) => Some((*span, record.thread)),
        _ => None,
    };
    let began: Vec<_> = records.iter().filter_map(began).collect();
    assert!(!records.iter().any(|record| matches!(record.what, What::Ended { .. })), "{records:?}");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    calls.into_iter().for_each(|call| call.wait().unwrap());
    let (records, _) = told(&world, 7);
    for (span, thread) in &began {
        let is_end = |record: &&Record<Text>| record.what == What::Ended { span: *span };
        assert_eq!(records.iter().find(is_end).map(|record| record.thread), Some(*thread));
        let is_answer = |record: &Record<Text>| matches!(&record.what, What::Sent { parent, .. } if parent == span);
        assert!(records.iter().any(is_answer), "{records:?}");
    }
    let threads: Vec<u32> = began.iter().map(|(_, thread)| *thread).collect();
    assert!(threads.len() == 2 && threads[0] != threads[1], "{threads:?}");
}

fn is_item(record: &Record<Text>, by: &str) -> bool {
    match &record.what {
        What::Sent { mark, .. } => by == "sent" && mark.kind == MarkKind::Item,
        What::Taken(mark) => by == "taken" && mark.kind == MarkKind::Item,
        _ => false,
    }
}

fn items_are_told_by_both_ends(route: Route) {
    let mut world = World::new(route);
    world.worker("server", |worker| worker.serve(NumbersServer::new(Slow)));
    let client = world.here("client");
    let numbers = NumbersClient::bind(&client, "server").unwrap();
    ["server", "client"].iter().for_each(|role| world.say(role, &ToWorker::Trace { level: TraceLevel::Trace }));
    client.open("nobody", &TEST).unwrap_err();
    assert!(numbers.numbers().take(10).eq((0..10).map(Ok)));
    drop((numbers, client));
    let start = std::time::Instant::now();
    let is_told = |by| told(&world, 1).0.iter().filter(|record| is_item(record, by)).count() >= 10;
    while !["sent", "taken"].into_iter().all(is_told) {
        assert!(start.elapsed() < SOON, "not all were told");
        std::thread::yield_now();
    }
}

/// A stream that is always wanted keeps its maker from ever waiting.
fn who_always_has_something_to_do_tells_it_all_the_same(route: Route) {
    let mut world = World::new(route);
    world.worker("server", |worker| worker.serve(NumbersServer::new(Slow)));
    let is_enough = Arc::new(AtomicBool::new(false));
    let enough = is_enough.clone();
    let client = world.worker("client", move |worker| {
        let numbers = NumbersClient::bind(worker, "server").unwrap();
        numbers.numbers().take_while(|_| !enough.load(Ordering::Relaxed)).count()
    });
    world.say("server", &ToWorker::Trace { level: TraceLevel::Trace });
    let start = std::time::Instant::now();
    let has_told = || world.traced().iter().any(|batch| !batch.is_empty());
    while !has_told() {
        assert!(start.elapsed() < SOON, "nothing was told");
        std::thread::yield_now();
    }
    is_enough.store(true, Ordering::Relaxed);
    client.join().unwrap();
}
