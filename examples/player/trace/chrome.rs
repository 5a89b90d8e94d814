//! The Trace Event Format: a JSON object with a list of events, which Perfetto and chrome://tracing open.
//!
//! | `ph` | what it is here |
//! |---|---|
//! | `M` | the name of a process or a thread |
//! | `X` | a span of a thread; those of one thread nest |
//! | `i` | an event of a thread |
//! | `b`, `e` | the beginning and the end of a call of the host's; several can be under way |
//! | `s`, `f` | the two ends of an arrow. Each binds to the span of its thread that lies around it |
//!
//! Times are microseconds.

use serde_json::{Value, json};

/// A thread of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The process.
    pub pid: u32,
    /// The thread's number in it.
    pub tid: u32,
}

/// A moment in nanoseconds, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub lane: Lane,
    /// When.
    pub at: u64,
}

/// The events so far.
pub struct Chrome {
    /// The moment from which times count.
    start: u64,
    /// With the moment, and what comes first at one moment: spans from outside in, then what lies in them.
    events: Vec<((u64, u64), Value)>,
    ids: u64,
}

impl Chrome {
    /// No events yet; the first will be at `start`.
    pub fn new(start: u64) -> Self {
        Self { start, events: Vec::new(), ids: 0 }
    }

    /// Names a process.
    pub fn name_process(&mut self, pid: u32, name: &str, order: usize) {
        let named = json!({"ph": "M", "ts": 0, "pid": pid, "tid": 0, "name": "process_name", "args": {"name": name}});
        let args = json!({"sort_index": order});
        let sorted = json!({"ph": "M", "ts": 0, "pid": pid, "tid": 0, "name": "process_sort_index", "args": args});
        self.events.extend([named, sorted].map(|event| ((0, 0), event)));
    }

    /// A span of a thread.
    pub fn span(&mut self, start: Place, end: u64, category: &str, name: &str, args: Value) {
        let lasted = end.saturating_sub(start.at);
        let mut event = self.event("X", start, category, name);
        event["dur"] = micros(lasted);
        event["args"] = args;
        self.push(start.at, u64::MAX - 1 - lasted, event);
    }

    /// An event of a thread.
    pub fn instant(&mut self, at: Place, category: &str, name: &str, args: Value) {
        let mut event = self.event("i", at, category, name);
        event["s"] = json!("t");
        event["args"] = args;
        self.push(at.at, u64::MAX, event);
    }

    /// An arrow.
    pub fn arrow(&mut self, from: Place, to: Place, name: &str) {
        self.ids += 1;
        for (phase, place) in [("s", from), ("f", to)] {
            let mut event = self.event(phase, place, "message", name);
            event["id"] = json!(self.ids);
            if phase == "f" {
                event["bp"] = json!("e");
            }
            self.push(place.at, u64::MAX, event);
        }
    }

    /// Something that lasts, of which several can last at a time.
    pub fn lasting(&mut self, start: Place, end: u64, name: &str) {
        self.ids += 1;
        for (phase, at) in [("b", start.at), ("e", end)] {
            let mut event = self.event(phase, Place { at, ..start }, "call", name);
            event["id"] = json!(format!("{:#x}", self.ids));
            self.push(at, u64::MAX, event);
        }
    }

    /// All events, in order of time.
    pub fn finish(mut self) -> Vec<Value> {
        self.events.sort_by_key(|(place, _)| *place);
        self.events.into_iter().map(|(_, event)| event).collect()
    }

    fn event(&self, phase: &str, at: Place, category: &str, name: &str) -> Value {
        let Place { lane: Lane { pid, tid }, at } = at;
        let ts = micros(at.saturating_sub(self.start));
        json!({"ph": phase, "ts": ts, "pid": pid, "tid": tid, "cat": category, "name": name})
    }

    fn push(&mut self, at: u64, order: u64, event: Value) {
        // Names come before everything.
        self.events.push(((at.max(1), order), event));
    }
}

/// Nanoseconds as microseconds.
fn micros(nanos: u64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "a nanosecond is lost after three months")]
    let micros = nanos as f64 / 1000.0;
    json!(micros)
}
