//! The audio decoder: symphonia's codecs, made to speak 16-bit samples.

use symphonia::core::audio::{Channels, GenericAudioBufferRef, Position};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder as Codec, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::packet::PacketBuilder;
use symphonia::core::units::{Duration, Timestamp};

use super::codec;
use crate::protocol::{AudioParameters, ChannelSet, MAX_CHANNELS, MAX_RATE, MAX_SAMPLES_BYTES, Packet, Samples};

/// Decodes the packets of one track.
pub struct AudioDecoder {
    codec: Box<dyn Codec>,
    /// Whether the codec itself leaves out what a packet's `trim_start` and `trim_end` say.
    trims: bool,
    /// The samples of the last packet, reused.
    interleaved: Vec<f32>,
}

/// Why sound cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// There is no decoder for the codec.
    #[error("there is no decoder for {0:?}")]
    NoDecoder(String),
    /// The codec is known, this use of it is not.
    #[error("this kind of {codec} is not supported: {what}")]
    Unsupported {
        /// The codec's short name.
        codec: String,
        /// What is not supported.
        what: String,
    },
    /// The packet makes no sense.
    #[error("{0}")]
    Damaged(String),
    /// The packet claims a sampling rate or a number of channels that nothing has.
    #[error("{rate} samples a second of {channels} channels are more than can be")]
    Excessive {
        /// Samples a second.
        rate: u32,
        /// Channels.
        channels: usize,
    },
}

impl AudioDecoder {
    /// A decoder for a track with these parameters.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(parameters: &AudioParameters) -> Result<Self, AudioError> {
        let registry = symphonia::default::get_codecs();
        let id = codec::audio_codec(&parameters.codec);
        if registry.get_audio_decoder(id).is_none() {
            return Err(AudioError::NoDecoder(parameters.codec.clone()));
        }
        let codec = registry
            .make_audio_decoder(&codec_parameters(parameters), &AudioDecoderOptions::default())
            .map_err(|error| AudioError::Unsupported { codec: parameters.codec.clone(), what: error.to_string() })?;
        let trims = matches!(parameters.codec.as_str(), "mp3" | "vorbis");
        Ok(Self { codec, trims, interleaved: Vec::new() })
    }

    /// Decodes one packet, in pieces of at most [`MAX_SAMPLES_BYTES`].
    ///
    /// # Errors
    /// If it cannot be decoded; the next one may be.
    pub fn decode(&mut self, packet: Packet) -> Result<impl Iterator<Item = Samples> + '_, AudioError> {
        let (trim_start, trim_end) = (packet.trim_start, packet.trim_end);
        // Only tracks whose clock ticks once a sample are trimmed.
        let pts = packet.pts.saturating_add(trim_start.into());
        let decoded = match self.codec.decode(&codec_packet(packet)) {
            Ok(decoded) => decoded,
            Err(error) => {
                if matches!(error, Error::ResetRequired) {
                    self.codec.reset();
                }
                return Err(AudioError::Damaged(error.to_string()));
            }
        };
        let (rate, channels) = format(&decoded)?;
        decoded.copy_to_vec_interleaved(&mut self.interleaved);
        let (skip, end) = if self.trims {
            (0, self.interleaved.len())
        } else {
            let frames = |count: u32| count as usize * usize::from(channels);
            let end = self.interleaved.len().saturating_sub(frames(trim_end));
            (frames(trim_start).min(end), end)
        };
        Ok(pieces(&self.interleaved[skip..end], pts, rate, channels))
    }

    /// Forgets what earlier packets left behind; for a new position in the file.
    pub fn flush(&mut self) {
        self.codec.reset();
    }
}

fn format(decoded: &GenericAudioBufferRef<'_>) -> Result<(u32, u16), AudioError> {
    let (rate, count) = (decoded.spec().rate(), decoded.spec().channels().count());
    match u16::try_from(count) {
        Ok(channels @ 1..=MAX_CHANNELS) if (1..=MAX_RATE).contains(&rate) => Ok((rate, channels)),
        _ => Err(AudioError::Excessive { rate, channels: count }),
    }
}

/// Cuts samples into messages.
fn pieces(samples: &[f32], pts: i64, rate: u32, channels: u16) -> impl Iterator<Item = Samples> + '_ {
    let frame_bytes = usize::from(channels) * Samples::SAMPLE_BYTES;
    let piece_frames = MAX_SAMPLES_BYTES / frame_bytes;
    samples.chunks(piece_frames * usize::from(channels)).enumerate().map(move |(index, chunk)| Samples {
        pts,
        offset: u32::try_from(index * piece_frames).unwrap_or(u32::MAX),
        rate,
        channels,
        data: chunk.iter().flat_map(|sample| to_16_bits(*sample).to_le_bytes()).collect(),
    })
}

/// The nearest of the 65,536 values; 16-bit samples come through unchanged.
fn to_16_bits(sample: f32) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast from a float saturates")]
    let sample = (sample * 32_768.0).round_ties_even() as i16;
    sample
}

fn codec_packet(packet: Packet) -> symphonia::core::packet::Packet {
    PacketBuilder::new()
        .track_id(packet.track)
        .pts(Timestamp::new(packet.pts))
        .dur(Duration::new(packet.duration))
        .data(packet.data)
        .trim_start(Duration::new(packet.trim_start.into()))
        .trim_end(Duration::new(packet.trim_end.into()))
        .build()
}

fn codec_parameters(parameters: &AudioParameters) -> AudioCodecParameters {
    /// A decoder allocates its buffer by this before it has seen a packet.
    const MAX_PACKET_FRAMES: u64 = 1 << 16;
    let mut found = AudioCodecParameters::new();
    found.codec = codec::audio_codec(&parameters.codec);
    found.sample_rate = parameters.rate;
    found.channels = parameters.channels.and_then(channels);
    found.bits_per_sample = parameters.bits;
    found.bits_per_coded_sample = parameters.coded_bits;
    found.max_frames_per_packet = parameters.packet_frames.map(|frames| frames.min(MAX_PACKET_FRAMES));
    found.frames_per_block = parameters.block_frames;
    found.extra_data = parameters.header.clone().map(Vec::into_boxed_slice);
    found
}

fn channels(set: ChannelSet) -> Option<Channels> {
    match set {
        ChannelSet::Positions(bits) => Position::from_bits(bits).map(Channels::Positioned),
        ChannelSet::Discrete(count) => (count <= MAX_CHANNELS).then_some(Channels::Discrete(count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcm(channels: u16) -> AudioDecoder {
        let parameters = AudioParameters {
            codec: "pcm_s16le".to_owned(),
            rate: Some(48_000),
            channels: Some(ChannelSet::Discrete(channels)),
            ..AudioParameters::default()
        };
        AudioDecoder::open(&parameters).expect("PCM is supported")
    }

    fn packet(data: Vec<u8>, trim_start: u32, trim_end: u32) -> Packet {
        Packet { track: 0, pts: 5, is_decode_time: false, duration: 0, key: true, trim_start, trim_end, data }
    }

    #[test]
    fn every_16_bit_sample_comes_through_unchanged() {
        let data: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
        let mut decoder = pcm(2);
        let pieces: Vec<_> = decoder.decode(packet(data.clone(), 0, 0)).expect("decodes").collect();
        assert!(pieces.iter().all(|piece| piece.is_playable() && piece.pts == 5));
        assert_eq!(pieces.iter().map(|piece| piece.offset).collect::<Vec<_>>(), [0, 8192, 16_384, 24_576]);
        assert_eq!(pieces.into_iter().flat_map(|piece| piece.data).collect::<Vec<_>>(), data);
    }

    #[test]
    fn samples_are_left_out_at_both_ends() {
        let left = |start, end| -> Vec<u8> {
            let mut decoder = pcm(1);
            let pieces = decoder.decode(packet((0..10).collect(), start, end)).expect("decodes");
            pieces.flat_map(|piece| piece.data).collect()
        };
        assert_eq!(left(1, 2), [2, 3, 4, 5]);
        assert!(left(3, 3).is_empty());
        assert!(left(u32::MAX, u32::MAX).is_empty());
    }

    #[test]
    fn loud_samples_saturate() {
        assert_eq!([1.5, 1.0, -1.0, -1.5, f32::NAN].map(to_16_bits), [i16::MAX, i16::MAX, i16::MIN, i16::MIN, 0]);
    }

    #[test]
    fn codecs_without_a_decoder_are_refused_by_name() {
        let parameters = AudioParameters { codec: "opus".to_owned(), ..AudioParameters::default() };
        let error = AudioDecoder::open(&parameters).err().expect("refused");
        assert_eq!(error.to_string(), r#"there is no decoder for "opus""#);
    }
}
