//! What workers record of themselves, seen by a host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloison_broker::msg::Message;
use cloison_broker::msg::control::ToBroker;
use cloison_broker::msg::trace::{Record, SpanId, TraceBatch, TraceLevel, What};
use cloison_broker::msg::{Text, Time};
use cloison_broker::{Broker, HostLink, Model, TraceRecord};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Metadata, Subscriber};

use crate::case::{Case, both, module, once};
use crate::host::{Host, anything_goes};
use crate::raw::{RawOutcome, RawStep, Via, word_packet};
use crate::watch::eventually;
use crate::words::{ECHO, End, PEER, Step, VISIT};

pub fn cases() -> Vec<Case> {
    module(
        "trace",
        vec![
            both("what_a_chain_of_workers_does_stands_beneath_the_hosts_span", chains_stand_beneath_the_hosts_span),
            both("levels_are_set_from_the_host", levels_are_set_from_the_host),
            both("what_is_off_sends_nothing", what_is_off_sends_nothing),
            both("a_flood_is_cut_and_counted_and_slows_nobody", a_flood_is_cut_and_counted),
            once("whatever_records_say_they_do_no_harm", whatever_records_say_they_do_no_harm),
            once("what_a_worker_recorded_before_it_panicked_is_told", last_records_of_a_panic_are_told),
            once("a_subscriber_that_hangs_holds_up_nobody", a_subscriber_that_hangs_holds_up_nobody),
        ],
    )
}

/// What a subscriber has seen: the path of each span, and each event with the path of what it stands in.
#[derive(Default)]
struct Seen {
    spans: HashMap<u64, String>,
    current: Vec<u64>,
    events: Vec<String>,
}

/// The subscriber of one case.
#[derive(Clone, Default)]
struct Watcher(Arc<Mutex<Seen>>);

/// A role, a name, a message; whichever fields say most.
#[derive(Default)]
struct Label(String);

impl Visit for Label {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if matches!(field.name(), "role" | "peer" | "name" | "message" | "fields") {
            self.0 += &format!(" {value:?}");
        }
    }
}

impl Subscriber for Watcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        matches!(metadata.target(), "cloison::worker" | "cloison::host" | "test")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut label = Label(span.metadata().name().to_owned());
        span.record(&mut label);
        let mut seen = self.0.lock().unwrap();
        let contextual = seen.current.last().copied().filter(|_| span.is_contextual());
        let parent = span.parent().map(Id::into_u64).or(contextual);
        let around = parent.and_then(|parent| seen.spans.get(&parent).cloned()).unwrap_or_default();
        let id = seen.spans.len() as u64 + 1;
        seen.spans.insert(id, format!("{around}/{}", label.0));
        Id::from_u64(id)
    }

    fn event(&self, event: &Event<'_>) {
        let mut label = Label::default();
        event.record(&mut label);
        let mut seen = self.0.lock().unwrap();
        let around = event.parent().and_then(|parent| seen.spans.get(&parent.into_u64()).cloned()).unwrap_or_default();
        seen.events.push(format!("{around}:{}", label.0));
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().current.push(span.into_u64());
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().current.pop();
    }

    fn record(&self, _: &Id, _: &Values<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}
}

impl Watcher {
    /// The events that were seen of what the worker that plays `role` said.
    fn of(&self, role: &str) -> Vec<String> {
        let seen = self.0.lock().unwrap();
        seen.events
            .iter()
            .filter(|event| event.contains(&format!(" {role} ")) || event.ends_with(role))
            .cloned()
            .collect()
    }
}

/// A host without workers yet that traces at that level; what its subscriber sees.
fn watched(model: Model, level: TraceLevel) -> (Host, Watcher) {
    let watcher = Watcher::default();
    let host = Host::new(model, anything_goes);
    tracing::subscriber::with_default(watcher.clone(), || host.broker.set_trace_level(level).unwrap());
    (host, watcher)
}

/// All records of a broker.
fn records(broker: &Broker) -> Arc<Mutex<Vec<TraceRecord>>> {
    let records = Arc::new(Mutex::new(Vec::new()));
    let kept = records.clone();
    broker.trace_to(move |record| kept.lock().unwrap().push(record)).unwrap();
    records
}

fn count(records: &Mutex<Vec<TraceRecord>>, role: &str, pick: impl Fn(&What<Text>) -> u64) -> u64 {
    let records = records.lock().unwrap();
    records.iter().filter(|record| record.process.role.as_str() == role).map(|record| pick(&record.record.what)).sum()
}

fn is_event(what: &What<Text>) -> u64 {
    u64::from(matches!(what, What::Event { .. }))
}

fn lost(what: &What<Text>) -> u64 {
    if let What::Lost(lost) = what { *lost } else { 0 }
}

/// Has a worker, and those it is to call in turn, say that they were visited.
fn visit(link: &HostLink, rest: &[&str]) {
    let mut message = Message::new();
    message.append(rest).unwrap();
    link.call(VISIT, message).unwrap();
}

fn echo(link: &HostLink) {
    let mut message = Message::new();
    message.append_bytes(&[7; 100]).unwrap();
    link.call(ECHO, message).unwrap();
}

fn chains_stand_beneath_the_hosts_span(model: Model) {
    let (host, watcher) = watched(model, TraceLevel::Debug);
    ["first", "second", "third"].iter().for_each(|role| host.spawn(role));
    let first = host.broker.open("first", &PEER).unwrap();
    tracing::subscriber::with_default(watcher.clone(), || {
        let span = tracing::info_span!(target: "test", "playing").entered();
        visit(&first, &["second", "third"]);
        drop(span);
        visit(&first, &[]);
    });
    let call = "/call first/serve first host";
    let own = |role: &str, left: usize| format!("/span {role} visit left={left}");
    let second = format!("{call}{}/call first second/serve second first", own("first", 2));
    let third = format!("{second}{}/call second third/serve third second", own("second", 1));
    let visited = |path: &str, role: &str, left| format!("{path}{}: {role} before=true visited", own(role, left));
    let expected = [
        visited(&format!("/playing{call}"), "first", 2),
        visited(&format!("/playing{second}"), "second", 1),
        visited(&format!("/playing{third}"), "third", 0),
        visited(call, "first", 0),
    ];
    let seen = eventually("all four events", || {
        let seen = watcher.0.lock().unwrap();
        (seen.events.len() >= 4).then(|| seen.events.clone())
    });
    assert_eq!(shapes(&seen), shapes(&expected));
}

fn shapes(paths: &[String]) -> Vec<Vec<Vec<&str>>> {
    paths.iter().map(|path| sorted(path)).collect()
}

/// In which order fields are visited is of no interest; what stands in what is.
fn sorted(path: &str) -> Vec<Vec<&str>> {
    path.split('/')
        .map(|label| {
            let mut words: Vec<_> = label.split(' ').collect();
            words.sort_unstable();
            words
        })
        .collect()
}

fn levels_are_set_from_the_host(model: Model) {
    let (host, watcher) = watched(model, TraceLevel::Warn);
    ["loud", "quiet"].iter().for_each(|role| host.spawn(role));
    let links = ["loud", "quiet"].map(|role| host.broker.open(role, &PEER).unwrap());
    links.iter().for_each(|link| visit(link, &[]));
    let turned_on = || {
        tracing::subscriber::with_default(watcher.clone(), || {
            host.broker.set_trace_level_of("loud", TraceLevel::Info).unwrap();
        })
    };
    turned_on();
    links.iter().for_each(|link| visit(link, &[]));
    eventually("the loud one is heard", || (watcher.of("loud").len() == 1).then_some(()));
    host.broker.set_trace_level(TraceLevel::Off).unwrap();
    links.iter().for_each(|link| visit(link, &[]));
    turned_on();
    links.iter().for_each(|link| visit(link, &[]));
    eventually("the loud one is heard again", || (watcher.of("loud").len() == 2).then_some(()));
    assert_eq!(watcher.of("quiet"), [""; 0]);
}

fn what_is_off_sends_nothing(model: Model) {
    let host = Host::with(model, &["worker"]);
    let link = host.broker.open("worker", &PEER).unwrap();
    let records = records(&host.broker);
    let sent = || host.broker.workers()[0].relayed.messages;
    (0..10).for_each(|_| visit(&link, &[]));
    let before = sent();
    (0..30).for_each(|_| visit(&link, &[]));
    // Longer than any record waits in a worker.
    std::thread::sleep(Duration::from_millis(50));
    visit(&link, &[]);
    assert!(sent() - before <= 33, "31 answers, a credit or two, and nothing else");
    let from_worker = |records: &[TraceRecord]| records.iter().any(|record| record.process.role.as_str() == "worker");
    eventually("the host's own messages", || {
        let records = records.lock().unwrap();
        assert!(!from_worker(&records));
        // Each call and its answer.
        (records.len() == 82).then_some(())
    });
}

fn a_flood_is_cut_and_counted(model: Model) {
    let (host, _watcher) = watched(model, TraceLevel::Info);
    ["flooder", "other", "third"].iter().for_each(|role| host.spawn(role));
    let records = records(&host.broker);
    let flooding = host.puppet("flooder").start(&Step::Record { message: "flood".repeat(20), count: 300_000 });
    let other = host.puppet("other");
    let third = other.open("third");
    let message = || "other".to_owned();
    for _ in 0..50 {
        other.tell(&Step::Record { message: message(), count: 1 });
        other.call(third, ECHO, crate::words::encoded(&serde_bytes::Bytes::new(b"x"))).unwrap();
    }
    flooding.wait::<crate::words::Outcome>().unwrap();
    eventually("what was dropped is counted", || {
        let (said, lost) = (count(&records, "flooder", is_event), count(&records, "flooder", lost));
        assert!(said < 300_000);
        (said > 0 && said + lost >= 300_000).then_some(())
    });
    eventually("all of the other's", || (count(&records, "other", is_event) == 50).then_some(()));
    assert_eq!(count(&records, "other", lost), 0);
}

fn whatever_records_say_they_do_no_harm() {
    let (host, watcher) = watched(Model::Broker, TraceLevel::Trace);
    ["raw", "honest"].iter().for_each(|role| host.spawn(role));
    let records = records(&host.broker);
    let attacker = host.attacker("raw");
    let event = |message: &str| {
        let what = What::Event {
            parent: SpanId(u64::MAX),
            chain: cloison_broker::msg::ChainId(u64::MAX),
            level: TraceLevel::Error,
            target: "\u{1b}]0;owned\u{7}",
            message,
            fields: "\n\n\r",
        };
        let mut batch = Vec::new();
        assert!(Record { at: Time(u64::MAX), thread: u32::MAX, what }.encode(&mut batch));
        batch
    };
    let opened = (0..5000).flat_map(|span| {
        let mut batch = Vec::new();
        let (span, level, chain) = (SpanId(span), TraceLevel::Error, cloison_broker::msg::ChainId(1));
        let what = What::Opened { span, parent: span, chain, level, target: "", name: "x", fields: "" };
        assert!(Record { at: Time(0), thread: 0, what }.encode(&mut batch));
        batch
    });
    // What floods comes last, or there would be no room for the rest.
    let batches = [
        Vec::new(),
        event(&"long ".repeat(5000)),
        event("\u{202e}\u{1b}[2J"),
        vec![0xff; 30_000],
        vec![0; 30_000],
        opened.take(30_000).collect(),
    ];
    for records in batches {
        let packet = word_packet(&ToBroker::Traced { records: TraceBatch(records) });
        let step = RawStep::Send { via: Via::Control, packet, loot: Vec::new(), times: 10 };
        assert!(
            matches!(attacker.tell(&step), RawOutcome::Sent(10, None)),
            "it lives on: nothing of this is forbidden"
        );
    }
    visit(&host.broker.open("honest", &PEER).unwrap(), &[]);
    eventually("the honest one is heard", || (watcher.of("honest").len() == 1).then_some(()));
    eventually("so is the other", || (count(&records, "raw", is_event) >= 20).then_some(()));
    let seen = watcher.0.lock().unwrap();
    assert!(seen.events.iter().chain(seen.spans.values()).all(|text| !text.contains(char::is_control)));
    drop(seen);
    assert!(host.broker.workers().iter().all(|worker| worker.restarts == 0));
}

fn last_records_of_a_panic_are_told() {
    let (mut host, _watcher) = watched(Model::Broker, TraceLevel::Info);
    host.spawn("worker");
    let records = records(&host.broker);
    let puppet = host.puppet("worker");
    puppet.tell(&Step::Record { message: "before".to_owned(), count: 1 });
    drop(puppet.start(&Step::End(End::Panic)));
    host.death("worker");
    eventually("its last record", || (count(&records, "worker", is_event) == 1).then_some(()));
}

fn a_subscriber_that_hangs_holds_up_nobody() {
    let host = Host::new(Model::Broker, anything_goes);
    let (release, held) = std::sync::mpsc::channel::<()>();
    host.broker
        .trace_to(move |_| {
            let _ = held.recv();
        })
        .unwrap();
    host.broker.set_trace_level(TraceLevel::Trace).unwrap();
    host.spawn("worker");
    let link = host.broker.open("worker", &PEER).unwrap();
    (0..20_000).for_each(|_| echo(&link));
    drop(release);
}
