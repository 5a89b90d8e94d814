//! Where a demuxer reads from: positioned reads only, and a length told from outside.
//!
//! A confined worker has neither `lseek` nor `fstat` on the file it is given, so the position is kept here.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use symphonia::core::io::MediaSource;

/// Something that can be read at any position.
pub trait ReadAt: Send + Sync {
    /// Reads up to `buffer.len()` bytes from `offset` on; 0 at the end.
    ///
    /// # Errors
    /// Whatever the system reports.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        (&self[start..]).read(buffer)
    }
}

/// What a source says of its own end.
///
/// Some parsers refuse a file whose container promises more bytes than there are. Such a file was cut off; what it does
/// hold can be played if nobody tells the parser where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The end is where it is.
    Exact,
    /// No end is told, every position can be reached.
    Endless,
    /// No end is told, and positions only grow.
    Stream,
}

/// A cursor over something that can be read at any position.
#[derive(Clone)]
pub struct Source {
    reader: Arc<dyn ReadAt>,
    length: u64,
    position: u64,
    extent: Extent,
}

impl Source {
    /// A cursor at the start of `reader`, which holds `length` bytes.
    pub fn new(reader: Arc<dyn ReadAt>, length: u64) -> Self {
        Self { reader, length, position: 0, extent: Extent::Exact }
    }

    /// The same source from its start, which says `extent` of its end.
    pub fn reopened(&self, extent: Extent) -> Self {
        Self { position: 0, extent, ..self.clone() }
    }

    /// Reads exactly `buffer.len()` bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` if there are fewer; whatever the system reports.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut cursor = self.reopened(self.extent);
        cursor.position = offset;
        cursor.read_exact(buffer)
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.reader.read_at(&mut buffer[..wanted], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let end = if self.extent == Extent::Exact { self.length } else { i64::MAX as u64 };
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => end.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl MediaSource for Source {
    fn is_seekable(&self) -> bool {
        self.extent != Extent::Stream
    }

    fn byte_len(&self) -> Option<u64> {
        (self.extent == Extent::Exact).then_some(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_at_the_length_told() {
        let mut source = Source::new(Arc::new(b"0123456789".to_vec()), 6);
        let mut buffer = [0; 4];
        assert_eq!(source.read(&mut buffer).expect("read"), 4);
        assert_eq!(source.read(&mut buffer).expect("read"), 2);
        assert_eq!(source.read(&mut buffer).expect("read"), 0);
        source.seek(SeekFrom::End(-1)).expect("seek");
        assert_eq!(source.read(&mut buffer).expect("read"), 1);
        assert_eq!(buffer[0], b'5');
    }

    #[test]
    fn positions_before_the_start_and_past_every_end_are_harmless() {
        let mut source = Source::new(Arc::new(vec![1, 2, 3]), 3);
        assert!(source.seek(SeekFrom::Current(-1)).is_err());
        source.seek(SeekFrom::Start(u64::MAX)).expect("seek");
        assert_eq!(source.read(&mut [0; 4]).expect("read"), 0);
        assert!(source.seek(SeekFrom::Current(1)).is_err());
    }
}
