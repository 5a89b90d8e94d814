//! Pictures as YUV4MPEG2, which most video tools read.
//!
//! The header tells the rate, which is known for sure at the end. Where it cannot be written again then, the first pictures
//! are held back until their times show the rate.

use std::path::Path;

use super::cadence::Cadence;
use super::file::{OutputError, OutputFile};
use super::{PictureSink, nothing_for};
use crate::protocol::{Chroma, Layout, Picture, TimeBase};
use crate::text::counted;

/// The file that is being written.
pub struct Y4m {
    file: OutputFile,
    time_base: TimeBase,
    cadence: Cadence,
    /// The layout that the header tells; the format knows no change.
    layout: Option<Layout>,
    /// Whether the picture that has begun is of another layout.
    skipping: bool,
    skipped: u64,
    /// What comes before the header is written, if that cannot be written again.
    held: Option<Held>,
}

/// Pictures that are held back, as they will be written.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    pictures: usize,
}

impl Held {
    /// Over so many pictures, times rounded to milliseconds tell 24 a second from 24,000 in 1001 seconds.
    const MAX_PICTURES: usize = 64;

    /// Large pictures show their rate less surely, and take no more memory than this and one of them.
    const MAX_BYTES: usize = 64 << 20;

    fn is_full(&self) -> bool {
        self.pictures >= Self::MAX_PICTURES || self.bytes.len() >= Self::MAX_BYTES
    }
}

impl Y4m {
    /// Begins a file of pictures that have this clock.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: &Path, time_base: TimeBase) -> Result<Self, OutputError> {
        let file = OutputFile::create(path)?;
        let (cadence, held) = (Cadence::new(time_base), (!file.can_rewind()).then(Held::default));
        Ok(Self { file, time_base, cadence, layout: None, skipping: false, skipped: 0, held })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        match &mut self.held {
            Some(held) => {
                held.bytes.extend_from_slice(bytes);
                Ok(())
            }
            None => self.file.write(bytes),
        }
    }

    /// Writes the header and what was held back.
    fn release(&mut self, layout: &Layout) -> Result<(), OutputError> {
        let Some(held) = self.held.take() else { return Ok(()) };
        self.file.write(&header(layout, &self.cadence, self.time_base))?;
        self.file.write(&held.bytes)
    }
}

impl PictureSink for Y4m {
    fn begin(&mut self, picture: &Picture) -> Result<(), OutputError> {
        if self.layout.is_none() {
            self.layout = Some(picture.layout);
            if self.held.is_none() {
                self.file.write(&header(&picture.layout, &self.cadence, self.time_base))?;
            }
        }
        self.skipping = self.layout != Some(picture.layout);
        if self.skipping {
            self.skipped += 1;
            return Ok(());
        }
        self.cadence.see(picture.pts, picture.duration);
        self.put(b"FRAME\n")
    }

    fn chunk(&mut self, chunk: &[u8]) -> Result<(), OutputError> {
        if self.skipping { Ok(()) } else { self.put(chunk) }
    }

    fn end(&mut self) -> Result<(), OutputError> {
        if let (Some(held), Some(layout), false) = (&mut self.held, self.layout, self.skipping) {
            held.pictures += 1;
            if held.is_full() {
                return self.release(&layout);
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<String>, OutputError> {
        let path = self.file.path().to_owned();
        let Some(layout) = self.layout else { return Ok(vec![nothing_for(&path, "picture")]) };
        self.release(&layout)?;
        if self.file.can_rewind() {
            self.file.rewrite_start(&header(&layout, &self.cadence, self.time_base))?;
        }
        self.file.commit()?;
        let skipped = counted(self.skipped, "picture");
        let note = format!("{}: left out {skipped} of another size or form", path.display());
        Ok(if self.skipped > 0 { vec![note] } else { Vec::new() })
    }
}

/// How long a header is. libaom's tools read 79 bytes of one and FFmpeg 96, and then give up.
const HEADER_BYTES: usize = 72;

/// The header, always of the same length, so that it can be written again when the rate is known. What fills it up is a
/// comment to every reader of the format.
fn header(layout: &Layout, cadence: &Cadence, time_base: TimeBase) -> Vec<u8> {
    let rate = cadence.rate().and_then(|rate| Some((rate.pictures.try_into().ok()?, rate.seconds.try_into().ok()?)));
    let (pictures, seconds): (u32, u32) = rate.unwrap_or((time_base.denominator.get(), time_base.numerator.get()));
    let Layout { width, height, .. } = layout;
    let colours = colours(layout);
    let header = format!("YUV4MPEG2 W{width} H{height} F{pictures}:{seconds} Ip A1:1 C{colours} X");
    format!("{header:_<width$}\n", width = HEADER_BYTES - 1).into_bytes()
}

fn colours(layout: &Layout) -> String {
    let (name, long) = match layout.chroma {
        Chroma::Mono => ("mono", "mono"),
        Chroma::Half => ("420jpeg", "420p"),
        Chroma::HalfWidth => ("422", "422p"),
        Chroma::Full => ("444", "444p"),
    };
    if layout.bits > 8 { format!("{long}{}", layout.bits) } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::MAX_PICTURE_PIXELS;
    use std::num::NonZeroU32;

    fn written(layouts: &[Layout]) -> (Vec<u8>, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.y4m");
        let time_base = TimeBase { numerator: NonZeroU32::MIN, denominator: NonZeroU32::new(50).expect("not zero") };
        let mut y4m = Box::new(Y4m::create(&path, time_base).expect("creates"));
        for (layout, number) in layouts.iter().zip(0_u8..) {
            y4m.begin(&Picture { layout: *layout, pts: 2 * i64::from(number), duration: 2 }).expect("begins");
            y4m.chunk(&vec![number; layout.bytes()]).expect("writes");
            y4m.end().expect("ends");
        }
        let notes = y4m.finish().expect("finishes");
        (std::fs::read(&path).expect("reads"), notes)
    }

    #[test]
    fn the_header_tells_size_rate_and_form() {
        let layout = Layout { width: 3, height: 1, bits: 10, chroma: Chroma::Half };
        let (bytes, notes) = written(&[layout; 3]);
        let header = String::from_utf8(bytes[..HEADER_BYTES].to_vec()).expect("text");
        assert!(header.starts_with("YUV4MPEG2 W3 H1 F25:1 Ip A1:1 C420p10 X_"), "{header}");
        assert!(header.ends_with("_\n"));
        assert_eq!(&bytes[HEADER_BYTES..HEADER_BYTES + 20], b"FRAME\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(bytes.len(), HEADER_BYTES + 3 * (6 + layout.bytes()));
        assert!(notes.is_empty());
    }

    #[test]
    fn the_longest_header_has_the_length_of_any_other() {
        let widest = Layout { width: MAX_PICTURE_PIXELS, height: 1, bits: 12, chroma: Chroma::Half };
        let squarest = Layout { width: 8192, height: 4352, ..widest };
        let time_base = TimeBase { numerator: NonZeroU32::MAX, denominator: NonZeroU32::MAX };
        let mut slow = Cadence::new(time_base);
        slow.see(0, 1 << 40);
        slow.see(1 << 40, 1 << 40);
        for layout in [widest, squarest] {
            for cadence in [&slow, &Cadence::new(time_base)] {
                let header = String::from_utf8(header(&layout, cadence, time_base)).expect("text");
                assert_eq!(header.len(), HEADER_BYTES, "{header}");
                assert!(header.contains(" C420p12 X") && header.ends_with("_\n"), "{header}");
            }
        }
    }

    #[test]
    fn pictures_of_another_form_are_left_out_and_told() {
        let layout = Layout { width: 4, height: 2, bits: 8, chroma: Chroma::Mono };
        let (bytes, notes) = written(&[layout, Layout { width: 2, ..layout }, layout]);
        assert_eq!(bytes.len(), HEADER_BYTES + 2 * (6 + 8));
        assert!(notes[0].ends_with("left out 1 picture of another size or form"), "{notes:?}");
    }
}
