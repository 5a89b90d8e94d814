//! The host: embeds a broker, has the file played by confined workers, and goes on when one of them dies.

mod awaited;
mod conductor;
mod crew;
mod delivery;
mod fault;
mod policy;
mod recovery;
mod start;
mod steps;

use std::sync::atomic::AtomicBool;

use cloison_broker::msg::trace::TraceLevel;
use cloison_broker::sandbox::Tier;
use cloison_broker::{Broker, Model};

pub use fault::Fault;

use crate::input::Input;
use crate::play::{PlayError, Played};
use crate::progress::Progress;
use crate::protocol::{Family, Nanos};
use crate::sink::Wanted;
use crate::trace::Trace;
use crate::usage::this_process;

use conductor::Conductor;

/// How a file is to be played.
pub struct Order<'a> {
    /// The file.
    pub input: Input,
    /// Whose demuxers and decoders do the work.
    pub family: Family,
    /// The files to write.
    pub wanted: &'a Wanted,
    /// Where to start.
    pub seek: Option<Nanos>,
    /// How often.
    pub repeat: u32,
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
    let mut conductor = Conductor::new(&broker, inbox, order);
    let failure = conductor.conduct(progress, stop).err();
    let playback = conductor.into_playback();
    let mut workers = vec![this_process("host")];
    workers.extend(crew::dismiss(&broker));
    drop(broker);
    match (playback, failure) {
        (Some(mut playback), failure) => {
            if failure.is_some() {
                playback.given_up();
            }
            let container = playback.container();
            Ok(Played { container, summary: playback.finish()?, workers, failure })
        }
        (None, Some(error)) => Err(error),
        (None, None) => Ok(Played { container: String::new(), summary: Default::default(), workers, failure: None }),
    }
}
