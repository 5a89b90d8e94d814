//! The example `thumbnail`: which pictures it makes, and what it says where there is none.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs the built example with one of the shipped clips.
fn thumbnail(clip: &str, out: &Path, more: &[&str]) -> Output {
    // Cargo builds the examples before it runs all tests of a package.
    let test = std::env::current_exe().expect("a test knows its executable");
    let program = test.ancestors().nth(2).expect("tests are built below target").join("examples/thumbnail");
    assert!(program.exists(), "{} is not built: cargo build --examples", program.display());
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/media").join(clip);
    Command::new(program).arg(clip).arg(out).args(more).output().expect("it can be started")
}

/// The size and the pixels of what it makes.
fn pixels(clip: &str, more: &[&str]) -> ((usize, usize), Vec<[u8; 3]>) {
    let folder = tempfile::tempdir().expect("a folder for output");
    let out = folder.path().join("out.ppm");
    let output = thumbnail(clip, &out, more);
    assert!(output.status.success() && output.stderr.is_empty(), "{clip}: {output:?}");
    let written = std::fs::read(out).expect("it was written");
    let mut parts = written.splitn(4, |byte| *byte == b'\n');
    let mut line = || std::str::from_utf8(parts.next().expect("a line")).expect("text");
    assert_eq!(line(), "P6");
    let (width, height) = line().split_once(' ').expect("two sides");
    let size = (width.parse().expect("a number"), height.parse().expect("a number"));
    assert_eq!(line(), "255");
    let (pixels, rest) = parts.next().expect("pixels").as_chunks();
    assert_eq!((pixels.len(), rest), (size.0 * size.1, &[][..]), "{clip}");
    (size, pixels.to_vec())
}

#[test]
fn pictures_keep_their_form_and_colours() {
    for (clip, more, size) in [
        ("clip-av1.webm", &[][..], (160, 90)),
        ("clip-1080p-av1.mp4", &["--size", "60"], (60, 33)),
        ("truncated-av1.webm", &["--size", "999"], (320, 180)),
        ("formats/444-10.mkv", &[], (96, 64)),
        ("formats/odd-422.mkv", &[], (63, 37)),
    ] {
        let ((width, height), pixels) = pixels(clip, more);
        assert_eq!((width, height), size, "{clip}");
        // The test pattern: bars of red, green, yellow, blue, magenta and cyan. A second from its start, nothing else is below.
        let colours =
            (0..6).map(|bar| pixels[(height - 1) * width + (2 * bar + 1) * width / 12].map(|value| value > 127));
        let bars = [0b100, 0b010, 0b110, 0b001, 0b101, 0b011].map(|bar: u8| [4, 2, 1].map(|bit| bar & bit != 0));
        assert_eq!(colours.collect::<Vec<_>>(), bars, "{clip}");
    }
    let (_, grey) = pixels("formats/mono-10.mkv", &[]);
    assert!(grey.iter().all(|[red, green, blue]| red == green && green == blue));
    assert_eq!(pixels("formats/one-pixel.mkv", &[]).0, (1, 1));
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = tempfile::tempdir().expect("a folder for output");
    let out = folder.path().join("out.ppm");
    for (clip, said) in [
        ("notmedia.mp4", "thumbnail: this is not a media file"),
        ("tone.wav", "thumbnail: no video that can be decoded is in it\n"),
        ("none", "thumbnail: there is no such file\n"),
        (".", "thumbnail: this is a directory, not a file\n"),
    ] {
        let output = thumbnail(clip, &out, &[]);
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.code() == Some(1) && stderr.starts_with(said), "{clip}: {stderr}");
        assert!(!out.exists(), "{clip}");
    }
    let there = folder.path().join("there");
    std::fs::write(&there, "as it was").expect("it can be written");
    assert_eq!(thumbnail("clip-av1.webm", &there, &[]).status.code(), Some(1));
    assert_eq!(std::fs::read(&there).expect("it is there"), b"as it was");
}

/// It is to be read in one sitting.
#[test]
fn it_stays_small() {
    let lines = |file: &str| {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "examples/thumbnail", file].iter().collect();
        std::fs::read_to_string(path).expect("it is there").lines().count()
    };
    assert!(lines("main.rs") + lines("worker.rs") + lines("shrink.rs") <= 170);
}
