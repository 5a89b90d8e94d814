//! Records of workers, in the words of `tracing`. What it calls a callsite is fixed: so there is one for each level, and what
//! a worker says about itself stands in fields.

use cloison_msg::trace::{Mark, TraceLevel};
use cloison_msg::{Name, RpcIndex, Text, Time};
use tracing::{Level, Span, debug_span, field};

use super::TraceProcess;

/// Does something with one of five callsites that differ by their level.
macro_rules! at_level {
    ($level:expr, $make:ident) => {
        match $level {
            TraceLevel::Error => $make!(Level::ERROR),
            TraceLevel::Warn => $make!(Level::WARN),
            TraceLevel::Info => $make!(Level::INFO),
            TraceLevel::Debug => $make!(Level::DEBUG),
            TraceLevel::Trace | TraceLevel::Off => $make!(Level::TRACE),
        }
    };
}

/// A call of the host's own.
pub(super) fn call(peer: &Name, rpc: RpcIndex) -> Span {
    debug_span!(target: "cloison::host", "call", %peer, method = rpc.0)
}

/// A call that a worker makes.
pub(super) fn call_of(process: &TraceProcess, parent: Option<&Span>, mark: &Mark<Text>) -> Span {
    let (parent, role, pid) = (parent.and_then(Span::id), &process.role, process.pid);
    let (peer, interface, method) = (&mark.peer, &mark.interface, mark.rpc.0);
    debug_span!(target: "cloison::worker", parent: parent, "call", %role, pid, %peer, %interface, method)
}

/// A call that a worker serves.
pub(super) fn serve(process: &TraceProcess, parent: Option<&Span>, mark: &Mark<Text>) -> Span {
    let (parent, role, pid) = (parent.and_then(Span::id), &process.role, process.pid);
    let (peer, interface, method) = (&mark.peer, &mark.interface, mark.rpc.0);
    debug_span!(target: "cloison::worker", parent: parent, "serve", %role, pid, %peer, %interface, method)
}

/// A span of a worker's author.
pub(super) fn span(
    process: &TraceProcess,
    parent: Option<&Span>,
    level: TraceLevel,
    [target, name, fields]: [&Text; 3],
) -> Span {
    let (parent, role, pid) = (parent.and_then(Span::id), &process.role, process.pid);
    macro_rules! make {
        ($level:expr) => {
            tracing::span!(target: "cloison::worker", parent: parent, $level, "span", %role, pid, from = %target, %name,
                           fields = said(fields), noted = field::Empty)
        };
    }
    at_level!(level, make)
}

/// An event of a worker's author.
pub(super) fn event(
    process: &TraceProcess,
    parent: Option<&Span>,
    at: Time,
    level: TraceLevel,
    [target, message, fields]: [&Text; 3],
) {
    let (parent, role, pid, at) = (parent.and_then(Span::id), &process.role, process.pid, at.0);
    macro_rules! make {
        ($level:expr) => {
            tracing::event!(target: "cloison::worker", parent: parent, $level, %role, pid, at, from = %target,
                            fields = said(fields), "{message}")
        };
    }
    at_level!(level, make);
}

/// Records were dropped.
pub(super) fn lost(process: &TraceProcess, lost: u64) {
    let TraceProcess { role, pid, .. } = process;
    tracing::warn!(target: "cloison::worker", %role, pid, lost, "records were dropped: it records more than is taken");
}

/// A field, if there is anything in it.
fn said(fields: &Text) -> Option<field::DisplayValue<&Text>> {
    (!fields.as_str().is_empty()).then(|| field::display(fields))
}
