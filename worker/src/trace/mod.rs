//! What this process records of itself for its host: spans and events of its author's, calls and messages of the runtime's.
//!
//! Records wait in memory, and leave as words to the broker when the worker is going to wait anyway, when a packet is full,
//! or when a call is about to leave a span of which the broker does not know yet. When nothing is recorded, all that is left
//! of this is the load of one atomic number.

mod book;
mod fields;
mod runtime;
mod subscriber;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloison_msg::trace::{SpanId, TraceLevel, What};
use cloison_msg::{ChainId, Time};

use crate::clock::now;
use book::Book;

/// How long a record waits for others to leave with.
pub(crate) const FLUSH_WITHIN: Duration = Duration::from_millis(5);

/// Most spans of the author's that are open at a time and recorded.
const SPANS_OPEN_MAX: usize = 4096;

/// What one worker records. Shared by its runtime, which sends the records, and by all threads of the process, which make
/// them.
#[derive(Default)]
pub(crate) struct Tracer {
    level: AtomicU8,
    /// Whether the process's `tracing` spans and events come here.
    is_installed: AtomicBool,
    /// The chain that is being served, and the span of that.
    chain: AtomicU64,
    serving: AtomicU64,
    book: Mutex<Book>,
}

thread_local! {
    /// The spans that this thread is in, the author's and the runtime's.
    static ENTERED: RefCell<Vec<SpanId>> = const { RefCell::new(Vec::new()) };
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    /// The chain that this thread serves, if it is one of those that serve beside the runtime.
    static CHAIN: Cell<Option<ChainId>> = const { Cell::new(None) };
}

/// How many threads have recorded something.
static THREADS: AtomicU32 = AtomicU32::new(0);

impl Tracer {
    /// Has the process's `tracing` spans and events recorded, unless its author has them go elsewhere.
    pub(crate) fn install(self: &Arc<Self>) {
        // The thread of the runtime is the first.
        thread_number();
        let installed = tracing::subscriber::set_global_default(subscriber::Recorder::new(self)).is_ok();
        self.is_installed.store(installed, Ordering::Relaxed);
    }

    pub(crate) fn level(&self) -> TraceLevel {
        TraceLevel::from_number(self.level.load(Ordering::Relaxed))
    }

    /// Whether what is of this level is recorded.
    pub(crate) fn records(&self, level: TraceLevel) -> bool {
        self.level.load(Ordering::Relaxed) >= level as u8
    }

    pub(crate) fn set_level(&self, level: TraceLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
        if self.is_installed.load(Ordering::Relaxed) {
            tracing::callsite::rebuild_interest_cache();
        }
    }

    /// Writes down what happens at this moment.
    fn record(&self, what: What<&str>) {
        let thread = thread_number();
        self.book().write(now(), thread, what);
    }

    fn mint_span(&self) -> SpanId {
        self.book().mint_span()
    }

    fn chain(&self) -> ChainId {
        CHAIN.get().unwrap_or_else(|| ChainId(self.chain.load(Ordering::Relaxed)))
    }

    /// The span that this thread is in: the innermost it has entered, or else what the runtime serves.
    pub(crate) fn span_here(&self) -> SpanId {
        innermost().unwrap_or_else(|| match CHAIN.get() {
            Some(_) => SpanId::NONE,
            None => SpanId(self.serving.load(Ordering::Relaxed)),
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the oldest of the records that wait is to leave.
    fn due(&self) -> Option<Time> {
        self.book().oldest().map(|oldest| oldest.after(FLUSH_WITHIN))
    }
}

/// The span that this thread has entered last. A thread that ends, and has let go of what it keeps, is in none.
fn innermost() -> Option<SpanId> {
    ENTERED.try_with(|entered| entered.borrow().last().copied()).ok().flatten()
}

/// This thread has entered a span.
fn enter(span: SpanId) {
    let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(span));
}

/// This thread has left a span, whether it was the innermost or not.
fn leave(span: SpanId) {
    let _ = ENTERED.try_with(|entered| {
        let mut entered = entered.borrow_mut();
        if let Some(at) = entered.iter().rposition(|other| *other == span) {
            entered.remove(at);
        }
    });
}

/// Does something in a span that is another thread's.
pub(crate) fn within<T>(span: SpanId, run: impl FnOnce() -> T) -> T {
    if span == SpanId::NONE {
        return run();
    }
    enter(span);
    let result = run();
    leave(span);
    result
}

/// The number of this thread among those that have recorded anything, from 1.
fn thread_number() -> u32 {
    let number = NUMBER.get();
    if number > 0 {
        return number;
    }
    let number = THREADS.fetch_add(1, Ordering::Relaxed) + 1;
    NUMBER.set(number);
    number
}
