//! What the player makes of files with FFmpeg's demuxers and decoders: the same as FFmpeg itself.

#[expect(dead_code, reason = "other tests interrupt the player")]
mod player;

use hound::WavReader;
use md5::{Digest, Md5};
use player::{Stage, WAYS, clip};

/// The arguments that choose FFmpeg's decoders, on one thread and on several.
const THREADS: [&[&str]; 2] = [&["--decoder", "ffmpeg"], &["--decoder", "ffmpeg", "--threads", "4"]];

#[test]
fn pictures_have_the_sums_that_ffmpeg_lists() {
    let clips = clips(".framemd5");
    assert!(clips.len() >= 20, "{clips:?}");
    each_way(|stage| {
        for threads in THREADS {
            for name in &clips {
                let listed = stage.output("--framemd5", &format!("ffmpeg/{name}"), threads);
                assert!(listed == list(name), "{name} {threads:?}");
            }
        }
    });
}

#[test]
fn every_form_of_av1_has_the_sums_that_ffmpeg_lists() {
    let entries = std::fs::read_dir(clip("formats")).expect("the clips are shipped");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("text"));
    let names: Vec<_> = names.filter(|name| name.ends_with(".framemd5")).collect();
    assert!(names.len() >= 17, "{names:?}");
    let stage = Stage::new(WAYS[1]);
    for list in names {
        let name = format!("formats/{}", list.trim_end_matches(".framemd5"));
        let wanted = std::fs::read(clip(&format!("formats/{list}"))).expect("readable");
        assert!(stage.output("--framemd5", &name, THREADS[1]) == wanted, "{name}");
    }
}

#[test]
fn sound_has_the_sum_that_ffmpeg_gives() {
    let clips = clips(".s16md5");
    assert!(clips.len() >= 12, "{clips:?}");
    each_way(|stage| {
        for name in &clips {
            let wav = stage.output("--wav", &format!("ffmpeg/{name}"), THREADS[0]);
            let sum = std::fs::read_to_string(clip(&format!("ffmpeg/{name}.s16md5"))).expect("sums are shipped");
            assert_eq!(sum_of_samples(&wav), sum.trim(), "{name}");
        }
    });
}

#[test]
fn playing_starts_at_the_key_picture_before_the_time_asked_for() {
    each_way(|stage| {
        for threads in THREADS {
            for name in ["h264-b.mp4", "h264-b.ts", "hevc-b.mp4", "vp9.webm", "both.mp4"] {
                let whole = rows(&list(name));
                for (seek, first) in [("0", 0), ("0.47", 0), ("0.5", 12), ("1.2", 24)] {
                    let more = [threads, &["--seek", seek]].concat();
                    let part = rows(&stage.output("--framemd5", &format!("ffmpeg/{name}"), &more));
                    assert_eq!(part, whole[first..], "{name} from {seek} s");
                }
            }
        }
    });
}

#[test]
fn sound_starts_with_the_pictures() {
    each_way(|stage| {
        let whole = samples(&stage.output("--wav", "ffmpeg/both.mp4", THREADS[0]));
        let part = samples(&stage.output("--wav", "ffmpeg/both.mp4", &[THREADS[0], &["--seek", "1"]].concat()));
        let left_out = 48_000 * 96 / 100;
        assert_eq!(part.len(), whole.len() - left_out, "from the key picture at 0.96 s on");
        // AAC puts noise in the place of noise, and what it puts there depends on all that came before.
        let error = power(whole[left_out..].iter().zip(&part).map(|(a, b)| f64::from(*a) - f64::from(*b)));
        let ratio = error / power(part.iter().map(|sample| f64::from(*sample)));
        assert!(ratio < 0.001, "the error has {ratio} of the sound's power");
    });
}

#[test]
fn there_is_nothing_beyond_the_end() {
    each_way(|stage| {
        for name in ["h264-b.mp4", "h264-b.ts", "vp9.webm"] {
            let file = clip(&format!("ffmpeg/{name}"));
            let run = stage.run(&[THREADS[0], &["--seek", "100", "--framemd5", "list", &file]].concat());
            assert_eq!(run.code, Some(2), "{name}: {}", run.stderr);
            assert!(run.stderr.contains("the file has nothing to play at 100.000 s"), "{name}: {}", run.stderr);
        }
    });
}

#[test]
fn a_crash_of_any_worker_loses_nothing() {
    for way in &WAYS[1..] {
        let stage = Stage::new(way);
        let sound = stage.output("--wav", "ffmpeg/both.mp4", THREADS[1]);
        // Much later all packets of so short a clip are with the decoders, and nobody misses the demuxer.
        for fault in ["demux@5", "audio@30", "video@20"] {
            let file = clip("ffmpeg/both.mp4");
            let outputs = ["--framemd5", "list", "--wav", "sound", "--crash", fault, &file];
            let run = stage.run(&[THREADS[1], &outputs].concat());
            assert_eq!(run.code, Some(0), "{fault}: {}", run.stderr);
            assert!(run.stderr.contains("worker died: killed by SIGKILL"), "{fault}: {}", run.stderr);
            assert!(run.stderr.ends_with(": nothing was lost\n"), "{fault}: {}", run.stderr);
            assert!(std::fs::read(stage.path("list")).expect("written") == list("both.mp4"), "{fault}");
            let kept = std::fs::read(stage.path("sound")).expect("written");
            assert!(kept.len().abs_diff(sound.len()) <= 4, "{fault}: {} of {} bytes", kept.len(), sound.len());
        }
    }
}

#[test]
fn files_that_name_others_open_nothing() {
    let lists = [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n"),
        ("local.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile /etc/passwd\nfile tcp://127.0.0.1:1\n"),
        (
            "list.sdp",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        ),
    ];
    each_way(|stage| {
        for (name, text) in lists {
            std::fs::write(stage.path(name), text).expect("writable");
            let run = stage.run(&[THREADS[0], &[name]].concat());
            assert_eq!((run.code, run.stderr.lines().count()), (Some(2), 1), "{name}: {}", run.stderr);
            assert!(!run.stderr.contains("died"), "nobody even tried: {}", run.stderr);
        }
    });
}

/// Runs `test` once for each way of playing.
fn each_way(test: impl Fn(&Stage) + Sync) {
    std::thread::scope(|scope| {
        for way in WAYS {
            let test = &test;
            scope.spawn(move || test(&Stage::new(way)));
        }
    });
}

/// The clips of which there is a file with this ending beside them.
fn clips(ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(clip("ffmpeg")).expect("the clips are shipped");
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("text"));
    names.filter_map(|name| Some(name.strip_suffix(ending)?.to_owned())).collect()
}

/// The list that FFmpeg made of `name`.
fn list(name: &str) -> Vec<u8> {
    std::fs::read(clip(&format!("ffmpeg/{name}.framemd5"))).expect("lists are shipped")
}

/// Number and sum of each picture of a list.
fn rows(list: &[u8]) -> Vec<(String, String)> {
    let list = String::from_utf8_lossy(list).into_owned();
    let cells = |row: &str| row.split(',').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = list.lines().filter(|line| !line.starts_with('#')).map(cells);
    rows.map(|cells| (cells[2].clone(), cells[5].clone())).collect()
}

fn samples(wav: &[u8]) -> Vec<i16> {
    let reader = WavReader::new(wav).expect("a WAVE file");
    reader.into_samples().collect::<Result<_, _>>().expect("16-bit samples")
}

fn sum_of_samples(wav: &[u8]) -> String {
    let bytes: Vec<u8> = samples(wav).into_iter().flat_map(i16::to_le_bytes).collect();
    Md5::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn power(samples: impl Iterator<Item = f64>) -> f64 {
    samples.map(|sample| sample * sample).sum()
}
