//! In steady state no message costs an allocation, on either side.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::os::fd::OwnedFd;
use std::time::Duration;

use allocation_counter::measure;
use cloison_msg::{Interface, Message, Route, RpcIndex};
use cloison_worker::{Request, Worker};
use world::World;

const TEST: Interface = Interface::new("test", &["echo", "note"]);
const ECHO: RpcIndex = TEST.method("echo");
const NOTE: RpcIndex = TEST.method("note");

/// So many rounds bring every buffer to its size.
const WARM_UP: usize = 300;
const ROUNDS: usize = 1000;
const SOON: Duration = Duration::from_secs(60);

over_both_routes![calls_allocate_nothing, oneways_allocate_nothing];

fn calls_allocate_nothing(route: Route) {
    exchange(route, |link, message, bytes| {
        message.append_bytes(bytes).unwrap();
        assert_eq!(link.call(ECHO, message).unwrap().value::<&[u8]>(), Ok(bytes));
    });
}

fn oneways_allocate_nothing(route: Route) {
    exchange(route, |link, message, bytes| {
        message.append_bytes(bytes).unwrap();
        link.oneway(NOTE, message).unwrap();
    });
}

fn exchange(route: Route, step: impl Fn(&cloison_worker::Link, &mut Message<OwnedFd>, &[u8])) {
    let mut world = World::new(route);
    let server = world.worker("server", |worker| {
        worker.provide(|_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>| {
            reply.append_bytes(request.recv::<&[u8]>()?)?;
            Ok(request.finish()?)
        });
        let serve = |count| (0..count).for_each(|_| assert!(worker.serve_once(SOON).unwrap()));
        serve(WARM_UP);
        let served = measure(|| serve(ROUNDS - WARM_UP)).count_total;
        // The last request says that the client has measured too.
        assert!(worker.serve_once(SOON).unwrap());
        served
    });
    let worker = world.here("client");
    let link = worker.open("server", &TEST).unwrap();
    let mut message = Message::new();
    let mut steps = |count: usize| {
        for i in 0..count {
            step(&link, &mut message, &[7; 20_000][..if i % 10 == 0 { 20_000 } else { 64 }]);
        }
    };
    steps(WARM_UP);
    let called = measure(|| steps(ROUNDS - WARM_UP)).count_total;
    message.append_bytes(&[]).unwrap();
    link.call(ECHO, &mut message).unwrap();
    assert_eq!((called, server.join().unwrap()), (0, 0));
}
