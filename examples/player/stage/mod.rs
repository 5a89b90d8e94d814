//! The dangerous parts, each by itself: they parse what a stranger made.
//!
//! A stage is plain Rust. It opens nothing, starts nothing and knows of no process: what it reads comes through
//! [`source::ReadAt`], what it makes goes into memory that its caller provides.

pub mod audio;
pub mod codec;
pub mod demux;
pub mod family;
#[cfg(feature = "ffmpeg")]
pub mod ffmpeg;
mod mp4;
mod obu;
pub mod source;
pub mod video;

/// What is said if FFmpeg's stages are wanted, and there are none.
#[cfg(not(feature = "ffmpeg"))]
const WITHOUT_FFMPEG: &str = "this player was built without FFmpeg; \
    `cargo build --release --features ffmpeg --example player` makes one that has it";
