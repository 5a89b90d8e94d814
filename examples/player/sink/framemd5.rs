//! MD5 sums of pictures, as `ffmpeg -i FILE -map 0:v:0 -f framemd5 -` lists them.
//!
//! Times are those of the file, also after a seek.

use std::path::Path;

use md5::{Digest, Md5};

use super::cadence::{Cadence, Rate};
use super::file::{OutputError, OutputFile};
use super::{PictureSink, nothing_for};
use crate::protocol::{Picture, TimeBase};

/// The list that is being written.
pub struct FrameMd5 {
    file: OutputFile,
    time_base: TimeBase,
    cadence: Cadence,
    current: Option<Picture>,
    hash: Md5,
    rows: Vec<Row>,
    /// How the rows are numbered, once that is decided; the header has been written then.
    numbering: Option<Numbering>,
}

struct Row {
    picture: Picture,
    hash: [u8; 16],
}

#[derive(Clone, Copy)]
enum Numbering {
    /// By pictures of a regular rate.
    Pictures(Rate),
    /// By the file's own clock.
    Ticks,
}

impl FrameMd5 {
    /// Rows that are kept back until the rate is known. The longer the stretch, the surer the rate.
    const MAX_ROWS: usize = 4096;

    /// Begins a list of pictures that have this clock.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: &Path, time_base: TimeBase) -> Result<Self, OutputError> {
        Ok(Self {
            file: OutputFile::create(path)?,
            time_base,
            cadence: Cadence::new(time_base),
            current: None,
            hash: Md5::new(),
            rows: Vec::new(),
            numbering: None,
        })
    }

    fn write_rows(&mut self) -> Result<(), OutputError> {
        let rows = std::mem::take(&mut self.rows);
        let Some(first) = rows.first() else { return Ok(()) };
        let numbering = match self.numbering {
            Some(numbering) => numbering,
            None => self.write_header(first)?,
        };
        rows.iter().try_for_each(|row| self.write_row(row, numbering))
    }

    fn write_header(&mut self, first: &Row) -> Result<Numbering, OutputError> {
        let numbering = self.cadence.rate().map_or(Numbering::Ticks, Numbering::Pictures);
        self.numbering = Some(numbering);
        let (above, below) = match numbering {
            Numbering::Pictures(rate) => (rate.seconds, rate.pictures),
            Numbering::Ticks => (self.time_base.numerator.get().into(), self.time_base.denominator.get().into()),
        };
        let (width, height) = (first.picture.layout.width, first.picture.layout.height);
        let header = format!(
            "#format: frame checksums\n#version: 2\n#hash: MD5\n#tb 0: {above}/{below}\n#media_type 0: video\n\
             #codec_id 0: rawvideo\n#dimensions 0: {width}x{height}\n#sar 0: 1/1\n\
             #stream#, dts,        pts, duration,     size, hash\n"
        );
        self.file.write(header.as_bytes())?;
        Ok(numbering)
    }

    fn write_row(&mut self, row: &Row, numbering: Numbering) -> Result<(), OutputError> {
        let (time, duration) = match numbering {
            Numbering::Pictures(rate) => (rate.number(row.picture.pts, self.time_base), 1),
            Numbering::Ticks => (row.picture.pts, row.picture.duration),
        };
        let hash: String = row.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let size = row.picture.layout.bytes();
        self.file.write(format!("0, {time:10}, {time:10}, {duration:8}, {size:8}, {hash}\n").as_bytes())
    }
}

impl PictureSink for FrameMd5 {
    fn begin(&mut self, picture: &Picture) -> Result<(), OutputError> {
        self.current = Some(*picture);
        self.hash.reset();
        Ok(())
    }

    fn chunk(&mut self, chunk: &[u8]) -> Result<(), OutputError> {
        self.hash.update(chunk);
        Ok(())
    }

    fn end(&mut self) -> Result<(), OutputError> {
        let Some(picture) = self.current.take() else { return Ok(()) };
        self.cadence.see(picture.pts, picture.duration);
        self.rows.push(Row { picture, hash: self.hash.finalize_reset().into() });
        if self.rows.len() >= Self::MAX_ROWS { self.write_rows() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<String>, OutputError> {
        self.write_rows()?;
        if self.numbering.is_none() {
            return Ok(vec![nothing_for(self.file.path(), "picture")]);
        }
        self.file.commit()?;
        Ok(Vec::new())
    }
}
