//! What the audit log says, read as a person would read it.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Every line of every broker of this process.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Begins to listen. Once in a process.
pub fn listen() {
    tracing::subscriber::set_global_default(Listener).unwrap();
}

/// The lines that name this role, which no other case uses.
pub fn about(role: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = |line: &&String| line.split([' ', '=']).any(|word| word == role);
    lines.iter().filter(names).cloned().collect()
}

/// Whether everything that is logged is to be shown at once: for whoever looks for a mistake.
fn is_loud() -> bool {
    std::env::var_os("CLOISON_TEST_LOG").is_some()
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "cloison::audit" || is_loud()
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{}", event.metadata().level()));
        event.record(&mut line);
        if is_loud() {
            eprintln!("{}: {}", event.metadata().target(), line.0);
        }
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
