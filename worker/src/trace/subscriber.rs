//! `tracing`, as far as it concerns a worker: everything becomes a record.

use std::sync::Arc;

use cloison_msg::trace::{SpanId, TraceLevel, What};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_core::span::Current;

use super::fields::Fields;
use super::{Tracer, enter, innermost, leave};

/// What spans are called that are too many to be recorded.
const UNRECORDED: u64 = u64::MAX;

/// Records what the process's spans and events say.
pub(super) struct Recorder(Arc<Tracer>);

impl Recorder {
    pub(super) fn new(tracer: &Arc<Tracer>) -> Self {
        Self(Arc::clone(tracer))
    }

    /// The span that something new is part of.
    fn parent(&self, named: Option<&Id>, is_contextual: bool) -> SpanId {
        match named {
            Some(parent) => span_of(parent),
            None if is_contextual => self.0.span_here(),
            None => SpanId::NONE,
        }
    }
}

impl Subscriber for Recorder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.0.level() {
            TraceLevel::Off => LevelFilter::OFF,
            TraceLevel::Error => LevelFilter::ERROR,
            TraceLevel::Warn => LevelFilter::WARN,
            TraceLevel::Info => LevelFilter::INFO,
            TraceLevel::Debug => LevelFilter::DEBUG,
            TraceLevel::Trace => LevelFilter::TRACE,
        })
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.records(level_of(metadata.level()))
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut book = self.0.book();
        let span = book.mint_span();
        if !book.open(span, attributes.metadata()) {
            return Id::from_u64(UNRECORDED);
        }
        drop(book);
        let (metadata, chain) = (attributes.metadata(), self.0.chain());
        let parent = self.parent(attributes.parent(), attributes.is_contextual());
        let (level, target, name) = (level_of(metadata.level()), metadata.target(), metadata.name());
        Fields::of(
            |fields| attributes.record(fields),
            |_, fields| self.0.record(What::Opened { span, parent, chain, level, target, name, fields }),
        );
        Id::from_u64(span.0)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let span = span_of(span);
        Fields::of(|fields| values.record(fields), |_, fields| self.0.record(What::Noted { span, fields }));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let (metadata, chain) = (event.metadata(), self.0.chain());
        let parent = self.parent(event.parent(), event.is_contextual());
        let (level, target) = (level_of(metadata.level()), metadata.target());
        Fields::of(
            |fields| event.record(fields),
            |message, fields| self.0.record(What::Event { parent, chain, level, target, message, fields }),
        );
    }

    fn enter(&self, id: &Id) {
        let span = span_of(id);
        enter(span);
        self.0.record(What::Entered { span });
    }

    fn exit(&self, id: &Id) {
        let span = span_of(id);
        leave(span);
        self.0.record(What::Left { span });
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.book().add_handle(span_of(id));
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let span = span_of(&id);
        let is_last = self.0.book().drop_handle(span);
        if is_last {
            self.0.record(What::Closed { span });
        }
        is_last
    }

    fn current_span(&self) -> Current {
        let known = innermost().and_then(|span| Some((span, self.0.book().metadata(span)?)));
        known.map_or_else(Current::none, |(span, metadata)| Current::new(Id::from_u64(span.0), metadata))
    }
}

fn span_of(id: &Id) -> SpanId {
    match id.into_u64() {
        UNRECORDED => SpanId::NONE,
        span => SpanId(span),
    }
}

fn level_of(level: &Level) -> TraceLevel {
    match *level {
        Level::ERROR => TraceLevel::Error,
        Level::WARN => TraceLevel::Warn,
        Level::INFO => TraceLevel::Info,
        Level::DEBUG => TraceLevel::Debug,
        Level::TRACE => TraceLevel::Trace,
    }
}
