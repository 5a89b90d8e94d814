//! The one place that knows that there are two families of demuxers and decoders. Whoever asks here gets one that works
//! like the other.

use std::sync::Arc;

use super::audio::{self, AudioError};
use super::demux::{self, OpenError, ReadError, SeekError};
#[cfg(feature = "ffmpeg")]
use super::ffmpeg;
use super::source::ReadAt;
use super::video::{self, PictureTarget, VideoError};
use crate::protocol::{Family, Media, Nanos, Packet, Parameters, Picture, Samples};

/// Takes a file apart into packets.
pub enum Demuxer {
    /// In Rust.
    Rust(demux::Demuxer),
    /// FFmpeg's.
    #[cfg(feature = "ffmpeg")]
    Ffmpeg(ffmpeg::Demuxer),
}

/// Decodes the sound packets of one track.
pub enum AudioDecoder {
    /// In Rust.
    Rust(audio::AudioDecoder),
    /// FFmpeg's.
    #[cfg(feature = "ffmpeg")]
    Ffmpeg(ffmpeg::AudioDecoder),
}

/// Decodes the picture packets of one track.
pub enum VideoDecoder {
    /// In Rust.
    Rust(video::VideoDecoder),
    /// FFmpeg's.
    #[cfg(feature = "ffmpeg")]
    Ffmpeg(ffmpeg::VideoDecoder),
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

impl AudioDecoder {
    /// A decoder for a track with these parameters.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(parameters: &Parameters) -> Result<Self, AudioError> {
        match parameters {
            Parameters::Sound(parameters) => audio::AudioDecoder::open(parameters).map(Self::Rust),
            Parameters::Av1 => Err(AudioError::NotSound),
            #[cfg(feature = "ffmpeg")]
            Parameters::Ffmpeg(parameters) => Ok(Self::Ffmpeg(ffmpeg::AudioDecoder::open(parameters)?)),
            #[cfg(not(feature = "ffmpeg"))]
            Parameters::Ffmpeg(_) => Err(AudioError::NotBuilt),
        }
    }

    /// Decodes one packet, in pieces of at most [`MAX_SAMPLES_BYTES`](crate::protocol::MAX_SAMPLES_BYTES).
    ///
    /// # Errors
    /// If it cannot be decoded; the next one may be.
    pub fn decode(&mut self, packet: Packet) -> Result<Vec<Samples>, AudioError> {
        match self {
            Self::Rust(decoder) => decoder.decode(packet).map(Iterator::collect),
            #[cfg(feature = "ffmpeg")]
            Self::Ffmpeg(decoder) => Ok(decoder.decode(&packet)?),
        }
    }

    /// What the last packets left in the decoder; there are no more of them.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn finish(&mut self) -> Result<Vec<Samples>, AudioError> {
        match self {
            Self::Rust(_) => Ok(Vec::new()),
            #[cfg(feature = "ffmpeg")]
            Self::Ffmpeg(decoder) => Ok(decoder.finish()?),
        }
    }

    /// Forgets what earlier packets left behind; for a new position in the file.
    pub fn flush(&mut self) {
        whichever!(self, decoder => decoder.flush());
    }
}

impl VideoDecoder {
    /// A decoder for a track with these parameters.
    ///
    /// # Errors
    /// If there is none, or no memory for it.
    pub fn open(parameters: &Parameters) -> Result<Self, VideoError> {
        match parameters {
            Parameters::Av1 => video::VideoDecoder::open().map(Self::Rust),
            Parameters::Sound(_) => Err(VideoError::NotPictures),
            #[cfg(feature = "ffmpeg")]
            Parameters::Ffmpeg(parameters) => Ok(Self::Ffmpeg(ffmpeg::VideoDecoder::open(parameters)?)),
            #[cfg(not(feature = "ffmpeg"))]
            Parameters::Ffmpeg(_) => Err(VideoError::NotBuilt),
        }
    }

    /// The same, with the memory of a decoder that was used before, if that is of the kind which takes any track.
    ///
    /// # Errors
    /// If there is none, or no memory for it.
    pub fn reopen(former: Option<Self>, parameters: &Parameters) -> Result<Self, VideoError> {
        match (former, parameters) {
            (Some(Self::Rust(mut decoder)), Parameters::Av1) => {
                decoder.flush();
                Ok(Self::Rust(decoder))
            }
            // Its threads must have ended before there are new ones: the worker may have only so many.
            (former, _) => {
                drop(former);
                Self::open(parameters)
            }
        }
    }

    /// Decodes one packet and hands each picture that is due to `deliver`.
    ///
    /// # Errors
    /// If the packet cannot be decoded: the next key picture can. Whatever `deliver` returns.
    pub fn decode<E: From<VideoError>>(
        &mut self,
        packet: Packet,
        mut deliver: impl FnMut(DecodedPicture) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Rust(decoder) => decoder.decode(packet, |picture| deliver(DecodedPicture::Rust(picture))),
            #[cfg(feature = "ffmpeg")]
            Self::Ffmpeg(decoder) => decoder.decode(&packet, |picture| deliver(DecodedPicture::Ffmpeg(picture))),
        }
    }

    /// Hands the pictures that are still in the decoder to `deliver`; there are no more packets.
    ///
    /// # Errors
    /// If they cannot be decoded. Whatever `deliver` returns.
    #[cfg_attr(not(feature = "ffmpeg"), expect(unused_mut, unused_variables, reason = "the Rust decoder keeps none"))]
    pub fn finish<E: From<VideoError>>(
        &mut self,
        mut deliver: impl FnMut(DecodedPicture) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Rust(_) => Ok(()),
            #[cfg(feature = "ffmpeg")]
            Self::Ffmpeg(decoder) => decoder.finish(|picture| deliver(DecodedPicture::Ffmpeg(picture))),
        }
    }

    /// Forgets the pictures that later ones could build on; for a new position in the file.
    pub fn flush(&mut self) {
        whichever!(self, decoder => decoder.flush());
    }
}

impl DecodedPicture {
    /// What is to be said about the picture.
    pub fn describe(&self) -> Picture {
        whichever!(self, decoded => decoded.describe())
    }

    /// Copies the picture out of the decoder: the one time that its samples are copied.
    pub fn copy_to(&self, target: &mut impl PictureTarget) {
        whichever!(self, decoded => decoded.copy_to(target));
    }
}
