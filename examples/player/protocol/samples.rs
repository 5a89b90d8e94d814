//! Pieces of sound.

use serde::{Deserialize, Serialize};

/// The highest sampling rate, in Hz.
pub const MAX_RATE: u32 = 768_000;

/// The most channels of sound.
pub const MAX_CHANNELS: u16 = 32;

/// The most bytes of samples in one [`Samples`]: half of what a message holds.
pub const MAX_SAMPLES_BYTES: usize = 32 << 10;

/// A piece of sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// When the first sample of its packet is played, in ticks of its track.
    pub pts: i64,
    /// How many samples a channel of the same packet came before this piece.
    pub offset: u32,
    /// Samples a second.
    pub rate: u32,
    /// How many channels.
    pub channels: u16,
    /// 16-bit little-endian samples, one of each channel in turn; at most [`MAX_SAMPLES_BYTES`].
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

impl Samples {
    /// Bytes of one sample.
    pub const SAMPLE_BYTES: usize = 2;

    /// Whether the piece is one that can be played: a known rate, some channels, whole samples of each.
    pub fn is_playable(&self) -> bool {
        (1..=MAX_RATE).contains(&self.rate)
            && (1..=MAX_CHANNELS).contains(&self.channels)
            && self.data.len() <= MAX_SAMPLES_BYTES
            && self.data.len().is_multiple_of(self.frame_bytes())
    }

    /// How many samples a channel it holds.
    pub fn frames(&self) -> usize {
        self.data.len() / self.frame_bytes()
    }

    /// Bytes of one sample of each channel.
    pub fn frame_bytes(&self) -> usize {
        usize::from(self.channels) * Self::SAMPLE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_samples_are_refused() {
        let samples = Samples { pts: 0, offset: 0, rate: 48_000, channels: 2, data: vec![0; 8] };
        assert!(samples.is_playable());
        assert!(!Samples { channels: 0, ..samples.clone() }.is_playable());
        assert!(!Samples { rate: 0, ..samples.clone() }.is_playable());
        assert!(!Samples { data: vec![0; 7], ..samples }.is_playable());
    }
}
