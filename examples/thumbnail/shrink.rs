//! Pictures made small.

use crate::protocol::Layout;

/// The picture with at most `size` pixels on its longer side: its width, its height, and red, green and blue of each pixel, which
/// is the mean of those that it stands for.
pub fn shrink(layout: &Layout, samples: &[u8], size: u32) -> (usize, usize, Vec<u8>) {
    let (longest, bytes) = (layout.width.max(layout.height), if layout.bits > 8 { 2 } else { 1 });
    let small = |side: u32| (side as usize * size.min(longest) as usize / longest as usize).max(1);
    let (width, height) = (small(layout.width), small(layout.height));
    let upper_bits = |sample: &[u8]| match *sample {
        [low, high] => (u16::from_le_bytes([low, high]) >> (layout.bits - 8)).to_le_bytes()[0],
        _ => sample[0],
    };
    let samples: Vec<u8> = samples.chunks_exact(bytes).map(upper_bits).collect();
    let mut pixels = Vec::with_capacity(width * height * 3);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let (mut rest, mut colour) = (&samples[..], [16.0, 128.0, 128.0]);
        for (plane, mean) in layout.planes().zip(&mut colour) {
            let (row, rows) = (plane.row_bytes / bytes, plane.rows);
            let (across, down) = ((row / width).max(1), (rows / height).max(1));
            let block = (0..down).flat_map(|at| &rest[(y * rows / height + at) * row + x * row / width..][..across]);
            *mean = block.map(|sample| u64::from(*sample)).sum::<u64>() as f32 / (across * down) as f32;
            rest = &rest[row * rows..];
        }
        pixels.extend(rgb(colour));
    }
    (width, height, pixels)
}

/// By BT.709, as most videos have it.
#[expect(clippy::cast_possible_truncation, reason = "what is no byte becomes the nearest one")]
fn rgb([luma, blue, red]: [f32; 3]) -> [u8; 3] {
    let (luma, blue, red) = (1.164 * (luma - 16.0), blue - 128.0, red - 128.0);
    [luma + 1.793 * red, luma - 0.213 * blue - 0.533 * red, luma + 2.112 * blue].map(|value| value.round() as u8)
}
