//! Pictures with 8-bit 4:2:0 samples.

use crate::floor::Running;

/// Bytes of one of 1280 × 720.
pub const P720: u32 = 1280 * 720 * 3 / 2;
/// Bytes of one of 3840 × 2160.
pub const P2160: u32 = 3840 * 2160 * 3 / 2;

/// More than are ever under way here; as many as a decoder would ask for.
pub const BUFFERS: u16 = 8;

/// Every byte written and copied out by one thread, in memory of its own.
pub fn at_home(len: u32) -> Running {
    let mut buffer = vec![1; len as usize];
    let mut picture = vec![1; len as usize];
    let mut pixel = 0u8;
    Running::timed(Vec::new(), move || {
        pixel = pixel.wrapping_add(1);
        buffer.fill(pixel);
        std::hint::black_box(&mut buffer);
        picture.copy_from_slice(&buffer);
        std::hint::black_box(&mut picture);
    })
}
