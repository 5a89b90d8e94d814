//! A host that feeds a call has the call's deadline for each of its waits, and time while it does not wait.
#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and helpers have none")]

use std::pin::{Pin, pin};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use cloison_broker::harness::Harness;
use cloison_broker::msg::contract::{Client, FedCall, Feeder, Never, Stub};
use cloison_broker::{Answer, Ask, Grant, HostLink, Model, Stream, interface};
use cloison_worker::Worker;

#[interface]
trait Mill {
    /// Waits until it is to begin, and again behind so many.
    fn sum(&self, first: u32, numbers: Stream<u32>) -> Answer<u32>;
}

struct Wheel(Receiver<()>);

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
}

/// How long each wait may take.
const WITHIN: Duration = Duration::from_secs(1);

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
        let policy = |_: &Ask<'_>| Some(Grant { rights: MILL.rights(), ..Grant::default() });
        let mut harness = Harness::new(policy, Model::Broker).unwrap();
        let (control, (go, goes)) = (harness.seat("mill").unwrap(), channel());
        // It ends with the broker.
        thread::spawn(move || Worker::over(control).unwrap().serve(MillServer::new(Wheel(goes))));
        let link = harness.open("mill", &MILL).unwrap();
        let (mut feeder, sum) = MillClient::over(Stub::new(link, 1)).within(WITHIN).start().sum(first);
        let mut fed = 0;
        while is_over(&mut pin!(feeder.send(&1))) {
            fed += 1;
            harness.settle();
        }
        Self { harness, feeder, sum, fed, go }
    }

    fn pause(&mut self) {
        self.harness.settle();
        thread::sleep(WITHIN + WITHIN / 4);
        self.harness.settle();
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
    scene.pause();
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
    scene.pause();
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
