//! The stages as workers: each in a process of its own, which is confined before it has read one byte of the file.
//!
//! Nothing here knows whether messages pass the broker or take a socket of their own.

mod lending;

use cloison_worker::{Role, ServeError, Worker};

use crate::protocol::{DecoderServer, DemuxerServer};
use crate::service::{DecoderStage, DemuxerStage};

/// The demuxer's role.
pub const DEMUX: &str = "demux";
/// The audio decoder's role.
pub const AUDIO: &str = "audio";
/// The video decoder's role.
pub const VIDEO: &str = "video";

/// What this executable can be besides the host.
pub const ROLES: [Role<'static, ServeError>; 3] = [(DEMUX, demux), (AUDIO, decode), (VIDEO, decode)];

fn demux(worker: &Worker) -> Result<(), ServeError> {
    worker.serve(DemuxerServer::new(DemuxerStage::new(worker.clone())))
}

/// What is decoded, the track says.
fn decode(worker: &Worker) -> Result<(), ServeError> {
    worker.serve(DecoderServer::new(DecoderStage::new(worker.clone())))
}
