//! What keeping the player's dangerous parts apart costs: CPU time of all its processes together, beside that of the same
//! stages as plain calls in one process.
//!
//! `cargo bench --bench player`; without `--bench` each way is only tried. All processes run on one core: time spent waking
//! another one is no work. Nothing is written, so each picture is decoded and copied out once.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

/// Two seconds of 1920x1080 at 30 pictures a second.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/media/clip-1080p-av1.mp4");

/// How often the clip is played in one run: more than 20 s of work altogether.
const REPEAT: u32 = 20;

/// How many runs of each way, one after the other in turn; their median counts.
const ROUNDS: usize = 3;

const WAYS: [&[&str]; 3] = [&["--in-process"], &["--model", "broker"], &["--model", "orchestrator"]];

fn main() {
    let measuring = std::env::args().any(|argument| argument == "--bench");
    let (rounds, repeat) = if measuring { (ROUNDS, REPEAT) } else { (1, 1) };
    build();
    run_on_one_core();
    let mut seconds = WAYS.map(|_| Vec::new());
    for _ in 0..rounds {
        for (way, seconds) in WAYS.iter().zip(&mut seconds) {
            seconds.push(cpu_seconds(way, repeat));
        }
    }
    let medians = seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    });
    println!("{:<22} {:>8} {:>8}", "player, 1080p", "CPU s", "ratio");
    for (way, median) in WAYS.iter().zip(medians) {
        println!("{:<22} {median:>8.2} {:>8.3}", way.join(" "), median / medians[0]);
    }
}

/// Builds the player as it is measured.
fn build() {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--example", "player"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the player does not build");
}

/// This process, and those that it starts.
fn run_on_one_core() {
    let set = sched_getaffinity(None).expect("a thread may ask for its own cores");
    let core = (0..CpuSet::MAX_CPU).find(|core| set.is_set(*core)).expect("it runs on one");
    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one).expect("a thread may choose among its own cores");
}

/// Where cargo puts it: beside the folder of this program.
fn program() -> PathBuf {
    let bench = std::env::current_exe().expect("the bench knows its own path");
    let profile = bench.parent().and_then(Path::parent).expect("benches run in target/release/deps");
    profile.join("examples/player")
}

/// CPU time of all processes of one run.
fn cpu_seconds(way: &[&str], repeat: u32) -> f64 {
    let run = Command::new(program()).args(way).args(["--json", "--repeat", &repeat.to_string(), CLIP]).output();
    let run = run.expect("the player starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let report: Value = serde_json::from_slice(&run.stdout).expect("the report is JSON");
    let workers = report["workers"].as_array().expect("a list");
    workers.iter().filter_map(|worker| worker["cpu_seconds"].as_f64()).sum()
}
