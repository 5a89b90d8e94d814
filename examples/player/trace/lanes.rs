//! From records to spans: one lane for each thread of each process.

use std::collections::HashMap;

use cloison_broker::msg::trace::{Mark, MarkKind, SpanId, Task, What};
use cloison_broker::msg::{HOST, RpcIndex, Text};
use cloison_broker::{TraceProcess, TraceRecord};
use serde_json::{Value, json};

use super::chrome::{Chrome, Lane, Place};
use super::flows::Flows;
use crate::protocol::{DECODER, DEMUXER, TRACK_READER};

/// How long the sending or taking of a message is drawn, in nanoseconds; less, if something else follows.
const MOMENT: u64 = 1000;

/// Reads records in order of time.
pub struct Lanes {
    chrome: Chrome,
    processes: Vec<u32>,
    lanes: HashMap<Lane, Track>,
    /// What the spans of the workers' own code are called.
    names: HashMap<(u32, SpanId), (String, Value)>,
    flows: Flows,
    /// Calls of the host's: when each was made, by chain.
    calls: HashMap<u64, Place>,
    last: u64,
    lost: u64,
}

/// One thread.
#[derive(Default)]
struct Track {
    /// What it is in, from outside in.
    open: Vec<Open>,
    /// The message that it sent or took last, to be drawn when it is known how much room there is.
    moment: Option<(u64, String, Value)>,
}

struct Open {
    span: SpanId,
    start: u64,
    category: &'static str,
    name: String,
    args: Value,
}

impl Lanes {
    pub fn new(chrome: Chrome) -> Self {
        let (processes, lanes, names) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { chrome, processes, lanes, names, flows: Flows::default(), calls: HashMap::new(), last: 0, lost: 0 }
    }

    pub fn take(&mut self, record: &TraceRecord) {
        let TraceRecord { process, record } = record;
        let (role, pid) = (process.role.as_str(), process.pid);
        self.meet(process);
        let place = Place { lane: Lane { pid, tid: record.thread }, at: record.at.0 };
        self.last = self.last.max(place.at);
        self.end_moment(place);
        match &record.what {
            What::Opened { span, target, name, fields, .. } => {
                let args = json!({"target": target.as_str(), "fields": fields.as_str()});
                self.names.insert((pid, *span), (name.to_string(), args));
            }
            What::Entered { span } => {
                let (name, args) = self.names.get(&(pid, *span)).cloned().unwrap_or_default();
                self.enter(place, Open { span: *span, start: place.at, category: "code", name, args });
            }
            What::Began { span, task, mark, .. } => self.begin(role, place, *span, *task, mark),
            What::Left { span } | What::Ended { span } => self.leave(place, *span),
            What::Closed { span } => drop(self.names.remove(&(pid, *span))),
            What::Event { message, target, fields, .. } => {
                let args = json!({"target": target.as_str(), "fields": fields.as_str()});
                self.chrome.instant(place, "code", message.as_str(), args);
            }
            What::Sent { mark, .. } => self.sent(role, place, mark),
            What::Taken(mark) => self.taken(role, place, mark),
            What::Lost(lost) => {
                self.lost = self.lost.saturating_add(*lost);
                self.chrome.instant(place, "trace", "records are missing here", json!({"lost": lost}));
            }
            What::Noted { .. } => {}
        }
    }

    /// All events, and how many records are missing.
    pub fn finish(mut self) -> (Vec<Value>, u64) {
        let lanes: Vec<_> = self.lanes.keys().copied().collect();
        for lane in lanes {
            let end = Place { lane, at: self.last + MOMENT };
            self.end_moment(end);
            self.leave_all(end, 0);
        }
        (self.chrome.finish(), self.lost)
    }

    fn meet(&mut self, process: &TraceProcess) {
        if !self.processes.contains(&process.pid) {
            self.chrome.name_process(process.pid, process.role.as_str(), self.processes.len());
            self.processes.push(process.pid);
        }
    }

    fn begin(&mut self, role: &str, place: Place, span: SpanId, task: Task, mark: &Mark<Text>) {
        let (method, args) = (method(mark), args(mark));
        match task {
            Task::Serve => {
                self.enter(place, Open { span, start: place.at, category: "serve", name: method.to_owned(), args });
                self.arrive(role, place, mark);
            }
            Task::Wait => {
                let name = format!("wait for {} {method}", mark.peer);
                self.enter(place, Open { span, start: place.at, category: "wait", name, args });
            }
        }
    }

    fn sent(&mut self, role: &str, place: Place, mark: &Mark<Text>) {
        let what = if mark.kind == MarkKind::Error { "error" } else { "send" };
        self.begin_moment(place, format!("{what} {} to {}", method(mark), mark.peer), args(mark));
        self.flows.sent(role, mark, place);
        if role == HOST && mark.kind == MarkKind::Call {
            self.calls.insert(mark.chain.0, place);
        }
    }

    fn taken(&mut self, role: &str, place: Place, mark: &Mark<Text>) {
        self.begin_moment(place, format!("take {} from {}", method(mark), mark.peer), args(mark));
        self.arrive(role, place, mark);
        let is_answer = matches!(mark.kind, MarkKind::Reply | MarkKind::Error);
        if is_answer
            && role == HOST
            && let Some(start) = self.calls.remove(&mark.chain.0)
        {
            self.chrome.lasting(start, place.at, &format!("{} {}", mark.peer, method(mark)));
        }
    }

    /// A message is where it was sent.
    fn arrive(&mut self, role: &str, place: Place, mark: &Mark<Text>) {
        if let Some(from) = self.flows.taken(role, mark).filter(|from| from.at <= place.at) {
            self.chrome.arrow(from, place, method(mark));
        }
    }

    fn begin_moment(&mut self, place: Place, name: String, args: Value) {
        self.lanes.entry(place.lane).or_default().moment = Some((place.at, name, args));
    }

    fn end_moment(&mut self, now: Place) {
        let moment = self.lanes.entry(now.lane).or_default().moment.take();
        if let Some((at, name, args)) = moment {
            let end = now.at.min(at + MOMENT).max(at + 1);
            self.chrome.span(Place { at, ..now }, end, "message", &name, args);
        }
    }

    fn enter(&mut self, place: Place, open: Open) {
        self.lanes.entry(place.lane).or_default().open.push(open);
    }

    fn leave(&mut self, place: Place, span: SpanId) {
        let track = self.lanes.entry(place.lane).or_default();
        // What was entered in it was left, too, whether that was recorded or not.
        if let Some(at) = track.open.iter().rposition(|open| open.span == span) {
            self.leave_all(place, at);
        }
    }

    /// Leaves what was entered last, down to so many.
    fn leave_all(&mut self, place: Place, down_to: usize) {
        let track = self.lanes.entry(place.lane).or_default();
        for Open { start, category, name, args, .. } in track.open.drain(down_to..).rev() {
            self.chrome.span(Place { at: start, ..place }, place.at.max(start + 1), category, &name, args);
        }
    }
}

/// The name of the method that a message is about.
fn method(mark: &Mark<Text>) -> &'static str {
    let contracts = [&DEMUXER, &TRACK_READER, &DECODER];
    let contract = contracts.into_iter().find(|contract| contract.name().as_str() == mark.interface.as_str());
    match contract {
        _ if mark.rpc == RpcIndex::BIND => "bind",
        Some(contract) => contract.method_name(mark.rpc),
        None => "?",
    }
}

fn args(mark: &Mark<Text>) -> Value {
    json!({"peer": mark.peer.as_str(), "kind": format!("{:?}", mark.kind), "bytes": mark.bytes, "call": mark.call.0,
           "chain": format!("{:?}", mark.chain), "depth": mark.depth})
}
