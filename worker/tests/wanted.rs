//! What a worker waits for on behalf of a call that is given up, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use cloison_msg::control::ToBroker;
use cloison_msg::{CallFailure, Gone, Interface, Message, Route, RpcIndex};
use cloison_worker::{
    AcquireError, Answer, BufferRef, Link, Pool, PoolError, PoolShape, Request, Stream, Worker, interface,
};
use world::World;
use world::raw::Raw;

const TEST: Interface = Interface::new("test", &["wait"]);
const WAIT: RpcIndex = TEST.method("wait");
const SHAPE: PoolShape = PoolShape { buffer_size: 100, count: 1 };

/// How long something takes that does not end by itself.
const LONG: Duration = Duration::from_secs(600);
/// How long a test waits for what happens at once, however busy the machine is.
const SOON: Duration = Duration::from_secs(60);

over_both_routes![
    a_wait_for_a_buffer_ends_with_what_it_was_for,
    a_stream_s_wait_for_a_buffer_does_too,
    a_buffer_that_is_there_is_there,
    a_wait_for_a_pool_ends_with_what_it_was_for,
    a_wait_for_an_object_ends_with_what_it_was_for,
];

#[interface]
trait Album {
    fn pictures(&self) -> Stream<BufferRef>;
    fn say_hello(&self) -> Answer<()>;
}

#[interface]
trait Idle {
    fn idle(&self) -> Answer<()>;
}

struct Nothing;

impl Idle for Nothing {
    fn idle(&self) -> Answer<()> {
        Ok(())
    }
}

/// What a worker tells of what it does.
struct Doing<T> {
    begun: Receiver<()>,
    hear: Receiver<T>,
    /// A peer that takes nothing.
    _end: Raw,
}

/// A worker `a` that does this for each call, with a link to some peer, and says what came of it. It begins to wait.
fn doing<T: Send + 'static>(
    world: &mut World,
    work: impl Fn(&Worker, &Link, &dyn Fn()) -> T + Send + 'static,
) -> Doing<T> {
    let mut end = Raw::new(world, "end");
    let ((begins, begun), (told, hear)) = (mpsc::channel(), mpsc::channel());
    world.worker("a", move |worker| {
        let link = worker.open("end", &TEST).unwrap();
        worker.serve(move |worker: &Worker, _: &mut Request<'_>, _: &mut Message<OwnedFd>| {
            told.send(work(worker, &link, &|| begins.send(()).unwrap())).unwrap();
            Ok(())
        })
    });
    end.granted();
    Doing { begun, hear, _end: end }
}

impl<T> Doing<T> {
    /// Calls, and gives the call up while it is served; then another, and dies: what the worker told of each.
    fn given_up(&self, world: &mut World) -> [T; 2] {
        let told = || self.hear.recv_timeout(SOON).unwrap();
        let b = world.here("b");
        let link = b.open("a", &TEST).unwrap();
        let begin = || {
            let call = link.start(WAIT, &mut Message::new()).unwrap();
            self.begun.recv_timeout(SOON).unwrap();
            call
        };
        drop(begin());
        let dropped = told();
        let _call = begin();
        world.bury("b", &Gone::Crashed("signal 9".into()));
        [dropped, told()]
    }
}

/// A pool all of whose buffers are lent, and the one that is.
fn used_up(link: &Link) -> (Pool, BufferRef) {
    let pool = link.pool(SHAPE).unwrap();
    let lent = pool.acquire().unwrap().lend(1);
    (pool, lent)
}

fn a_wait_for_a_buffer_ends_with_what_it_was_for(route: Route) {
    let mut world = World::new(route);
    let doing = doing(&mut world, |_, link, begin| {
        let (pool, _) = used_up(link);
        begin();
        [pool.acquire_within(LONG).unwrap_err(), pool.acquire_within(LONG).unwrap_err()]
    });
    let cancelled = [AcquireError::Cancelled, AcquireError::Cancelled];
    assert_eq!(doing.given_up(&mut world), [cancelled.clone(), cancelled]);
}

/// One picture, and then another that never comes.
struct Pictures {
    worker: Worker,
    begins: Sender<()>,
    told: Sender<AcquireError>,
}

impl Album for Pictures {
    fn pictures(&self) -> Stream<BufferRef> {
        let (worker, begins, told) = (self.worker.clone(), self.begins.clone(), self.told.clone());
        let mut pool: Option<Pool> = None;
        Stream::new(std::iter::from_fn(move || {
            if let Some(pool) = &pool {
                begins.send(()).unwrap();
                told.send(pool.acquire_within(LONG).unwrap_err()).unwrap();
                return None;
            }
            let made = worker.link_served().unwrap().pool(SHAPE).unwrap();
            let picture = made.acquire().unwrap().lend(1);
            pool = Some(made);
            Some(Ok(picture))
        }))
    }

    fn say_hello(&self) -> Answer<()> {
        Ok(())
    }
}

fn a_stream_s_wait_for_a_buffer_does_too(route: Route) {
    let mut world = World::new(route);
    let ((begins, begun), (told, hear)) = (mpsc::channel(), mpsc::channel());
    world.worker("a", move |worker| worker.serve(AlbumServer::new(Pictures { worker: worker.clone(), begins, told })));
    let b = world.here("b");
    let album = AlbumClient::bind(&b, "a").unwrap();
    for _ in 0..3 {
        let mut pictures = album.pictures();
        let _kept = album.link().borrow(pictures.next().unwrap().unwrap()).unwrap();
        begun.recv_timeout(SOON).unwrap();
        drop(pictures);
        assert_eq!(hear.recv_timeout(SOON), Ok(AcquireError::Cancelled));
        album.say_hello().unwrap();
    }
}

/// So what is done for nobody may still be told, as it may be by a oneway.
fn a_buffer_that_is_there_is_there(route: Route) {
    let mut world = World::new(route);
    let doing = doing(&mut world, |_, link, begin| {
        let (pool, lent) = used_up(link);
        begin();
        let why = pool.acquire_within(LONG).unwrap_err();
        pool.take_back(lent).unwrap();
        (why, pool.acquire().is_ok())
    });
    assert_eq!(doing.given_up(&mut world), [(AcquireError::Cancelled, true), (AcquireError::Cancelled, true)]);
}

fn a_wait_for_a_pool_ends_with_what_it_was_for(route: Route) {
    let mut world = World::new(route);
    world.withhold();
    let is_cancelled = |link: &Link| matches!(link.pool(SHAPE), Err(PoolError::Cancelled));
    let doing = doing(&mut world, move |_, link, begin| {
        begin();
        [is_cancelled(link), is_cancelled(link)]
    });
    assert_eq!(doing.given_up(&mut world), [[true, true], [true, true]]);
    // What comes too late is given back.
    world.relent();
    world.heard(|word| matches!(word, ToBroker::DropPool { .. }).then_some(()));
}

fn a_wait_for_an_object_ends_with_what_it_was_for(route: Route) {
    let mut world = World::new(route);
    world.withhold();
    let why = |worker: &Worker| {
        let error = IdleClient::offer(worker, Nothing).map(drop).unwrap_err();
        assert!(error.to_string().starts_with("offering an object of a failed after "), "{error}");
        error.why
    };
    let doing = doing(&mut world, move |worker, _, begin| {
        begin();
        [why(worker), why(worker)]
    });
    let cancelled = [CallFailure::Cancelled, CallFailure::Cancelled];
    assert_eq!(doing.given_up(&mut world), [cancelled.clone(), cancelled]);
    world.relent();
}
