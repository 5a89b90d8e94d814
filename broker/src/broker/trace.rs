//! What workers do, seen by the host.

use std::io;
use std::sync::{MutexGuard, PoisonError};

use cloison_msg::trace::TraceLevel;
use cloison_msg::{Name, NameError};

use super::Broker;
use crate::driver::Command;
use crate::trace::{Scribe, TraceOrder, TraceRecord};

impl Broker {
    /// From now on all workers, those too that are started later, record up to this level what they do: the `tracing` spans
    /// and events of their own code, and what the runtime does for them.
    ///
    /// It is shown to the `tracing` subscriber of the thread that says this, or else to the global one, under the target
    /// `cloison::worker`, with the worker's role and number, beneath the span in which the host made the call that caused it
    /// (and a span `call` of the target `cloison::host`). A worker's own target, name, message and fields stand in fields:
    /// they are what that process says about itself. A level too low for the subscriber's taste costs nothing there, but
    /// does in the worker.
    ///
    /// Records come some 50 ms after the fact, in the order in which it all happened; a span of the host's stays open some
    /// 100 ms longer while it may still turn out to be the cause of something. A worker that says more than
    /// [`TRACE_BYTES_PER_SECOND`](crate::TRACE_BYTES_PER_SECOND) allows is told of by an event that counts what was dropped.
    /// One that is killed takes along what it recorded in its last milliseconds.
    ///
    /// # Errors
    /// If there is no thread to be had for it.
    pub fn set_trace_level(&self, level: TraceLevel) -> io::Result<()> {
        self.order_trace(None, level)
    }

    /// The same for the workers that play one role, whatever all others record; until the level is set for all again.
    ///
    /// # Errors
    /// If the role is no [`Name`], or there is no thread to be had.
    pub fn set_trace_level_of(&self, role: &str, level: TraceLevel) -> io::Result<()> {
        let role = Name::new(role).map_err(|error: NameError| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.order_trace(Some(role), level)
    }

    /// From now on every record goes to `sink`, too: those of workers, as far as they are to record anything, and each message
    /// that the host sends or takes. It is called on a thread of the broker's, which waits for nobody else; if it is slow,
    /// records are dropped and counted. It replaces the one before. The last record has come when the broker was dropped.
    ///
    /// # Errors
    /// If there is no thread to be had for it.
    pub fn trace_to(&self, sink: impl FnMut(TraceRecord) + Send + 'static) -> io::Result<()> {
        self.with_scribe(|scribe| scribe.set_sink(Box::new(sink)))
    }

    fn order_trace(&self, role: Option<Name>, level: TraceLevel) -> io::Result<()> {
        match level {
            TraceLevel::Off if role.is_none() => self.scribe().iter().for_each(Scribe::rest),
            TraceLevel::Off => {}
            _ => self.with_scribe(Scribe::follow)?,
        }
        self.commands.give(Command::Trace(TraceOrder { role, level }));
        Ok(())
    }

    /// Does something with the thread that reads records, which is there from then on.
    fn with_scribe(&self, act: impl FnOnce(&mut Scribe)) -> io::Result<()> {
        let tracing = self.commands.tracing();
        let mut scribe = self.scribe();
        let scribe = match &mut *scribe {
            Some(scribe) => scribe,
            none => none.insert(Scribe::start(tracing.clone())?),
        };
        act(scribe);
        tracing.switch(true);
        Ok(())
    }

    fn scribe(&self) -> MutexGuard<'_, Option<Scribe>> {
        self.scribe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
