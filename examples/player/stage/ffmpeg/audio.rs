//! The audio decoder: whatever codec FFmpeg knows, made to speak 16-bit samples as FFmpeg itself would.

use ffmpeg::format::Sample;
use ffmpeg_next as ffmpeg;

use super::{DecodeError, Decoder};
use crate::protocol::{FfmpegParameters, Kind, MAX_CHANNELS, MAX_RATE, MAX_SAMPLES_BYTES, Packet, Samples};

/// Decodes the packets of one track.
pub struct AudioDecoder {
    decoder: Decoder,
    /// When the next sample is played, if its packet does not say.
    next: i64,
    /// The samples of the last frame, reused.
    interleaved: Vec<u8>,
}

impl AudioDecoder {
    /// A decoder for a track with these parameters.
    ///
    /// # Errors
    /// If FFmpeg has none, or it does not take the parameters.
    pub fn open(parameters: &FfmpegParameters) -> Result<Self, DecodeError> {
        if parameters.kind != Kind::Audio {
            return Err(DecodeError::Parameters);
        }
        Ok(Self { decoder: Decoder::open(parameters)?, next: 0, interleaved: Vec::new() })
    }

    /// Decodes one packet, in pieces of at most [`MAX_SAMPLES_BYTES`].
    ///
    /// # Errors
    /// If it cannot be decoded; the next one may be.
    pub fn decode(&mut self, packet: &Packet) -> Result<Vec<Samples>, DecodeError> {
        self.run(Some(packet))
    }

    /// What the last packets left in the decoder; there are no more of them.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn finish(&mut self) -> Result<Vec<Samples>, DecodeError> {
        self.run(None)
    }

    /// Forgets what earlier packets left behind; for a new position in the file.
    pub fn flush(&mut self) {
        self.decoder.flush();
        self.next = 0;
    }

    fn run(&mut self, packet: Option<&Packet>) -> Result<Vec<Samples>, DecodeError> {
        let Self { decoder, next, interleaved } = self;
        let mut pieces = Vec::new();
        decoder.decode(packet, |frame| {
            let frame = ffmpeg::frame::Audio::from(frame);
            let (rate, channels) = (frame.rate(), frame.channels());
            if !(1..=MAX_RATE).contains(&rate) || !(1..=MAX_CHANNELS).contains(&channels) {
                return Err(DecodeError::Noise { rate, channels });
            }
            interleave(&frame, interleaved)?;
            let pts = frame.timestamp().unwrap_or(*next);
            *next = pts.saturating_add(frame.packet().duration.max(0));
            cut(interleaved, pts, rate, channels, &mut pieces);
            Ok(())
        })?;
        Ok(pieces)
    }
}

/// Cuts samples into messages.
fn cut(interleaved: &[u8], pts: i64, rate: u32, channels: u16, pieces: &mut Vec<Samples>) {
    let frame_bytes = usize::from(channels) * Samples::SAMPLE_BYTES;
    let piece_frames = MAX_SAMPLES_BYTES / frame_bytes;
    pieces.extend(interleaved.chunks(piece_frames * frame_bytes).enumerate().map(|(index, data)| Samples {
        pts,
        offset: u32::try_from(index * piece_frames).unwrap_or(u32::MAX),
        rate,
        channels,
        data: data.to_vec(),
    }));
}

/// Makes 16-bit samples of a frame, one of each channel in turn.
fn interleave(frame: &ffmpeg::frame::Audio, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    match frame.format() {
        Sample::U8(_) => copy::<u8>(frame, out, |sample| (i16::from(*sample) - 128) << 8),
        Sample::I16(_) => copy::<i16>(frame, out, |sample| *sample),
        Sample::I32(_) => copy::<i32>(frame, out, |sample| upper_half(*sample)),
        Sample::F32(_) => copy::<f32>(frame, out, |sample| nearest(f64::from(*sample))),
        Sample::F64(_) => copy::<f64>(frame, out, |sample| nearest(*sample)),
        other => return Err(DecodeError::Form(other.name().to_owned())),
    }
    Ok(())
}

fn copy<T: ffmpeg::frame::audio::Sample>(frame: &ffmpeg::frame::Audio, out: &mut Vec<u8>, convert: impl Fn(&T) -> i16) {
    out.clear();
    let planes: Vec<&[T]> = (0..frame.planes()).map(|plane| frame.plane::<T>(plane)).collect();
    if let [samples] = planes[..] {
        out.extend(samples.iter().flat_map(|sample| convert(sample).to_le_bytes()));
        return;
    }
    for index in 0..frame.samples() {
        out.extend(planes.iter().flat_map(|plane| plane.get(index).map_or(0, &convert).to_le_bytes()));
    }
}

fn upper_half(sample: i32) -> i16 {
    (sample >> 16) as i16
}

/// The nearest of the 65,536 values.
#[expect(clippy::cast_possible_truncation, reason = "a cast from a float saturates")]
fn nearest(sample: f64) -> i16 {
    (sample * 32_768.0).round_ties_even() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_every_size_end_up_with_16_bits() {
        assert_eq!([i32::MIN, -1, 0, i32::MAX].map(upper_half), [i16::MIN, -1, 0, i16::MAX]);
        assert_eq!([-1.0, -1.5, 0.0, 1.0, f64::NAN].map(nearest), [i16::MIN, i16::MIN, 0, i16::MAX, 0]);
    }

    #[test]
    fn long_sound_is_cut_into_messages() {
        let mut pieces = Vec::new();
        cut(&vec![1; 2 * MAX_SAMPLES_BYTES + 4], 7, 48_000, 2, &mut pieces);
        assert_eq!(pieces.iter().map(|piece| piece.offset).collect::<Vec<_>>(), [0, 8192, 16_384]);
        assert!(pieces.iter().all(|piece| piece.is_playable() && piece.pts == 7));
    }
}
