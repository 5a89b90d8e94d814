//! Pools, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use cloison_msg::control::{PoolId, ToBroker, ToWorker};
use cloison_msg::{CallFailure, Gone, Header, Interface, Kind, Message, Refusal, Route, RpcIndex, decode_whole};
use cloison_worker::{AcquireError, BorrowError, Borrowed, BufferRef, Link, PoolError, PoolShape, Request, Worker};
use world::World;
use world::raw::{self, Raw};

const TEST: Interface = Interface::new("test", &["picture", "hold", "let-go", "sync"]);
const PICTURE: RpcIndex = TEST.method("picture");
const HOLD: RpcIndex = TEST.method("hold");
const LET_GO: RpcIndex = TEST.method("let-go");
const SYNC: RpcIndex = TEST.method("sync");
const SHAPE: PoolShape = PoolShape { buffer_size: 10_000, count: 3 };

over_both_routes![
    pictures_flow_and_buffers_come_back,
    a_used_up_pool_is_back_pressure,
    many_returns_wait_for_room,
    a_dropped_pool_ends_with_its_last_buffer,
    a_buffer_returned_twice_cuts_the_link,
    a_buffer_that_was_never_lent_cuts_the_link,
    a_dead_consumer_frees_all_buffers,
    a_dead_producers_pictures_can_still_be_read,
    a_message_that_was_not_sent_gives_its_buffer_back,
];

type Reply = Message<OwnedFd>;

/// A worker that reads pictures: each is full of one value, which comes along.
fn consumer(world: &mut World) {
    world.worker("consumer", |worker| {
        let held: RefCell<VecDeque<Borrowed>> = RefCell::default();
        let seen = Cell::new(0u32);
        worker.serve(move |_: &Worker, request: &mut Request<'_>, reply: &mut Reply| {
            match request.rpc() {
                PICTURE => {
                    let (value, reference): (u8, BufferRef) = (request.recv()?, request.recv()?);
                    let mut copy = vec![0; 10_000];
                    request.borrow(reference).unwrap().copy_to(&mut copy).unwrap();
                    assert!(copy.iter().all(|&byte| byte == value), "picture {}", seen.get());
                    seen.set(seen.get() + 1);
                }
                HOLD => held.borrow_mut().push_back(borrow(request).unwrap()),
                LET_GO => drop(held.borrow_mut().pop_front()),
                _ => {
                    reply.append(&seen.get())?;
                }
            }
            Ok(())
        })
    });
}

fn borrow(request: &mut Request<'_>) -> Result<Borrowed, BorrowError> {
    let _: u8 = request.recv()?;
    request.recv_buffer()
}

fn producer(world: &mut World) -> (Worker, Link) {
    let worker = world.here("producer");
    let link = worker.open("consumer", &TEST).unwrap();
    (worker, link)
}

fn picture(value: u8, reference: BufferRef) -> Message<OwnedFd> {
    let mut message = Message::new();
    message.append(&value).unwrap().append(&reference).unwrap();
    message
}

/// Fills and lends one buffer.
fn lend(pool: &cloison_worker::Pool, value: u8) -> Result<Message<OwnedFd>, AcquireError> {
    let mut buffer = pool.acquire_within(Duration::from_millis(50))?;
    buffer.fill(value);
    Ok(picture(value, buffer.lend(10_000)))
}

fn sync(link: &Link) -> u32 {
    link.call(SYNC, &mut Message::new()).unwrap().value().unwrap()
}

fn pictures_flow_and_buffers_come_back(route: Route) {
    let mut world = World::new(route);
    consumer(&mut world);
    let (_worker, link) = producer(&mut world);
    let pool = link.pool(SHAPE).unwrap();
    for i in 0..500u32 {
        let mut buffer = pool.acquire().unwrap();
        let value = u8::try_from(i % 256).unwrap();
        buffer.fill(value);
        link.oneway(PICTURE, &mut picture(value, buffer.lend(10_000))).unwrap();
        assert!(pool.lent() <= SHAPE.count);
    }
    assert_eq!(sync(&link), 500);
    while pool.lent() > 0 {
        sync(&link);
    }
}

fn a_used_up_pool_is_back_pressure(route: Route) {
    let mut world = World::new(route);
    consumer(&mut world);
    let (_worker, link) = producer(&mut world);
    let pool = link.pool(SHAPE).unwrap();
    for _ in 0..SHAPE.count {
        link.oneway(HOLD, &mut lend(&pool, 1).unwrap()).unwrap();
    }
    assert!(matches!(lend(&pool, 1), Err(AcquireError::AllLent(_))));
    link.oneway(LET_GO, &mut Message::new()).unwrap();
    let back = pool.acquire().unwrap();
    assert_eq!(pool.lent(), 2);
    drop(back);
    let other = link.pool(PoolShape { buffer_size: 64, count: 1 }).unwrap();
    let mut buffer = other.acquire().unwrap();
    buffer.fill(3);
    let (reference, copy) = (buffer.lend(64), pool.acquire().unwrap());
    assert_eq!((reference.index, copy.len()), (0, 10_000), "pools do not mix");
    other.take_back(reference).unwrap();
}

/// The consumer gives more buffers back than its window has room for before the producer takes any.
fn many_returns_wait_for_room(route: Route) {
    let mut world = World::new(route);
    let mut raw = Raw::new(&mut world, "peer");
    let worker = world.here("consumer");
    let link = worker.open("peer", &TEST).unwrap();
    raw.granted();
    raw.say(&ToBroker::MakePool { request: 1, link: raw.link, shape: PoolShape { buffer_size: 1, count: 64 } });
    let ToWorker::Pool { pool: Ok(pool), .. } = raw.word().0 else { panic!() };
    for _ in 0..40 {
        link.oneway(SYNC, &mut Message::new()).unwrap();
    }
    let references = (0..64).map(|index| BufferRef { pool, index, len: 1 });
    let borrowed: Vec<_> = references.map(|reference| link.borrow(reference).unwrap()).collect();
    drop(borrowed);
    for _ in 0..40 {
        assert_eq!(raw.recv().0.rpc, SYNC);
    }
    let (first, rest) = (24, 40);
    let mut back: Vec<u16> = (0..first).map(|_| returned(&mut raw, pool)).collect();
    let mut credit = Message::<()>::new();
    let taken = cloison_msg::Credit { messages: 64, bytes: 40, descriptors: 0 };
    credit.append(&cloison_msg::Receipt { route, taken }).unwrap();
    raw.send(Header { kind: Kind::Credit, ..Header::default() }, credit.payload());
    worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
    assert_eq!(worker.serve_once(Duration::from_millis(20)), Ok(false));
    back.extend((0..rest).map(|_| returned(&mut raw, pool)));
    back.sort_unstable();
    assert_eq!(back, (0..64).collect::<Vec<_>>());
}

fn returned(raw: &mut Raw, pool: PoolId) -> u16 {
    let (header, payload) = raw.recv();
    assert_eq!(header.kind, Kind::Release);
    let (its, index): (PoolId, u16) = decode_whole(&payload).unwrap();
    assert_eq!(its, pool);
    index
}

fn a_dropped_pool_ends_with_its_last_buffer(route: Route) {
    let mut world = World::new(route);
    consumer(&mut world);
    let (_worker, link) = producer(&mut world);
    let dropped = |world: &World| world.heard_count();
    drop(link.pool(SHAPE).unwrap());
    world.heard(|word| matches!(word, ToBroker::DropPool { .. }).then_some(()));
    let pool = link.pool(SHAPE).unwrap();
    link.oneway(HOLD, &mut lend(&pool, 1).unwrap()).unwrap();
    drop(pool);
    sync(&link);
    assert_eq!(dropped(&world), 1, "one buffer is still out");
    link.oneway(LET_GO, &mut Message::new()).unwrap();
    while dropped(&world) < 2 {
        sync(&link);
    }
}

fn a_buffer_returned_twice_cuts_the_link(route: Route) {
    let mut world = World::new(route);
    let mut raw = Raw::new(&mut world, "consumer");
    let (_worker, link) = producer(&mut world);
    raw.granted();
    let pool = link.pool(SHAPE).unwrap();
    link.oneway(PICTURE, &mut lend(&pool, 1).unwrap()).unwrap();
    let (_, payload) = raw.recv();
    let (_, reference): (u8, BufferRef) = decode_whole(&payload).unwrap();
    let mut back = Message::<()>::new();
    back.append(&(reference.pool, reference.index)).unwrap();
    for _ in 0..2 {
        raw.send(Header { kind: Kind::Release, ..Header::default() }, back.payload());
    }
    let why = link.call(SYNC, &mut Message::new()).unwrap_err().why;
    let CallFailure::Gone(Gone::CutOff(what)) = why else { panic!("{why}") };
    assert_eq!(what.as_str(), format!("pool {}: buffer 0 was returned, but is not lent", reference.pool));
    world.heard(|word| matches!(word, ToBroker::Accuse { .. }).then_some(()));
}

fn a_buffer_that_was_never_lent_cuts_the_link(route: Route) {
    for (index, len, wrong_pool, what) in [
        (3, 1, 0, "buffer 3 was lent from a pool of 3"),
        (0, 10_001, 0, "10001 bytes of a buffer of 10000 were lent"),
        (0, 1, 7, "a buffer of pool 8, which it never lent"),
    ] {
        let mut world = World::new(route);
        let mut raw = Raw::new(&mut world, "peer");
        let worker = world.here("consumer");
        let link = worker.open("peer", &TEST).unwrap();
        raw.granted();
        raw.say(&ToBroker::MakePool { request: 1, link: raw.link, shape: SHAPE });
        let ToWorker::Pool { pool: Ok(pool), .. } = raw.word().0 else { panic!() };
        let reference = BufferRef { pool: pool + wrong_pool, index, len };
        raw.send(raw::oneway(PICTURE.0), picture(1, reference).payload());
        let refused = Rc::new(Cell::new(false));
        let noted = Rc::clone(&refused);
        worker.provide(move |_: &Worker, request: &mut Request<'_>, _: &mut Reply| {
            let error = borrow(request).unwrap_err();
            assert!(matches!(error, BorrowError::Breach(_) | BorrowError::UnknownPool));
            noted.set(true);
            Ok(())
        });
        assert_eq!(worker.serve_once(Duration::from_secs(60)), Ok(true));
        assert!(refused.get());
        assert_eq!(link.gone(), Some(Gone::CutOff(what.into())));
    }
}

fn a_dead_consumer_frees_all_buffers(route: Route) {
    let mut world = World::new(route);
    let mut raw = Raw::new(&mut world, "consumer");
    let (_worker, link) = producer(&mut world);
    raw.granted();
    let pool = link.pool(SHAPE).unwrap();
    for _ in 0..SHAPE.count {
        link.oneway(PICTURE, &mut lend(&pool, 1).unwrap()).unwrap();
    }
    let gone = Gone::Crashed("signal 11".into());
    world.bury("consumer", &gone);
    assert_eq!(pool.acquire().unwrap_err(), AcquireError::Gone(gone.clone()));
    assert_eq!(pool.lent(), 0);
    assert!(matches!(link.pool(SHAPE), Err(PoolError::Gone(why)) if why == gone));
}

fn a_dead_producers_pictures_can_still_be_read(route: Route) {
    let mut world = World::new(route);
    let control = world.port("consumer");
    let producing = world.worker("producer", |worker| {
        let link = worker.open("consumer", &TEST).unwrap();
        let pool = link.pool(SHAPE).unwrap();
        for value in 1..=3 {
            link.oneway(PICTURE, &mut lend(&pool, value).unwrap()).unwrap();
        }
    });
    let worker = Worker::over(control).unwrap();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    worker.provide(move |_: &Worker, request: &mut Request<'_>, _: &mut Reply| {
        let borrowed = borrow(request).unwrap();
        let mut byte = [0];
        borrowed.copy_range_to(9_999, &mut byte).unwrap();
        log.borrow_mut().push((byte[0], request.link().gone().is_some()));
        Ok(())
    });
    producing.join().unwrap();
    // Both the pictures and the news of the death are there before the first picture is looked at.
    let lost = worker.open_within("nobody", &TEST, Duration::from_secs(60)).unwrap_err();
    assert!(matches!(lost.why, cloison_worker::OpenFailure::Refused(Refusal::NotFound)));
    while worker.serve_once(Duration::from_millis(5)).unwrap() {}
    let seen = seen.borrow();
    assert_eq!(seen.iter().map(|&(value, _)| value).collect::<Vec<_>>(), [1, 2, 3]);
}

fn a_message_that_was_not_sent_gives_its_buffer_back(route: Route) {
    let mut world = World::new(route);
    let mut raw = Raw::new(&mut world, "consumer");
    let (_worker, link) = producer(&mut world);
    raw.granted();
    let pool = link.pool(SHAPE).unwrap();
    for _ in 0..cloison_msg::WINDOW_MESSAGES {
        link.oneway(SYNC, &mut Message::new()).unwrap();
    }
    let reference = pool.acquire().unwrap().lend(1);
    let error = link.oneway_within(PICTURE, &mut picture(1, reference), Duration::ZERO).unwrap_err();
    assert_eq!(error.why, CallFailure::Overloaded);
    pool.take_back(reference).unwrap();
    assert!(pool.take_back(reference).is_err());
    assert_eq!(pool.lent(), 0);
}
