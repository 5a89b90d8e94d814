//! A host that serves a stream on a thread waits for its reader as long as there is one, and no longer.
#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and helpers have none")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use cloison_broker::harness::Harness;
use cloison_broker::msg::STREAM_ITEMS;
use cloison_broker::msg::contract::{Client, Stub};
use cloison_broker::{Answer, Ask, Grant, HOST, Item, Model, Stream, interface};
use cloison_worker::{Link, Worker};

/// The host's.
#[interface]
trait Numbers {
    fn up_to(&self, last: u64) -> Stream<u64>;
    /// What they need is always in use.
    fn never(&self) -> Stream<u64>;
}

#[interface]
trait Keeper<L> {
    fn keep(&self, numbers: NumbersClient<L>) -> Answer<()>;
}

/// How many were made, or how often it was asked whether one can be.
struct Counted(Arc<AtomicU64>);

impl Numbers for Counted {
    fn up_to(&self, last: u64) -> Stream<u64> {
        let made = self.0.clone();
        Stream::of((1..=last).inspect(move |&number| made.store(number, Ordering::Release)))
    }

    fn never(&self) -> Stream<u64> {
        let asked = self.0.clone();
        let ask = move || asked.fetch_add(1, Ordering::AcqRel) == u64::MAX;
        Stream::of(1..).ready_when(ask)
    }
}

struct Keeps;

impl Keeper<Link> for Keeps {
    fn keep(&self, numbers: NumbersClient<Link>) -> Answer<()> {
        // It lives as long as the worker.
        std::mem::forget(numbers);
        Ok(())
    }
}

/// How long a test waits for what happens at once, however busy the machine is.
const SOON: Duration = Duration::from_secs(60);

/// What a thread waits for that serves a stream of which nobody takes an item.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// Room for the next item.
    Room,
    /// That all items have left, since the reply must not overtake them.
    End,
    /// That what the next item needs has come back.
    Item,
}

impl Wait {
    /// How high it has counted when it waits.
    fn reached_at(self) -> u64 {
        match self {
            // So many are made ahead of the stream's credit, and the one that there is no room for.
            Self::Room => STREAM_ITEMS + 5,
            Self::End => STREAM_ITEMS + 1,
            Self::Item => 3,
        }
    }
}

/// A host, the worker that reads nothing of a stream of the host's, and when the thread is done that serves it.
struct Scene {
    harness: Harness,
    worker: Worker,
    numbers: NumbersClient<Link>,
    /// `None` once it was dropped.
    unread: Option<Stream<u64>>,
    ended: Receiver<()>,
}

impl Scene {
    fn new(wait: Wait, model: Model) -> Self {
        let policy = |ask: &Ask<'_>| {
            let is_kept = ask.interface.as_str() == "keeper";
            let rights = if is_kept { KEEPER.rights() } else { NUMBERS.rights().delegable() };
            Some(Grant { rights, ..Grant::default() })
        };
        let mut harness = Harness::new(policy, model).unwrap();
        let control = harness.seat("reader").unwrap();
        let (worker, numbers, unread) = harness.during(|| {
            let worker = Worker::over(control).unwrap();
            let numbers = NumbersClient::over(Stub::new(worker.open(HOST, &NUMBERS).unwrap(), 2));
            let unread = match wait {
                Wait::Room => numbers.up_to(u64::MAX),
                Wait::End => numbers.up_to(STREAM_ITEMS + 1),
                Wait::Item => numbers.never(),
            };
            (worker, numbers, unread)
        });
        harness.settle();
        let Some(Item::Message(message)) = harness.heard() else { panic!("no call has come") };
        let (count, (end, ended)) = (Arc::new(AtomicU64::new(0)), channel());
        let server = NumbersServer::new(Counted(count.clone()));
        thread::spawn(move || {
            message.serve(&server);
            end.send(()).unwrap();
        });
        harness.during(|| {
            while count.load(Ordering::Acquire) < wait.reached_at() {
                thread::yield_now();
            }
        });
        assert!(ended.try_recv().is_err(), "a reader may be slow");
        Self { harness, worker, numbers, unread: Some(unread), ended }
    }
}

/// In whatever it waits when that happens, it is over, while all the others live on.
#[track_caller]
fn ends_by(way: impl Fn(&mut Scene)) {
    for model in [Model::Broker, Model::Orchestrator] {
        for wait in [Wait::Room, Wait::End, Wait::Item] {
            let mut scene = Scene::new(wait, model);
            way(&mut scene);
            scene.harness.settle();
            assert_eq!(scene.ended.recv_timeout(SOON), Ok(()), "{wait:?}, {model:?}");
        }
    }
}

#[test]
fn it_ends_with_the_call() {
    ends_by(|scene| drop(scene.unread.take()));
}

#[test]
fn it_ends_with_the_link() {
    ends_by(|scene| scene.numbers.link().clone().close());
}

#[test]
fn it_ends_with_the_right_to_the_link() {
    ends_by(|scene| {
        let link = scene.harness.explain()[0].id;
        scene.harness.revoke(link);
    });
}

#[test]
fn it_ends_with_its_reader() {
    ends_by(|scene| scene.harness.bury("reader"));
}

#[test]
fn it_ends_when_the_reader_gives_the_link_away() {
    ends_by(|scene| {
        let control = scene.harness.seat("keeper").unwrap();
        // It ends with the broker.
        thread::spawn(move || Worker::over(control).unwrap().serve(KeeperServer::new(Keeps)));
        let Scene { harness, worker, numbers, .. } = scene;
        harness.during(|| {
            let keeper = KeeperClient::over(Stub::new(worker.open("keeper", &KEEPER).unwrap(), 1));
            assert_eq!(keeper.keep(numbers.clone()), Ok(()));
        });
    });
}

#[test]
fn it_ends_with_the_broker() {
    for wait in [Wait::Room, Wait::End, Wait::Item] {
        let Scene { harness, worker: _worker, unread: _unread, ended, .. } = Scene::new(wait, Model::Broker);
        drop(harness);
        assert_eq!(ended.recv_timeout(SOON), Ok(()), "{wait:?}");
    }
}
