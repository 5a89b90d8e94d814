//! A host has the deadline of a call with streams for each of its waits, and time while it does not wait.
#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and helpers have none")]

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use cloison_broker::harness::Harness;
use cloison_broker::msg::STREAM_ITEMS;
use cloison_broker::msg::contract::{Client, FedCall, Feeder, Never, Stub};
use cloison_broker::{Answer, Ask, Grant, HostLink, Model, Stream, interface};
use cloison_worker::Worker;

#[interface]
trait Mill {
    /// Waits until it is to begin, and again behind so many.
    fn sum(&self, first: u32, numbers: Stream<u32>) -> Answer<u32>;
    /// Each waits until it is to come.
    fn ones(&self) -> Stream<u32>;
}

struct Wheel(Rc<Receiver<()>>);

impl Mill for Wheel {
    fn sum(&self, first: u32, mut numbers: Stream<u32>) -> Answer<u32> {
        self.0.recv().unwrap();
        let mut sum = 0;
        for number in numbers.by_ref().take(first as usize) {
            sum += number?;
        }
        self.0.recv().unwrap();
        numbers.try_fold(sum, |sum, number| Ok(sum + number?))
    }

    fn ones(&self) -> Stream<u32> {
        let goes = Rc::clone(&self.0);
        Stream::of(std::iter::from_fn(move || goes.recv().ok().map(|()| 1)))
    }
}

/// How long each wait may take.
const WITHIN: Duration = Duration::from_secs(1);

/// A host, what it calls, and by what that goes on.
fn mill() -> (Harness, MillClient<HostLink>, Sender<()>) {
    let policy = |_: &Ask<'_>| Some(Grant { rights: MILL.rights(), ..Grant::default() });
    let mut harness = Harness::new(policy, Model::Broker).unwrap();
    let (control, (go, goes)) = (harness.seat("mill").unwrap(), channel());
    // It ends with the broker.
    thread::spawn(move || Worker::over(control).unwrap().serve(MillServer::new(Wheel(Rc::new(goes)))));
    let link = harness.open("mill", &MILL).unwrap();
    (harness, MillClient::over(Stub::new(link, 2)).within(WITHIN), go)
}

/// Longer than a wait may be.
fn pause(harness: &mut Harness) {
    harness.settle();
    thread::sleep(WITHIN + WITHIN / 4);
    harness.settle();
}

/// A host that has fed a call as much as there is room for.
struct Scene {
    harness: Harness,
    feeder: Feeder<HostLink, u32>,
    sum: FedCall<HostLink, u32, Never>,
    fed: u32,
    /// To the worker: go on.
    go: Sender<()>,
}

impl Scene {
    fn new(first: u32) -> Self {
        let (mut harness, mill, go) = mill();
        let (mut feeder, sum) = mill.start().sum(first);
        let mut fed = 0;
        while is_over(&mut pin!(feeder.send(&1))) {
            fed += 1;
            harness.settle();
        }
        Self { harness, feeder, sum, fed, go }
    }

    /// The rest of it goes well.
    fn finish(self) {
        let Self { mut harness, feeder, sum, fed, go } = self;
        feeder.finish();
        // It has as much as it waits for, or as there is.
        (0..2).for_each(|_| go.send(()).unwrap());
        assert_eq!(harness.during(|| sum.wait()), Ok(fed));
    }
}

fn is_over<F: Future>(future: &mut Pin<&mut F>) -> bool {
    matches!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
}

/// Whoever has given up waiting for room does not wait.
#[test]
fn who_waits_no_longer_has_time() {
    let mut scene = Scene::new(0);
    {
        let mut sending = pin!(scene.feeder.send(&1));
        assert!(!is_over(&mut sending));
        scene.harness.settle();
    }
    pause(&mut scene.harness);
    scene.finish();
}

/// Nor does whoever has got it.
#[test]
fn who_has_waited_has_time() {
    let mut scene = Scene::new(40);
    {
        let mut sending = pin!(scene.feeder.send(&1));
        assert!(!is_over(&mut sending));
        scene.harness.settle();
        scene.go.send(()).unwrap();
        scene.harness.during(|| {
            while !is_over(&mut sending) {
                thread::yield_now();
            }
        });
        scene.fed += 1;
    }
    pause(&mut scene.harness);
    scene.finish();
}

/// Who still waits does not.
#[test]
fn who_waits_has_as_long_as_the_call_says() {
    let mut scene = Scene::new(0);
    let Scene { harness, feeder, .. } = &mut scene;
    let mut sending = pin!(feeder.send(&1));
    assert!(!is_over(&mut sending));
    harness.settle();
    thread::sleep(WITHIN);
    harness.settle();
    assert!(is_over(&mut sending), "it is told that no more is wanted");
}

/// The same of whoever awaits an item, and does so no longer.
#[test]
fn who_awaits_no_item_any_longer_has_time() {
    let (mut harness, mill, go) = mill();
    let mut ones = mill.start().ones();
    {
        let mut next = pin!(ones.next_async());
        assert!(!is_over(&mut next));
        harness.settle();
    }
    pause(&mut harness);
    go.send(()).unwrap();
    assert_eq!(harness.during(|| ones.next()), Some(Ok(1)));
}

/// What is fed may take long to be made, also where it is made when there is room again.
#[test]
fn who_makes_an_item_has_time() {
    let (mut harness, mill, go) = mill();
    let room = u32::try_from(STREAM_ITEMS).unwrap() + 4;
    let (last, is_full) = (room + 20, go.clone());
    let made = move |number| {
        if number == room {
            // The mill takes some when this has been waited for a while.
            let go = is_full.clone();
            thread::spawn(move || {
                thread::sleep(WITHIN / 4);
                go.send(()).unwrap();
            });
        }
        if number == room + 10 {
            thread::sleep(WITHIN + WITHIN / 4);
            is_full.send(()).unwrap();
        }
        1
    };
    assert_eq!(harness.during(|| mill.sum(40, Stream::of((1..=last).map(made)))), Ok(last));
    drop(go);
}
