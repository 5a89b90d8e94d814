//! The demuxer: takes a file apart into packets.
//!
//! The container formats are symphonia's; what is added here are the names of codecs it has no decoder for, the edit
//! lists and key pictures it leaves out, and files that were cut off.

mod open;
mod seek;

use std::collections::HashMap;

use symphonia::core::errors::{Error, SeekErrorKind};
use symphonia::core::formats::FormatReader;

use super::source::{Extent, Source};
use super::{codec, obu};
use crate::protocol::{AudioParameters, Kind, MAX_PACKET_BYTES, Media, Nanos, Packet, TimeBase};

pub use open::OpenError;

/// An open file.
pub struct Demuxer {
    reader: Box<dyn FormatReader>,
    source: Source,
    extent: Extent,
    media: Media,
    tracks: HashMap<u32, Lane>,
}

/// What is known of one track while packets are read.
#[derive(Clone, Debug)]
struct Lane {
    kind: Kind,
    codec: String,
    time_base: TimeBase,
    /// Whether it carries sound and its clock ticks once a sample.
    counts_samples: bool,
    /// The tick at which playing starts, by the container's edit list; 0 unless it counts samples.
    start: u64,
    /// The tick at which the track ends, by the container.
    end: Option<u64>,
    selected: bool,
    /// What its decoder must know, if it carries sound.
    audio: Option<AudioParameters>,
    /// Packets that end before this time are left out; nothing is lost by it, for it follows a seek.
    from: Nanos,
}

/// Why there is no next packet although the file has not ended.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file was cut off.
    #[error("the file ends in the middle of a packet")]
    Truncated,
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(std::io::Error),
    /// It is damaged.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
    /// It holds something that nobody here knows.
    #[error("the file goes on in a way this player does not know: {0}")]
    Unsupported(&'static str),
    /// FFmpeg's own reason.
    #[cfg(feature = "ffmpeg")]
    #[error(transparent)]
    Ffmpeg(#[from] super::ffmpeg::FormatError),
}

/// Why a seek failed; the position is then undefined.
#[derive(Debug, thiserror::Error)]
pub enum SeekError {
    /// There is nothing at the time asked for.
    #[error("the file has nothing to play at {0:.3} s")]
    PastEnd(f64),
    /// The file could not be opened again.
    #[error("the file could not be opened again: {0}")]
    Reopen(#[from] OpenError),
    /// The file could not be read up to there.
    #[error("the file could not be read up to there: {0}")]
    Read(#[from] ReadError),
}

impl Demuxer {
    /// What the file holds.
    pub fn media(&self) -> &Media {
        &self.media
    }

    /// What the decoder of a track must know, if it carries sound.
    pub fn audio_parameters(&self, track: u32) -> Option<&AudioParameters> {
        self.tracks.get(&track)?.audio.as_ref()
    }

    /// Reads packets of `tracks` from now on, and leaves out all others.
    pub fn select(&mut self, tracks: &[u32]) {
        for (id, lane) in &mut self.tracks {
            lane.selected = tracks.contains(id);
        }
    }

    /// The next packet of a selected track; `None` at the end.
    ///
    /// # Errors
    /// When the file breaks off or cannot be understood. Nothing more can be read then.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, ReadError> {
        while let Some(packet) = self.reader.next_packet()? {
            let Some(lane) = self.tracks.get(&packet.track_id).filter(|lane| lane.selected) else { continue };
            if packet.data.len() > MAX_PACKET_BYTES {
                return Err(ReadError::Damaged("a packet is larger than any can be"));
            }
            let packet = lane.packet(packet);
            if lane.ends_after(&packet, lane.from) {
                return Ok(Some(packet));
            }
        }
        Ok(None)
    }
}

impl Lane {
    /// The packet as decoders take it: told whether it is a key, moved to where the edit list starts.
    fn packet(&self, packet: symphonia::core::packet::Packet) -> Packet {
        let mut packet = Packet {
            track: packet.track_id,
            pts: packet.pts.get(),
            is_decode_time: false,
            duration: packet.dur.get(),
            key: self.kind != Kind::Video || self.codec != codec::AV1 || obu::is_key(&packet.data),
            trim_start: narrow(packet.trim_start.get()),
            trim_end: narrow(packet.trim_end.get()),
            data: packet.data.into_vec(),
        };
        self.trim_by_edits(&mut packet);
        packet
    }

    /// Leaves out what an encoder put before the first sample of its input, and after the last.
    fn trim_by_edits(&self, packet: &mut Packet) {
        /// Every AAC packet decodes to so many samples a channel; if the last one is shorter, the rest is padding.
        const AAC_FRAMES: u64 = 1024;
        if !self.counts_samples {
            return;
        }
        let end = packet.pts.saturating_add_unsigned(packet.duration).unsigned_abs();
        if self.codec == "aac" && packet.duration < AAC_FRAMES && self.end.is_some_and(|last| end >= last) {
            packet.trim_end = narrow(AAC_FRAMES - packet.duration);
        }
        if self.start > 0 {
            packet.pts = packet.pts.saturating_sub_unsigned(self.start);
            let before = packet.pts.min(0).unsigned_abs().min(packet.duration);
            packet.trim_start = packet.trim_start.max(narrow(before));
        }
    }

    /// Whether any of the packet is played after `from`. A picture whose duration nobody knows counts by its start.
    fn ends_after(&self, packet: &Packet, from: Nanos) -> bool {
        let length = if self.kind == Kind::Video { 0 } else { packet.duration };
        let end = self.time_base.nanos(packet.pts.saturating_add_unsigned(length));
        end > from || (length == 0 && end == from)
    }
}

fn narrow(frames: u64) -> u32 {
    u32::try_from(frames).unwrap_or(u32::MAX)
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        match error {
            Error::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Self::Truncated,
            Error::IoError(error) => Self::Io(error),
            Error::DecodeError(what) | Error::LimitError(what) => Self::Damaged(what),
            Error::Unsupported(what) => Self::Unsupported(what),
            Error::SeekError(SeekErrorKind::Unseekable) => Self::Unsupported("it would need to be read backwards"),
            Error::ResetRequired => Self::Unsupported("another recording follows the first"),
            _ => Self::Damaged("for a reason its parser does not tell"),
        }
    }
}

#[cfg(test)]
mod tests;
