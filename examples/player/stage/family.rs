//! The one place that knows that there are two families of demuxers and decoders. Whoever asks here gets one that works
//! like the other.

use std::sync::Arc;

use super::audio::{self, AudioError};
use super::demux::{self, OpenError, ReadError, SeekError};
#[cfg(feature = "ffmpeg")]
use super::ffmpeg;
use super::source::ReadAt;
use super::video::{self, VideoError};
#[cfg(feature = "ffmpeg")]
use crate::protocol::Kind;
use crate::protocol::{Family, Media, Nanos, Packet, Parameters, Picture, Samples};

/// Takes a file apart into packets.
pub enum Demuxer {
    /// In Rust.
    Rust(demux::Demuxer),
    /// FFmpeg's.
    #[cfg(feature = "ffmpeg")]
    Ffmpeg(ffmpeg::Demuxer),
}

/// Decodes the packets of one track.
pub enum Decoder {
    /// AV1, in Rust.
    Av1(video::VideoDecoder),
    /// Sound, in Rust.
    Sound(audio::AudioDecoder),
    /// Pictures, by FFmpeg.
    #[cfg(feature = "ffmpeg")]
    FfmpegPictures(ffmpeg::VideoDecoder),
    /// Sound, by FFmpeg.
    #[cfg(feature = "ffmpeg")]
    FfmpegSound(ffmpeg::AudioDecoder),
}

/// What comes of packets.
pub enum Made {
    /// A picture.
    Picture(DecodedPicture),
    /// A piece of sound, of at most [`MAX_SAMPLES_BYTES`](crate::protocol::MAX_SAMPLES_BYTES).
    Samples(Samples),
}

/// Why something cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The AV1 decoder's reason.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// The sound decoders' reason.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// It is FFmpeg's, and the player was built without.
    #[cfg(not(feature = "ffmpeg"))]
    #[error("{}", super::WITHOUT_FFMPEG)]
    NotBuilt,
    /// FFmpeg's own reason.
    #[cfg(feature = "ffmpeg")]
    #[error(transparent)]
    Ffmpeg(#[from] ffmpeg::DecodeError),
}

/// A decoded picture, still in the decoder's own memory.
pub enum DecodedPicture {
    /// Of the Rust decoder.
    Rust(video::DecodedPicture),
    /// Of FFmpeg's.
    #[cfg(feature = "ffmpeg")]
    Ffmpeg(ffmpeg::DecodedPicture),
}

/// Calls the same method of whichever family it is.
macro_rules! whichever {
    ($this:expr, $one:ident => $call:expr) => {
        match $this {
            Self::Rust($one) => $call,
            #[cfg(feature = "ffmpeg")]
            Self::Ffmpeg($one) => $call,
        }
    };
}

impl Demuxer {
    /// Opens what `reader` holds, which is `length` bytes long.
    ///
    /// # Errors
    /// When nothing in it could be played, or the family was not built in.
    pub fn open(family: Family, reader: Arc<dyn ReadAt>, length: u64) -> Result<Self, OpenError> {
        match family {
            Family::Rust => demux::Demuxer::open(reader, length).map(Self::Rust),
            #[cfg(feature = "ffmpeg")]
            Family::Ffmpeg { threads } => Ok(Self::Ffmpeg(ffmpeg::Demuxer::open(reader, length, threads)?)),
            #[cfg(not(feature = "ffmpeg"))]
            Family::Ffmpeg { .. } => Err(OpenError::NotBuilt),
        }
    }

    /// What the file holds.
    pub fn media(&self) -> &Media {
        whichever!(self, demuxer => demuxer.media())
    }

    /// What the decoder of a track must know; `None` if there is no such track.
    pub fn parameters(&self, track: u32) -> Option<Parameters> {
        match self {
            Self::Rust(demuxer) => {
                demuxer.media().tracks.iter().find(|known| known.id == track)?;
                Some(demuxer.audio_parameters(track).cloned().map_or(Parameters::Av1, Parameters::Sound))
            }
            #[cfg(feature = "ffmpeg")]
            Self::Ffmpeg(demuxer) => demuxer.parameters(track).cloned().map(Parameters::Ffmpeg),
        }
    }

    /// Reads packets of `tracks` from now on, and leaves out all others.
    pub fn select(&mut self, tracks: &[u32]) {
        whichever!(self, demuxer => demuxer.select(tracks));
    }

    /// The next packet of a selected track; `None` at the end.
    ///
    /// # Errors
    /// When the file breaks off or cannot be understood. Nothing more can be read then.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, ReadError> {
        whichever!(self, demuxer => demuxer.next_packet())
    }

    /// Goes to the key picture at or before `to`, or to the packet that is played at `to` if no video track is selected.
    /// Returns the time from which on pictures follow; sound follows from a little earlier.
    ///
    /// # Errors
    /// When the file ends before `to`, or can no longer be read. The position is undefined then.
    pub fn seek(&mut self, to: Nanos) -> Result<Nanos, SeekError> {
        whichever!(self, demuxer => demuxer.seek(to))
    }

    /// Goes to the first key picture after `after`, or a little beyond it if no video track is selected. Returns as
    /// [`Self::seek`] does.
    ///
    /// # Errors
    /// When there is none, or the file can no longer be read. The position is undefined then.
    pub fn seek_beyond(&mut self, after: Nanos) -> Result<Nanos, SeekError> {
        whichever!(self, demuxer => demuxer.seek_beyond(after))
    }
}

impl Decoder {
    /// A decoder for a track with these parameters, with the memory of one that was used before, if that is of the kind which
    /// takes any track.
    ///
    /// # Errors
    /// If there is none, or no memory for it.
    pub fn open(former: Option<Self>, parameters: &Parameters) -> Result<Self, CodecError> {
        match (former, parameters) {
            (Some(Self::Av1(mut decoder)), Parameters::Av1) => {
                decoder.flush();
                Ok(Self::Av1(decoder))
            }
            // Its threads must have ended before there are new ones: the worker may have only so many.
            (former, parameters) => {
                drop(former);
                Self::new(parameters)
            }
        }
    }

    fn new(parameters: &Parameters) -> Result<Self, CodecError> {
        Ok(match parameters {
            Parameters::Av1 => Self::Av1(video::VideoDecoder::open()?),
            Parameters::Sound(parameters) => Self::Sound(audio::AudioDecoder::open(parameters)?),
            #[cfg(feature = "ffmpeg")]
            Parameters::Ffmpeg(parameters) if parameters.kind == Kind::Audio => {
                Self::FfmpegSound(ffmpeg::AudioDecoder::open(parameters)?)
            }
            #[cfg(feature = "ffmpeg")]
            Parameters::Ffmpeg(parameters) => Self::FfmpegPictures(ffmpeg::VideoDecoder::open(parameters)?),
            #[cfg(not(feature = "ffmpeg"))]
            Parameters::Ffmpeg(_) => return Err(CodecError::NotBuilt),
        })
    }

    /// Decodes one packet, and hands over what is due.
    ///
    /// # Errors
    /// If it cannot be decoded; what was handed over counts, and later ones may be decoded.
    pub fn decode(&mut self, packet: Packet, mut deliver: impl FnMut(Made)) -> Result<(), CodecError> {
        match self {
            Self::Av1(decoder) => {
                decoder.decode(packet, |picture| deliver(Made::Picture(DecodedPicture::Rust(picture))))?
            }
            Self::Sound(decoder) => decoder.decode(packet)?.map(Made::Samples).for_each(deliver),
            #[cfg(feature = "ffmpeg")]
            Self::FfmpegPictures(decoder) => {
                decoder.decode(&packet, |picture| deliver(Made::Picture(DecodedPicture::Ffmpeg(picture))))?
            }
            #[cfg(feature = "ffmpeg")]
            Self::FfmpegSound(decoder) => decoder.decode(&packet)?.into_iter().map(Made::Samples).for_each(deliver),
        }
        Ok(())
    }

    /// Hands over what the last packets left in the decoder; there are no more of them.
    ///
    /// # Errors
    /// If it cannot be decoded.
    #[cfg_attr(not(feature = "ffmpeg"), expect(unused_mut, unused_variables, reason = "the Rust decoders keep none"))]
    pub fn finish(&mut self, mut deliver: impl FnMut(Made)) -> Result<(), CodecError> {
        match self {
            Self::Av1(_) | Self::Sound(_) => {}
            #[cfg(feature = "ffmpeg")]
            Self::FfmpegPictures(decoder) => {
                decoder.finish(|picture| deliver(Made::Picture(DecodedPicture::Ffmpeg(picture))))?
            }
            #[cfg(feature = "ffmpeg")]
            Self::FfmpegSound(decoder) => decoder.finish()?.into_iter().map(Made::Samples).for_each(deliver),
        }
        Ok(())
    }

    /// Forgets what earlier packets left behind; for a new position in the file.
    pub fn flush(&mut self) {
        match self {
            Self::Av1(decoder) => decoder.flush(),
            Self::Sound(decoder) => decoder.flush(),
            #[cfg(feature = "ffmpeg")]
            Self::FfmpegPictures(decoder) => decoder.flush(),
            #[cfg(feature = "ffmpeg")]
            Self::FfmpegSound(decoder) => decoder.flush(),
        }
    }
}

impl DecodedPicture {
    /// What is to be said about the picture.
    pub fn describe(&self) -> Picture {
        whichever!(self, decoded => decoded.describe())
    }

    /// Copies the picture out of the decoder: the one time that its samples are copied.
    /// `target` is as long as its layout says.
    pub fn copy_to(&self, target: &mut [u8]) {
        whichever!(self, decoded => decoded.copy_to(target));
    }
}
