//! What confinement costs a decoder: the player's CPU time and wall time with all layers in force, beside the same processes
//! with none.
//!
//! `cargo bench --bench confinement` (with `--features ffmpeg` for both families of decoders); without `--bench` each is
//! only tried. Each way decodes for `CLOISON_BENCH_SECONDS` altogether, 20 unless said. Confined and unconfined runs take turns, in
//! another order each time, and what counts is the median of the ratios of neighbours: a machine that slows down for a while
//! slows both.
//!
//! Where that is allowed (root; `chrt`), the player runs in a real-time class, before all other work. Elsewhere, on a machine
//! that is busy, what else it does is a larger difference than the one that is looked for.

mod playing;

use playing::{cpu_seconds, median, play, prepare, undisturbed};

/// How many pairs of runs; odd, so that there is a middle one.
const PAIRS: u32 = 11;

/// What a decoder may need at most, confined, of its unconfined time.
const TARGET: f64 = 1.02;

/// How often the clip is played to find out how often it must be played.
const TRIAL: u32 = 4;

/// The arguments that choose a family of decoders.
const FAMILIES: &[&[&str]] = if cfg!(feature = "ffmpeg") {
    &[&["--decoder", "rust"], &["--decoder", "ffmpeg"], &["--decoder", "ffmpeg", "--threads", "4"]]
} else {
    &[&["--decoder", "rust"]]
};

/// What one run took.
#[derive(Clone, Copy)]
struct Took {
    cpu: f64,
    wall: f64,
}

fn main() {
    let measuring = std::env::args().any(|argument| argument == "--bench");
    prepare();
    if !undisturbed() {
        println!("not in a real-time class: other work on this machine is measured too");
    }
    println!("{:<34} {:>7} {:>9} {:>9} {:>7} {:>7}", "1080p AV1", "passes", "CPU s off", "confined", "CPU", "wall");
    for family in FAMILIES {
        let passes = if measuring { passes(family) } else { 1 };
        let pairs: Vec<_> = (0..if measuring { PAIRS } else { 1 }).map(|pair| run_pair(family, passes, pair)).collect();
        let ratio = |of: fn(&Took) -> f64| median(pairs.iter().map(|[off, on]| of(on) / of(off)).collect());
        let middle = |at: usize| median(pairs.iter().map(|pair| pair[at].cpu).collect());
        let (cpu, wall) = (ratio(|took| took.cpu), ratio(|took| took.wall));
        let verdict = if cpu <= TARGET { "within" } else { "above" };
        println!(
            "{:<34} {passes:>7} {:>9.2} {:>9.2} {cpu:>7.3} {wall:>7.3}  {verdict} {TARGET}",
            family.join(" "),
            middle(0),
            middle(1)
        );
    }
}

/// The unconfined and the confined run, side by side.
fn run_pair(family: &[&str], passes: u32, pair: u32) -> [Took; 2] {
    let off = || took(family, &["--sandbox", "off"], passes);
    let on = || took(family, &["--sandbox", "no-userns"], passes);
    if pair.is_multiple_of(2) {
        let off = off();
        [off, on()]
    } else {
        let on = on();
        [off(), on]
    }
}

fn took(family: &[&str], sandbox: &[&str], passes: u32) -> Took {
    let report = play(&[family, sandbox].concat(), passes);
    Took { cpu: cpu_seconds(&report), wall: report["elapsed_seconds"].as_f64().expect("a number") }
}

/// How many passes make all runs together long enough.
fn passes(family: &[&str]) -> u32 {
    let seconds = std::env::var("CLOISON_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20.0);
    let pass = took(family, &["--sandbox", "off"], TRIAL).wall / f64::from(TRIAL);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number that saturates")]
    let passes = (seconds / f64::from(PAIRS) / pass).ceil() as u32;
    passes.max(1)
}
