//! Streams that end early.

use std::time::Duration;

use cloison_broker::msg::{CallFailure, Gone};
use cloison_broker::{Item, Model, Stream, WorkerEvent};

use super::reader::Reader;
use super::scene::{both_roles, reader, source};
use super::source::{SOURCE, Source};
use crate::case::{Case, both, thrice};
use crate::watch::eventually;

pub fn cases() -> Vec<Case> {
    [
        thrice("are_given_up_when_dropped", are_given_up_when_dropped),
        thrice("end_with_their_producer", end_with_their_producer),
        thrice("end_with_their_consumer", end_with_their_consumer),
        both("name_the_call_that_their_producer_died_of", name_the_call_that_their_producer_died_of),
        both("have_a_deadline_for_each_item", have_a_deadline_for_each_item),
    ]
    .concat()
}

fn are_given_up_when_dropped(model: Model) {
    let host = both_roles(model);
    let (source, reader) = (source(&host), reader(&host));
    for round in 0..80usize {
        let mut numbers = source.up_to(5000);
        assert_eq!(numbers.by_ref().take(round % 3).count(), round % 3);
    }
    for _ in 0..40 {
        let mut passed = reader.pass("source", 5000);
        assert_eq!(passed.next(), Some(Ok(1)));
        let mut doubled = source.doubled(Stream::of(1..));
        assert_eq!(doubled.next(), Some(Ok(2)));
    }
    eventually("all are given up", || (source.alive() == Ok(0)).then_some(()));
}

fn end_with_their_producer(model: Model) {
    let mut host = both_roles(model);
    let own = source(&host);
    let reader = reader(&host);
    let mut numbers = own.until_death(100);
    let read = numbers.by_ref().zip(1..).take_while(|(item, next)| item.as_ref() == Ok(next)).count();
    assert!(read <= 100, "{read}");
    assert!(numbers.next().is_none(), "it has ended");
    host.death("source");
    host.restarted("source");
    let (read, why) = reader.to_the_end("source").unwrap();
    assert!(read <= 100 && (why.is_empty() || why.contains("Gone")), "{read}, {why}");
    let (death, _) = host.death("source");
    assert_eq!(death.to_string(), "killed by SIGABRT");
    host.restarted("source");
    assert_eq!(reader.read("source", 10), Ok(10), "and all are well");
    let mut numbers = source(&host).until_death(0);
    let error = numbers.next().unwrap().unwrap_err();
    assert_eq!(error.call().unwrap().why, CallFailure::PeerRestarted(Gone::Crashed("killed by SIGABRT".into())));
}

fn name_the_call_that_their_producer_died_of(model: Model) {
    let mut host = both_roles(model);
    assert!(source(&host).until_death(3).count() <= 4);
    let during = host.hear("the death of the source", |item| match item {
        Item::Worker(WorkerEvent::Died { role, during, .. }) if role.as_str() == "source" => Some(during),
        _ => None,
    });
    let method = SOURCE.method("until_death").0;
    assert!(during.is_some_and(|during| during.contains(&format!(" of method {method} "))));
}

fn end_with_their_consumer(model: Model) {
    let mut host = both_roles(model);
    let (source, reader) = (source(&host), reader(&host));
    assert_eq!(reader.keep("source"), Ok(1));
    assert_eq!(source.alive(), Ok(1));
    assert!(host.broker.kill("stream-reader", "it is time"));
    host.death("stream-reader");
    eventually("its stream is given up", || (source.alive() == Ok(0)).then_some(()));
}

fn have_a_deadline_for_each_item(model: Model) {
    let host = both_roles(model);
    let source = source(&host).within(Duration::from_millis(400));
    let mut numbers = source.up_to(5000);
    assert_eq!(numbers.next(), Some(Ok(1)));
    std::thread::sleep(Duration::from_millis(700));
    assert!(numbers.by_ref().map(Result::unwrap).eq(2..=5000), "who does not wait has time");
    let mut slow = source.slow(1500);
    assert_eq!(slow.next(), Some(Ok(1)));
    let late = slow.next().unwrap().unwrap_err();
    assert_eq!((late.call().unwrap().why.clone(), slow.next().is_none()), (CallFailure::Deadline, true));
    assert!(late.to_string().starts_with("call of source, method slow of source, failed after "), "{late}");
}
