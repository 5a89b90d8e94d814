//! Streams: between confined processes, and with the host, in either direction and both.

use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use cloison_broker::msg::{CallFailure, Denial, Failure, Gone, Rights, RightsFlags, RpcSet};
use cloison_broker::{Answer, Ask, Grant, HostLink, Item, MethodError, Model, Stream, WorkerEvent, interface};
use cloison_worker::{Link, Worker};
use serde::{Deserialize, Serialize};

use crate::case::{Case, both, module, thrice};
use crate::host::Host;
use crate::watch::eventually;

pub fn cases() -> Vec<Case> {
    module(
        "streams",
        vec![
            thrice("come_in_order_and_end_once", come_in_order_and_end_once),
            thrice("are_fed", are_fed),
            thrice("go_both_ways", go_both_ways),
            thrice("wait_for_slow_consumers_and_hold_up_nobody_else", wait_for_slow_consumers),
            thrice("are_given_up_when_dropped", are_given_up_when_dropped),
            thrice("end_with_their_producer", end_with_their_producer),
            thrice("end_with_their_consumer", end_with_their_consumer),
            both("name_the_call_that_their_producer_died_of", name_the_call_that_their_producer_died_of),
            both("have_a_deadline_for_each_item", have_a_deadline_for_each_item),
            both("are_awaited", are_awaited),
            both("are_served_by_the_host", are_served_by_the_host),
            both("are_granted_or_not", are_granted_or_not),
        ],
    )
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Enough(u32);

#[interface]
trait Source {
    /// Fails behind 5000.
    fn up_to(&self, last: u32) -> Stream<u32, Enough>;
    fn sum(&self, numbers: Stream<u32>) -> Answer<u64>;
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32>;
    fn blocks(&self, count: u32) -> Stream<Vec<u8>>;
    /// How many streams there are that were not given up.
    fn alive(&self) -> Answer<u32>;
    /// Aborts behind so many.
    fn until_death(&self, items: u32) -> Stream<u32>;
    /// The second comes late.
    fn slow(&self, ms: u64) -> Stream<u32>;
}

#[interface]
trait Reader {
    /// Reads what the source gives up to that, and counts it.
    fn read(&self, source: &str, last: u32) -> Answer<u32>;
    /// Passes it on.
    fn pass(&self, source: &str, last: u32) -> Stream<u32>;
    /// Has the source double, and add up.
    fn sum_of_doubled(&self, source: &str, last: u32) -> Answer<u64>;
    /// Keeps a stream of which it reads one item.
    fn keep(&self, source: &str) -> Answer<u32>;
    /// Why the source's stream ended, and behind how many items.
    fn to_the_end(&self, source: &str) -> Answer<(u32, String)>;
}

#[derive(Default)]
struct Numbers(Rc<Cell<u32>>);

/// One stream that there is.
struct Alive(Rc<Cell<u32>>);

impl Alive {
    fn new(count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }

    fn is_there(&self) -> bool {
        self.0.get() > 0
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Source for Numbers {
    fn up_to(&self, last: u32) -> Stream<u32, Enough> {
        let alive = Alive::new(&self.0);
        Stream::new((1..=last).map(move |number| {
            assert!(alive.is_there());
            if number > 5000 { Err(Enough(number).into()) } else { Ok(number) }
        }))
    }

    fn sum(&self, mut numbers: Stream<u32>) -> Answer<u64> {
        numbers.try_fold(0, |sum, number| Ok(sum + u64::from(number?)))
    }

    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
        let alive = Alive::new(&self.0);
        Stream::new(numbers.map(move |number| {
            assert!(alive.is_there());
            Ok(number? * 2)
        }))
    }

    fn blocks(&self, count: u32) -> Stream<Vec<u8>> {
        Stream::of((0..count).map(|at| vec![at.to_le_bytes()[0]; 4096]))
    }

    fn alive(&self) -> Answer<u32> {
        Ok(self.0.get())
    }

    fn until_death(&self, items: u32) -> Stream<u32> {
        Stream::of((1..).inspect(move |&number| {
            if number > items {
                std::process::abort();
            }
        }))
    }

    fn slow(&self, ms: u64) -> Stream<u32> {
        Stream::of((1..3).inspect(move |&number| std::thread::sleep(Duration::from_millis(ms * u64::from(number - 1)))))
    }
}

struct Through {
    worker: Worker,
    sources: RefCell<Vec<(String, SourceClient<Link>)>>,
    kept: Cell<Option<Stream<u32, Enough>>>,
}

impl Through {
    fn source(&self, role: &str) -> SourceClient<Link> {
        let mut sources = self.sources.borrow_mut();
        sources.retain(|(_, source)| source.link().gone().is_none());
        if let Some((_, source)) = sources.iter().find(|(known, _)| known == role) {
            return source.clone();
        }
        let source = SourceClient::bind(&self.worker, role).unwrap();
        sources.push((role.to_owned(), source.clone()));
        source
    }
}

fn plain(numbers: Stream<u32, Enough>) -> Stream<u32> {
    Stream::new(numbers.map(|number| number.map_err(|error| MethodError::Call(error.call().unwrap().clone()))))
}

impl Reader for Through {
    fn read(&self, source: &str, last: u32) -> Answer<u32> {
        let mut next = 0;
        for number in plain(self.source(source).up_to(last)) {
            next += 1;
            assert_eq!(number?, next);
        }
        Ok(next)
    }

    fn pass(&self, source: &str, last: u32) -> Stream<u32> {
        plain(self.source(source).up_to(last))
    }

    fn sum_of_doubled(&self, source: &str, last: u32) -> Answer<u64> {
        self.source(source).doubled(Stream::of(1..=last)).try_fold(0, |sum, number| Ok(sum + u64::from(number?)))
    }

    fn keep(&self, source: &str) -> Answer<u32> {
        let mut numbers = self.source(source).up_to(5000);
        let first = plain(Stream::new(numbers.next())).next().unwrap();
        self.kept.set(Some(numbers));
        first
    }

    fn to_the_end(&self, source: &str) -> Answer<(u32, String)> {
        let mut numbers = self.source(source).until_death(100);
        let read = numbers.by_ref().zip(1..).take_while(|(item, next)| item.as_ref() == Ok(next)).count();
        // The one that failed was taken, too.
        assert!(numbers.next().is_none());
        let why = self.source(source).alive().err().map_or_else(String::new, |error| format!("{error:?}"));
        Ok((u32::try_from(read).unwrap(), why))
    }
}

/// The whole life of a worker.
pub fn main(role: &str) -> ExitCode {
    if role.starts_with("source") {
        return cloison_worker::run(|worker| worker.serve(SourceServer::new(Numbers::default())));
    }
    cloison_worker::run(|worker| {
        let reader = Through { worker: worker.clone(), sources: RefCell::default(), kept: Cell::new(None) };
        worker.serve(ReaderServer::new(reader))
    })
}

fn source(host: &Host) -> SourceClient<HostLink> {
    SourceClient::bind(&*host.broker, "source").unwrap()
}

fn reader(host: &Host) -> ReaderClient<HostLink> {
    ReaderClient::bind(&*host.broker, "stream-reader").unwrap()
}

/// Whoever may call and tell may stream.
fn all(_: &Ask<'_>) -> Option<Grant> {
    Some(Grant { rights: Rights::methods(RpcSet::ALL), back: Rights::default() })
}

fn both_roles(model: Model) -> Host {
    let host = Host::new(model, all);
    host.spawn("source");
    host.spawn("stream-reader");
    host
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

/// A host's numbers: they may be made on any thread.
struct OfHost;

impl Source for OfHost {
    fn up_to(&self, last: u32) -> Stream<u32, Enough> {
        Stream::of(1..=last)
    }
    fn sum(&self, mut numbers: Stream<u32>) -> Answer<u64> {
        numbers.try_fold(0, |sum, number| Ok(sum + u64::from(number?)))
    }
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
        // Now and then it is asked too early.
        let asked = Cell::new(0);
        let is_ready = move || {
            asked.set(asked.get() + 1);
            asked.get() % 100 > 0
        };
        Stream::new(numbers.map(|number| Ok(number? * 2))).ready_when(is_ready)
    }
    fn blocks(&self, _: u32) -> Stream<Vec<u8>> {
        Stream::of([])
    }
    fn alive(&self) -> Answer<u32> {
        Ok(0)
    }
    fn until_death(&self, _: u32) -> Stream<u32> {
        Stream::of([])
    }
    fn slow(&self, _: u64) -> Stream<u32> {
        Stream::of([])
    }
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
