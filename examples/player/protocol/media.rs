//! Files, tracks and packets.

use serde::{Deserialize, Serialize};

use super::{Nanos, TimeBase};

/// The most tracks that a file may have.
pub const MAX_TRACKS: usize = 64;

/// The largest packet that a demuxer hands on, in bytes. AV1's highest level allows fewer a picture.
pub const MAX_PACKET_BYTES: usize = 16 << 20;

/// What a demuxer found in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Media {
    /// The container's name, for people.
    pub container: String,
    /// How long the file says it is.
    pub duration: Option<Nanos>,
    /// At most [`MAX_TRACKS`].
    pub tracks: Vec<Track>,
}

/// One track of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Track {
    /// By which number packets name it.
    pub id: u32,
    /// What it carries.
    pub kind: Kind,
    /// The codec's short name, as decoders know it: `av1`, `pcm_s16le`; empty if nobody here knows the codec.
    pub codec: String,
    /// The codec's name for people.
    pub label: String,
    /// The clock of its packets.
    pub time_base: TimeBase,
    /// How long it is, in ticks.
    pub duration: Option<u64>,
}

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Text or pictures of text.
    Subtitle,
    /// Something else, or nobody here knows what.
    Other,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Subtitle => "subtitles",
            Self::Other => "other",
        })
    }
}

/// What an audio decoder must know before the first packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioParameters {
    /// The codec's short name.
    pub codec: String,
    /// Samples a second.
    pub rate: Option<u32>,
    /// Which channels there are.
    pub channels: Option<ChannelSet>,
    /// Significant bits of a decoded sample.
    pub bits: Option<u32>,
    /// Bits of a coded sample.
    pub coded_bits: Option<u32>,
    /// The most samples a channel that one packet decodes to.
    pub packet_frames: Option<u64>,
    /// Samples a channel in one block.
    pub block_frames: Option<u64>,
    /// The codec's own header, as the container keeps it.
    #[serde(with = "serde_bytes")]
    pub header: Option<Vec<u8>>,
}

/// The channels of a sound track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelSet {
    /// Loudspeaker positions, one bit each, in the order of WAVE.
    Positions(u64),
    /// So many channels without positions.
    Discrete(u16),
}

/// One packet, as a decoder takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The track it belongs to.
    pub track: u32,
    /// When what it decodes to is shown or heard, in ticks.
    pub pts: i64,
    /// Whether `pts` only says when the packet is decoded, for the container does not say when that is shown.
    pub is_decode_time: bool,
    /// For how long, in ticks; 0 if the container does not say.
    pub duration: u64,
    /// Whether decoding can start here.
    pub key: bool,
    /// Samples a channel to leave out at the start of what it decodes to.
    pub trim_start: u32,
    /// Samples a channel to leave out at the end.
    pub trim_end: u32,
    /// At most [`MAX_PACKET_BYTES`].
    pub data: Vec<u8>,
}
