//! The stages in the host's own process: nothing protects it from what they parse.
//!
//! They are the ones that workers serve, and they are played by the same code; only calls are function calls, and what is
//! lent lies on a shelf instead of in a pool.

mod home;

use std::cell::RefCell;
use std::sync::atomic::AtomicBool;

use cloison_broker::ipc::{BufferRef, Passed};
use cloison_worker::msg::contract::HereLink;

use crate::pipeline::{self, Cast, Play, Trouble, role_of};
use crate::play::{Job, PlayError, Played};
use crate::playback::Playback;
use crate::progress::Progress;
use crate::protocol::{DecoderClient, DemuxerClient, Kind};
use crate::service::{DecoderStage, DemuxerStage, Home};
use crate::usage::this_process;
use crate::worker::DEMUX;

pub use home::{InHost, Shelved};

/// Plays until the end or until `stop` is set.
///
/// # Errors
/// If nothing can be played, or an output file cannot be written.
pub fn play(job: &Job<'_>, progress: &mut Progress, stop: &AtomicBool) -> Result<Played, PlayError> {
    let cast = InProcess { home: InHost::default(), progress: RefCell::new(progress) };
    let mut play = Play::new(job);
    let runtime = pipeline::runtime().map_err(PlayError::Runtime)?;
    let ended = runtime.block_on(pipeline::until(stop, pipeline::run(&cast, &mut play)));
    let failure = match ended {
        Some(Ok(())) => None,
        // What is lost here does not come back.
        Some(Err(trouble)) => Some(PlayError::from(trouble)),
        None => {
            play.stopped();
            None
        }
    };
    play.played(failure, || vec![this_process("all")])
}

/// The stages, served here.
struct InProcess<'a> {
    home: InHost,
    progress: RefCell<&'a mut Progress>,
}

impl Cast for InProcess<'_> {
    type Link = HereLink<Passed>;
    type Lent = Shelved;

    async fn demuxer(&self) -> Result<DemuxerClient<Self::Link>, Trouble> {
        DemuxerClient::offer(&self.home, DemuxerStage::new(self.home.clone()))
            .map_err(|error| Trouble::of(DEMUX, &error))
    }

    async fn decoder(&self, kind: Kind) -> Result<DecoderClient<Self::Link>, Trouble> {
        let decoder = DecoderStage::new(self.home.clone());
        DecoderClient::offer(&self.home, decoder).map_err(|error| Trouble::of(role_of(kind), &error))
    }

    fn borrow(&self, link: &Self::Link, name: BufferRef) -> Result<Shelved, String> {
        self.home.borrow(link, name)
    }

    fn look(&self, playback: &Playback) {
        self.progress.borrow_mut().show(playback, || "in process".to_owned());
    }
}
