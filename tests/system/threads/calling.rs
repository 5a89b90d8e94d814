//! What calls, chains and streams are promised on threads.

use cloison_broker::Model;
use cloison_worker::Stream;

use super::crew::{Crew, THREADS};
use super::foreman::Foreman;
use super::scene::{Scene, scene};
use crate::case::{Case, thrice};
use crate::words::monotonic;

pub fn cases() -> Vec<Case> {
    [
        thrice("calls_run_at_the_same_time", calls_run_at_the_same_time),
        thrice("each_call_is_answered_once", each_call_is_answered_once),
        thrice("what_is_told_first_is_known_later", what_is_told_first_is_known_later),
        thrice("chains_go_through_them", chains_go_through_them),
        thrice("streams_go_through_them", streams_go_through_them),
        thrice("what_a_thread_calls_is_made_again", what_a_thread_calls_is_made_again),
    ]
    .concat()
}

fn calls_run_at_the_same_time(model: Model) {
    let Scene { host: _host, crew, foreman } = scene(model);
    for _ in 0..5 {
        let calls: Vec<_> = (0..THREADS).map(|_| crew.start().meet(THREADS)).collect();
        for call in calls {
            assert_eq!(call.wait(), Ok(true));
        }
        assert_eq!(foreman.meet(), Ok(THREADS));
    }
}

fn each_call_is_answered_once(model: Model) {
    let Scene { host, crew, foreman } = scene(model);
    let own: Vec<_> = (1_000_000..1_000_020).map(|number| (number, crew.start().echo(number, 100))).collect();
    let seed = monotonic();
    let given_up = foreman.storm(2000, seed);
    assert!(given_up.as_ref().is_ok_and(|given_up| *given_up > 50), "{given_up:?}, seed {seed}");
    for (number, call) in own {
        assert_eq!(call.wait(), Ok(number));
    }
    drop(host);
}

fn what_is_told_first_is_known_later(model: Model) {
    let Scene { host: _host, crew: _, foreman } = scene(model);
    for round in 0..20 {
        let expected: Vec<u32> = (0..(round + 1) * 50).collect();
        assert_eq!(foreman.tell(round * 50), Ok(expected));
    }
}

fn chains_go_through_them(model: Model) {
    let Scene { host: _host, crew, foreman } = scene(model);
    for deep in [1, 2, 5, 10] {
        assert_eq!(crew.relay(deep), Ok(deep));
        assert_eq!(foreman.relay(deep), Ok(deep));
    }
    let many: Vec<_> = (0..20).map(|deep| crew.start().relay(deep % 7)).collect();
    for (deep, call) in (0..20).zip(many) {
        // They wait for one foreman, on behalf of different chains: nobody may wait for ever.
        match call.wait() {
            Ok(back) => assert_eq!(back, deep % 7),
            Err(error) => assert!(format!("{error:?}").contains("itself"), "{error:?}"),
        }
    }
}

/// More than there are threads, and calls besides.
fn streams_go_through_them(model: Model) {
    let Scene { host: _host, crew, foreman } = scene(model);
    let doubling = foreman.start().double(500);
    let doubled: Vec<u32> = crew.doubled(Stream::of(0..1000)).map(Result::unwrap).collect();
    assert_eq!(doubled, (0..1000).map(|number| 2 * number).collect::<Vec<_>>());
    assert_eq!(doubling.wait(), Ok(6 * 499 * 500));
}

fn what_a_thread_calls_is_made_again(model: Model) {
    let Scene { host, crew, foreman: _ } = scene(model);
    assert_eq!(crew.relay(1), Ok(1));
    for _ in 0..2 {
        assert_eq!(crew.outlive(), Ok(true));
        // That death does not count with the next.
        host.broker.progress("foreman");
    }
}
