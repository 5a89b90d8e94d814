//! Calls and oneways, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cloison_msg::{
    CALLS_IN_FLIGHT, CallFailure, Denial, Failure, Interface, Kind, Message, Route, RpcIndex, WINDOW_MESSAGES,
};
use cloison_worker::{Link, Request, Worker};
use world::World;
use world::raw::Raw;

const TEST: Interface = Interface::new("test", &["echo", "fail", "count", "note", "read-pipe"]);
const ECHO: RpcIndex = TEST.method("echo");
const FAIL: RpcIndex = TEST.method("fail");
const COUNT: RpcIndex = TEST.method("count");
const NOTE: RpcIndex = TEST.method("note");
const READ_PIPE: RpcIndex = TEST.method("read-pipe");

over_both_routes![
    a_call_brings_its_reply,
    several_calls_are_in_flight,
    replies_in_any_order_find_their_calls,
    errors_come_back,
    a_deadline_passes_and_the_late_reply_does_no_harm,
    a_deadline_counts_from_the_start_of_the_call,
    a_peer_that_does_not_take_is_an_overload,
    thousands_of_oneways_arrive_in_order,
    two_that_flood_each_other_do_not_block,
    a_forgotten_call_frees_its_place,
    descriptors_pass_only_where_granted,
];

fn server(world: &mut World) {
    world.worker("server", |worker| {
        let (count, last) = (Cell::new(0u32), Cell::new(None));
        worker.serve(move |_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>| {
            match request.rpc() {
                ECHO => {
                    reply.append_bytes(request.recv::<&[u8]>()?)?;
                }
                FAIL => return Err(Failure::remote(request.recv()?, "as \u{1b}asked")),
                COUNT => {
                    reply.append(&count.get())?;
                }
                NOTE => {
                    let number: u32 = request.recv()?;
                    assert!(last.replace(Some(number)) < Some(number), "in order");
                    count.set(count.get() + 1);
                }
                READ_PIPE => {
                    let mut text = String::new();
                    let mut pipe = std::fs::File::from(request.descriptor()?.into_fd());
                    std::io::Read::read_to_string(&mut pipe, &mut text).unwrap();
                    reply.append(text.as_str())?;
                }
                _ => return Err(Failure::NoSuchMethod),
            }
            Ok(request.finish()?)
        })
    });
}

fn client(world: &mut World) -> (Worker, Link) {
    let worker = world.here("client");
    let link = worker.open("server", &TEST).unwrap();
    (worker, link)
}

fn bytes(run: &[u8]) -> Message<OwnedFd> {
    let mut message = Message::new();
    message.append_bytes(run).unwrap();
    message
}

fn a_call_brings_its_reply(route: Route) {
    let mut world = World::new(route);
    server(&mut world);
    let (worker, link) = client(&mut world);
    assert_eq!((worker.role().as_str(), link.peer().as_str()), ("client", "server"));
    for len in [0, 1, 64, 5_000, 20_000, 65_000] {
        let run: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let mut message = bytes(&run);
        let mut reply = link.call(ECHO, &mut message).unwrap();
        assert_eq!(message.payload(), [], "a message that was sent is cleared");
        assert_eq!(reply.value::<&[u8]>(), Ok(run.as_slice()));
        let mut reader = reply.reader();
        assert_eq!(reader.recv::<&[u8]>(), Ok(run.as_slice()));
        reader.finish().unwrap();
    }
}

fn several_calls_are_in_flight(route: Route) {
    let mut world = World::new(route);
    server(&mut world);
    let (_worker, link) = client(&mut world);
    let calls: Vec<_> = (0..100u8).map(|i| link.start(ECHO, &mut bytes(&[i])).unwrap()).collect();
    while !calls[99].is_done() {}
    for (i, call) in (0..).zip(calls) {
        assert_eq!(call.wait().unwrap().value::<&[u8]>(), Ok(&[i][..]));
    }
}

fn replies_in_any_order_find_their_calls(route: Route) {
    let mut world = World::new(route);
    let mut raw = Raw::new(&mut world, "server");
    let (_worker, link) = client(&mut world);
    raw.granted();
    let calls: Vec<_> = (0..8u8).map(|i| link.start(ECHO, &mut bytes(&[i])).unwrap()).collect();
    let mut asked: Vec<_> = (0..8).map(|_| raw.recv()).collect();
    asked.reverse();
    asked.swap(2, 5);
    for (header, payload) in &asked {
        raw.reply(header, payload);
    }
    for (i, call) in (0..).zip(calls) {
        assert_eq!(call.wait().unwrap().value::<&[u8]>(), Ok(&[i][..]));
    }
}

fn errors_come_back(route: Route) {
    let mut world = World::new(route);
    server(&mut world);
    let (_worker, link) = client(&mut world);
    let mut message = Message::new();
    message.append(&7u32).unwrap();
    let error = link.call(FAIL, &mut message).unwrap_err();
    assert_eq!((error.peer.as_str(), error.rpc), ("server", FAIL));
    assert_eq!(error.why, CallFailure::Failed(Failure::remote(7, "as \u{1b}asked")));
    assert!(error.to_string().ends_with(r"as \u{1b}asked (code 7)"), "{error}");
    let error = link.call(RpcIndex(63), &mut message).unwrap_err();
    assert_eq!(error.why, CallFailure::Failed(Failure::NoSuchMethod));
    let error = link.call(FAIL, &mut message).unwrap_err();
    assert!(matches!(error.why, CallFailure::Failed(Failure::Undecodable(_))), "{error}");
    message.append("left over").unwrap();
    let error = link.call(COUNT, &mut message).unwrap_err();
    assert!(matches!(error.why, CallFailure::Failed(Failure::Undecodable(_))), "{error}");
}

fn a_deadline_counts_from_the_start_of_the_call(route: Route) {
    // A busy machine can be late, but nothing is early: one try of three that is in time will do.
    let in_time = || waited_late_for_a_call_of_two_seconds(route) < Duration::from_millis(3500);
    assert!((0..3).any(|_| in_time()));
}

/// How long a call took that nobody answered, and that was waited for from 1.5 s on.
fn waited_late_for_a_call_of_two_seconds(route: Route) -> Duration {
    let mut world = World::new(route);
    let raw = Raw::new(&mut world, "server");
    let (worker, link) = client(&mut world);
    // With a second link the first is not the only source of what may matter, and all are polled.
    let _second = worker.open("server", &TEST).unwrap();
    let start = Instant::now();
    let pending = link.start_within(ECHO, &mut Message::new(), Duration::from_secs(2)).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(pending.wait().unwrap_err().why, CallFailure::Deadline);
    let after = start.elapsed();
    assert!(after >= Duration::from_secs(2), "{after:?}");
    drop(raw);
    after
}

fn a_deadline_passes_and_the_late_reply_does_no_harm(route: Route) {
    let mut world = World::new(route);
    let mut raw = Raw::new(&mut world, "server");
    let (_worker, link) = client(&mut world);
    raw.granted();
    let begun = Instant::now();
    let error = link.call_within(ECHO, &mut bytes(b"1"), Duration::from_millis(30)).unwrap_err();
    assert_eq!(error.why, CallFailure::Deadline);
    assert!(error.after >= Duration::from_millis(30) && begun.elapsed() < Duration::from_secs(3));
    let (late, _) = raw.recv();
    assert!(late.time_left() <= Duration::from_millis(30), "{:?}", late.time_left());
    assert_eq!(raw.recv().0.kind, Kind::Cancel);
    let call = link.start(ECHO, &mut bytes(b"2")).unwrap();
    let (second, payload) = raw.recv();
    raw.reply(&late, b"too late");
    raw.reply(&second, &payload);
    assert_eq!(call.wait().unwrap().value::<&[u8]>(), Ok(&b"2"[..]));
}

fn a_peer_that_does_not_take_is_an_overload(route: Route) {
    let mut world = World::new(route);
    let mut raw = Raw::new(&mut world, "server");
    let (_worker, link) = client(&mut world);
    raw.granted();
    let soon = Duration::from_millis(20);
    for _ in 0..WINDOW_MESSAGES {
        link.oneway(NOTE, &mut bytes(b"x")).unwrap();
    }
    let mut kept = bytes(b"kept");
    for _ in 0..3 {
        assert_eq!(link.oneway_within(NOTE, &mut kept, soon).unwrap_err().why, CallFailure::Overloaded);
        assert_eq!(link.call_within(ECHO, &mut kept, soon).unwrap_err().why, CallFailure::Overloaded);
    }
    assert_eq!(kept.payload(), b"\x04kept", "a message that was not sent stays as it is");
    for _ in 0..WINDOW_MESSAGES {
        raw.recv();
    }
    let taken = cloison_msg::Credit { messages: 1, bytes: 2, descriptors: 0 };
    let credit = postcard_of(&cloison_msg::Receipt { route, taken });
    raw.send(cloison_msg::Header { kind: Kind::Credit, ..Default::default() }, &credit);
    link.oneway(NOTE, &mut kept).unwrap();
    assert_eq!(raw.recv().1, b"\x04kept");
}

fn thousands_of_oneways_arrive_in_order(route: Route) {
    let mut world = World::new(route);
    server(&mut world);
    let (_worker, link) = client(&mut world);
    let mut message = Message::new();
    for i in 0..5_000u32 {
        message.append(&i).unwrap();
        link.oneway(NOTE, &mut message).unwrap();
    }
    assert_eq!(link.call(COUNT, &mut message).unwrap().value(), Ok(5_000u32));
}

/// Each owes the other answers that are many times what the kernel queues, while the other does not read.
fn two_that_flood_each_other_do_not_block(route: Route) {
    const LARGE: usize = 60_000;
    fn flood(worker: &Worker, link: &Link) {
        worker.provide(|_: &Worker, _: &mut Request<'_>, reply: &mut Message<OwnedFd>| {
            reply.append_bytes(&[7; LARGE])?;
            Ok(())
        });
        let calls: Vec<_> = (0..CALLS_IN_FLIGHT).map(|_| link.start(ECHO, &mut Message::new()).unwrap()).collect();
        for _ in 0..CALLS_IN_FLIGHT {
            assert!(worker.serve_once(Duration::from_secs(60)).unwrap());
        }
        for call in calls {
            assert_eq!(call.wait().unwrap().value::<&[u8]>(), Ok(&[7; LARGE][..]));
        }
    }
    let mut world = World::new(route);
    let other = world.worker("server", |worker| {
        let link = worker.open("client", &TEST).unwrap();
        flood(worker, &link);
        link.oneway(NOTE, &mut Message::new()).unwrap();
        assert!(worker.serve_once(Duration::from_secs(60)).is_err(), "the world ends first");
    });
    let (worker, link) = client(&mut world);
    flood(&worker, &link);
    assert!(worker.serve_once(Duration::from_secs(60)).unwrap(), "the other is done too");
    drop(world);
    other.join().unwrap();
}

fn a_forgotten_call_frees_its_place(route: Route) {
    let mut world = World::new(route);
    server(&mut world);
    let (_worker, link) = client(&mut world);
    for i in 0..4 * CALLS_IN_FLIGHT {
        drop(link.start(ECHO, &mut bytes(&i.to_le_bytes())).unwrap());
    }
    assert_eq!(link.call(ECHO, &mut bytes(b"last")).unwrap().value::<&[u8]>(), Ok(&b"last"[..]));
}

fn descriptors_pass_only_where_granted(route: Route) {
    let mut world = World::new(route);
    server(&mut world);
    let (_worker, link) = client(&mut world);
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"through a pipe").unwrap();
    drop(writer);
    let mut message = Message::new();
    message.attach(OwnedFd::from(reader)).unwrap();
    let outcome = link.call(READ_PIPE, &mut message);
    match route {
        Route::Relayed => assert_eq!(outcome.unwrap().value::<&str>(), Ok("through a pipe")),
        // A right to pass descriptors keeps a link relayed, so a direct one never has it.
        Route::Direct => {
            let denied = CallFailure::Failed(Failure::Denied(Denial::Descriptor));
            assert_eq!(outcome.unwrap_err().why, denied);
            assert_eq!(message.descriptor_count(), 1, "kept");
        }
    }
}

fn postcard_of(value: &impl serde::Serialize) -> Vec<u8> {
    let mut message = Message::<()>::new();
    message.append(value).unwrap();
    message.payload().to_vec()
}
