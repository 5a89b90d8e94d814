//! Pictures, as they lie in memory.

use serde::{Deserialize, Serialize};

/// The most pixels that a picture may have: 8192 × 4352, the largest of AV1's levels 6.x.
pub const MAX_PICTURE_PIXELS: u32 = 8192 * 4352;

/// How the samples of the two colour planes relate to those of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chroma {
    /// No colour planes (4:0:0).
    Mono,
    /// Half as many each way (4:2:0).
    Half,
    /// Half as many in a row (4:2:2).
    HalfWidth,
    /// As many (4:4:4).
    Full,
}

/// How a picture lies in memory: its planes one after the other, without padding; samples of more than 8 bits take two
/// bytes, the lower one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Significant bits of a sample: 8, 10 or 12.
    pub bits: u8,
    /// The colour planes.
    pub chroma: Chroma,
}

/// One plane of a [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneLayout {
    /// Bytes of a row.
    pub row_bytes: usize,
    /// Rows.
    pub rows: usize,
}

impl Layout {
    /// Whether the layout is one that a picture can have: some pixels, no more than [`MAX_PICTURE_PIXELS`], and a known
    /// number of bits.
    pub fn is_possible(&self) -> bool {
        let pixels = u64::from(self.width) * u64::from(self.height);
        (1..=u64::from(MAX_PICTURE_PIXELS)).contains(&pixels) && matches!(self.bits, 8 | 10 | 12)
    }

    /// The planes, in their order in memory.
    pub fn planes(&self) -> impl Iterator<Item = PlaneLayout> + use<> {
        let sample_bytes = if self.bits > 8 { 2 } else { 1 };
        let plane = move |width: u32, height: u32| PlaneLayout {
            row_bytes: width as usize * sample_bytes,
            rows: height as usize,
        };
        let half = |length: u32| length.div_ceil(2);
        let colour = match self.chroma {
            Chroma::Mono => None,
            Chroma::Half => Some(plane(half(self.width), half(self.height))),
            Chroma::HalfWidth => Some(plane(half(self.width), self.height)),
            Chroma::Full => Some(plane(self.width, self.height)),
        };
        [Some(plane(self.width, self.height)), colour, colour].into_iter().flatten()
    }

    /// How many bytes the picture takes.
    pub fn bytes(&self) -> usize {
        self.planes().map(|plane| plane.row_bytes * plane.rows).sum()
    }
}

/// What a decoder says about a picture; its samples lie elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// How its samples lie in memory.
    pub layout: Layout,
    /// When it is shown, in ticks of its track.
    pub pts: i64,
    /// For how long, in ticks; 0 if nobody knows.
    pub duration: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_pictures_keep_their_last_colour_sample() {
        let layout = |chroma, bits| Layout { width: 63, height: 37, bits, chroma };
        assert_eq!(layout(Chroma::Mono, 8).bytes(), 63 * 37);
        assert_eq!(layout(Chroma::Half, 8).bytes(), 63 * 37 + 2 * 32 * 19);
        assert_eq!(layout(Chroma::HalfWidth, 8).bytes(), 63 * 37 + 2 * 32 * 37);
        assert_eq!(layout(Chroma::Full, 10).bytes(), 2 * 3 * 63 * 37);
    }

    #[test]
    fn impossible_pictures_are_refused() {
        let layout = Layout { width: 1, height: 1, bits: 8, chroma: Chroma::Half };
        assert!(layout.is_possible());
        assert!(!Layout { width: 0, ..layout }.is_possible());
        assert!(!Layout { bits: 9, ..layout }.is_possible());
        assert!(!Layout { width: u32::MAX, height: u32::MAX, ..layout }.is_possible());
    }
}
