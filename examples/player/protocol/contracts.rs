//! What the stages serve, and what else travels between them.
//!
//! Everything is pulled. The host makes a reader of each track in the demuxer, hands a link to it to a decoder, and takes what
//! is decoded, item by item; the decoder takes packets of its track in the same way. So a host that is slow holds up its
//! decoders, and these the demuxer, without a word; and each stage has one caller.

use std::os::fd::OwnedFd;

use cloison_broker::ipc::BufferRef;
use cloison_worker::{Answer, Stream, interface};
use serde::{Deserialize, Serialize};

use super::{Family, Media, Nanos, Packet, Parameters, Picture, Samples};

/// Takes a file apart.
#[interface(version = 1)]
pub trait Demuxer<L> {
    /// Opens a file of that many bytes.
    #[deadline("10s")]
    #[descriptors(READ_ONLY_FILE)]
    fn open(&self, file: OwnedFd, length: u64, family: Family) -> Answer<Media, MediaError>;
    /// A reader of one track, at its start, with a position of its own.
    #[deadline("10s")]
    fn track(&self, track: u32) -> Answer<TrackReaderClient<L>, MediaError>;
    /// Makes the demuxer stop answering; granted only if that is to be tried.
    #[oneway]
    fn hang(&self, busy: bool) -> Answer<()>;
}

/// Reads one track of a file. Its decoder and the host have a link to it each.
#[interface(version = 1)]
pub trait TrackReader {
    /// What the track's decoder must know.
    #[deadline("3s")]
    fn parameters(&self) -> Answer<Parameters>;
    /// Goes elsewhere. Returns the time from which on pictures follow; sound follows from a little earlier.
    #[deadline("5s")]
    fn seek(&self, to: SeekTo) -> Answer<Nanos, MediaError>;
    /// The packets from here on. Software decodes the largest pictures in less than half a second, and no packet takes longer
    /// to read: the deadline is for a demuxer that is silent, which its decoder then says before it seems silent itself.
    #[deadline("3s")]
    #[buffers]
    fn packets(&self) -> Stream<SentPacket, MediaError>;
    /// How many packets were handed on since it was made, or went elsewhere: the host compares that with what a decoder says.
    #[deadline("5s")]
    fn handed_on(&self) -> Answer<u64>;
}

/// Decodes one track.
#[interface(version = 1)]
pub trait Decoder<L> {
    /// From now on this track is decoded. Of what was open before, the memory serves again.
    #[deadline("10s")]
    fn open(&self, track: &TrackReaderClient<L>) -> Answer<(), DecodeError>;
    /// What comes of the track's packets from where it is.
    #[deadline("5s")]
    #[buffers]
    fn decoded(&self) -> Stream<Decoded, DecodeError>;
    /// Makes the decoder stop answering; granted only if that is to be tried.
    #[oneway]
    fn hang(&self, busy: bool) -> Answer<()>;
}

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeekTo {
    /// The key picture at or before this time.
    KeyBefore(Nanos),
    /// The first key picture after this time.
    KeyAfter(Nanos),
}

/// A [`Packet`] on its way, without its track: whoever asked knows that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentPacket {
    /// When what it decodes to is shown or heard, in ticks.
    pub pts: i64,
    /// Whether `pts` only says when the packet is decoded, for the container does not say when that is shown.
    pub is_decode_time: bool,
    /// For how long, in ticks.
    pub duration: u64,
    /// Whether decoding can start here.
    pub key: bool,
    /// Samples a channel to leave out at the start.
    pub trim_start: u32,
    /// Samples a channel to leave out at the end.
    pub trim_end: u32,
    /// What is to be decoded.
    pub data: SentData,
}

/// The data of a packet that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SentData {
    /// Here they are.
    Here(#[serde(with = "serde_bytes")] Vec<u8>),
    /// They lie in a buffer.
    Lent(BufferRef),
}

impl SentPacket {
    /// The packet, with data that travel as this says.
    pub fn new(packet: Packet, send: impl FnOnce(Vec<u8>) -> SentData) -> Self {
        let Packet { pts, is_decode_time, duration, key, trim_start, trim_end, data, .. } = packet;
        Self { pts, is_decode_time, duration, key, trim_start, trim_end, data: send(data) }
    }

    /// The packet, with data that are taken as this says.
    pub fn taken<E>(self, take: impl FnOnce(SentData) -> Result<Vec<u8>, E>) -> Result<Packet, E> {
        let Self { pts, is_decode_time, duration, key, trim_start, trim_end, data } = self;
        Ok(Packet { track: 0, pts, is_decode_time, duration, key, trim_start, trim_end, data: take(data)? })
    }
}

/// What a decoder gives: of each packet that it was taken, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decoded {
    /// A packet was taken.
    Taken {
        /// When it is played, in ticks.
        pts: i64,
        /// Whether decoding can start here.
        key: bool,
    },
    /// A picture, and the buffer it lies in.
    Picture(Picture, BufferRef),
    /// A piece of sound.
    Samples(Samples),
    /// The packet that was taken last cannot be decoded.
    Undecodable {
        /// When it would have been played, in ticks.
        pts: i64,
        /// Why.
        why: String,
    },
}

/// Why a file, or what it holds at some place, cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct MediaError(pub String);

impl MediaError {
    /// In the words of what went wrong.
    pub fn of(error: &impl ToString) -> Self {
        Self(error.to_string())
    }
}

/// Why a decoder has nothing more to give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum DecodeError {
    /// The track cannot be decoded.
    #[error("{0}")]
    Undecodable(String),
    /// The track breaks off.
    #[error("{0}")]
    BrokenOff(String),
    /// The demuxer does not answer in time.
    #[error("the demuxer does not answer in time")]
    DemuxerSilent,
    /// The demuxer is gone.
    #[error("the demuxer is gone")]
    DemuxerGone,
    /// What the demuxer sends makes no sense.
    #[error("what the demuxer sends makes no sense: {0}")]
    Senseless(String),
    /// What was decoded cannot be delivered.
    #[error("what was decoded cannot be delivered: {0}")]
    Undelivered(String),
}
