//! The video decoder: AV1 by `re_rav1d`.
//!
//! It decodes on the caller's thread, so what comes out of a packet is there when the packet has been decoded.

use re_rav1d::dav1d::{Decoder, Error, Picture as Decoded, PixelLayout, PlanarImageComponent, Settings};

use crate::protocol::{Chroma, Layout, MAX_PICTURE_PIXELS, Packet, Picture};

/// Decodes the packets of one track.
pub struct VideoDecoder {
    decoder: Decoder,
}

/// A decoded picture, still in the decoder's own memory.
pub struct DecodedPicture {
    picture: Picture,
    decoded: Decoded,
}

/// Why a packet cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// The decoder could not be made.
    #[error("the AV1 decoder cannot start: {0}")]
    Start(Error),
    /// The packet makes no sense, or needs one that is missing.
    #[error("not valid AV1, or the pictures it builds on are missing ({0})")]
    Damaged(Error),
    /// There is nothing in the packet.
    #[error("an empty packet")]
    Empty,
    /// The picture has a form that no picture has.
    #[error("a picture of {0}x{1} pixels is more than can be")]
    Excessive(u32, u32),
}

impl VideoDecoder {
    /// A decoder for AV1.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn open() -> Result<Self, VideoError> {
        let mut settings = Settings::new();
        settings.set_n_threads(1);
        settings.set_max_frame_delay(1);
        settings.set_all_layers(false);
        settings.set_frame_size_limit(MAX_PICTURE_PIXELS);
        Ok(Self { decoder: Decoder::with_settings(&settings).map_err(VideoError::Start)? })
    }

    /// Decodes one packet and hands each picture that is due to `deliver`.
    ///
    /// # Errors
    /// If the packet cannot be decoded: the next key picture can.
    pub fn decode(&mut self, packet: Packet, mut deliver: impl FnMut(DecodedPicture)) -> Result<(), VideoError> {
        if packet.data.is_empty() {
            return Err(VideoError::Empty);
        }
        let duration = i64::try_from(packet.duration).unwrap_or(0);
        let mut sent = self.decoder.send_data(packet.data, None, Some(packet.pts), Some(duration));
        loop {
            let delivered = self.deliver_all(&mut deliver).inspect_err(|_| {
                // The rest of the packet may still be pending, and nothing else could be sent before it.
                if sent.is_err() {
                    self.flush();
                }
            })?;
            match sent {
                Ok(()) => return Ok(()),
                Err(Error::Again) if delivered > 0 => sent = self.decoder.send_pending_data(),
                Err(error) => return Err(VideoError::Damaged(error)),
            }
        }
    }

    /// Forgets the pictures that later ones could build on; for a new position in the file.
    pub fn flush(&mut self) {
        self.decoder.flush();
    }

    /// Hands over every picture that is due; how many there were.
    fn deliver_all(&mut self, deliver: &mut impl FnMut(DecodedPicture)) -> Result<usize, VideoError> {
        let mut count = 0;
        loop {
            match self.decoder.get_picture() {
                Ok(decoded) => deliver(DecodedPicture::new(decoded)?),
                Err(Error::Again) => return Ok(count),
                Err(error) => return Err(VideoError::Damaged(error)),
            }
            count += 1;
        }
    }
}

impl DecodedPicture {
    fn new(decoded: Decoded) -> Result<Self, VideoError> {
        let layout = Layout {
            width: decoded.width(),
            height: decoded.height(),
            bits: u8::try_from(decoded.bit_depth()).unwrap_or(0),
            chroma: match decoded.pixel_layout() {
                PixelLayout::I400 => Chroma::Mono,
                PixelLayout::I420 => Chroma::Half,
                PixelLayout::I422 => Chroma::HalfWidth,
                PixelLayout::I444 => Chroma::Full,
            },
        };
        if !layout.is_possible() {
            return Err(VideoError::Excessive(layout.width, layout.height));
        }
        let pts = decoded.timestamp().unwrap_or(0);
        let duration = u64::try_from(decoded.duration()).unwrap_or(0);
        Ok(Self { picture: Picture { layout, pts, duration }, decoded })
    }

    /// What is to be said about the picture.
    pub fn describe(&self) -> Picture {
        self.picture
    }

    /// Copies the picture out of the decoder: the one time that its samples are copied. `target` is as long as its layout says.
    pub fn copy_to(&self, target: &mut [u8]) {
        use PlanarImageComponent::{U, V, Y};
        let mut offset = 0;
        for (layout, component) in self.picture.layout.planes().zip([Y, U, V]) {
            let stride = self.decoded.stride(component) as usize;
            let plane = self.decoded.plane(component);
            for row in plane.chunks(stride).take(layout.rows) {
                target[offset..offset + layout.row_bytes].copy_from_slice(&row[..layout.row_bytes]);
                offset += layout.row_bytes;
            }
        }
    }
}

#[cfg(target_endian = "big")]
compile_error!("the decoder's 16-bit samples would need their bytes swapped here");

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(data: &[u8]) -> Packet {
        let (duration, key, is_decode_time) = (1, true, false);
        Packet { track: 1, pts: 7, is_decode_time, duration, key, trim_start: 0, trim_end: 0, data: data.to_vec() }
    }

    fn decode(decoder: &mut VideoDecoder, data: &[u8]) -> Result<usize, VideoError> {
        let mut count = 0;
        decoder.decode(packet(data), |_| count += 1)?;
        Ok(count)
    }

    #[test]
    fn damaged_packets_are_errors_and_the_decoder_lives() {
        let mut decoder = VideoDecoder::open().expect("starts");
        assert!(matches!(decode(&mut decoder, &[]), Err(VideoError::Empty)));
        for data in [&[0xff; 40][..], &[0x0a, 0x01], &[0x32, 0x03, 1, 2, 3], &[0x80]] {
            assert!(!matches!(decode(&mut decoder, data), Ok(1..)), "{data:?}");
        }
        // A temporal delimiter alone is valid, and shows nothing.
        assert!(matches!(decode(&mut decoder, &[0x12, 0x00]), Ok(0)));
    }
}
