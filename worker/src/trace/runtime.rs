//! What the runtime records of its own work, and how records leave.

use std::sync::atomic::Ordering;

use cloison_msg::control::ToBroker;
use cloison_msg::trace::{Mark, SpanId, Task, TraceBatch, TraceLevel, What};
use cloison_msg::{ChainId, Header, Kind, Time};

use super::{CHAIN, FLUSH_WITHIN, Tracer, enter, leave};
use crate::clock::NEVER;
use crate::session::{Queued, Session};

/// What is served from now on, as far as it is recorded, and what was before.
#[must_use = "what is being served is to be taken back"]
pub(crate) struct Served {
    span: SpanId,
    outer: (u64, u64),
}

impl Tracer {
    /// A request of this chain is served from now on.
    fn begin_serving(&self, chain: ChainId, mark: Option<Mark<&str>>) -> Served {
        // Written by the session's thread alone, so nothing needs to be exchanged.
        let outer = (self.chain.load(Ordering::Relaxed), self.serving.load(Ordering::Relaxed));
        self.chain.store(chain.0, Ordering::Relaxed);
        let span = match mark {
            Some(mark) if self.records(TraceLevel::Debug) => self.begin(Task::Serve, mark),
            _ => SpanId::NONE,
        };
        self.serving.store(span.0, Ordering::Relaxed);
        Served { span, outer }
    }

    /// A request of this chain is served on this thread from now on, which is not the runtime's; its span, and what chain was
    /// served before.
    pub(crate) fn begin_on_thread(&self, chain: ChainId, mark: Option<Mark<&str>>) -> (SpanId, Option<ChainId>) {
        let outer = CHAIN.replace(Some(chain));
        (mark.map_or(SpanId::NONE, |mark| self.begin(Task::Serve, mark)), outer)
    }

    pub(crate) fn end_on_thread(&self, span: SpanId, outer: Option<ChainId>) {
        self.end(span);
        // A thread that has once been one of those is one for ever.
        CHAIN.set(outer.or(Some(ChainId::default())));
    }

    fn end_serving(&self, served: &Served) {
        self.end(served.span);
        self.chain.store(served.outer.0, Ordering::Relaxed);
        self.serving.store(served.outer.1, Ordering::Relaxed);
    }

    fn begin(&self, task: Task, mark: Mark<&str>) -> SpanId {
        let (span, parent) = (self.mint_span(), self.span_here());
        self.record(What::Began { span, parent, task, mark });
        enter(span);
        span
    }

    fn end(&self, span: SpanId) {
        if span != SpanId::NONE {
            leave(span);
            self.record(What::Ended { span });
        }
    }
}

impl Session {
    /// The host wants to know this much from now on.
    pub(crate) fn set_trace_level(&mut self, level: TraceLevel) {
        self.tracer.set_level(level);
        if level == TraceLevel::Off {
            self.flush_trace();
        }
    }

    /// A request is served from now on.
    pub(crate) fn trace_serving(&self, queued: &Queued) -> Served {
        let chain = self.serving.last().map_or(queued.header.chain, |serving| serving.frame.chain);
        let mark = || Mark::of(&queued.header, queued.peer.as_str(), self.interface_of(&queued.header));
        let mark = self.tracer.records(TraceLevel::Debug).then(mark).flatten();
        self.tracer.begin_serving(chain, mark.map(|mark| Mark { chain, ..mark }))
    }

    pub(crate) fn trace_served(&self, served: &Served) {
        self.tracer.end_serving(served);
    }

    /// The answer to a call with this header, less what the peer adds, is waited for from now on.
    pub(crate) fn trace_waiting(&self, call: &Header) -> SpanId {
        if !self.tracer.records(TraceLevel::Trace) {
            return SpanId::NONE;
        }
        let mark = Mark::of(call, self.role_at(call), self.interface_of(call));
        mark.map_or(SpanId::NONE, |mark| self.tracer.begin(Task::Wait, mark))
    }

    pub(crate) fn trace_waited(&self, span: SpanId) {
        self.tracer.end(span);
    }

    /// A message leaves.
    pub(crate) fn trace_sent(&self, header: &Header) {
        let level = if header.kind == Kind::Call { TraceLevel::Debug } else { TraceLevel::Trace };
        self.trace_message(level, header, |parent, mark| What::Sent { parent, mark });
    }

    /// An answer has come. Of a request, it is recorded that it is served.
    pub(crate) fn trace_taken(&self, header: &Header) {
        self.trace_message(TraceLevel::Debug, header, |_, mark| What::Taken(mark));
    }

    /// An item of a stream has come.
    pub(crate) fn trace_item_taken(&self, header: &Header) {
        self.trace_message(TraceLevel::Trace, header, |_, mark| What::Taken(mark));
    }

    fn trace_message<'a>(
        &'a self,
        level: TraceLevel,
        header: &Header,
        what: impl FnOnce(SpanId, Mark<&'a str>) -> What<&'a str>,
    ) {
        if !self.tracer.records(level) {
            return;
        }
        if let Some(mark) = Mark::of(header, self.role_at(header), self.interface_of(header)) {
            self.tracer.record(what(self.tracer.span_here(), mark));
        }
    }

    fn role_at(&self, header: &Header) -> &str {
        self.peer_of(header.destination).map_or("", |peer| peer.as_str())
    }

    fn interface_of(&self, header: &Header) -> &str {
        self.ends.get(header.destination).map_or("", |end| end.interface.as_str())
    }

    /// A call is about to leave: what it causes elsewhere must not be told before the span it is made in.
    pub(crate) fn flush_trace_before_call(&mut self) {
        if self.tracer.records(TraceLevel::Error) && !self.tracer.book().has_told(self.tracer.span_here()) {
            self.flush_trace();
        }
    }

    /// The worker is going to wait, for some time at most: sends what is due. When the next is.
    pub(crate) fn flush_trace_if_due(&mut self) -> Time {
        if !self.tracer.records(TraceLevel::Error) {
            return NEVER;
        }
        let has_full = self.tracer.book().has_full();
        if has_full || self.tracer.due().is_some_and(|due| due <= self.time) {
            self.flush_trace();
        }
        match self.control.waiting() {
            // What other threads record meanwhile wakes nobody up.
            0 if self.crew.bell().is_some() => self.time.after(FLUSH_WITHIN),
            0 => self.tracer.due().unwrap_or(NEVER),
            // There is no room. When there is, the worker wakes up.
            _ => NEVER,
        }
    }

    /// Sends all records, as far as there is room in the control socket; what there is no room for stays in their own.
    pub(crate) fn flush_trace(&mut self) {
        while self.control.waiting() == 0 && self.disconnect.is_none() {
            let Some(batch) = self.tracer.book().take() else { return };
            let word = ToBroker::Traced { records: TraceBatch(batch) };
            self.say(&word);
            if let ToBroker::Traced { records } = word {
                self.tracer.book().give_back(records.0);
            }
        }
    }
}
