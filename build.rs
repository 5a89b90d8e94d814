//! With the feature `ffmpeg`, keeps the symbols of the Rust AV1 decoder to the player itself.
//!
//! That decoder has the C interface of libdav1d, names and all, and a program's own symbols come before those of its
//! shared libraries: FFmpeg would call it in place of the libdav1d it was built for, whose structures are others.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_FFMPEG").is_some() {
        for targets in ["examples", "tests"] {
            println!("cargo::rustc-link-arg-{targets}=-Wl,--exclude-libs,ALL");
        }
    }
}
