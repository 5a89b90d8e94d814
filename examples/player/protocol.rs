//! What the host, the demuxer and the decoders say to each other, as plain data.
//!
//! The same types serve the plain calls of `--in-process`. Whoever receives one takes nothing in it for granted: the
//! constants here are what a receiver checks against.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// The most tracks that a file may have.
pub const MAX_TRACKS: usize = 64;

/// The largest packet that a demuxer hands on, in bytes. AV1's highest level allows fewer a picture.
pub const MAX_PACKET_BYTES: usize = 16 << 20;

/// The most pixels that a picture may have: 8192 × 4352, the largest of AV1's levels 6.x.
pub const MAX_PICTURE_PIXELS: u32 = 8192 * 4352;

/// The highest sampling rate, in Hz.
pub const MAX_RATE: u32 = 768_000;

/// The most channels of sound.
pub const MAX_CHANNELS: u16 = 32;

/// The most bytes of samples in one [`Samples`].
pub const MAX_SAMPLES_BYTES: usize = 32 << 10;

/// Nanoseconds on a file's time line.
pub type Nanos = i64;

/// How long one tick of a track's clock is: `numerator / denominator` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBase {
    /// Seconds, above the line.
    pub numerator: NonZeroU32,
    /// Seconds, below the line.
    pub denominator: NonZeroU32,
}

impl TimeBase {
    /// The time of tick `ticks`, rounded down, saturating.
    pub fn nanos(self, ticks: i64) -> Nanos {
        let nanos = i128::from(ticks) * i128::from(self.numerator.get()) * 1_000_000_000;
        saturate(nanos.div_euclid(i128::from(self.denominator.get())))
    }

    /// The number of the sample that is played at tick `ticks` when `rate` samples are played a second: the nearest
    /// one, saturating.
    pub fn samples(self, ticks: i64, rate: u32) -> i64 {
        let denominator = i128::from(self.denominator.get());
        let doubled = 2 * i128::from(ticks) * i128::from(self.numerator.get()) * i128::from(rate);
        saturate((doubled + denominator).div_euclid(2 * denominator))
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

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
    /// What the audio decoder must know, if the track carries sound.
    pub audio: Option<AudioParameters>,
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

/// One packet, from the demuxer to a decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// The track it belongs to.
    pub track: u32,
    /// When what it decodes to is shown or heard, in ticks.
    pub pts: i64,
    /// For how long, in ticks; 0 if the container does not say.
    pub duration: u64,
    /// Whether decoding can start here.
    pub key: bool,
    /// Samples a channel to leave out at the start of what it decodes to.
    pub trim_start: u32,
    /// Samples a channel to leave out at the end.
    pub trim_end: u32,
    /// At most [`MAX_PACKET_BYTES`].
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// How one step of the demuxer ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// A packet was read and given to its decoder.
    Packet(Stepped),
    /// There are no more packets. If the file ends or breaks off before it should, this says how.
    End(Option<String>),
}

/// The packet that a step handed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stepped {
    /// The track it belongs to.
    pub track: u32,
    /// When it is played, in ticks.
    pub pts: i64,
    /// For how long, in ticks.
    pub duration: u64,
    /// Whether decoding can start here.
    pub key: bool,
    /// Why the decoder could not decode it, if it could not.
    pub failure: Option<String>,
}

/// How the samples of the two colour planes relate to those of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chroma {
    /// No colour planes (4:0:0).
    Mono,
    /// Half as many each way (4:2:0).
    Half,
    /// Half as many in a row (4:2:2).
    HalfWidth,
    /// As many (4:4:4).
    Full,
}

/// How a picture lies in memory: its planes one after the other, without padding; samples of more than 8 bits take two
/// bytes, the lower one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Significant bits of a sample: 8, 10 or 12.
    pub bits: u8,
    /// The colour planes.
    pub chroma: Chroma,
}

/// One plane of a [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneLayout {
    /// Bytes of a row.
    pub row_bytes: usize,
    /// Rows.
    pub rows: usize,
}

impl Layout {
    /// Whether the layout is one that a picture can have: some pixels, no more than [`MAX_PICTURE_PIXELS`], and a known
    /// number of bits.
    pub fn is_possible(&self) -> bool {
        let pixels = u64::from(self.width) * u64::from(self.height);
        (1..=u64::from(MAX_PICTURE_PIXELS)).contains(&pixels) && matches!(self.bits, 8 | 10 | 12)
    }

    /// The planes, in their order in memory.
    pub fn planes(&self) -> impl Iterator<Item = PlaneLayout> + use<> {
        let sample_bytes = if self.bits > 8 { 2 } else { 1 };
        let plane = move |width: u32, height: u32| PlaneLayout {
            row_bytes: width as usize * sample_bytes,
            rows: height as usize,
        };
        let half = |length: u32| length.div_ceil(2);
        let colour = match self.chroma {
            Chroma::Mono => None,
            Chroma::Half => Some(plane(half(self.width), half(self.height))),
            Chroma::HalfWidth => Some(plane(half(self.width), self.height)),
            Chroma::Full => Some(plane(self.width, self.height)),
        };
        [Some(plane(self.width, self.height)), colour, colour].into_iter().flatten()
    }

    /// How many bytes the picture takes.
    pub fn bytes(&self) -> usize {
        self.planes().map(|plane| plane.row_bytes * plane.rows).sum()
    }
}

/// What a decoder says about a picture; its samples lie elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// How its samples lie in memory.
    pub layout: Layout,
    /// When it is shown, in ticks of its track.
    pub pts: i64,
    /// For how long, in ticks; 0 if nobody knows.
    pub duration: u64,
}

/// A piece of sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// When the first sample of its packet is played, in ticks of its track.
    pub pts: i64,
    /// How many samples a channel of the same packet came before this piece.
    pub offset: u32,
    /// Samples a second.
    pub rate: u32,
    /// How many channels.
    pub channels: u16,
    /// 16-bit little-endian samples, one of each channel in turn; at most [`MAX_SAMPLES_BYTES`].
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

impl Samples {
    /// Bytes of one sample.
    pub const SAMPLE_BYTES: usize = 2;

    /// Whether the piece is one that can be played: a known rate, some channels, whole samples of each.
    pub fn is_playable(&self) -> bool {
        (1..=MAX_RATE).contains(&self.rate)
            && (1..=MAX_CHANNELS).contains(&self.channels)
            && self.data.len() <= MAX_SAMPLES_BYTES
            && self.data.len().is_multiple_of(self.frame_bytes())
    }

    /// How many samples a channel it holds.
    pub fn frames(&self) -> usize {
        self.data.len() / self.frame_bytes()
    }

    /// Bytes of one sample of each channel.
    pub fn frame_bytes(&self) -> usize {
        usize::from(self.channels) * Self::SAMPLE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(numerator: u32, denominator: u32) -> TimeBase {
        TimeBase {
            numerator: NonZeroU32::new(numerator).expect("not zero"),
            denominator: NonZeroU32::new(denominator).expect("not zero"),
        }
    }

    #[test]
    fn times_round_and_saturate() {
        assert_eq!(base(1, 3).nanos(1), 333_333_333);
        assert_eq!(base(1, 3).nanos(-1), -333_333_334);
        assert_eq!(base(u32::MAX, 1).nanos(i64::MAX), i64::MAX);
        assert_eq!(base(u32::MAX, 1).nanos(i64::MIN), i64::MIN);
        assert_eq!(base(1, 1000).samples(3, 44_100), 132);
        assert_eq!(base(1, 48_000).samples(-128, 48_000), -128);
    }

    #[test]
    fn odd_pictures_keep_their_last_colour_sample() {
        let layout = |chroma, bits| Layout { width: 63, height: 37, bits, chroma };
        assert_eq!(layout(Chroma::Mono, 8).bytes(), 63 * 37);
        assert_eq!(layout(Chroma::Half, 8).bytes(), 63 * 37 + 2 * 32 * 19);
        assert_eq!(layout(Chroma::HalfWidth, 8).bytes(), 63 * 37 + 2 * 32 * 37);
        assert_eq!(layout(Chroma::Full, 10).bytes(), 2 * 3 * 63 * 37);
    }

    #[test]
    fn impossible_pictures_and_samples_are_refused() {
        let layout = Layout { width: 1, height: 1, bits: 8, chroma: Chroma::Half };
        assert!(layout.is_possible());
        assert!(!Layout { width: 0, ..layout }.is_possible());
        assert!(!Layout { bits: 9, ..layout }.is_possible());
        assert!(!Layout { width: u32::MAX, height: u32::MAX, ..layout }.is_possible());
        let samples = Samples { pts: 0, offset: 0, rate: 48_000, channels: 2, data: vec![0; 8] };
        assert!(samples.is_playable());
        assert!(!Samples { channels: 0, ..samples.clone() }.is_playable());
        assert!(!Samples { rate: 0, ..samples.clone() }.is_playable());
        assert!(!Samples { data: vec![0; 7], ..samples }.is_playable());
    }
}
