//! What the player makes of files: pictures, samples, messages and exit codes.

mod player;

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use hound::WavReader;
use md5::{Digest, Md5};
use player::promptly::promptly;
use player::{Stage, WAYS, clip, program};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};

/// Samples a channel of each `tone.*`.
const TONE_FRAMES: usize = 144_000;

#[test]
fn pictures_have_the_sums_that_ffmpeg_lists() {
    each_way(|stage| {
        let clips = ["clip-av1.webm", "clip-av1.mp4", "clip-1080p-av1.mp4"].map(str::to_owned);
        let forms = forms();
        assert!(forms.len() >= 17, "{forms:?}");
        for name in clips.iter().chain(&forms) {
            assert_eq!(listed(stage, name, &[]), reference(name), "{name}");
        }
    });
}

#[test]
fn y4m_holds_the_pictures() {
    each_way(|stage| {
        for (name, header) in [
            ("clip-av1.webm", "YUV4MPEG2 W320 H180 F24:1 Ip A1:1 C420jpeg "),
            ("formats/odd-422.mkv", "YUV4MPEG2 W63 H37 F25:1 Ip A1:1 C422 "),
            ("formats/mono-10.mkv", "YUV4MPEG2 W96 H64 F25:1 Ip A1:1 Cmono10 "),
        ] {
            let y4m = stage.output("--y4m", name, &[]);
            assert!(y4m.starts_with(header.as_bytes()), "{name}");
            let (sums, sizes): (Vec<_>, Vec<_>) =
                rows(&reference(name)).iter().map(|row| (row.hash.clone(), row.size)).unzip();
            // libaom's tools read no more of a header than 79 bytes, and others not much more.
            let header_bytes = y4m.iter().position(|byte| *byte == b'\n').expect("a header") + 1;
            assert!(header_bytes <= 79, "{name}: {header_bytes}");
            let frames = y4m[header_bytes..].chunks(b"FRAME\n".len() + sizes[0]);
            let hashes: Vec<_> = frames.map(|frame| hex(&Md5::digest(&frame[b"FRAME\n".len()..]))).collect();
            assert_eq!(hashes, sums, "{name}");
        }
    });
}

#[test]
fn lossless_sound_comes_through_unchanged() {
    each_way(|stage| {
        let original = std::fs::read(clip("tone.wav")).expect("the clips are shipped");
        let original = samples(&original);
        for name in ["tone.wav", "tone.flac"] {
            assert!(samples(&stage.output("--wav", name, &[])) == original, "{name}");
        }
    });
}

#[test]
fn lossy_sound_is_decoded_in_full() {
    each_way(|stage| {
        let original = samples(&std::fs::read(clip("tone.wav")).expect("the clips are shipped"));
        for name in ["tone.mp3", "tone.ogg", "tone.m4a"] {
            let decoded = samples(&stage.output("--wav", name, &[]));
            assert_eq!(decoded.len(), 2 * TONE_FRAMES, "{name}");
            let error = power(original.iter().zip(&decoded).map(|(a, b)| f64::from(*a) - f64::from(*b)));
            let ratio = error / power(original.iter().map(|sample| f64::from(*sample)));
            assert!(ratio < 0.01, "{name}: the error has {ratio} of the sound's power");
        }
    });
}

#[test]
fn playing_starts_at_the_key_picture_before_the_time_asked_for() {
    each_way(|stage| {
        for name in ["clip-av1.webm", "clip-av1.mp4"] {
            let whole = rows(&reference(name));
            for (seek, first) in [("1.5", 24), ("3.99", 72), ("0", 0)] {
                let part = rows(&listed(stage, name, &["--seek", seek]));
                assert_eq!(part, whole[first..], "{name} from {seek} s");
            }
        }
    });
}

#[test]
fn sound_starts_exactly_at_the_time_asked_for() {
    each_way(|stage| {
        for name in ["tone.wav", "tone.flac", "tone.mp3", "tone.ogg"] {
            let whole = samples(&stage.output("--wav", name, &[]));
            let part = samples(&stage.output("--wav", name, &["--seek", "1.75"]));
            assert!(part == whole[2 * 84_000..], "{name}");
        }
    });
}

#[test]
fn sound_starts_with_the_pictures() {
    each_way(|stage| {
        let name = "clip-av1.mp4";
        let whole = samples(&stage.output("--wav", name, &[]));
        let part = samples(&stage.output("--wav", name, &["--seek", "1.5"]));
        assert_eq!(whole.len() - part.len(), 48_000, "one channel, from the key picture at 1 s on");
    });
}

#[test]
fn there_is_nothing_beyond_the_end() {
    each_way(|stage| {
        for name in ["clip-av1.webm", "clip-av1.mp4", "tone.wav", "tone.mp3", "tone.m4a"] {
            let run = stage.run(&["--seek", "100", "--wav", "sound", &clip(name)]);
            assert_eq!(run.code, Some(2), "{name}: {}", run.stderr);
            assert!(run.stderr.contains("the file has nothing to play "), "{name}: {}", run.stderr);
            assert!(run.stderr.contains("100.000 s"), "{name}: {}", run.stderr);
            assert!(!run.stderr.contains("given up"), "{name}: {}", run.stderr);
        }
        assert!(files(stage).is_empty());
    });
}

#[test]
fn bad_files_are_told_apart() {
    each_way(|stage| {
        std::fs::write(stage.path("empty"), "").expect("writable");
        let cases = [
            (clip("notmedia.mp4"), "this is not a media file"),
            ("empty".to_owned(), "the file is empty"),
            (clip("formats"), "this is a directory, not a file"),
            ("missing.mp4".to_owned(), "there is no such file"),
            ("/dev/zero".to_owned(), "this is a pipe, socket or device, not a file"),
        ];
        for (file, message) in cases {
            let run = stage.run(&[&file, "--framemd5", "list", "--wav", "sound"]);
            assert_eq!(run.code, Some(2), "{file}");
            assert!(run.stderr.starts_with(&format!("{file}: {message}")), "{}", run.stderr);
            assert_eq!((run.stderr.lines().count(), run.stdout.as_str()), (1, ""), "{file}");
        }
        assert_eq!(files(stage), ["empty"]);
    });
}

#[test]
fn a_file_that_was_cut_off_is_played_up_to_there() {
    each_way(|stage| {
        let run = stage.run(&["--framemd5", "list", "--wav", "sound", &clip("truncated-av1.webm")]);
        assert_eq!(run.code, Some(0));
        assert!(run.stderr.contains("the file ends in the middle of a packet after 2.9"), "{}", run.stderr);
        let part = rows(&std::fs::read_to_string(stage.path("list")).expect("written"));
        assert!(run.stderr.contains(&format!("kept {} pictures and 2.9", part.len())), "{}", run.stderr);
        assert!(part.len() > 70, "{}", part.len());
        assert_eq!(part, rows(&reference("clip-av1.webm"))[..part.len()]);
        assert!(samples(&std::fs::read(stage.path("sound")).expect("written")).len() > 140_000);
    });
}

#[test]
fn damaged_pictures_do_not_stop_the_others() {
    each_way(|stage| {
        let run = stage.run(&["--framemd5", "list", "--wav", "sound", &clip("noisy-av1.mp4")]);
        assert_eq!(run.code, Some(0));
        let expected = "track 1 (video, AV1 (av01)): 22 of 96 packets could not be decoded, the first at 0.500 s: ";
        assert!(run.stderr.contains(expected), "{}", run.stderr);
        let kept = rows(&std::fs::read_to_string(stage.path("list")).expect("written"));
        assert!(run.stderr.contains(&format!("; kept {} pictures", kept.len())), "{}", run.stderr);
        let whole = rows(&reference("clip-av1.mp4"));
        assert!(kept[..12] == whole[..12], "up to the first damaged packet");
        let sound = samples(&std::fs::read(stage.path("sound")).expect("written"));
        assert_same_sound(&sound, &samples(&stage.output("--wav", "clip-av1.mp4", &[])));
    });
}

#[test]
fn a_track_without_a_decoder_is_refused_by_name() {
    each_way(|stage| {
        let run = stage.run(&["--framemd5", "list", "--wav", "sound", &clip("clip-h264.mp4")]);
        assert_eq!(run.code, Some(0));
        assert!(run.stderr.contains("track 1 (video, H.264 (avc1)): there is no decoder for it"), "{}", run.stderr);
        assert!(run.stderr.contains(", and `--decoder ffmpeg` may have one"), "{}", run.stderr);
        assert!(run.stderr.contains("list: not written, for there was no picture"), "{}", run.stderr);
        let sound = samples(&std::fs::read(stage.path("sound")).expect("written"));
        assert_same_sound(&sound, &samples(&stage.output("--wav", "clip-av1.mp4", &[])));
        assert!(!stage.path("list").exists());
    });
}

#[test]
#[cfg(not(feature = "ffmpeg"))]
fn a_player_without_ffmpeg_says_how_to_get_it() {
    each_way(|stage| {
        let run = stage.run(&["--decoder", "ffmpeg", &clip("clip-h264.mp4")]);
        assert_eq!(run.code, Some(2));
        assert!(run.stderr.contains("`cargo build --release --features ffmpeg --example player`"), "{}", run.stderr);
    });
}

#[test]
fn a_report_can_be_read_by_programs() {
    each_way(|stage| {
        let run = stage.play(&["--json", &clip("clip-av1.mp4")]);
        let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
        assert_eq!((&report["pictures"], &report["width"], &report["height"]), (&96.into(), &320.into(), &180.into()));
        assert_eq!((&report["rate"], &report["channels"]), (&48_000.into(), &1.into()));
        assert_eq!((&report["exit_code"], &report["error"]), (&0.into(), &serde_json::Value::Null));
        assert!(report["workers"][0]["cpu_seconds"].as_f64() > Some(0.0), "{report}");
        assert!(report["workers"][0]["peak_memory_bytes"].as_u64() > Some(1 << 20), "{report}");

        let run = stage.run(&["--json", &clip("notmedia.mp4")]);
        let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
        assert_eq!(report["exit_code"], 2);
        assert!(report["error"].as_str().is_some_and(|error| error.contains("not a media file")), "{report}");
    });
}

#[test]
fn a_terminal_is_shown_how_far_playing_is() {
    each_way(|stage| {
        let (mut screen, terminal) = terminal();
        let mut player = Command::new(program());
        player.args(stage.way).args(["--repeat", "20"]).env("TERM", "xterm");
        player.stdin(Stdio::null()).stdout(Stdio::null()).stderr(terminal);
        let mut child = player.spawn().expect("the player starts");
        // The terminal ends, with an error, when nobody has it open any more.
        drop(player);
        let mut shown = Vec::new();
        let _ = screen.read_to_end(&mut shown);
        assert_eq!(child.wait().expect("the player is a child").code(), Some(0));
        let shown = String::from_utf8_lossy(&shown);
        let workers = if stage.way == WAYS[0] { "in process" } else { "demux ok, audio ok, video ok" };
        for part in ["/4.00 s  ", " pictures/s  ", workers] {
            assert!(shown.contains(part), "{part}: {shown:?}");
        }
        assert!(shown.ends_with("\r\u{1b}[2K"), "the bar is wiped off at the end: {shown:?}");
    });
}

#[test]
fn the_clip_that_comes_with_the_player_is_played_by_default() {
    each_way(|stage| {
        let run = stage.play(&[]);
        assert!(run.stdout.contains("clip-av1.webm (Matroska / WebM); 96 pictures of 320x180, "), "{}", run.stdout);
        assert!(run.stdout.contains("\nworker "), "{}", run.stdout);
        assert_eq!(stage.play(&["--quiet"]).stdout, "");
    });
}

#[test]
fn interrupted_playing_ends_within_a_second() {
    each_way(|stage| {
        promptly(Duration::from_secs(1), || {
            let (run, took) = stage.interrupt(&["--repeat", "100000", "--json"], Duration::from_millis(300));
            assert_eq!(run.code, Some(130), "{}", run.stderr);
            took
        });
    });
}

/// Runs `test` once for each way of playing.
fn each_way(test: impl Fn(&Stage)) {
    for way in WAYS {
        test(&Stage::new(way));
    }
}

/// A new terminal: what a person sees, and what a program writes to.
fn terminal() -> (File, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags).expect("there are terminals");
    unlockpt(&screen).expect("a new terminal can be unlocked");
    let program = ioctl_tiocgptpeer(&screen, flags).expect("its other end can be opened");
    (screen.into(), program.into())
}

/// The files in the player's folder, but for its standard output.
fn files(stage: &Stage) -> Vec<String> {
    let entries = stage.folder.path().read_dir().expect("readable").map(|entry| entry.expect("readable").file_name());
    let names = entries.map(|name| name.into_string().expect("text"));
    names.filter(|name| !name.starts_with(".std")).collect()
}

/// One row of a list of pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    number: i64,
    size: usize,
    hash: String,
}

fn rows(list: &str) -> Vec<Row> {
    let rows = list.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let cells: Vec<_> = row.split(',').map(str::trim).collect();
        Row {
            number: cells[2].parse().expect("a number"),
            size: cells[4].parse().expect("a size"),
            hash: cells[5].to_owned(),
        }
    })
    .collect()
}

/// The list that the player makes of `name`.
fn listed(stage: &Stage, name: &str, more: &[&str]) -> String {
    String::from_utf8(stage.output("--framemd5", name, more)).expect("text")
}

/// The list that FFmpeg made of `name`.
fn reference(name: &str) -> String {
    std::fs::read_to_string(clip(&format!("{name}.framemd5"))).expect("lists are shipped")
}

/// The clips in `formats/`.
fn forms() -> Vec<String> {
    let entries = std::fs::read_dir(clip("formats")).expect("the clips are shipped");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("text"));
    names.filter_map(|name| Some(format!("formats/{}", name.strip_suffix(".framemd5")?))).collect()
}

fn samples(wav: &[u8]) -> Vec<i16> {
    let reader = WavReader::new(wav).expect("a WAVE file");
    assert_eq!(reader.spec().sample_rate, 48_000);
    reader.into_samples().collect::<Result<_, _>>().expect("16-bit samples")
}

/// The clips have the same sound, but for a few samples by which their containers end it differently.
fn assert_same_sound(a: &[i16], b: &[i16]) {
    let both = a.len().min(b.len());
    assert!(a.len().abs_diff(b.len()) < 64 && a[..both] == b[..both], "{} and {} samples", a.len(), b.len());
}

fn power(samples: impl Iterator<Item = f64>) -> f64 {
    samples.map(|sample| sample * sample).sum()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
