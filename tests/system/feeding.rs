//! Calls that are fed as items come: awaited, pushed from another thread, and pulled.

use std::cell::Cell;
use std::process::ExitCode;
use std::time::Duration;

use cloison_broker::msg::contract::{FedCall, FeedError, Feeder};
use cloison_broker::msg::{CallFailure, Rights};
use cloison_broker::{Answer, Ask, Grant, HostLink, Model, Stream, interface};

use crate::case::{Case, both, module, thrice};
use crate::host::Host;
use crate::watch::eventually;

pub fn cases() -> Vec<Case> {
    module(
        "feeding",
        vec![
            thrice("is_awaited", is_awaited),
            thrice("blocks_on_another_thread", blocks_on_another_thread),
            thrice("goes_both_ways_item_by_item", goes_both_ways_item_by_item),
            both("is_given_up_with_the_feeder", is_given_up_with_the_feeder),
            both("is_given_up_with_the_call", is_given_up_with_the_call),
            both("ends_when_the_server_has_enough", ends_when_the_server_has_enough),
            both("ends_when_the_server_hangs", ends_when_the_server_hangs),
            both("may_take_longer_than_one_wait", may_take_longer_than_one_wait),
        ],
    )
}

#[interface]
trait Mill {
    fn sum(&self, numbers: Stream<u32>) -> Answer<u64>;
    /// Takes so many milliseconds for each.
    fn slowly(&self, ms: u64, numbers: Stream<u32>) -> Answer<u64>;
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32>;
    fn first(&self, numbers: Stream<u32>) -> Answer<Option<u32>>;
    /// How many calls were given up while they were fed.
    fn given_up(&self) -> Answer<u32>;
}

#[derive(Default)]
struct Wheel(Cell<u32>);

impl Mill for Wheel {
    fn sum(&self, numbers: Stream<u32>) -> Answer<u64> {
        self.slowly(0, numbers)
    }

    fn slowly(&self, ms: u64, numbers: Stream<u32>) -> Answer<u64> {
        let mut sum = 0;
        for number in numbers {
            let given_up = |error: &CallFailure| *error == CallFailure::Cancelled;
            match number {
                Ok(number) => sum += u64::from(number),
                Err(error) if error.call().is_some_and(|error| given_up(&error.why)) => {
                    self.0.set(self.0.get() + 1);
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
            std::thread::sleep(Duration::from_millis(ms));
        }
        Ok(sum)
    }

    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
        Stream::new(numbers.map(|number| Ok(number? * 2)))
    }

    fn first(&self, mut numbers: Stream<u32>) -> Answer<Option<u32>> {
        numbers.next().transpose()
    }

    fn given_up(&self) -> Answer<u32> {
        Ok(self.0.get())
    }
}

pub fn main() -> ExitCode {
    cloison_worker::run(|worker| worker.serve(MillServer::new(Wheel::default())))
}

fn scene(model: Model) -> (Host, MillClient<HostLink>) {
    let policy = |_: &Ask<'_>| Some(Grant { rights: MILL.rights(), back: Rights::default() });
    let host = Host::new(model, policy);
    host.spawn("mill");
    let mill = MillClient::bind(&*host.broker, "mill").unwrap();
    (host, mill)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Feeds the numbers up to that one, and says how many were not wanted.
async fn feed(mut feeder: Feeder<HostLink, u32>, last: u32) -> u32 {
    for number in 1..=last {
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
        if feeder.send(&number).await.is_err() {
            return last - number;
        }
    }
    feeder.finish();
    0
}

/// They may be on any thread.
fn is_send<T: Send>(future: T) -> T {
    future
}

type Sum = FedCall<HostLink, u64, cloison_broker::msg::contract::Never>;

fn is_awaited(model: Model) {
    let (_host, mill) = scene(model);
    let sums = || {
        let (feeder, call): (_, Sum) = mill.start().sum();
        is_send(async move { tokio::join!(feed(feeder, 3000), call) })
    };
    assert_eq!(block_on(sums()), (0, Ok(4_501_500)));
    let many = block_on(async { tokio::join!(sums(), sums(), sums()) });
    assert_eq!(many, ((0, Ok(4_501_500)), (0, Ok(4_501_500)), (0, Ok(4_501_500))));
    let (feeder, call) = mill.start().sum();
    feeder.finish();
    assert_eq!(block_on(call), Ok(0));
}

fn blocks_on_another_thread(model: Model) {
    let (_host, mill) = scene(model);
    for _ in 0..5 {
        let (mut feeder, call) = mill.start().sum();
        let pushing = std::thread::spawn(move || {
            (1..=1000).try_for_each(|number| feeder.push(&number)).unwrap();
            feeder.finish();
        });
        assert_eq!(call.wait(), Ok(500_500));
        pushing.join().unwrap();
    }
}

/// Each item is there before the next is fed: nothing is held back.
fn goes_both_ways_item_by_item(model: Model) {
    let (_host, mill) = scene(model);
    let (mut feeder, mut items) = mill.start().doubled();
    block_on(async {
        for number in 1..=500 {
            feeder.send(&number).await.unwrap();
            assert_eq!(items.next_async().await, Some(Ok(number * 2)));
        }
        feeder.finish();
        assert_eq!(items.next_async().await, None);
    });
}

fn why<T: std::fmt::Debug>(answer: Answer<T>) -> CallFailure {
    answer.unwrap_err().call().unwrap().why.clone()
}

fn is_given_up_with_the_feeder(model: Model) {
    let (_host, mill) = scene(model);
    for round in 1..=5 {
        let (mut feeder, call) = mill.start().sum();
        (1..=200).try_for_each(|number| feeder.push(&number)).unwrap();
        drop(feeder);
        assert_eq!(why(call.wait()), CallFailure::Cancelled);
        eventually("the server has heard of it", || (mill.given_up() == Ok(round)).then_some(()));
    }
    let (feeder, items) = mill.start().doubled();
    drop(feeder);
    assert_eq!(why(items.last().unwrap()), CallFailure::Cancelled);
}

fn is_given_up_with_the_call(model: Model) {
    let (_host, mill) = scene(model);
    // More than may be under way: each gives its place back.
    for _ in 0..100 {
        let (mut feeder, call) = mill.start().sum();
        feeder.push(&1).unwrap();
        drop(call);
        assert_eq!(block_on(feeder.send(&2)), Err(FeedError::Unwanted));
        feeder.finish();
    }
    assert_eq!(mill.sum(Stream::of(1..=10)), Ok(55));
}

fn ends_when_the_server_has_enough(model: Model) {
    let (_host, mill) = scene(model);
    let (feeder, call) = mill.start().first();
    let (unwanted, first) = block_on(async { tokio::join!(feed(feeder, 1_000_000), call) });
    assert_eq!(first, Ok(Some(1)));
    assert!(unwanted > 900_000);
}

/// Whoever feeds waits no longer than the call, whether anybody waits for its answer or not.
fn ends_when_the_server_hangs(model: Model) {
    let (host, mill) = scene(model);
    host.freeze("mill");
    let mill = mill.within(Duration::from_millis(200));
    let ((alone, later), (feeder, call)) = (mill.start().sum(), mill.start().sum());
    assert!(block_on(feed(alone, 1000)) > 800);
    assert_eq!(why(block_on(later)), CallFailure::Deadline);
    let (unwanted, answer) = block_on(async { tokio::join!(feed(feeder, 1000), call) });
    assert!(unwanted > 800);
    assert_eq!(why(answer), CallFailure::Deadline);
}

/// A deadline is of each wait, and not of the stream.
fn may_take_longer_than_one_wait(model: Model) {
    let (_host, mill) = scene(model);
    let mill = mill.within(Duration::from_millis(800));
    let (feeder, call) = mill.start().slowly(5);
    assert_eq!(block_on(async { tokio::join!(feed(feeder, 300), call) }), (0, Ok(45_150)));
    assert_eq!(mill.slowly(5, Stream::of(1..=300)), Ok(45_150), "and so when it is pulled");
}
