//! FFmpeg's demuxers and decoders, as stages like the others: positioned reads of one file, packets, pictures, samples.
//!
//! FFmpeg opens nothing here: it reads through [`Source`](super::source::Source), and no protocol is allowed to it. All
//! that its safe bindings leave out stands in `raw`, the only file of the player with unsafe code.

mod audio;
mod demux;
mod raw;
mod seek;
mod video;

use std::sync::Once;

use ffmpeg_next as ffmpeg;

pub use audio::AudioDecoder;
pub use demux::Demuxer;
pub use video::{DecodedPicture, VideoDecoder};

use crate::protocol::{FfmpegParameters, MAX_PICTURE_PIXELS, MAX_THREADS, Packet};

/// Why FFmpeg does not open a file.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It is none of the formats.
    #[error("this is not a media file that FFmpeg knows")]
    NotMedia,
    /// It is one of the formats, but damaged.
    #[error("FFmpeg cannot take the file apart: {0}")]
    Damaged(ffmpeg::Error),
}

/// Why FFmpeg does not decode something.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It has no decoder for the codec.
    #[error("FFmpeg has no decoder for {0:?}")]
    NoDecoder(String),
    /// What the demuxer says of the track makes no sense.
    #[error("the track's parameters make no sense, or there is no memory for them")]
    Parameters,
    /// The decoder does not start.
    #[error("FFmpeg's decoder does not start: {0}")]
    Start(ffmpeg::Error),
    /// The packet makes no sense, or needs one that is missing.
    #[error("damaged, or what it builds on is missing ({0})")]
    Damaged(ffmpeg::Error),
    /// There is nothing in the packet.
    #[error("an empty packet")]
    Empty,
    /// Pictures or samples of this form are not played.
    #[error("what is decoded has the form {0}, which is not played")]
    Form(String),
    /// The picture has a size that no picture has.
    #[error("a picture of {0}x{1} pixels is more than can be")]
    Excessive(u32, u32),
    /// The sound has a rate or a number of channels that nothing has.
    #[error("{rate} samples a second of {channels} channels are more than can be")]
    Noise {
        /// Samples a second.
        rate: u32,
        /// Channels.
        channels: u16,
    },
}

/// One open decoder of either kind.
struct Decoder {
    opened: ffmpeg::decoder::Opened,
}

impl Decoder {
    /// How many frames may fail one after the other until nothing more is expected of a packet: each thread can hold one.
    const MAX_FAILURES: usize = 2 * MAX_THREADS as usize;

    fn open(parameters: &FfmpegParameters) -> Result<Self, DecodeError> {
        quiet();
        let id = raw::codec_id(&parameters.codec).ok_or_else(|| DecodeError::NoDecoder(parameters.codec.clone()))?;
        let codec = ffmpeg::decoder::find(id).ok_or_else(|| DecodeError::NoDecoder(parameters.codec.clone()))?;
        let described = raw::parameters(parameters, id).ok_or(DecodeError::Parameters)?;
        let mut context = ffmpeg::codec::Context::new_with_codec(codec);
        context.set_parameters(described).map_err(DecodeError::Start)?;
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(raw::rational(parameters.time_base));
        let mut options = ffmpeg::Dictionary::new();
        options.set("threads", &parameters.threads.clamp(1, MAX_THREADS).to_string());
        options.set("max_pixels", &MAX_PICTURE_PIXELS.to_string());
        let opened = decoder.open_as_with(codec, options).map_err(DecodeError::Start)?;
        Ok(Self { opened })
    }

    /// Decodes one packet, or with `None` what is left, and hands over each frame that is due. The first error is told in the
    /// end, when all that could be decoded has been delivered; `deliver`'s own at once.
    fn decode(
        &mut self,
        packet: Option<&Packet>,
        mut deliver: impl FnMut(ffmpeg::Frame) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let sent = match packet {
            Some(packet) if packet.data.is_empty() => return Err(DecodeError::Empty),
            Some(packet) => self.opened.send_packet(&raw::packet(packet).ok_or(DecodeError::Parameters)?),
            None => self.opened.send_eof(),
        };
        let mut failure = sent.err();
        let mut failures = 0;
        while failures < Self::MAX_FAILURES {
            let mut frame = raw::empty_frame();
            match self.opened.receive_frame(&mut frame) {
                Ok(()) => deliver(frame)?,
                Err(ffmpeg::Error::Eof) => break,
                Err(ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => break,
                Err(error) => {
                    failures += 1;
                    failure.get_or_insert(error);
                }
            }
        }
        if packet.is_none() {
            self.opened.flush();
        }
        failure.map_or(Ok(()), |error| Err(DecodeError::Damaged(error)))
    }

    fn flush(&mut self) {
        self.opened.flush();
    }
}

/// Has FFmpeg write nothing: what it would say is about a stranger's file, and errors are told in our own words.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| ffmpeg::log::set_level(ffmpeg::log::Level::Quiet));
}
