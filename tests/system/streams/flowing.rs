//! Streams that come to their end.

use std::time::Duration;

use cloison_broker::msg::{Denial, Failure, Rights, RightsFlags};
use cloison_broker::{Ask, Grant, Item, MethodError, Model, Stream};

use super::reader::Reader;
use super::scene::{all, both_roles, reader, source};
use super::source::{Enough, OfHost, SOURCE, Source, SourceServer};
use crate::case::{Case, both, thrice};
use crate::host::Host;
use crate::watch::eventually;

pub fn cases() -> Vec<Case> {
    [
        thrice("come_in_order_and_end_once", come_in_order_and_end_once),
        thrice("are_fed", are_fed),
        thrice("go_both_ways", go_both_ways),
        thrice("wait_for_slow_consumers_and_hold_up_nobody_else", wait_for_slow_consumers),
        both("are_awaited", are_awaited),
        both("are_served_by_the_host", are_served_by_the_host),
        both("are_granted_or_not", are_granted_or_not),
    ]
    .concat()
}

fn come_in_order_and_end_once(model: Model) {
    let host = both_roles(model);
    let (source, reader) = (source(&host), reader(&host));
    assert_eq!(reader.read("source", 3000), Ok(3000));
    assert_eq!(reader.read("source", 0), Ok(0));
    let numbers: Vec<u32> = source.up_to(1000).map(Result::unwrap).collect();
    assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
    let mut failing = source.up_to(6000).skip(5000);
    assert_eq!(failing.next(), Some(Err(MethodError::Own(Enough(5001)))));
    assert!(failing.next().is_none());
    assert!(reader.pass("source", 500).map(Result::unwrap).eq(1..=500));
    let blocks: Vec<Vec<u8>> = source.blocks(300).map(Result::unwrap).collect();
    assert!(blocks.len() == 300 && blocks.iter().zip(0u32..).all(|(block, at)| block[4095] == at.to_le_bytes()[0]));
}

fn are_fed(model: Model) {
    let host = both_roles(model);
    let source = source(&host);
    assert_eq!(source.sum(Stream::of(1..=3000)), Ok(4_501_500));
    assert_eq!(source.sum(Stream::of([])), Ok(0));
    let why = source.clone().within(Duration::from_millis(1)).slow(500).find_map(Result::err).unwrap();
    let broken = Stream::new((1..=10).map(Ok).chain([Err(why.clone())]));
    assert_eq!(source.sum(broken), Err(why), "what the feeder failed of");
    assert_eq!(source.sum(Stream::of(1..=10)), Ok(55));
}

fn go_both_ways(model: Model) {
    let host = both_roles(model);
    let (source, reader) = (source(&host), reader(&host));
    assert!(source.doubled(Stream::of(1..=1000)).map(Result::unwrap).eq((1..=1000).map(|number| number * 2)));
    assert_eq!(reader.sum_of_doubled("source", 1000), Ok(1_001_000));
    // From one worker over the host into another, and back.
    let through = source.doubled(reader.pass("source", 300));
    assert!(through.map(Result::unwrap).eq((1..=300).map(|number| number * 2)));
    assert_eq!(source.alive(), Ok(0));
}

fn wait_for_slow_consumers(model: Model) {
    let host = both_roles(model);
    let (source, reader) = (source(&host), reader(&host));
    let mut slow = [source.up_to(5000), source.up_to(5000)];
    assert!(slow.iter_mut().all(|numbers| numbers.next() == Some(Ok(1))));
    assert_eq!(reader.keep("source"), Ok(1));
    for _ in 0..100 {
        assert_eq!(source.alive(), Ok(3));
    }
    assert_eq!(reader.read("source", 1000), Ok(1000));
    assert!(slow[0].by_ref().map(Result::unwrap).eq(2..=5000));
    assert_eq!(slow[1].next(), Some(Ok(2)));
}

fn are_awaited(model: Model) {
    let host = both_roles(model);
    let source = source(&host);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let read = |last| {
        let mut numbers = source.start().up_to(last);
        async move {
            let mut next = 0;
            while let Some(number) = numbers.next_async().await {
                next += 1;
                assert_eq!(number, Ok(next));
            }
            next
        }
    };
    // They may be on any thread.
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    let (a, b) = (is_send(read(2000)), is_send(read(1000)));
    assert_eq!(runtime.block_on(async { tokio::join!(a, b) }), (2000, 1000));
    drop(source.start().up_to(100));
    eventually("all are given up", || (source.alive() == Ok(0)).then_some(()));
}

fn are_served_by_the_host(model: Model) {
    let mut host = both_roles(model);
    let reader = reader(&host);
    let mut served = Vec::new();
    for (method, expected) in [("read", 3000u64), ("doubled", 1_001_000)] {
        let reader = reader.clone();
        let asked = std::thread::spawn(move || match method {
            "read" => reader.read("host", 3000).map(u64::from),
            _ => reader.sum_of_doubled("host", 1000),
        });
        while !asked.is_finished() {
            if let Some(Item::Message(message)) = host.inbox.next_within(Duration::from_millis(5)) {
                served.push(std::thread::spawn(move || message.serve(&SourceServer::new(OfHost))));
            }
        }
        assert_eq!(asked.join().unwrap(), Ok(expected));
    }
    served.into_iter().for_each(|thread| thread.join().unwrap());
}

fn are_granted_or_not(model: Model) {
    let policy = |ask: &Ask<'_>| {
        let rights = if ask.from.as_str() == "stream-reader" {
            Rights { flags: RightsFlags::CALL, ..SOURCE.rights() }
        } else {
            return all(ask);
        };
        Some(Grant { rights, back: Rights::default() })
    };
    let host = Host::new(model, policy);
    host.spawn("source");
    host.spawn("stream-reader");
    let reader = reader(&host);
    let error = reader.read("source", 3).unwrap_err();
    let said = format!("{:?}", error.call().unwrap().why);
    assert!(said.contains(&Failure::Denied(Denial::Kind).to_string()), "{said}");
    assert!(SOURCE.rights().flags.contains(RightsFlags::STREAM));
    assert_eq!(source(&host).up_to(10).count(), 10);
}
