//! Where the player writes: files, pipes and devices, and what it refuses.

#[allow(dead_code, reason = "each test program uses its part")]
mod player;

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use player::{Stage, WAYS, clip, program};

#[test]
fn a_pipe_gets_the_same_sound_and_pictures_as_a_file() {
    each_way(|stage| {
        let wav = piped(stage, "--wav", "tone.wav");
        assert_eq!((&wav[4..8], &wav[40..44]), (&[0xff; 4][..], &[0xff; 4][..]), "sizes that nobody knows yet");
        assert!(wav[44..] == stage.output("--wav", "tone.wav", &[])[44..]);
        // More pictures than are held back, and fewer.
        for name in ["clip-av1.webm", "formats/odd-422.mkv"] {
            assert!(piped(stage, "--y4m", name) == stage.output("--y4m", name, &[]), "{name}");
        }
        // The report does not follow them.
        let mut player = Command::new(program());
        let run = player.args(stage.way).args(["--y4m", "/dev/stdout"]).output().expect("the player starts");
        assert!(run.stdout == stage.output("--y4m", "clip-av1.webm", &[]));
        assert!(String::from_utf8_lossy(&run.stderr).contains("; 96 pictures of 320x180, "));
    });
}

/// What the player writes into a pipe.
fn piped(stage: &Stage, option: &str, name: &str) -> Vec<u8> {
    let mut player = Command::new(program());
    player.args(stage.way).args([option, "/dev/stdout", "--quiet", &clip(name)]);
    let run = player.output().expect("the player starts");
    assert_eq!((run.status.code(), String::from_utf8_lossy(&run.stderr).as_ref()), (Some(0), ""), "{name}");
    run.stdout
}

/// Longer than any deadline: nobody waits for a stage that waits for the host.
#[test]
fn a_pipe_that_is_not_read_for_a_while_costs_no_worker() {
    const PAUSE: Duration = Duration::from_secs(7);
    std::thread::scope(|scope| {
        for way in &WAYS[1..] {
            scope.spawn(move || {
                let stage = Stage::new(way);
                let mut player = Command::new(program());
                player.args(stage.way).args(["--y4m", "/dev/stdout", "--quiet", "--json", &clip("clip-av1.webm")]);
                let mut child =
                    player.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the player starts");
                let mut pictures = vec![0; 1000];
                child.stdout.as_mut().expect("a pipe").read_exact(&mut pictures).expect("it has begun");
                std::thread::sleep(PAUSE);
                let run = child.wait_with_output().expect("the player ends");
                pictures.extend(run.stdout);
                assert!(pictures == stage.output("--y4m", "clip-av1.webm", &[]));
                let report: serde_json::Value = serde_json::from_slice(&run.stderr).expect("nothing but the report");
                let workers = report["workers"].as_array().expect("a list");
                assert!(workers.iter().skip(1).all(|worker| worker["restarts"] == 0), "{report}");
            });
        }
    });
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_of_its_own() {
    each_way(|stage| {
        let run = stage.run(&["--wav", "sound", "--framemd5", "/nowhere/list"]);
        assert_eq!(run.code, Some(1));
        let expected = "player: /nowhere/list: cannot be written: No such file or directory (os error 2)\n";
        assert_eq!(run.stderr, expected);
        let run = stage.run(&["--y4m", "/dev/full"]);
        assert_eq!(run.code, Some(1));
        assert!(run.stderr.contains("/dev/full: cannot be written"), "{}", run.stderr);
        assert!(files(stage).is_empty(), "{:?}", files(stage));
        let full = File::options().write(true).open("/dev/full").expect("there is one");
        let run = Command::new(program()).args(stage.way).stdout(full).output().expect("the player starts");
        assert_eq!(run.status.code(), Some(1));
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(said.starts_with("player: the report cannot be printed: "), "{said}");
    });
}

#[test]
fn outputs_overwrite_neither_the_input_nor_each_other() {
    each_way(|stage| {
        let media = std::fs::read(clip("tone.wav")).expect("the clips are shipped");
        std::fs::write(stage.path("input"), &media).expect("writable");
        std::fs::hard_link(stage.path("input"), stage.path("link")).expect("linked");
        for (arguments, message) in [
            (&["--wav", "input", "input"][..], "--wav input is the file that is to be played"),
            (&["--framemd5", "./link", "input"], "--framemd5 ./link is the file that is to be played"),
            (&["--wav", "out", "--y4m", "./out", "input"], "--wav and --y4m write to the same file, ./out"),
        ] {
            let run = stage.run(arguments);
            assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
            assert!(run.stderr.contains(message), "{}", run.stderr);
        }
        let run = stage.run(&["--wav", "-", "input"]);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains("--wav - is no file; write to /dev/stdout for standard output"), "{}", run.stderr);
        assert!(!stage.path("-").exists());
        assert!(std::fs::read(stage.path("input")).expect("readable") == media);
        assert!(!stage.path("out").exists());
        let run = stage.run(&["--wav", "/dev/null", "--y4m", "/dev/null"]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    });
}

#[test]
fn a_file_of_an_earlier_run_is_told_from_one_that_was_written() {
    const OLDER: &str = "; the file that is there is older\n";
    each_way(|stage| {
        for option in ["--framemd5", "--y4m"] {
            let run = stage.run(&["--quiet", option, "keep", &clip("tone.mp3")]);
            assert_eq!(run.stderr, format!("{}: keep: not written, for there was no picture\n", clip("tone.mp3")));
            std::fs::write(stage.path("keep"), "of an earlier run").expect("writable");
            let run = stage.run(&["--quiet", option, "keep", &clip("tone.mp3")]);
            assert_eq!(run.code, Some(0));
            assert!(
                run.stderr.ends_with(&format!("keep: not written, for there was no picture{OLDER}")),
                "{}",
                run.stderr
            );
            assert_eq!(std::fs::read(stage.path("keep")).expect("kept"), b"of an earlier run");
            std::fs::remove_file(stage.path("keep")).expect("removable");
        }
        let run = stage.run(&["--quiet", "--y4m", "/dev/null", &clip("tone.mp3")]);
        assert!(run.stderr.ends_with(": not written, for there was no picture\n"), "{}", run.stderr);
        std::fs::write(stage.path("sound"), "of an earlier run").expect("writable");
        let run = stage.run(&["--quiet", "--wav", "sound", &clip("formats/odd-422.mkv")]);
        assert!(run.stderr.ends_with(&format!("sound: not written, for there was no sound{OLDER}")), "{}", run.stderr);
    });
}

/// Runs `test` once for each way of playing.
fn each_way(test: impl Fn(&Stage)) {
    for way in WAYS {
        test(&Stage::new(way));
    }
}

/// The files in the player's folder, but for its standard output.
fn files(stage: &Stage) -> Vec<String> {
    let entries = stage.folder.path().read_dir().expect("readable").map(|entry| entry.expect("readable").file_name());
    let names = entries.map(|name| name.into_string().expect("text"));
    names.filter(|name| !name.starts_with(".std")).collect()
}
