//! Reads records, puts them in order, and shows them to the host.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cloison_msg::trace::{Mark, MarkKind, Record, SpanId, Task, What};
use cloison_msg::{HOST, Key, Name, Text, Time};
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;

use super::chains::{Chains, Deed};
use super::voice::{TOLD_EVERY, Voice};
use super::{Cause, Entry, Hub, Sink, TraceProcess, TraceRecord, emit};
use crate::driver::now;

/// How long a record waits for earlier ones: those of a worker may be on their way while those of whom it called are here.
const SETTLE: Duration = Duration::from_millis(25);

/// The thread that reads records. Dropped, it ends when it has read all that there is.
#[derive(Debug)]
pub(crate) struct Scribe {
    hub: Arc<Hub>,
    has_sink: bool,
    thread: Option<JoinHandle<()>>,
}

impl Scribe {
    pub(crate) fn start(hub: Arc<Hub>) -> io::Result<Self> {
        let desk = Desk::new(hub.clone());
        let thread = thread::Builder::new().name("cloison-scribe".into()).spawn(move || desk.run())?;
        Ok(Self { hub, has_sink: false, thread: Some(thread) })
    }

    /// From now on records go there, too.
    pub(crate) fn set_sink(&mut self, sink: Sink) {
        self.has_sink = true;
        self.hub.give(Entry::Sink(sink));
    }

    /// Workers record nothing any more.
    pub(crate) fn rest(&self) {
        self.hub.switch(self.has_sink);
    }

    /// Records are shown to the subscriber of the thread that says this, if it has one.
    pub(crate) fn follow(&mut self) {
        self.hub.give(Entry::Subscriber(tracing::dispatcher::get_default(Dispatch::clone)));
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.hub.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of that thread, which is one of the host's subscriber or sink, has been printed.
            let _ = thread.join();
        }
    }
}

/// What waits for earlier records to come.
enum Waiting {
    Worker(Key, Record<Text>),
    Sent(Mark<Text>, Cause, Time),
    Taken(Mark<Text>),
    Gone(Key),
}

/// Everything that the thread keeps.
pub(super) struct Desk {
    hub: Arc<Hub>,
    host: Arc<TraceProcess>,
    subscriber: Option<Dispatch>,
    sink: Option<Sink>,
    voices: HashMap<Key, Voice>,
    waiting: BTreeMap<(Time, u64), Waiting>,
    /// How many ever waited, so that what happened at one moment stays in order.
    count: u64,
    chains: Chains,
}

impl Desk {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let role = Name::new(HOST).expect("a constant that is a name");
        let host = TraceProcess::new(role, std::process::id(), Key { index: 0, generation: 0 });
        let (voices, waiting, chains) = (HashMap::new(), BTreeMap::new(), Chains::default());
        Self { hub, host, subscriber: None, sink: None, voices, waiting, count: 0, chains }
    }

    fn run(mut self) {
        let mut entries = Vec::new();
        loop {
            let is_last = self.hub.take(self.patience(), &mut entries);
            for entry in entries.drain(..) {
                self.take(entry);
            }
            let now = now();
            let settled = if is_last { Time(u64::MAX) } else { Time(now.0.saturating_sub(as_nanos(SETTLE))) };
            match self.subscriber.clone() {
                Some(subscriber) => tracing::dispatcher::with_default(&subscriber, || self.show(settled, now)),
                None => self.show(settled, now),
            }
            if is_last {
                return;
            }
        }
    }

    /// How long there is nothing to do, if nothing comes.
    fn patience(&self) -> Option<Duration> {
        if !self.waiting.is_empty() {
            return Some(SETTLE);
        }
        let has_untold = self.voices.values().any(Voice::has_untold);
        let forget_within = self.chains.next_due().map(|due| due.since(now()) + Duration::from_millis(1));
        forget_within.into_iter().chain(has_untold.then_some(TOLD_EVERY)).min()
    }

    pub(super) fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Batch { from, records, at } => {
                from.waiting.fetch_sub(records.len(), Ordering::Relaxed);
                let port = from.port;
                let voice = self.voices.entry(port).or_insert_with(|| Voice::new(from, at));
                for record in voice.read(&records, at) {
                    self.await_earlier(record.at, Waiting::Worker(port, record));
                }
            }
            // What it is about is looked at in any case.
            Entry::Unread => {}
            Entry::Gone { from } => self.await_earlier(now(), Waiting::Gone(from.port)),
            Entry::Sent { at, mark, cause, until } => self.await_earlier(at, Waiting::Sent(mark, cause, until)),
            Entry::Taken { at, mark } => self.await_earlier(at, Waiting::Taken(mark)),
            Entry::Sink(sink) => self.sink = Some(sink),
            Entry::Subscriber(subscriber) => {
                self.subscriber = (!subscriber.is::<NoSubscriber>()).then_some(subscriber);
            }
        }
    }

    fn await_earlier(&mut self, at: Time, what: Waiting) {
        self.count += 1;
        self.waiting.insert((at, self.count), what);
    }

    /// Shows everything that happened until `settled`.
    pub(super) fn show(&mut self, settled: Time, now: Time) {
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= settled
        {
            let (at, _) = *first.key();
            match first.remove() {
                Waiting::Worker(port, record) => self.worker_says(port, record),
                Waiting::Sent(mark, Cause(cause), until) => {
                    self.hub.host_waiting.fetch_sub(1, Ordering::Relaxed);
                    if let Some(span) = cause {
                        self.chains.begin_call(mark.chain, span, until);
                    }
                    self.host_says(at, What::Sent { parent: SpanId::NONE, mark });
                }
                Waiting::Taken(mark) => {
                    self.hub.host_waiting.fetch_sub(1, Ordering::Relaxed);
                    if mark.kind != MarkKind::Item {
                        self.chains.end_call(mark.chain, now);
                    }
                    self.host_says(at, What::Taken(mark));
                }
                Waiting::Gone(port) => self.bury(port, at),
            }
        }
        for voice in self.voices.values_mut().filter(|voice| voice.may_complain(now) || settled.0 == u64::MAX) {
            tell_lost(voice, &mut self.sink, now);
        }
        self.chains.forget(now);
    }

    fn host_says(&mut self, at: Time, what: What<Text>) {
        if let Some(sink) = &mut self.sink {
            sink(TraceRecord { process: self.host.clone(), record: Record { at, thread: 1, what } });
        }
    }

    fn worker_says(&mut self, port: Key, record: Record<Text>) {
        let Some(voice) = self.voices.get_mut(&port) else { return };
        voice.waiting -= 1;
        let process = voice.process.clone();
        let at = record.at;
        match &record.what {
            What::Opened { span, parent, chain, level, target, name, fields } => {
                let parent = voice.span(*parent).or_else(|| self.chains.around(*chain, port));
                let opened = emit::span(&process, parent, *level, [target, name, fields]);
                voice.open(*span, opened, None);
            }
            What::Noted { span, fields } => {
                if let Some(span) = voice.span(*span) {
                    span.record("noted", fields.as_str());
                }
            }
            What::Event { parent, chain, level, target, message, fields } => {
                let parent = voice.span(*parent).or_else(|| self.chains.around(*chain, port));
                emit::event(&process, parent, at, *level, [target, message, fields]);
            }
            What::Began { span, task: Task::Serve, mark, .. } => self.begin_served(port, &process, *span, mark, at),
            What::Sent { parent, mark } if mark.kind == MarkKind::Call => {
                let parent = voice.span(*parent).or_else(|| self.chains.around(mark.chain, port));
                let span = emit::call_of(&process, parent, mark);
                self.chains.begin(mark.chain, &process, Deed::Calls(mark.call), mark.depth, span, at);
            }
            What::Taken(mark) if mark.kind == MarkKind::Item => {}
            What::Taken(mark) => self.chains.end(mark.chain, port, Deed::Calls(mark.call), at),
            What::Ended { span } | What::Closed { span } => self.close(port, *span, at),
            What::Lost(lost) => voice.lost = voice.lost.saturating_add(*lost),
            What::Entered { .. } | What::Left { .. } | What::Began { .. } | What::Sent { .. } => {}
        }
        if let Some(sink) = &mut self.sink
            && !matches!(record.what, What::Lost(_))
        {
            sink(TraceRecord { process, record });
        }
    }

    fn begin_served(&mut self, port: Key, process: &TraceProcess, id: SpanId, mark: &Mark<Text>, at: Time) {
        let parent = self.chains.cause(mark.chain, mark.peer.as_str(), mark.call, mark.depth);
        let span = emit::serve(process, parent, mark);
        let is_open = self.voices.get_mut(&port).is_some_and(|voice| voice.open(id, span.clone(), Some(mark.chain)));
        if is_open {
            self.chains.begin(mark.chain, process, Deed::Serves(id), mark.depth, span, at);
        }
    }

    fn close(&mut self, port: Key, id: SpanId, at: Time) {
        let open = self.voices.get_mut(&port).and_then(|voice| voice.close(id));
        if let Some(chain) = open.and_then(|open| open.serves) {
            self.chains.end(chain, port, Deed::Serves(id), at);
        }
    }

    /// A dead worker's spans are over.
    fn bury(&mut self, port: Key, at: Time) {
        let Some(mut voice) = self.voices.remove(&port) else { return };
        for (id, open) in voice.abandon() {
            if let Some(chain) = open.serves {
                self.chains.end(chain, port, Deed::Serves(id), at);
            }
        }
        tell_lost(&mut voice, &mut self.sink, at);
    }
}

fn tell_lost(voice: &mut Voice, sink: &mut Option<Sink>, at: Time) {
    let lost = voice.take_lost(at);
    if lost == 0 {
        return;
    }
    let what = What::Lost(lost);
    emit::lost(&voice.process, lost);
    if let Some(sink) = sink {
        sink(TraceRecord { process: voice.process.clone(), record: Record { at, thread: 1, what } });
    }
}

fn as_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
