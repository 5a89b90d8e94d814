//! Contracts between workers, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloison_msg::contract::bind::{BindError, Difference};
use cloison_msg::contract::{Client, Stub};
use cloison_msg::{CallFailure, Denial, Failure, Gone, Message, Route};
use cloison_worker::{
    Answer, Answers, BufferRef, Link, MethodError, PerLink, PoolShape, Request, Stages, Worker, interface,
};
use serde::{Deserialize, Serialize};
use world::World;

over_both_routes![
    calls_and_oneways_arrive,
    own_errors_and_failures_are_told_apart,
    a_deadline_is_the_methods_own,
    answers_come_as_they_come,
    chains_go_on_while_answers_are_collected,
    a_dead_peer_ends_what_is_collected,
    a_mismatch_is_told_at_binding_and_leaves_no_link,
    a_service_without_a_contract_cannot_be_bound,
    each_link_has_an_object_of_its_own,
    one_worker_serves_several_contracts,
    buffers_are_named_and_borrowed,
    descriptors_pass_only_where_granted,
];

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum StoreError {
    Full { room: u32 },
}

#[interface]
trait Store {
    fn put(&self, bytes: &[u8]) -> Answer<u32, StoreError>;
    fn size(&self) -> Answer<u32>;
    #[oneway]
    fn forget(&self) -> Answer<()>;
    #[deadline("30ms")]
    fn sleep(&self, ms: u64) -> Answer<()>;
    /// Has the server ask back over the link by which it is asked.
    fn ask_back(&self, number: u32) -> Answer<u32>;
    /// Answered by nobody: the server ends.
    fn end(&self) -> Answer<()>;
    #[descriptors(PIPE)]
    fn read(&self, pipe: OwnedFd) -> Answer<String>;
    /// The sum of a buffer's bytes.
    fn sum(&self, picture: BufferRef) -> Answer<u64, StoreError>;
}

#[interface]
trait Asker {
    fn doubled(&self, number: u32) -> Answer<u32>;
}

struct Shelf {
    link: Link,
    size: Cell<u32>,
    /// Told when this is dropped.
    dropped: Arc<Mutex<Vec<u32>>>,
}

impl Shelf {
    fn new(link: &Link) -> Self {
        Self { link: link.clone(), size: Cell::new(0), dropped: Arc::default() }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.dropped.lock().unwrap().push(self.size.get());
    }
}

impl Store for Shelf {
    fn put(&self, bytes: &[u8]) -> Answer<u32, StoreError> {
        let size = self.size.get() + u32::try_from(bytes.len()).unwrap();
        if size > 100 {
            Err(StoreError::Full { room: 100 - self.size.get() })?;
        }
        self.size.set(size);
        Ok(size)
    }

    fn size(&self) -> Answer<u32> {
        Ok(self.size.get())
    }

    fn forget(&self) -> Answer<()> {
        self.size.set(0);
        Ok(())
    }

    fn sleep(&self, ms: u64) -> Answer<()> {
        std::thread::sleep(Duration::from_millis(ms));
        Ok(())
    }

    fn ask_back(&self, number: u32) -> Answer<u32> {
        Ok(AskerClient::over(Stub::new(self.link.clone(), 1)).doubled(number)? + 1)
    }

    fn end(&self) -> Answer<()> {
        panic!("as it was told to");
    }

    fn read(&self, pipe: OwnedFd) -> Answer<String> {
        let mut text = String::new();
        std::fs::File::from(pipe).read_to_string(&mut text).unwrap();
        Ok(text)
    }

    fn sum(&self, picture: BufferRef) -> Answer<u64, StoreError> {
        let borrowed = self.link.borrow(picture).map_err(|_| StoreError::Full { room: 0 })?;
        let mut bytes = vec![0; borrowed.len()];
        borrowed.copy_to(&mut bytes).unwrap();
        Ok(bytes.iter().map(|&byte| u64::from(byte)).sum())
    }
}

struct Doubler;

impl Asker for Doubler {
    fn doubled(&self, number: u32) -> Answer<u32> {
        Ok(number * 2)
    }
}

fn serve(world: &mut World) {
    world.worker("store", |worker| worker.serve(PerLink::new(|link| StoreServer::new(Shelf::new(link)))));
}

fn client(world: &mut World) -> (Worker, StoreClient<Link>) {
    let worker = world.here("client");
    let store = StoreClient::bind(&worker, "store").unwrap();
    (worker, store)
}

fn why<T: std::fmt::Debug, E: std::fmt::Debug>(answer: Answer<T, E>) -> CallFailure {
    let Err(MethodError::Call(error)) = answer else { panic!("{answer:?}") };
    error.why
}

fn calls_and_oneways_arrive(route: Route) {
    let mut world = World::new(route);
    serve(&mut world);
    let (_worker, store) = client(&mut world);
    assert_eq!(store.put(b"abc"), Ok(3));
    assert_eq!(store.put(b"de"), Ok(5));
    store.forget().unwrap();
    assert_eq!(store.size(), Ok(0));
    assert_eq!(store.start().put(b"abc").wait(), Ok(3));
    store.start().forget().wait().unwrap();
    assert_eq!(store.size(), Ok(0));
    assert_eq!(store.link().peer().as_str(), "store");
    assert!(store.serves("read"));
}

fn own_errors_and_failures_are_told_apart(route: Route) {
    let mut world = World::new(route);
    serve(&mut world);
    let (_worker, store) = client(&mut world);
    store.put(&[0; 90]).unwrap();
    assert_eq!(store.put(&[0; 90]), Err(MethodError::Own(StoreError::Full { room: 10 })));
    assert_eq!(store.size(), Ok(90));
    world.revoke_all();
    assert_eq!(why(store.size()), CallFailure::Gone(Gone::Revoked));
    let too_long = why(store.put(&[0; 70_000]));
    assert!(matches!(too_long, CallFailure::Unsendable(_)), "{too_long}");
}

fn a_deadline_is_the_methods_own(route: Route) {
    let mut world = World::new(route);
    serve(&mut world);
    let (_worker, store) = client(&mut world);
    let store = store.within(Duration::from_secs(60));
    let slow = store.sleep(150).unwrap_err();
    let error = slow.call().unwrap();
    assert_eq!((&error.why, error.rpc), (&CallFailure::Deadline, STORE.method("sleep")));
    assert!(error.after >= Duration::from_millis(30) && error.after < Duration::from_secs(30), "{error}");
    assert!(error.to_string().starts_with("call of store, method sleep of store, failed after "), "{error}");
    assert_eq!(store.size(), Ok(0), "its late reply does no harm");
}

fn answers_come_as_they_come(route: Route) {
    let mut world = World::new(route);
    let (go, may_go) = std::sync::mpsc::channel();
    world.worker("slow", move |worker| {
        let shelf = move |link: &Link| {
            may_go.recv().unwrap();
            StoreServer::new(Shelf::new(link))
        };
        worker.serve(PerLink::new(shelf))
    });
    serve(&mut world);
    let worker = world.here("client");
    // Bound without asking, so that the slow one is not waited for.
    let unasked = |role| StoreClient::over(Stub::new(worker.open(role, &STORE).unwrap(), 8));
    let (slow, fast) = (unasked("slow"), unasked("store"));
    let mut answers = Answers::new();
    answers.add("slow", slow.start().put(b"a"));
    for _ in 0..5 {
        answers.add("fast", fast.start().put(b"a"));
    }
    let mut counts: Vec<_> = (0..5)
        .map(|_| {
            let (which, count) = answers.next().unwrap();
            assert_eq!(which, "fast");
            count.unwrap()
        })
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2, 3, 4, 5]);
    go.send(()).unwrap();
    assert_eq!(answers.next(), Some(("slow", Ok(1))));
    assert!(answers.is_empty() && answers.next().is_none());
}

fn chains_go_on_while_answers_are_collected(route: Route) {
    let mut world = World::new(route);
    serve(&mut world);
    let (worker, store) = client(&mut world);
    worker.provide(AskerServer::new(Doubler));
    assert_eq!(store.ask_back(20), Ok(41));
    let mut answers = Answers::new();
    for number in 0..8 {
        answers.add(number, store.start().ask_back(number));
    }
    let mut heard = 0;
    while let Some((number, answer)) = answers.next() {
        assert_eq!(answer, Ok(2 * number + 1));
        heard += 1;
    }
    assert_eq!(heard, 8);
}

fn a_dead_peer_ends_what_is_collected(route: Route) {
    let mut world = World::new(route);
    serve(&mut world);
    let (_worker, store) = client(&mut world);
    let mut answers = Answers::new();
    answers.add(0, store.start().end());
    answers.add(1, store.start().end());
    world.bury("store", &Gone::Crashed("signal 11".into()));
    for _ in 0..2 {
        let (_, answer) = answers.next().unwrap();
        assert!(matches!(why(answer), CallFailure::PeerRestarted(Gone::Crashed(_))));
    }
    assert!(answers.next().is_none());
}

mod other {
    use super::{Answer, interface};

    #[interface]
    pub trait Nothing {
        fn at_all(&self) -> Answer<()>;
    }

    #[interface(name = "store")]
    pub trait Other {
        fn put(&self, bytes: &[u8]) -> Answer<u64>;
    }
}

fn a_mismatch_is_told_at_binding_and_leaves_no_link(route: Route) {
    let mut world = World::new(route);
    serve(&mut world);
    let worker = world.here("client");
    let error = other::OtherClient::bind(&worker, "store").unwrap_err();
    let BindError::Mismatch(mismatch) = error else { panic!("{error}") };
    assert!(matches!(mismatch.what, Difference::Method { number: 0, .. }), "{mismatch}");
    let text = mismatch.to_string();
    assert!(text.contains("store serves") && text.contains("Answer<u64>") && text.contains("StoreError"), "{text}");
    // The link was closed, and another can be opened.
    assert_eq!(StoreClient::bind(&worker, "store").unwrap().size(), Ok(0));
    let error = StoreClient::bind(&worker, "nobody").unwrap_err();
    assert!(matches!(error, BindError::Open(_)), "{error}");
}

fn a_service_without_a_contract_cannot_be_bound(route: Route) {
    let mut world = World::new(route);
    world.worker("raw", |worker| {
        worker.serve(|_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>| match request.rpc().0 {
            1 => Ok(reply.append(&7u32).map(|_| ())?),
            _ => Err(Failure::NoSuchMethod),
        })
    });
    let worker = world.here("client");
    let error = StoreClient::bind(&worker, "raw").unwrap_err();
    let BindError::Ask(error) = error else { panic!("{error}") };
    assert_eq!(error.why, CallFailure::Failed(Failure::NoSuchMethod));
    let insists = StoreClient::over(Stub::new(worker.open("raw", &STORE).unwrap(), 8));
    assert_eq!(insists.size(), Ok(7));
}

fn each_link_has_an_object_of_its_own(route: Route) {
    let mut world = World::new(route);
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&dropped);
    world.worker("store", |worker| {
        worker.serve(PerLink::new(move |link: &Link| {
            StoreServer::new(Shelf { link: link.clone(), size: Cell::new(0), dropped: Arc::clone(&told) })
        }))
    });
    let worker = world.here("client");
    let bind = || StoreClient::bind(&worker, "store").unwrap();
    let (one, two) = (bind(), bind());
    assert_eq!(one.put(b"abc"), Ok(3));
    assert_eq!(two.put(b"x"), Ok(1));
    assert_eq!((one.size(), two.size()), (Ok(3), Ok(1)));
    two.link().close();
    // The server hears of it some time, and lets go before it serves the next request.
    let until = Instant::now() + Duration::from_secs(30);
    while dropped.lock().unwrap().is_empty() && Instant::now() < until {
        assert_eq!(one.size(), Ok(3));
    }
    assert_eq!(*dropped.lock().unwrap(), [1], "the object of the link that was closed");
}

fn one_worker_serves_several_contracts(route: Route) {
    let mut world = World::new(route);
    world.worker("both", |worker| {
        let shelves = PerLink::new(|link: &Link| StoreServer::new(Shelf::new(link)));
        worker.serve(Stages::new().with(AskerServer::new(Doubler)).with_service(&STORE, shelves))
    });
    let worker = world.here("client");
    let (asker, store) = (AskerClient::bind(&worker, "both").unwrap(), StoreClient::bind(&worker, "both").unwrap());
    assert_eq!((asker.doubled(4), store.put(b"abc")), (Ok(8), Ok(3)));
    // What a link is for was granted; a client that means something else by it is none the wiser.
    let confused = StoreClient::over(Stub::new(asker.link(), 8));
    assert!(matches!(why(confused.put(b"abcd")), CallFailure::Failed(Failure::Undecodable(_))));
    assert_eq!(why(confused.size()), CallFailure::Failed(Failure::NoSuchMethod));
    assert_eq!(store.size(), Ok(3));
    let unknown = other::NothingClient::bind(&worker, "both").unwrap_err();
    assert!(matches!(unknown, BindError::Ask(_)), "{unknown}");
}

fn buffers_are_named_and_borrowed(route: Route) {
    let mut world = World::new(route);
    serve(&mut world);
    let (_worker, store) = client(&mut world);
    let pool = store.link().pool(PoolShape { buffer_size: 4096, count: 2 }).unwrap();
    for round in 1..10u8 {
        let mut picture = pool.acquire().unwrap();
        picture.fill(round);
        assert_eq!(store.sum(picture.lend(4096)), Ok(4096 * u64::from(round)));
    }
}

fn descriptors_pass_only_where_granted(route: Route) {
    let mut world = World::new(route);
    serve(&mut world);
    let (_worker, store) = client(&mut world);
    let (read, mut write) = std::io::pipe().unwrap();
    write.write_all(b"through a pipe").unwrap();
    drop(write);
    match route {
        Route::Relayed => assert_eq!(store.read(read.into()), Ok("through a pipe".to_owned())),
        Route::Direct => {
            assert_eq!(why(store.read(read.into())), CallFailure::Failed(Failure::Denied(Denial::Descriptor)));
        }
    }
}
