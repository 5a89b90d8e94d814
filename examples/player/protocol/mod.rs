//! What the host, the demuxer and the decoders say to each other, as plain data.
//!
//! The same types serve the plain calls of `--in-process`. Whoever receives one takes nothing in it for granted: the
//! `MAX_` constants are what a receiver checks against.

mod media;
mod parameters;
mod picture;
mod samples;
mod time;
mod wire;

pub use media::{AudioParameters, ChannelSet, Kind, MAX_PACKET_BYTES, MAX_TRACKS, Media, Packet, Stepped, Track};
#[cfg(feature = "ffmpeg")]
pub use parameters::FfmpegParameters;
pub use parameters::{Family, MAX_THREADS, Parameters};
pub use picture::{Chroma, Layout, MAX_PICTURE_PIXELS, Picture};
pub use samples::{MAX_CHANNELS, MAX_RATE, MAX_SAMPLES_BYTES, Samples};
pub use time::{Nanos, TimeBase};
pub use wire::{
    DECODER, DEMUX, Mishap, PacketHead, Refused, SINK, SeekTo, Selection, Setup, Step, StepReply, Trouble, decoder,
    demux, sink,
};
