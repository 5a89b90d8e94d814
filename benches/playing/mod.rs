//! Running the player as benches measure it: optimised, and all its processes on one core.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

/// Two seconds of 1920x1080 at 30 pictures a second.
pub const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/media/clip-1080p-av1.mp4");

/// Builds the player as it is measured, and has this process and those that it starts run on one core: time spent waking
/// another one is no work.
pub fn prepare() {
    let features: &[&str] = if cfg!(feature = "ffmpeg") { &["--features", "ffmpeg"] } else { &[] };
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--example", "player"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the player does not build");
    let set = sched_getaffinity(None).expect("a thread may ask for its own cores");
    let core = (0..CpuSet::MAX_CPU).find(|core| set.is_set(*core)).expect("it runs on one");
    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one).expect("a thread may choose among its own cores");
}

/// Plays the clip `repeat` times; what the player reports.
pub fn play(way: &[&str], repeat: u32) -> Value {
    let mut player = if undisturbed() { Command::new("chrt") } else { Command::new(program()) };
    if undisturbed() {
        player.args(["--fifo", "1"]).arg(program());
    }
    let run = player.args(way).args(["--json", "--repeat", &repeat.to_string(), CLIP]).output();
    let run = run.expect("the player starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).expect("the report is JSON")
}

/// Whether what is measured runs in a real-time class, before everything else on its core: what else a busy machine does is a
/// larger difference than the one that is looked for.
pub fn undisturbed() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    let may = || Command::new("chrt").args(["--fifo", "1", "true"]).status().is_ok_and(|status| status.success());
    *ANSWER.get_or_init(may)
}

/// CPU time of all processes of one run.
pub fn cpu_seconds(report: &Value) -> f64 {
    let workers = report["workers"].as_array().expect("a list");
    workers.iter().filter_map(|worker| worker["cpu_seconds"].as_f64()).sum()
}

/// The middle one, if they are odd in number.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Where cargo puts it: beside the folder of this program.
fn program() -> PathBuf {
    let bench = std::env::current_exe().expect("the bench knows its own path");
    let profile = bench.parent().and_then(Path::parent).expect("benches run in target/release/deps");
    profile.join("examples/player")
}
