//! `--trace`: what all processes did, as a file for Perfetto and chrome://tracing.
//!
//! Records are gathered while the player plays, up to a limit, and put in order and written when all workers have ended.

mod chrome;
mod flows;
mod lanes;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cloison_broker::TraceRecord;

use crate::sink::{OutputError, OutputFile};
use chrome::Chrome;
use lanes::Lanes;

/// Most records that are kept; some 60 MiB of them.
const RECORDS_MAX: usize = 300_000;

/// A trace that is being gathered, and the file it will be.
pub struct Trace {
    file: OutputFile,
    gathered: Arc<Mutex<Gathered>>,
}

#[derive(Default)]
struct Gathered {
    records: Vec<TraceRecord>,
    /// How many more there were than are kept.
    beyond: u64,
}

/// What the trace says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    /// Records that are missing: beyond the limit, or dropped where they were made.
    pub lost: u64,
}

impl Trace {
    /// Begins a trace that will appear at `path`.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        Ok(Self { file: OutputFile::create(path)?, gathered: Arc::default() })
    }

    /// Where records go.
    pub fn sink(&self) -> impl FnMut(TraceRecord) + Send + 'static {
        let gathered = Arc::clone(&self.gathered);
        move |record| {
            let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
            if gathered.records.len() < RECORDS_MAX {
                gathered.records.push(record);
            } else {
                gathered.beyond += 1;
            }
        }
    }

    /// Writes the file. To be called when no more records come.
    ///
    /// # Errors
    /// If it cannot be written; nothing is left of it then.
    pub fn write(self) -> Result<Traced, OutputError> {
        let Self { mut file, gathered } = self;
        let gathered = std::mem::take(&mut *gathered.lock().unwrap_or_else(PoisonError::into_inner));
        let (events, lost) = events(gathered.records);
        let mut chunk = Vec::new();
        for (at, event) in events.iter().enumerate() {
            chunk.extend_from_slice(if at == 0 { b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" } else { b",\n" });
            chunk.extend_from_slice(event.to_string().as_bytes());
            file.write(&chunk)?;
            chunk.clear();
        }
        file.write(if events.is_empty() { b"{\"traceEvents\":[" } else { b"\n" })?;
        file.write(b"]}\n")?;
        file.commit()?;
        Ok(Traced { lost: lost.saturating_add(gathered.beyond) })
    }
}

/// The events of the file, in order of time, and how many records are missing.
fn events(mut records: Vec<TraceRecord>) -> (Vec<serde_json::Value>, u64) {
    // Of each process they come in order; so do those of one moment.
    records.sort_by_key(|record| record.record.at);
    let mut lanes = Lanes::new(Chrome::new(records.first().map_or(0, |record| record.record.at.0)));
    for record in &records {
        lanes.take(record);
    }
    lanes.finish()
}
