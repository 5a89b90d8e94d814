//! What keeping the player's dangerous parts apart costs: CPU time of all its processes together, beside that of the same
//! stages as plain calls in one process.
//!
//! `cargo bench --bench player`; without `--bench` each way is only tried. Nothing is written, so each picture is decoded
//! and copied out once.

mod playing;

use playing::{cpu_seconds, median, play, prepare};

/// How often the clip is played in one run: more than 20 s of work altogether.
const REPEAT: u32 = 20;

/// How many runs of each way, one after the other in turn; their median counts.
const ROUNDS: usize = 3;

const WAYS: [&[&str]; 3] = [&["--in-process"], &["--model", "broker"], &["--model", "orchestrator"]];

fn main() {
    let measuring = std::env::args().any(|argument| argument == "--bench");
    let (rounds, repeat) = if measuring { (ROUNDS, REPEAT) } else { (1, 1) };
    prepare();
    let mut seconds = WAYS.map(|_| Vec::new());
    for _ in 0..rounds {
        for (way, seconds) in WAYS.iter().zip(&mut seconds) {
            seconds.push(cpu_seconds(&play(way, repeat)));
        }
    }
    let medians = seconds.map(median);
    println!("{:<22} {:>8} {:>8}", "player, 1080p", "CPU s", "ratio");
    for (way, median) in WAYS.iter().zip(medians) {
        println!("{:<22} {median:>8.2} {:>8.3}", way.join(" "), median / medians[0]);
    }
}
