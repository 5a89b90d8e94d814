//! The scribe without its thread.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use cloison_msg::trace::{MarkKind, Record, SpanId, Task, TraceLevel, What};
use cloison_msg::{CallId, ChainId};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};

use super::scribe::Desk;
use super::*;

const CHAIN: ChainId = ChainId::new(0, 7);

fn process(role: &str, index: u32) -> Arc<TraceProcess> {
    TraceProcess::new(Name::new(role).unwrap(), 100 + index, Key { index, generation: 1 })
}

fn mark(peer: &'static str, depth: u8) -> Mark<&'static str> {
    let (kind, rpc, call) = (MarkKind::Call, RpcIndex(2), CallId(1));
    Mark { peer, interface: "test", kind, rpc, call, chain: CHAIN, depth, bytes: 48 }
}

fn batch(records: &[(u64, What<&str>)]) -> Vec<u8> {
    let mut batch = Vec::new();
    for (at, what) in records {
        assert!(Record { at: Time(*at), thread: 1, what: what.clone() }.encode(&mut batch));
    }
    batch
}

fn serve(span: u64, peer: &'static str, depth: u8) -> What<&'static str> {
    What::Began { span: SpanId(span), parent: SpanId::NONE, task: Task::Serve, mark: mark(peer, depth) }
}

fn event(parent: u64, message: &str) -> What<&str> {
    let (level, chain) = (TraceLevel::Info, CHAIN);
    What::Event { parent: SpanId(parent), chain, level, target: "t", message, fields: "" }
}

/// A desk whose records come out here, too.
fn desk() -> (Desk, Receiver<TraceRecord>) {
    let (give, take) = channel();
    let mut desk = Desk::new(Arc::default());
    desk.take(Entry::Sink(Box::new(move |record| drop(give.send(record)))));
    (desk, take)
}

fn entry(from: &Arc<TraceProcess>, records: Vec<u8>, at: u64) -> Entry {
    from.waiting.fetch_add(records.len(), Ordering::Relaxed);
    Entry::Batch { from: from.clone(), records, at: Time(at) }
}

/// A subscriber that notes each event, with the spans around it: their names, and the roles in them.
#[derive(Default)]
struct Paths(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    spans: Vec<String>,
    events: Vec<String>,
}

impl Noted {
    fn at(&self, span: Option<&Id>) -> String {
        let at = span.map(|span| usize::try_from(span.into_u64()).unwrap() - 1);
        at.map(|at| self.spans[at].clone()).unwrap_or_default()
    }
}

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), "message" | "role") {
            self.0 += &format!(" {value:?}");
        }
    }
}

impl Subscriber for Paths {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut words = Words(span.metadata().name().to_owned());
        span.record(&mut words);
        let mut paths = self.0.lock().unwrap();
        let around = paths.at(span.parent());
        paths.spans.push(format!("{around}/{}", words.0));
        Id::from_u64(paths.spans.len() as u64)
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words(String::new());
        event.record(&mut words);
        let mut paths = self.0.lock().unwrap();
        let around = paths.at(event.parent());
        paths.events.push(format!("{around}:{}", words.0));
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn paths(act: impl FnOnce()) -> Vec<String> {
    let subscriber = Arc::new(Paths::default());
    tracing::subscriber::with_default(subscriber.clone(), act);
    let paths = subscriber.0.lock().unwrap();
    paths.events.clone()
}

#[test]
fn what_was_caused_stands_beneath_its_cause_in_whatever_order_it_comes() {
    let (first, second) = (process("first", 1), process("second", 2));
    let said = paths(|| {
        let (mut desk, _records) = desk();
        let cause = Cause(Some(tracing::info_span!("playing")));
        desk.take(entry(&second, batch(&[(30, serve(1, "first", 1)), (40, event(0, "two"))]), 50));
        desk.take(entry(&first, batch(&[(20, serve(9, "host", 0)), (60, event(9, "one"))]), 70));
        let mark = host_mark(
            &Header { chain: CHAIN, kind: cloison_msg::Kind::Call, ..Header::default() },
            (&first.role, &first.role),
        );
        desk.take(Entry::Sent { at: Time(10), mark: mark.unwrap(), cause, until: Time(1000) });
        desk.show(Time(1000), Time(1000));
    });
    let outer = "/playing/serve first";
    assert_eq!(said, [format!("{outer}/serve second: two second"), format!("{outer}: one first")]);
}

#[test]
fn nobody_passes_for_somebody_else_in_a_chain() {
    let [first, second, liar] = [("first", 1), ("second", 2), ("liar", 3)].map(|(role, index)| process(role, index));
    let said = paths(|| {
        let (mut desk, _records) = desk();
        desk.take(entry(&first, batch(&[(20, serve(9, "host", 0))]), 70));
        desk.take(entry(&liar, batch(&[(21, serve(9, "first", 1))]), 70));
        desk.take(entry(&second, batch(&[(30, serve(1, "first", 3)), (40, event(0, "two"))]), 70));
        desk.show(Time(1000), Time(1000));
    });
    assert_eq!(said, ["/serve first/serve second: two second"]);
}

#[test]
fn moments_neither_go_back_nor_lie_in_the_future() {
    let (mut desk, records) = desk();
    let worker = process("worker", 1);
    let lies = [(u64::MAX, event(0, "a")), (0, event(0, "b")), (45, event(0, "c"))];
    desk.take(entry(&worker, batch(&lies[..1]), 40));
    desk.take(entry(&worker, batch(&lies[1..]), 50));
    desk.show(Time(50), Time(50));
    let moments: Vec<_> = records.try_iter().map(|record| record.record.at.0).collect();
    assert_eq!(moments, [40, 40, 45]);
}

#[test]
fn what_makes_no_sense_is_dropped_and_told() {
    let (mut desk, records) = desk();
    let worker = process("worker", 1);
    let mut bytes = batch(&[(10, event(0, "\u{1b}[2J"))]);
    bytes.extend([0xff; 100]);
    desk.take(entry(&worker, bytes, 50));
    desk.show(Time(u64::MAX), Time(3_000_000_000));
    let whats: Vec<_> = records.try_iter().map(|record| record.record.what).collect();
    let is_escaped =
        |what: &What<Text>| matches!(what, What::Event { message, .. } if message.as_str() == "\\u{1b}[2J");
    assert!(is_escaped(&whats[0]) && whats[1..] == [What::Lost(1)], "{whats:?}");
    assert_eq!(worker.waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn who_says_too_much_loses_its_own_and_costs_no_more_than_its_share() {
    let (mut desk, records) = desk();
    let (flooder, other) = (process("flooder", 1), process("other", 2));
    let flood: Vec<_> = (0..5000).map(|at| (at, What::Closed { span: SpanId(at) })).collect();
    for round in 0..100 {
        desk.take(entry(&flooder, batch(&flood), 10_000 + round));
    }
    desk.take(entry(&other, batch(&[(5, event(0, "here"))]), 10_000));
    desk.show(Time(u64::MAX), Time(3_000_000_000));
    let mut counts = [0, 0, 0];
    for TraceRecord { process, record } in records.try_iter() {
        match record.what {
            What::Lost(lost) => counts[2] += lost,
            _ => counts[usize::from(process.role.as_str() == "other")] += 1,
        }
    }
    assert!(counts[0] <= 16 << 10, "{counts:?}");
    assert_eq!((counts[0] + counts[2], counts[1]), (500_000, 1));
}

#[test]
fn what_is_over_is_let_go() {
    struct Held(Arc<AtomicUsize>);
    impl Subscriber for Held {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            self.0.fetch_add(1, Ordering::Relaxed);
            Id::from_u64(1)
        }
        fn clone_span(&self, id: &Id) -> Id {
            self.0.fetch_add(1, Ordering::Relaxed);
            id.clone()
        }
        fn try_close(&self, _: Id) -> bool {
            self.0.fetch_sub(1, Ordering::Relaxed) == 1
        }
        fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }
    let held = Arc::new(AtomicUsize::new(0));
    let worker = process("worker", 1);
    tracing::subscriber::with_default(Held(held.clone()), || {
        let mut desk = Desk::new(Arc::default());
        for call in 0..10_000u32 {
            let chain = ChainId::new(0, call);
            let mark = Mark { chain, peer: Text::new("worker"), interface: Text::default(), ..own(mark("", 0)) };
            let cause = Cause(Some(tracing::info_span!("call")));
            desk.take(Entry::Sent { at: Time(1), mark: mark.clone(), cause, until: Time(u64::MAX) });
            let served = What::Began { span: SpanId(1), parent: SpanId::NONE, task: Task::Serve, mark: at(chain) };
            desk.take(entry(&worker, batch(&[(2, served)]), 2));
            desk.take(entry(&worker, batch(&[(3, What::Ended { span: SpanId(1) })]), 3));
            if call % 2 == 0 {
                desk.take(Entry::Taken { at: Time(4), mark });
            }
            desk.show(Time(5), Time(5));
        }
        let most = held.load(Ordering::Relaxed);
        assert!(most < 10_000, "calls and what served them are bounded: {most}");
        desk.show(Time(u64::MAX), Time(u64::MAX));
        assert_eq!(held.load(Ordering::Relaxed), 0);
    });

    fn at(chain: ChainId) -> Mark<&'static str> {
        Mark { chain, ..mark("host", 0) }
    }

    fn own(mark: Mark<&str>) -> Mark<Text> {
        let Mark { peer, interface, kind, rpc, call, chain, depth, bytes } = mark;
        Mark { peer: peer.into(), interface: interface.into(), kind, rpc, call, chain, depth, bytes }
    }
}
