//! Pictures that go round, however their ends come about.

use std::time::Duration;

use cloison_broker::msg::control::PoolShape;
use cloison_broker::msg::{CallFailure, Gone, WINDOW_MESSAGES};
use cloison_broker::router::POOLS_PER_LINK;
use cloison_broker::{Borrowed, CALL_DEADLINE, HOST, Model};
use rustix::process::Signal;

use super::steps::{BRIEF, SHAPE, borrow, bytes_of, kept, lend, lent, picture, pool, shown};
use crate::case::{Case, alone, both, once};
use crate::host::{AMPLE, Host, saying};
use crate::watch::{Holdings, eventually, settles_at};
use crate::words::{ECHO, NOTE, Outcome, Step, encoded};

pub fn cases() -> Vec<Case> {
    [
        both("pictures_go_round_between_workers", pictures_go_round_between_workers),
        once("pictures_go_round_to_the_host", pictures_go_round_to_the_host),
        both("a_wait_for_a_buffer_ends_with_what_it_was_for", a_wait_for_a_buffer_ends_with_what_it_was_for),
        both("buffers_of_the_dead_come_back", buffers_of_the_dead_come_back),
        both("pictures_outlive_their_producer", pictures_outlive_their_producer),
        alone(both("a_change_of_size_leaves_nothing_of_the_old", a_change_of_size_leaves_nothing_of_the_old)),
        once("buffers_come_back_however_long_that_takes", buffers_come_back_however_long_that_takes),
    ]
    .concat()
}

fn pictures_go_round_between_workers(model: Model) {
    let host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let link = a.open("b");
    let pool = pool(&a, link, SHAPE);
    assert_eq!(lend(&a, pool, 0, 1000, AMPLE), (1000, None));
    eventually("all come back", || (lent(&a, pool) == 0).then_some(()));

    b.tell(&Step::Keep(true));
    let (count, stop) = lend(&a, pool, 10, 6, BRIEF);
    assert_eq!((count, stop), (4, Some(format!("AllLent({BRIEF:?})"))));
    assert_eq!(shown(&b, 4), [10, 11, 12, 13]);
    assert_eq!(lent(&a, pool), 4);
    b.tell(&Step::GiveBack(2));
    assert_eq!(lend(&a, pool, 20, 2, AMPLE), (2, None));
    assert_eq!(shown(&b, 4), [12, 13, 20, 21]);
    // The producer waits as long as it takes, and goes on when the consumer does.
    let waiting = a.start(&Step::Lend { pool, fill: 30, count: 1, within: AMPLE });
    std::thread::sleep(BRIEF);
    b.tell(&Step::GiveBack(4));
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Sent(1, None));
    assert_eq!(shown(&b, 1), [30]);
    assert_eq!(a.call(link, ECHO, encoded("fine")), Ok(encoded("fine")));
}

fn pictures_go_round_to_the_host() {
    let mut host = Host::with(Model::Orchestrator, &["a"]);
    let a = host.puppet("a");
    let link = a.open(HOST);
    let pool = pool(&a, link, SHAPE);
    let lending = a.start(&Step::Lend { pool, fill: 0, count: 1000, within: AMPLE });
    for i in 0..1000u32 {
        let picture = picture(&mut host).unwrap();
        assert_eq!(bytes_of(&picture), vec![i.to_le_bytes()[0]; 5000]);
    }
    assert_eq!(lending.wait::<Outcome>().unwrap(), Outcome::Sent(1000, None));
    eventually("all come back", || (lent(&a, pool) == 0).then_some(()));

    assert_eq!(lend(&a, pool, 40, 6, BRIEF), (4, Some(format!("AllLent({BRIEF:?})"))));
    let mut held: Vec<_> = (0..4).map(|_| picture(&mut host).unwrap()).collect();
    drop(held.remove(0));
    assert_eq!(lend(&a, pool, 50, 1, AMPLE), (1, None));
    held.push(picture(&mut host).unwrap());
    assert_eq!(held.iter().map(|picture| bytes_of(picture)[4999]).collect::<Vec<_>>(), [41, 42, 43, 50]);
    // Held in another thread as well as in this one.
    std::thread::scope(|scope| {
        scope.spawn(move || held.clear());
    });
    eventually("all come back", || (lent(&a, pool) == 0).then_some(()));
}

fn buffers_of_the_dead_come_back(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let link = a.open("b");
    let first = pool(&a, link, SHAPE);
    b.tell(&Step::Keep(true));
    assert_eq!(lend(&a, first, 1, 4, AMPLE), (4, None));
    assert_eq!(shown(&b, 4).len(), 4);
    // One who waits for a buffer hears of the consumer's death, and does not wait on.
    let waiting = a.start(&Step::Lend { pool: first, fill: 9, count: 1, within: AMPLE });
    std::thread::sleep(BRIEF);
    assert!(host.broker.kill("b", "a test"));
    let gone = format!("Gone({:?})", Gone::Crashed("killed by the host: a test".into()));
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Sent(0, Some(gone)));
    assert_eq!(lent(&a, first), 0);
    host.death("b");
    host.restarted("b");
    a.tell(&Step::DropPool(first));
    for round in 0..2 * POOLS_PER_LINK {
        let link = a.open("b");
        let again = pool(&a, link, SHAPE);
        assert_eq!(lend(&a, again, 1, 20, AMPLE), (20, None), "{round}");
        a.tell(&Step::Close(link));
        assert!(lend(&a, again, 1, 1, BRIEF).1.unwrap().starts_with("Gone("));
        a.tell(&Step::DropPool(again));
    }
}

/// Else the worker would serve nobody until its wait is over.
fn a_wait_for_a_buffer_ends_with_what_it_was_for(model: Model) {
    let mut host = Host::with(model, &["a"]);
    let a = host.puppet("a");
    let link = a.open(HOST);
    let pool = pool(&a, link, PoolShape { count: 1, ..SHAPE });
    let lending = a.start(&Step::Lend { pool, fill: 0, count: 2, within: 10 * AMPLE });
    let held = picture(&mut host).unwrap();
    drop(lending);
    assert_eq!(lent(&a, pool), 1);
    drop(held);
    assert_eq!(lend(&a, pool, 1, 1, AMPLE), (1, None));
}

fn pictures_outlive_their_producer(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let (to_b, to_host) = (a.open("b"), a.open(HOST));
    let (for_b, for_host) = (pool(&a, to_b, SHAPE), pool(&a, to_host, SHAPE));
    b.tell(&Step::Keep(true));
    assert_eq!(lend(&a, for_b, 60, 2, AMPLE), (2, None));
    assert_eq!(lend(&a, for_host, 70, 3, AMPLE), (3, None));
    assert_eq!(shown(&b, 2), [60, 61]);
    let own = picture(&mut host).unwrap();
    host.broker.kill("a", "a test");
    // One was taken before the death, and two had only been sent.
    let others = [picture(&mut host).unwrap(), picture(&mut host).unwrap()];
    host.restarted("a");
    assert_eq!(kept(&b), [60, 61]);
    assert_eq!(bytes_of(&own), vec![70; 5000]);
    assert_eq!(others.map(|picture| bytes_of(&picture)[0]), [71, 72]);
    b.tell(&Step::GiveBack(2));
    drop(own);
    let link = b.open("a");
    assert_eq!(b.call(link, ECHO, encoded("fine")), Ok(encoded("fine")));
}

fn maps_of_pools() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| line.contains("cloison-pool")).count()
}

fn a_change_of_size_leaves_nothing_of_the_old(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let (to_b, to_host) = (a.open("b"), a.open(HOST));
    let before = Holdings::steady();
    b.tell(&Step::Keep(true));
    let mut last: Option<(usize, usize, Borrowed)> = None;
    for round in 0..30u32 {
        let shape = PoolShape { buffer_size: 5000 + 4096 * round, count: 3 };
        let (for_b, for_host) = (pool(&a, to_b, shape), pool(&a, to_host, shape));
        assert_eq!(lend(&a, for_b, 1, 1, AMPLE), (1, None));
        assert_eq!(lend(&a, for_host, 1, 1, AMPLE), (1, None));
        let picture = picture(&mut host).unwrap();
        assert_eq!(picture.len(), shape.buffer_size as usize);
        // The old pools are dropped while a picture of each is still held somewhere.
        if let Some((old_b, old_host, old_picture)) = last.replace((for_b, for_host, picture)) {
            a.tell(&Step::DropPool(old_b));
            a.tell(&Step::DropPool(old_host));
            drop(old_picture);
            shown(&b, 2);
            b.tell(&Step::GiveBack(1));
        }
        assert!(maps_of_pools() <= 3, "{}", maps_of_pools());
    }
    let (old_b, old_host, picture) = last.unwrap();
    a.tell(&Step::DropPool(old_b));
    a.tell(&Step::DropPool(old_host));
    drop(picture);
    b.tell(&Step::GiveBack(1));
    eventually("nothing is mapped", || (maps_of_pools() == 0).then_some(()));
    settles_at(&before);
}

fn buffers_come_back_however_long_that_takes() {
    let mut host = Host::with(Model::Broker, &["a"]);
    let a = host.puppet("a");
    let link = a.open(HOST);
    let pool = pool(&a, link, SHAPE);
    assert_eq!(lend(&a, pool, 1, 4, AMPLE), (4, None));
    let mut messages: Vec<_> = (0..4).map(|_| host.message()).collect();
    let back = messages[0].link();
    let pictures: Vec<_> = messages.iter_mut().map(borrow).collect();
    drop(messages);
    // The worker stands still for longer than any call waits, and the link is full before the buffers are given back.
    let witness = host.witness("a");
    witness.stop();
    for number in 0..u32::try_from(WINDOW_MESSAGES).unwrap() {
        back.oneway(NOTE, saying(&number)).unwrap();
    }
    drop(pictures);
    let full = back.start(ECHO, saying(&"no room"), Duration::from_millis(10)).wait().unwrap_err();
    assert_eq!(full.why, CallFailure::Overloaded);
    std::thread::sleep(CALL_DEADLINE + Duration::from_millis(200));
    witness.signal(Signal::CONT);
    eventually("all are back", || (lent(&a, pool) == 0).then_some(()));
}
