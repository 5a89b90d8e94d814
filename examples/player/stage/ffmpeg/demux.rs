//! The demuxer: whatever container FFmpeg knows.

use std::num::NonZeroU32;
use std::sync::Arc;

use ffmpeg::codec::packet::side_data;
use ffmpeg::format::context::{Input, StreamIo};
use ffmpeg::format::stream::Disposition;
use ffmpeg_next as ffmpeg;

use super::{FormatError, quiet, raw};
use crate::protocol::{FfmpegParameters, Kind, MAX_PACKET_BYTES, MAX_TRACKS, Media, Nanos, Packet, TimeBase, Track};
use crate::stage::demux::{OpenError, ReadError};
use crate::stage::source::{Extent, ReadAt, Source};

/// An open file.
pub struct Demuxer {
    pub(super) input: Input,
    source: Source,
    media: Media,
    /// In the order of the tracks, which FFmpeg numbers from 0 on.
    pub(super) lanes: Vec<Lane>,
}

/// What is known of one track while packets are read.
pub(super) struct Lane {
    pub(super) kind: Kind,
    pub(super) time_base: TimeBase,
    pub(super) selected: bool,
    /// What the file calls the time at which it starts, in ticks; here everything starts at 0.
    start: i64,
    /// Where the next packet starts, if it does not say.
    next: i64,
    /// Packets that end before this time are left out; nothing is lost by it, for it follows a seek.
    pub(super) from: Nanos,
    parameters: FfmpegParameters,
}

impl Demuxer {
    /// Opens what `reader` holds, which is `length` bytes long. Its video track is to be decoded by `threads` threads.
    ///
    /// # Errors
    /// When nothing in it could be played.
    pub fn open(reader: Arc<dyn ReadAt>, length: u64, threads: u8) -> Result<Self, OpenError> {
        quiet();
        if length == 0 {
            return Err(OpenError::Empty);
        }
        let source = Source::new(reader, length);
        let input = open(&source)?;
        let count = input.streams().count();
        if !(1..=MAX_TRACKS).contains(&count) {
            return Err(OpenError::Tracks(count));
        }
        let start = raw::start_time(&input).unwrap_or(0);
        let (tracks, lanes) = input.streams().map(|stream| track(&stream, start, threads)).unzip();
        let duration = Some(input.duration()).filter(|micros| *micros > 0).map(|micros| micros.saturating_mul(MICRO));
        let media = Media { container: input.format().description().to_owned(), duration, tracks };
        Ok(Self { input, source, media, lanes })
    }

    /// What the file holds.
    pub fn media(&self) -> &Media {
        &self.media
    }

    /// What the decoder of a track must know.
    pub fn parameters(&self, track: u32) -> Option<&FfmpegParameters> {
        Some(&self.lanes.get(track as usize)?.parameters)
    }

    /// Reads packets of `tracks` from now on, and leaves out all others.
    pub fn select(&mut self, tracks: &[u32]) {
        for (id, lane) in (0..).zip(&mut self.lanes) {
            lane.selected = tracks.contains(&id);
        }
    }

    /// The next packet of a selected track; `None` at the end.
    ///
    /// # Errors
    /// When the file breaks off or cannot be understood. Nothing more can be read then.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, ReadError> {
        loop {
            let mut packet = ffmpeg::Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => {}
                Err(ffmpeg::Error::Eof) => return Ok(None),
                Err(error) => return Err(FormatError::Damaged(error).into()),
            }
            let Some(lane) = self.lanes.get_mut(packet.stream()).filter(|lane| lane.selected) else { continue };
            // Some containers have packets that only say that something changes.
            let Some(data) = packet.data().filter(|data| !data.is_empty()) else { continue };
            if data.len() > MAX_PACKET_BYTES {
                return Err(ReadError::Damaged("a packet is larger than any can be"));
            }
            let packet = lane.packet(&packet, data);
            if lane.ends_after(&packet, lane.from) {
                return Ok(Some(packet));
            }
        }
    }

    /// Goes back to the first packet.
    pub(super) fn rewind(&mut self) -> Result<(), OpenError> {
        // Formats without an index, or with a wrong one, are opened anew.
        if self.input.seek(i64::MIN, ..).is_err() {
            self.input = open(&self.source)?;
        }
        self.forget_place();
        Ok(())
    }

    /// What packets would have said about those that follow no longer holds.
    pub(super) fn forget_place(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.next = 0);
    }
}

/// Nanoseconds of FFmpeg's own clock.
pub(super) const MICRO: Nanos = 1000;

fn open(source: &Source) -> Result<Input, FormatError> {
    let source = StreamIo::from_read_seek(source.reopened(Extent::Exact)).map_err(FormatError::Damaged)?;
    let mut options = ffmpeg::Dictionary::new();
    // Playlists and the like name further files: nothing can be opened here, and nobody is to try.
    options.set("protocol_whitelist", "none");
    options.set("max_streams", &MAX_TRACKS.to_string());
    ffmpeg::format::input_from_stream(source, None, Some(options)).map_err(|error| match error {
        ffmpeg::Error::InvalidData => FormatError::NotMedia,
        error => FormatError::Damaged(error),
    })
}

/// Describes one track, and sets up what is kept of it. The file says that it starts at `start`, in microseconds.
fn track(stream: &ffmpeg::Stream<'_>, start: i64, threads: u8) -> (Track, Lane) {
    let (kind, found) = (kind(stream), stream.parameters());
    let decoder = ffmpeg::decoder::find(found.id());
    let time_base = time_base(stream.time_base());
    let parameters = raw::describe(&found, kind, time_base, if kind == Kind::Video { threads } else { 1 });
    let ticks = i128::from(start) * i128::from(time_base.denominator.get());
    let start = ticks.div_euclid(i128::from(time_base.numerator.get()) * 1_000_000);
    let track = Track {
        id: u32::try_from(stream.index()).unwrap_or(u32::MAX),
        kind,
        codec: if decoder.is_some() { parameters.codec.clone() } else { String::new() },
        label: decoder.map_or_else(|| parameters.codec.clone(), |decoder| decoder.description().to_owned()),
        time_base,
        duration: u64::try_from(stream.duration()).ok(),
    };
    let start = i64::try_from(start).unwrap_or(0);
    (track, Lane { kind, time_base, selected: true, start, next: 0, from: Nanos::MIN, parameters })
}

fn kind(stream: &ffmpeg::Stream<'_>) -> Kind {
    match stream.parameters().medium() {
        // A cover is a picture, but not one that moves.
        ffmpeg::media::Type::Video if !stream.disposition().contains(Disposition::ATTACHED_PIC) => Kind::Video,
        ffmpeg::media::Type::Audio => Kind::Audio,
        ffmpeg::media::Type::Subtitle => Kind::Subtitle,
        _ => Kind::Other,
    }
}

fn time_base(found: ffmpeg::Rational) -> TimeBase {
    let positive = |number: i32| u32::try_from(number).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
    TimeBase { numerator: positive(found.numerator()), denominator: positive(found.denominator()) }
}

impl Lane {
    /// The packet as decoders take it, on a time line that starts at 0.
    fn packet(&mut self, found: &ffmpeg::Packet, data: &[u8]) -> Packet {
        let is_decode_time = found.pts().is_none();
        let time = found.pts().or(found.dts()).map(|time| time.saturating_sub(self.start));
        let (pts, duration) = (time.unwrap_or(self.next), u64::try_from(found.duration()).unwrap_or(0));
        self.next = pts.saturating_add_unsigned(duration);
        let (trim_start, trim_end) = trim(found);
        let key = self.kind != Kind::Video || found.is_key();
        let track = u32::try_from(found.stream()).unwrap_or(u32::MAX);
        Packet { track, pts, is_decode_time, duration, key, trim_start, trim_end, data: data.to_vec() }
    }

    /// Whether any of the packet is played after `from`; pictures count by their start.
    fn ends_after(&self, packet: &Packet, from: Nanos) -> bool {
        let length = if self.kind == Kind::Video { 0 } else { packet.duration };
        let end = self.time_base.nanos(packet.pts.saturating_add_unsigned(length));
        end > from || (length == 0 && end == from)
    }
}

/// The samples that a packet says are to be left out, at its start and at its end.
fn trim(packet: &ffmpeg::Packet) -> (u32, u32) {
    let found = packet.side_data().find(|data| data.kind() == side_data::Type::SkipSamples);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
    match found.as_ref().map(|data| data.data()) {
        Some(data) if data.len() >= raw::TRIM_BYTES => (number(&data[..4]), number(&data[4..8])),
        _ => (0, 0),
    }
}
