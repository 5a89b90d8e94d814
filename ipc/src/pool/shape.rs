//! Which pools there can be, and where their buffers lie.

use cloison_msg::control::{BUFFER_ALIGN, PoolShape};

use crate::memory::MapError;

/// Most buffers in a pool. A decoder needs as many as pictures it may have to keep, plus a few under way: AV1, VP9 and
/// H.264 keep at most 16.
pub const BUFFERS_MAX: u16 = 64;

/// Largest pool, in bytes: ten pictures of 8K with 8-bit 4:2:0 samples.
pub const POOL_BYTES_MAX: usize = 512 << 20;

/// Why there can be no pool of some shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// No buffers, or buffers of no bytes.
    #[error("a pool needs at least one buffer of at least one byte")]
    Empty,
    /// More buffers than [`BUFFERS_MAX`].
    #[error("{0} buffers are more than the {BUFFERS_MAX} of a pool")]
    TooMany(u16),
    /// Larger than [`POOL_BYTES_MAX`] altogether.
    #[error("a pool of {0} bytes is larger than {POOL_BYTES_MAX}")]
    TooLarge(u64),
}

/// Why a descriptor cannot be mapped as a pool. It is closed.
#[derive(Debug, thiserror::Error)]
pub enum MapPoolError {
    /// The shape itself is impossible.
    #[error("cannot map a pool: {0}")]
    Shape(#[from] ShapeError),
    /// The memory is not what it ought to be.
    #[error("cannot map a pool: {0}")]
    Memory(#[from] MapError),
}

/// Where the buffers of a checked shape lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of a buffer that may be used.
    pub buffer_len: usize,
    /// From the start of one buffer to that of the next, in bytes.
    pub stride: usize,
    /// How many buffers.
    pub count: u16,
}

impl Layout {
    /// Checks a shape.
    pub fn of(shape: PoolShape) -> Result<Self, ShapeError> {
        if shape.buffer_size == 0 || shape.count == 0 {
            return Err(ShapeError::Empty);
        }
        if shape.count > BUFFERS_MAX {
            return Err(ShapeError::TooMany(shape.count));
        }
        let stride = u64::from(shape.buffer_size).next_multiple_of(u64::from(BUFFER_ALIGN));
        let bytes = stride * u64::from(shape.count);
        if bytes > POOL_BYTES_MAX as u64 {
            return Err(ShapeError::TooLarge(bytes));
        }
        let too_large = |_| ShapeError::TooLarge(bytes);
        Ok(Self {
            buffer_len: usize::try_from(shape.buffer_size).map_err(too_large)?,
            stride: usize::try_from(stride).map_err(too_large)?,
            count: shape.count,
        })
    }

    /// Length of all the memory, in bytes.
    pub const fn bytes(&self) -> usize {
        self.stride * self.count as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(buffer_size: u32, count: u16) -> Result<Layout, ShapeError> {
        Layout::of(PoolShape { buffer_size, count })
    }

    #[test]
    fn buffers_start_on_pages() {
        assert_eq!(layout(1, 3), Ok(Layout { buffer_len: 1, stride: 4096, count: 3 }));
        assert_eq!(layout(4096, 1).map(|l| l.stride), Ok(4096));
        assert_eq!(layout(4097, 2).map(|l| l.bytes()), Ok(16_384));
    }

    #[test]
    fn limits_hold() {
        assert_eq!(layout(0, 1), Err(ShapeError::Empty));
        assert_eq!(layout(1, 0), Err(ShapeError::Empty));
        assert_eq!(layout(1, 65), Err(ShapeError::TooMany(65)));
        assert!(layout(512 << 20, 1).is_ok());
        assert_eq!(layout((512 << 20) + 1, 1), Err(ShapeError::TooLarge((512 << 20) + 4096)));
        assert_eq!(layout(u32::MAX, 64), Err(ShapeError::TooLarge(64 << 32)));
    }
}
