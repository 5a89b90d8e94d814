//! What the host, the demuxer and the decoders say to each other: contracts, and plain data.
//!
//! The same contracts are served in workers and, with `--in-process`, in the host's own process. Whoever receives a value takes
//! nothing in it for granted: the `MAX_` constants are what a receiver checks against.

mod contracts;
mod media;
mod parameters;
mod picture;
mod samples;
mod time;

pub use contracts::{
    DECODER, DEMUXER, DecodeError, Decoded, Decoder, DecoderClient, DecoderServer, Demuxer, DemuxerClient,
    DemuxerServer, MediaError, SeekTo, SentData, SentPacket, TRACK_READER, TrackReader, TrackReaderClient,
};
pub use media::{AudioParameters, ChannelSet, Kind, MAX_PACKET_BYTES, MAX_TRACKS, Media, Packet, Track};
#[cfg(feature = "ffmpeg")]
pub use parameters::FfmpegParameters;
pub use parameters::{Family, MAX_THREADS, Parameters};
pub use picture::{Chroma, Layout, MAX_PICTURE_PIXELS, Picture};
pub use samples::{MAX_CHANNELS, MAX_RATE, MAX_SAMPLES_BYTES, Samples};
pub use time::{Nanos, TimeBase};
