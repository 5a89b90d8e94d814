//! The video decoder: whatever codec FFmpeg knows, on as many threads as asked for.
//!
//! With several threads, or with pictures that are shown in another order than they are decoded in, what comes out of
//! a packet may be there only when later ones have been sent.

use ffmpeg::format::Pixel;
use ffmpeg_next as ffmpeg;

use super::{DecodeError, Decoder, raw};
use crate::protocol::{Chroma, FfmpegParameters, Kind, Layout, Packet, Picture};

/// Decodes the packets of one track.
pub struct VideoDecoder {
    decoder: Decoder,
    /// When the next picture is shown, if it does not say.
    next: i64,
}

/// A decoded picture, still in the decoder's own memory.
pub struct DecodedPicture {
    picture: Picture,
    frame: ffmpeg::frame::Video,
}

impl VideoDecoder {
    /// A decoder for a track with these parameters.
    ///
    /// # Errors
    /// If FFmpeg has none, or it does not take the parameters.
    pub fn open(parameters: &FfmpegParameters) -> Result<Self, DecodeError> {
        if parameters.kind != Kind::Video {
            return Err(DecodeError::Parameters);
        }
        Ok(Self { decoder: Decoder::open(parameters)?, next: 0 })
    }

    /// Decodes one packet and hands each picture that is due to `deliver`.
    ///
    /// # Errors
    /// If the packet cannot be decoded: later ones may be.
    pub fn decode(&mut self, packet: &Packet, deliver: impl FnMut(DecodedPicture)) -> Result<(), DecodeError> {
        self.run(Some(packet), deliver)
    }

    /// Hands the pictures that are still in the decoder to `deliver`; there are no more packets.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn finish(&mut self, deliver: impl FnMut(DecodedPicture)) -> Result<(), DecodeError> {
        self.run(None, deliver)
    }

    /// Forgets the pictures that later ones could build on; for a new position in the file.
    pub fn flush(&mut self) {
        self.decoder.flush();
        self.next = 0;
    }

    fn run(&mut self, packet: Option<&Packet>, mut deliver: impl FnMut(DecodedPicture)) -> Result<(), DecodeError> {
        let Self { decoder, next } = self;
        decoder.decode(packet, |frame| {
            let decoded = DecodedPicture::new(frame, *next)?;
            *next = decoded.picture.pts.saturating_add_unsigned(decoded.picture.duration);
            deliver(decoded);
            Ok(())
        })
    }
}

impl DecodedPicture {
    fn new(frame: ffmpeg::Frame, next: i64) -> Result<Self, DecodeError> {
        let frame = ffmpeg::frame::Video::from(frame);
        let (bits, chroma) = form(frame.format()).ok_or_else(|| DecodeError::Form(name(frame.format())))?;
        let layout = Layout { width: frame.width(), height: frame.height(), bits, chroma };
        if !layout.is_possible() {
            return Err(DecodeError::Excessive(layout.width, layout.height));
        }
        let pts = frame.timestamp().unwrap_or(next);
        let duration = u64::try_from(frame.packet().duration).unwrap_or(0);
        Ok(Self { picture: Picture { layout, pts, duration }, frame })
    }

    /// What is to be said about the picture.
    pub fn describe(&self) -> Picture {
        self.picture
    }

    /// Copies the picture out of the decoder: the one time that its samples are copied. Rows that it lacks stay as they are.
    pub fn copy_to(&self, target: &mut [u8]) {
        let mut offset = 0;
        for (plane, layout) in self.picture.layout.planes().enumerate() {
            for row in 0..layout.rows {
                if let Some(row) = raw::row(&self.frame, plane, row, layout.row_bytes) {
                    target[offset..offset + row.len()].copy_from_slice(row);
                }
                offset += layout.row_bytes;
            }
        }
    }
}

/// Bits of a sample and colour planes of the forms of pixels that are played.
fn form(pixel: Pixel) -> Option<(u8, Chroma)> {
    Some(match pixel {
        Pixel::GRAY8 => (8, Chroma::Mono),
        Pixel::GRAY10LE => (10, Chroma::Mono),
        Pixel::GRAY12LE => (12, Chroma::Mono),
        Pixel::YUV420P | Pixel::YUVJ420P => (8, Chroma::Half),
        Pixel::YUV420P10LE => (10, Chroma::Half),
        Pixel::YUV420P12LE => (12, Chroma::Half),
        Pixel::YUV422P | Pixel::YUVJ422P => (8, Chroma::HalfWidth),
        Pixel::YUV422P10LE => (10, Chroma::HalfWidth),
        Pixel::YUV422P12LE => (12, Chroma::HalfWidth),
        Pixel::YUV444P | Pixel::YUVJ444P => (8, Chroma::Full),
        Pixel::YUV444P10LE => (10, Chroma::Full),
        Pixel::YUV444P12LE => (12, Chroma::Full),
        _ => return None,
    })
}

/// What FFmpeg calls a form of pixels.
fn name(pixel: Pixel) -> String {
    pixel.descriptor().map_or_else(|| "none".to_owned(), |descriptor| descriptor.name().to_owned())
}
