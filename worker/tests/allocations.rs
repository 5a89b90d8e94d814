//! In steady state no message costs an allocation, on either side.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::time::Duration;

use allocation_counter::measure;
use cloison_msg::contract::{Client, Items, Never, Stub};
use cloison_msg::{Interface, Message, Name, Route, RpcIndex};
use cloison_worker::{Answer, Answers, Link, Request, Service, Stream, Worker, interface};
use serde::{Deserialize, Serialize};
use world::World;

const TEST: Interface = Interface::new("test", &["echo", "note"]);
const ECHO: RpcIndex = TEST.method("echo");
const NOTE: RpcIndex = TEST.method("note");

/// So many rounds bring every buffer to its size.
const WARM_UP: usize = 300;
const ROUNDS: usize = 1000;
const SOON: Duration = Duration::from_secs(60);

over_both_routes![
    calls_allocate_nothing,
    oneways_allocate_nothing,
    calls_by_contract_allocate_nothing,
    calls_by_contract_in_flight_allocate_nothing,
    oneways_by_contract_allocate_nothing,
    collecting_allocates_nothing,
    idempotent_calls_allocate_nothing,
    items_that_are_given_allocate_nothing,
    items_that_are_fed_allocate_nothing,
    items_that_are_given_in_batches_allocate_nothing,
    items_that_are_fed_in_batches_allocate_nothing,
];

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

/// The same methods, as a contract.
#[interface]
trait Meter {
    #[idempotent]
    fn measure(&self, name: &str, bytes: &[u8], more: &(u32, u64)) -> Answer<(u64, u32), Absurd>;
    #[oneway]
    fn note(&self, bytes: &[u8]) -> Answer<()>;
}

#[derive(Debug, Serialize, Deserialize)]
enum Absurd {}

struct Scales;

impl Meter for Scales {
    fn measure(&self, name: &str, bytes: &[u8], more: &(u32, u64)) -> Answer<(u64, u32), Absurd> {
        Ok((more.1 + name.len() as u64 + bytes.len() as u64, more.0))
    }

    fn note(&self, _: &[u8]) -> Answer<()> {
        Ok(())
    }
}

fn calls_by_contract_allocate_nothing(route: Route) {
    exchange_with(route, MeterServer::new(Scales), |link, _, bytes| {
        let answer = meter(link).measure("weight", bytes, &(7, 1)).unwrap();
        assert_eq!(answer, (7 + bytes.len() as u64, 7));
    });
}

fn calls_by_contract_in_flight_allocate_nothing(route: Route) {
    exchange_with(route, MeterServer::new(Scales), |link, _, bytes| {
        let call = meter(link).start().measure("weight", bytes, &(7, 1));
        assert_eq!(call.wait().unwrap().1, 7);
    });
}

fn oneways_by_contract_allocate_nothing(route: Route) {
    exchange_with(route, MeterServer::new(Scales), |link, _, bytes| meter(link).note(bytes).unwrap());
}

fn collecting_allocates_nothing(route: Route) {
    let answers = RefCell::new(Answers::new());
    exchange_with(route, MeterServer::new(Scales), move |link, _, bytes| {
        let mut answers = answers.borrow_mut();
        answers.add(bytes.len(), meter(link).start().measure("weight", bytes, &(7, 1)));
        let (len, answer) = answers.next().unwrap();
        assert_eq!((len, answer.unwrap().1), (bytes.len(), 7));
    });
}

fn idempotent_calls_allocate_nothing(route: Route) {
    let bound = RefCell::new(None);
    exchange_with(route, MeterServer::new(Scales), move |link, _, bytes| {
        let bind = || MeterClient::over(Stub::bound(Name::new("server").unwrap(), &METER, link.clone(), 2));
        let mut bound = bound.borrow_mut();
        let answer = bound.get_or_insert_with(bind).measure("weight", bytes, &(7, 1)).unwrap();
        assert_eq!(answer, (7 + bytes.len() as u64, 7));
    });
}

#[interface]
trait Spring {
    fn water(&self) -> Stream<(u64, u32)>;
    /// How often it allocates for the last [`ROUNDS`].
    fn drink(&self, water: Stream<(u64, u32)>) -> Answer<u64>;
    #[oneway]
    fn note(&self) -> Answer<()>;
    fn rain(&self) -> Stream<(u64, u32)>;
}

struct Well;

impl Spring for Well {
    fn water(&self) -> Stream<(u64, u32)> {
        Stream::of((0..).map(|drop| (drop, 7)))
    }

    fn drink(&self, mut water: Stream<(u64, u32)>) -> Answer<u64> {
        let mut drink = |count| (0..count).for_each(|_| assert_eq!(water.next().unwrap().unwrap().1, 7));
        drink(WARM_UP);
        Ok(measure(|| drink(ROUNDS)).count_total)
    }

    fn note(&self) -> Answer<()> {
        Ok(())
    }

    fn rain(&self) -> Stream<(u64, u32)> {
        self.water().in_batches()
    }
}

fn items_that_are_given_allocate_nothing(route: Route) {
    give(route, |spring| spring.start().water());
}

fn items_that_are_given_in_batches_allocate_nothing(route: Route) {
    give(route, |spring| spring.start().rain());
}

fn give(route: Route, begin: impl FnOnce(&SpringClient<Link>) -> Items<Link, (u64, u32), Never>) {
    let mut world = World::new(route);
    let server = world.worker("server", |worker| {
        worker.provide(SpringServer::new(Well));
        // The call, and the word that it is warm; the next says that the client has measured.
        (0..2).for_each(|_| assert!(worker.serve_once(SOON).unwrap()));
        measure(|| assert!(worker.serve_once(SOON).unwrap())).count_total
    });
    let (_worker, spring) = spring(&mut world);
    let mut water = begin(&spring);
    let mut take = |count| (0..count).for_each(|_| assert_eq!(water.next().unwrap().unwrap().1, 7));
    take(WARM_UP);
    spring.note().unwrap();
    let taken = measure(|| take(ROUNDS)).count_total;
    spring.note().unwrap();
    assert_eq!((taken, server.join().unwrap()), (0, 0));
}

fn items_that_are_fed_allocate_nothing(route: Route) {
    let mut world = World::new(route);
    world.worker("server", |worker| worker.serve(SpringServer::new(Well)));
    let (_worker, spring) = spring(&mut world);
    let (mut feeder, drunk) = spring.start().drink();
    let mut feed = |count| (0..count).for_each(|drop| feeder.push(&(drop, 7)).unwrap());
    feed(WARM_UP as u64);
    let fed = measure(|| feed(ROUNDS as u64)).count_total;
    feeder.finish();
    assert_eq!((fed, drunk.wait()), (0, Ok(0)));
}

/// A call costs two boxes, for the iterator and for what is pulled of it; its items and packets cost none.
fn items_that_are_fed_in_batches_allocate_nothing(route: Route) {
    let mut world = World::new(route);
    world.worker("server", |worker| worker.serve(SpringServer::new(Well)));
    let (_worker, spring) = spring(&mut world);
    let drink = || {
        let drops = (0..(WARM_UP + ROUNDS) as u64).map(|drop| (drop, 7));
        measure(|| assert_eq!(spring.drink(Stream::of(drops).in_batches()), Ok(0))).count_total
    };
    drink();
    assert_eq!(drink(), 2);
}

fn spring(world: &mut World) -> (Worker, SpringClient<Link>) {
    let worker = world.here("client");
    let link = worker.open("server", &SPRING).unwrap();
    (worker, SpringClient::over(Stub::new(link, 4)))
}

fn meter(link: &Link) -> MeterClient<Link> {
    MeterClient::over(Stub::new(link.clone(), 2))
}

fn exchange(route: Route, step: impl Fn(&Link, &mut Message<OwnedFd>, &[u8])) {
    let echo = |_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>| {
        reply.append_bytes(request.recv::<&[u8]>()?)?;
        Ok(request.finish()?)
    };
    exchange_with(route, echo, step);
}

fn exchange_with(
    route: Route,
    service: impl Service + Send + 'static,
    step: impl Fn(&Link, &mut Message<OwnedFd>, &[u8]),
) {
    let mut world = World::new(route);
    let server = world.worker("server", |worker| {
        worker.provide(service);
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
    // Whatever the service makes of it: it was served when it is answered.
    message.append_bytes(&[]).unwrap();
    let _ = link.call(ECHO, &mut message);
    assert_eq!((called, server.join().unwrap()), (0, 0));
}
