//! Where decoded pictures and samples go: files that other programs read.
//!
//! What arrives here has been checked by [`crate::playback`]: layouts and samples are possible ones, and times only grow.

mod cadence;
mod file;
mod framemd5;
mod wav;
mod y4m;

use std::path::{Path, PathBuf};

use crate::protocol::{Picture, Samples, TimeBase};

pub use file::{OutputError, OutputFile};

/// The samples of one picture, wherever they lie.
///
/// They may lie in memory that their producer can still write, so they are only ever copied out.
pub trait PictureData {
    /// Copies samples from `offset` on into the whole of `buffer`.
    fn read(&self, offset: usize, buffer: &mut [u8]);
}

impl PictureData for Vec<u8> {
    fn read(&self, offset: usize, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self[offset..offset + buffer.len()]);
    }
}

impl PictureData for cloison_broker::ipc::Borrowed {
    fn read(&self, offset: usize, buffer: &mut [u8]) {
        if self.copy_range_to(offset, buffer).is_err() {
            buffer.fill(0);
        }
    }
}

/// Which files are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A list of the pictures' MD5 sums.
    pub framemd5: Option<PathBuf>,
    /// The sound.
    pub wav: Option<PathBuf>,
    /// The pictures.
    pub y4m: Option<PathBuf>,
}

/// The files that are being written.
pub struct Sinks {
    pictures: Vec<Box<dyn PictureSink>>,
    wav: Option<wav::Wav>,
    /// A piece of a picture on its way to all of them.
    chunk: Vec<u8>,
    /// What is known already of files that will not be written.
    notes: Vec<String>,
}

/// Something that takes pictures, piece by piece.
trait PictureSink {
    /// A picture begins.
    fn begin(&mut self, picture: &Picture) -> Result<(), OutputError>;

    /// The next piece of its samples.
    fn chunk(&mut self, chunk: &[u8]) -> Result<(), OutputError>;

    /// The picture is complete.
    fn end(&mut self) -> Result<(), OutputError>;

    /// There are no more pictures. Returns what people should know of the file.
    fn finish(self: Box<Self>) -> Result<Vec<String>, OutputError>;
}

impl Sinks {
    /// Small enough to stay in a core's nearest cache between being copied and being read.
    const CHUNK_BYTES: usize = 16 << 10;

    /// Opens the files. `time_base` is the clock of the pictures, if there will be any.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn open(wanted: &Wanted, time_base: Option<TimeBase>, has_sound: bool) -> Result<Self, OutputError> {
        let mut pictures: Vec<Box<dyn PictureSink>> = Vec::new();
        let mut notes = Vec::new();
        match time_base {
            Some(time_base) => {
                if let Some(path) = &wanted.framemd5 {
                    pictures.push(Box::new(framemd5::FrameMd5::create(path, time_base)?));
                }
                if let Some(path) = &wanted.y4m {
                    pictures.push(Box::new(y4m::Y4m::create(path, time_base)?));
                }
            }
            None => notes.extend(wanted.framemd5.iter().chain(&wanted.y4m).map(|path| nothing_for(path, "picture"))),
        }
        let wav = wanted.wav.as_deref().filter(|_| has_sound).map(wav::Wav::create).transpose()?;
        notes.extend(wanted.wav.iter().filter(|_| !has_sound).map(|path| nothing_for(path, "sound")));
        Ok(Self { pictures, wav, chunk: Vec::new(), notes })
    }

    /// Takes one picture.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn picture(&mut self, picture: &Picture, data: &dyn PictureData) -> Result<(), OutputError> {
        if self.pictures.is_empty() {
            return Ok(());
        }
        self.each(|sink| sink.begin(picture))?;
        let bytes = picture.layout.bytes();
        for offset in (0..bytes).step_by(Self::CHUNK_BYTES) {
            let mut chunk = std::mem::take(&mut self.chunk);
            chunk.resize(Self::CHUNK_BYTES.min(bytes - offset), 0);
            data.read(offset, &mut chunk);
            self.each(|sink| sink.chunk(&chunk))?;
            self.chunk = chunk;
        }
        self.each(|sink| sink.end())
    }

    /// Takes a piece of sound.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn samples(&mut self, samples: &Samples) -> Result<(), OutputError> {
        self.wav.as_mut().map_or(Ok(()), |wav| wav.samples(samples))
    }

    /// Completes the files. Returns what people should know of them.
    ///
    /// # Errors
    /// If one cannot be completed; it is removed then.
    pub fn finish(self) -> Result<Vec<String>, OutputError> {
        let mut notes = self.notes;
        for sink in self.pictures {
            notes.extend(sink.finish()?);
        }
        if let Some(wav) = self.wav {
            notes.extend(wav.finish()?);
        }
        Ok(notes)
    }

    fn each(
        &mut self,
        mut act: impl FnMut(&mut dyn PictureSink) -> Result<(), OutputError>,
    ) -> Result<(), OutputError> {
        self.pictures.iter_mut().try_for_each(|sink| act(sink.as_mut()))
    }
}

/// What is said of a file for which there was nothing to write.
fn nothing_for(path: &Path, what: &str) -> String {
    let older = if is_older(path) { "; the file that is there is older" } else { "" };
    format!("{}: not written, for there was no {what}{older}", path.display())
}

/// Whether a file is there that was not written now. What a link leads to was emptied if it was to be written.
fn is_older(path: &Path) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    is_file || path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
}
