//! Running the built example `player`.

#[path = "../promptly/mod.rs"]
pub mod promptly;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The arguments that choose how the player does its work.
pub const WAYS: [&[&str]; 3] = [&["--in-process"], &["--model", "broker"], &["--model", "orchestrator"]];

/// Longer than anything takes that does not hang, also on a busy machine and without optimisation.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What a run left behind.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A folder for output files, and a player that writes there.
pub struct Stage {
    pub folder: TempDir,
    pub way: &'static [&'static str],
}

impl Stage {
    /// A new folder, and a player that does its work in this way.
    pub fn new(way: &'static [&'static str]) -> Self {
        eprintln!("player {}", way.join(" "));
        Self { folder: tempfile::tempdir().expect("a folder for output"), way }
    }

    /// A path for an output file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the player. Its output goes to files, so that it never waits for a reader.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let output = |name| File::create(self.path(name)).expect("output can be written");
        Command::new(program())
            .args(self.way)
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(output(STDOUT))
            .stderr(output(STDERR))
            .spawn()
            .expect("the player starts")
    }

    /// Waits until a started player has ended.
    ///
    /// # Panics
    /// If it does not end, or writes a control character.
    pub fn wait(&self, mut child: Child) -> Run {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("the player is a child") {
                break status;
            }
            if started.elapsed() > TIMEOUT {
                child.kill().expect("the player can be killed");
                child.wait().expect("the player is a child");
                panic!("the player hangs");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let output = |name| std::fs::read_to_string(self.path(name)).expect("output is text");
        let run = Run { code: status.code(), stdout: output(STDOUT), stderr: output(STDERR) };
        for output in [&run.stdout, &run.stderr] {
            assert!(!output.contains(|c: char| c.is_control() && c != '\n'), "control characters in {output:?}");
        }
        run
    }

    /// Starts the player, sends it SIGINT after `delay`, and waits until it has ended; also how long that took.
    pub fn interrupt(&self, arguments: &[&str], delay: Duration) -> (Run, Duration) {
        let child = self.start(arguments);
        std::thread::sleep(delay);
        let sent = Instant::now();
        kill_process(Pid::from_child(&child), Signal::INT).expect("the player runs");
        let run = self.wait(child);
        (run, sent.elapsed())
    }

    /// Runs the player to its end.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.wait(self.start(arguments))
    }

    /// Runs the player, which must succeed without a word on standard error.
    pub fn play(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        run
    }

    /// Plays `media`, and returns the file that `option` writes.
    pub fn output(&self, option: &str, media: &str, more: &[&str]) -> Vec<u8> {
        self.play(&[&[option, "output", "--quiet", &clip(media)], more].concat());
        std::fs::read(self.path("output")).expect("the player writes its output")
    }
}

/// The path of a shipped clip.
pub fn clip(name: &str) -> String {
    format!("{}/examples/media/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The player's standard output and error, in its folder.
const STDOUT: &str = ".stdout";
const STDERR: &str = ".stderr";

/// The built player: `cargo test` puts it beside the folder of the running test.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    let profile = test.parent().and_then(Path::parent).expect("tests run in target/<profile>/deps");
    let program = profile.join("examples/player");
    assert!(program.is_file(), "{} is missing: build it with `cargo build --example player`", program.display());
    program
}
