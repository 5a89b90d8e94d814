//! Sound as a WAVE file of 16-bit samples.
//!
//! Where the header cannot be written again when the sizes are known, it says from the start that they are not.

use std::path::Path;

use super::file::{OutputError, OutputFile};
use super::nothing_for;
use crate::protocol::Samples;

/// The file that is being written.
pub struct Wav {
    file: OutputFile,
    /// Samples a second and channels, as the header tells them; the format knows no change.
    format: Option<(u32, u16)>,
    bytes: u32,
    /// Samples a channel that did not fit in, by form or by size.
    left_out: u64,
}

/// The format keeps sizes in 32 bits, and counts all of the header but its first eight bytes.
const MAX_BYTES: u32 = u32::MAX - 36;

/// What stands in the header of a stream: whoever reads it reads to the end.
const UNKNOWN_BYTES: u32 = u32::MAX;

impl Wav {
    /// Begins a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        Ok(Self { file: OutputFile::create(path)?, format: None, bytes: 0, left_out: 0 })
    }

    /// Takes a piece of sound.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn samples(&mut self, samples: &Samples) -> Result<(), OutputError> {
        let format = (samples.rate, samples.channels);
        if self.format.is_none() {
            self.format = Some(format);
            self.file.write(&header(format, if self.file.can_rewind() { 0 } else { UNKNOWN_BYTES }))?;
        }
        match self.bytes_with(samples) {
            Some(bytes) if self.format == Some(format) => {
                self.bytes = bytes;
                self.file.write(&samples.data)
            }
            _ => {
                self.left_out += samples.frames() as u64;
                Ok(())
            }
        }
    }

    /// How many bytes there are with these, if the format can tell; of a stream it need not.
    fn bytes_with(&self, samples: &Samples) -> Option<u32> {
        if !self.file.can_rewind() {
            return Some(UNKNOWN_BYTES);
        }
        let more = u32::try_from(samples.data.len()).ok()?;
        self.bytes.checked_add(more).filter(|bytes| *bytes <= MAX_BYTES)
    }

    /// Completes the file. Returns what people should know of it.
    ///
    /// # Errors
    /// If it cannot be completed; it is removed then.
    pub fn finish(mut self) -> Result<Vec<String>, OutputError> {
        let path = self.file.path().to_owned();
        let Some(format) = self.format else { return Ok(vec![nothing_for(&path, "sound")]) };
        if self.file.can_rewind() {
            self.file.rewrite_start(&header(format, self.bytes))?;
        }
        self.file.commit()?;
        let note = format!(
            "{}: left out {} samples of another rate, of other channels, or beyond 4 GiB",
            path.display(),
            self.left_out
        );
        Ok(if self.left_out > 0 { vec![note] } else { Vec::new() })
    }
}

fn header((rate, channels): (u32, u16), bytes: u32) -> Vec<u8> {
    const PCM: u16 = 1;
    const SAMPLE_BITS: u16 = 16;
    let frame_bytes = channels * (SAMPLE_BITS / 8);
    let mut header = Vec::with_capacity(44);
    header.extend(b"RIFF");
    header.extend(bytes.saturating_add(36).to_le_bytes());
    header.extend(b"WAVEfmt ");
    header.extend(16_u32.to_le_bytes());
    header.extend(PCM.to_le_bytes());
    header.extend(channels.to_le_bytes());
    header.extend(rate.to_le_bytes());
    header.extend((rate * u32::from(frame_bytes)).to_le_bytes());
    header.extend(frame_bytes.to_le_bytes());
    header.extend(SAMPLE_BITS.to_le_bytes());
    header.extend(b"data");
    header.extend(bytes.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_read_what_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.wav");
        let mut wav = Wav::create(&path).expect("creates");
        let data: Vec<u8> = [1_i16, -2, 300, -400].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let samples = Samples { pts: 0, offset: 0, rate: 44_100, channels: 2, data };
        wav.samples(&samples).expect("writes");
        wav.samples(&Samples { rate: 48_000, ..samples.clone() }).expect("leaves out");
        let notes = wav.finish().expect("finishes");
        assert!(
            notes.len() == 1
                && notes[0].ends_with("left out 2 samples of another rate, of other channels, or beyond 4 GiB")
        );
        let mut reader = hound::WavReader::open(&path).expect("opens");
        assert_eq!((reader.spec().sample_rate, reader.spec().channels, reader.spec().bits_per_sample), (44_100, 2, 16));
        let read: Vec<i16> = reader.samples().collect::<Result<_, _>>().expect("reads");
        assert_eq!(read, [1, -2, 300, -400]);
    }

    #[test]
    fn no_sound_makes_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.wav");
        let notes = Wav::create(&path).expect("creates").finish().expect("finishes");
        assert!(notes[0].ends_with("not written, for there was no sound") && !path.exists());
    }
}
