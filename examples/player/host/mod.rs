//! The host: embeds a broker, has the file played by confined workers, and goes on when one of them dies.

mod conductor;
mod fault;
mod policy;
mod recovery;
mod stages;
mod workers;

use std::sync::atomic::AtomicBool;

use cloison_broker::msg::trace::TraceLevel;
use cloison_broker::sandbox::Tier;
use cloison_broker::{Broker, Model};

pub use fault::Fault;

use crate::pipeline::{self, Play};
use crate::play::{Job, PlayError, Played};
use crate::progress::Progress;
use crate::trace::Trace;
use crate::usage::this_process;

use conductor::Conductor;
use stages::Stages;

/// How a file is to be played by workers.
pub struct Order<'a> {
    /// What is to be played.
    pub job: &'a Job<'a>,
    /// How the workers are linked.
    pub model: Model,
    /// The least confinement that is accepted.
    pub sandbox: Tier,
    /// Whether the workers' system calls are let through, to find out what they need.
    pub learn: bool,
    /// What is to go wrong.
    pub faults: &'a [Fault],
    /// Where it goes what all processes do.
    pub trace: Option<&'a Trace>,
}

/// Plays a file until the end or until `stop` is set.
///
/// # Errors
/// If nothing can be played, or an output file cannot be written.
pub fn play(order: &Order<'_>, progress: &mut Progress, stop: &AtomicBool) -> Result<Played, PlayError> {
    let (broker, inbox) = Broker::start(policy::policy(order.faults), order.model).map_err(PlayError::Broker)?;
    if let Some(trace) = order.trace {
        broker
            .trace_to(trace.sink())
            .and_then(|()| broker.set_trace_level(TraceLevel::Trace))
            .map_err(PlayError::Trace)?;
    }
    let mut play = Play::new(order.job);
    let runtime = pipeline::runtime().map_err(PlayError::Runtime)?;
    let stages = Stages::new(&broker, order, progress);
    let failure = runtime.block_on(async { Conductor::new(&stages, inbox, stop).conduct(&mut play).await.err() });
    stages.tell_of_faults(&mut play);
    drop(stages);
    play.played(failure, || {
        let mut workers = vec![this_process("host")];
        workers.extend(workers::dismiss(&broker, order.trace.is_some()));
        drop(broker);
        workers
    })
}
