//! Who decodes, and what a decoder must know before the first packet.

use serde::{Deserialize, Serialize};

use super::{AudioParameters, Kind, TimeBase};

/// The most threads that one decoder is given.
pub const MAX_THREADS: u8 = 16;

/// Whose demuxers and decoders do the work: those of one family understand each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Those written in Rust.
    #[default]
    Rust,
    /// FFmpeg's, if the player was built with them.
    Ffmpeg {
        /// How many threads the video decoder may use, at most [`MAX_THREADS`].
        threads: u8,
    },
}

impl Family {
    /// How many threads the video decoder may use beside the one that serves it.
    pub fn helpers(self) -> u32 {
        match self {
            Self::Rust | Self::Ffmpeg { threads: 0 | 1 } => 0,
            Self::Ffmpeg { threads } => threads.min(MAX_THREADS).into(),
        }
    }
}

/// What a decoder must know before the first packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parameters {
    /// AV1 says all else in its packets.
    Av1,
    /// Sound, for the Rust decoders.
    Sound(AudioParameters),
    /// Anything, for FFmpeg's decoders.
    Ffmpeg(FfmpegParameters),
}

/// What FFmpeg's demuxers say to its decoders of a track: those of its parameters that decoders read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FfmpegParameters {
    /// What is decoded.
    pub kind: Kind,
    /// The codec's name, as FFmpeg writes it.
    pub codec: String,
    /// How many threads to use.
    pub threads: u8,
    /// The clock of the packets.
    pub time_base: TimeBase,
    /// The codec's four characters in the container.
    pub tag: u32,
    /// FFmpeg's number for the form of pixels or samples; negative if unknown.
    pub format: i32,
    /// Coded bits a second.
    pub bit_rate: i64,
    /// Bits of a coded and of a decoded sample.
    pub bits: [i32; 2],
    /// The codec's profile and level.
    pub profile: [i32; 2],
    /// Pixels in a row, and rows.
    pub size: [i32; 2],
    /// How many pictures are decoded before one can be shown.
    pub delay: i32,
    /// Samples a second.
    pub rate: i32,
    /// How many channels.
    pub channels: i32,
    /// Loudspeaker positions, one bit each; 0 if they are unknown.
    pub positions: u64,
    /// Bytes and samples of one coded block.
    pub block: [i32; 2],
    /// Samples that an encoder put before the first one, and those to decode before a position.
    pub padding: [i32; 2],
    /// The codec's own header, as the container keeps it.
    #[serde(with = "serde_bytes")]
    pub header: Vec<u8>,
}
