//! Opening a file: which container it is, and which tracks it has.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use symphonia::core::audio::Channels;
use symphonia::core::codecs::{CodecParameters, audio::AudioCodecParameters};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatReader, Track as Found, TrackType, well_known::FORMAT_ID_ISOMP4};
use symphonia::core::io::MediaSourceStream;

use super::{Demuxer, Lane};
use crate::protocol::{AudioParameters, ChannelSet, Kind, MAX_TRACKS, Media, Nanos, TimeBase, Track};
use crate::stage::codec::{self, Name};
use crate::stage::mp4::{self, Extra};
use crate::stage::source::{Extent, ReadAt, Source};

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It has no bytes.
    #[error("the file is empty")]
    Empty,
    /// It is none of the formats.
    #[error("this is not a media file (WAV, FLAC, Ogg, MP3, MP4 or Matroska/WebM)")]
    NotMedia,
    /// It is one of the formats, but damaged.
    #[error("the file is damaged or cut off: {0}")]
    Damaged(&'static str),
    /// It is cut off before its first packet.
    #[error("the file is cut off before anything that could be played")]
    Truncated,
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(std::io::Error),
    /// It has no tracks, or too many.
    #[error("the file has {0} tracks (1 to {MAX_TRACKS} are played)")]
    Tracks(usize),
    /// It is FFmpeg's, and the player was built without.
    #[cfg(not(feature = "ffmpeg"))]
    #[error("{}", crate::stage::WITHOUT_FFMPEG)]
    NotBuilt,
    /// FFmpeg's own reason.
    #[cfg(feature = "ffmpeg")]
    #[error(transparent)]
    Ffmpeg(#[from] crate::stage::ffmpeg::FormatError),
}

impl Demuxer {
    /// Opens what `reader` holds, which is `length` bytes long.
    ///
    /// # Errors
    /// When nothing in it could be played.
    pub fn open(reader: Arc<dyn ReadAt>, length: u64) -> Result<Self, OpenError> {
        if length == 0 {
            return Err(OpenError::Empty);
        }
        let source = Source::new(reader, length);
        let (reader, extent) = open_somehow(&source)?;
        let extras = if is_mp4(reader.as_ref()) { mp4::extras(&source) } else { Vec::new() };
        let count = reader.tracks().len();
        if !(1..=MAX_TRACKS).contains(&count) {
            return Err(OpenError::Tracks(count));
        }
        let (tracks, lanes) = reader.tracks().iter().map(|found| track(found, &extras)).unzip();
        let media =
            Media { container: reader.format_info().long_name.to_owned(), duration: duration(&*reader), tracks };
        let lanes: Vec<(u32, Lane)> = lanes;
        Ok(Self { reader, source, extent, media, tracks: HashMap::from_iter(lanes) })
    }

    /// Goes back to the first packet.
    pub(super) fn reopen(&mut self) -> Result<(), OpenError> {
        self.reader = open_with(&self.source, self.extent)?;
        Ok(())
    }
}

/// Opens the source as it is; if it seems to have been cut off, as far as it goes.
fn open_somehow(source: &Source) -> Result<(Box<dyn FormatReader>, Extent), OpenError> {
    let first = match open_with(source, Extent::Exact) {
        Ok(reader) => return Ok((reader, Extent::Exact)),
        Err(error @ (OpenError::NotMedia | OpenError::Io(_))) => return Err(error),
        Err(error) => error,
    };
    [Extent::Endless, Extent::Stream]
        .into_iter()
        .find_map(|extent| open_with(source, extent).ok().map(|reader| (reader, extent)))
        .ok_or(first)
}

fn open_with(source: &Source, extent: Extent) -> Result<Box<dyn FormatReader>, OpenError> {
    let stream = MediaSourceStream::new(Box::new(source.reopened(extent)), Default::default());
    let probe = symphonia::default::get_probe();
    Ok(probe.probe(&Hint::new(), stream, Default::default(), Default::default())?)
}

fn is_mp4(reader: &dyn FormatReader) -> bool {
    reader.format_info().format == FORMAT_ID_ISOMP4
}

fn duration(reader: &dyn FormatReader) -> Option<Nanos> {
    let info = reader.media_info();
    let ticks = i64::try_from(info.duration?.get()).ok()?;
    Some(time_base(info.time_base).nanos(ticks))
}

/// Describes one track, and sets up what is kept of it.
fn track(found: &Found, extras: &[Extra]) -> (Track, (u32, Lane)) {
    let extra = extras.iter().find(|extra| extra.id == found.id);
    let name = name(found, extra);
    let audio = match &found.codec_params {
        Some(CodecParameters::Audio(audio)) => Some(audio_parameters(audio, name.short)),
        _ => None,
    };
    let time_base = time_base(found.time_base);
    let counts_samples = audio.as_ref().and_then(|audio| audio.rate).is_some_and(|rate| {
        u64::from(rate) * u64::from(time_base.numerator.get()) == u64::from(time_base.denominator.get())
    });
    let lane = Lane {
        kind: kind(found, extra),
        codec: name.short.to_owned(),
        time_base,
        counts_samples,
        start: extra.filter(|_| counts_samples).map_or(0, |extra| extra.start),
        end: found.duration.map(|duration| duration.get()),
        selected: true,
        audio,
        from: Nanos::MIN,
    };
    let track = Track {
        id: found.id,
        kind: lane.kind,
        codec: lane.codec.clone(),
        label: name.label,
        time_base: lane.time_base,
        duration: found.duration.map(|duration| duration.get().saturating_sub(lane.start)),
    };
    (track, (found.id, lane))
}

fn name(found: &Found, extra: Option<&Extra>) -> Name {
    let by_entry = extra.and_then(|extra| codec::name_of_entry(extra.entry));
    let by_parameters = found.codec_params.as_ref().map(codec::name).filter(|name| !name.short.is_empty());
    let unknown = || Name {
        short: "",
        label: extra
            .map_or("unknown codec".to_owned(), |extra| format!("codec {:?}", extra.entry.escape_ascii().to_string())),
    };
    by_entry.or(by_parameters).unwrap_or_else(unknown)
}

fn kind(found: &Found, extra: Option<&Extra>) -> Kind {
    match (found.track_type(), extra.map(|extra| &extra.handler)) {
        (Some(TrackType::Video), _) | (None, Some(b"vide")) => Kind::Video,
        (Some(TrackType::Audio), _) | (None, Some(b"soun")) => Kind::Audio,
        (Some(TrackType::Subtitle), _) | (None, Some(b"text" | b"sbtl" | b"subt")) => Kind::Subtitle,
        _ => Kind::Other,
    }
}

fn time_base(found: Option<symphonia::core::units::TimeBase>) -> TimeBase {
    let (numerator, denominator) = found.map_or((NonZeroU32::MIN, NonZeroU32::MIN), |base| (base.numer, base.denom));
    TimeBase { numerator, denominator }
}

fn audio_parameters(found: &AudioCodecParameters, codec: &str) -> AudioParameters {
    AudioParameters {
        codec: codec.to_owned(),
        rate: found.sample_rate,
        channels: found.channels.as_ref().and_then(channel_set),
        bits: found.bits_per_sample,
        coded_bits: found.bits_per_coded_sample,
        packet_frames: found.max_frames_per_packet,
        block_frames: found.frames_per_block,
        header: found.extra_data.as_deref().map(<[u8]>::to_vec),
    }
}

fn channel_set(channels: &Channels) -> Option<ChannelSet> {
    match channels {
        Channels::Positioned(positions) => Some(ChannelSet::Positions(positions.bits())),
        Channels::None => None,
        other => u16::try_from(other.count()).ok().map(ChannelSet::Discrete),
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        match error {
            Error::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Self::Truncated,
            Error::IoError(error) => Self::Io(error),
            Error::Unsupported(what) if what.contains("(probe)") => Self::NotMedia,
            Error::DecodeError(what) | Error::LimitError(what) | Error::Unsupported(what) => Self::Damaged(what),
            _ => Self::Damaged("its parser does not tell why"),
        }
    }
}
