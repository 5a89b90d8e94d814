//! Damaged files, through the player's confined workers: the host lives, everything ends in time, and whatever happens to
//! a worker is told.
//!
//! `CLOISON_DAMAGED=5000 CLOISON_SEED=7 cargo test --test player_damaged -- --nocapture` tries more and others; with
//! `--features ffmpeg`, FFmpeg's decoders too.

mod damage;
#[expect(dead_code, reason = "other tests play whole files")]
mod player;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use damage::{Dice, damaged, whole_files};
use player::{Run, Stage};
use serde_json::Value;

/// How many files each family of decoders is given, unless said otherwise.
const FILES: u64 = 240;

/// Players at a time: each keeps four processes busy, but most of them wait for another.
const AT_A_TIME: usize = 4;

const BROKER: &[&str] = &["--model", "broker"];
const ORCHESTRATOR: &[&str] = &["--model", "orchestrator"];

/// What became of the files of one family.
#[derive(Debug, Default)]
struct Tally {
    played: u64,
    refused: u64,
    given_up: u64,
    /// How workers died, and how often.
    deaths: BTreeMap<String, u64>,
}

#[test]
fn the_rust_decoders_survive_damaged_files() {
    survive(&["--decoder", "rust"], &[".", "formats"]);
}

#[test]
#[cfg(feature = "ffmpeg")]
fn ffmpegs_decoders_survive_damaged_files() {
    survive(&["--decoder", "ffmpeg"], &["formats", "ffmpeg"]);
}

#[test]
fn the_same_seed_damages_the_same_way() {
    let files = whole_files(&["formats"]);
    let make = |number| damaged(&files, &mut Dice::new(1, number));
    let made: Vec<_> = (0..64).map(make).collect();
    assert_eq!(made, (0..64).map(make).collect::<Vec<_>>());
    let unharmed = made.iter().filter(|(_, data)| files.iter().any(|(_, whole)| whole == data)).count();
    assert!(unharmed < 4, "{unharmed} of 64 were not damaged at all");
}

#[test]
fn deaths_are_told_apart() {
    let told = |line: &str| deaths(line).map(|death| (is_explained(&death), death)).collect::<Vec<_>>();
    assert!(told("f: track 1 (video, AV1): 3 of 4 packets could not be decoded; kept 1 picture").is_empty());
    let both =
        "f: the video worker died: killed by SIGSEGV; the demux worker died: exit code 1; playing went on from 0 s";
    let [segv, code] = &told(both)[..] else { panic!("two deaths") };
    assert_eq!(segv, &(true, "video: killed by SIGSEGV".to_owned()));
    assert_eq!(code, &(false, "demux: exit code 1".to_owned()));
    let up = "gave up: the audio worker died 6 times without bringing anything new, at last of this: forbidden system call socket";
    assert_eq!(told(up), [(true, "audio: forbidden system call socket".to_owned())]);
    assert!(told("the audio worker died: exit code 101 — audio: panicked at x")[0].0);
    assert!(!told("the audio worker died: ended, but its status was taken by something else in the host")[0].0);
}

fn survive(family: &[&str], folders: &[&str]) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (count, seed) = (number("CLOISON_DAMAGED").unwrap_or(FILES), number("CLOISON_SEED").unwrap_or(1));
    let files = whole_files(folders);
    assert!(files.len() > 20, "{} files to damage", files.len());
    let (next, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let work = || {
        for number in std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed)).take_while(|next| *next < count) {
            let (what, data) = damaged(&files, &mut Dice::new(seed, number));
            let told = format!("{}, seed {seed}, file {number}: {what}", family.join(" "));
            let run = play(family, number, &data);
            judge(&told, &run, &mut tally.lock().expect("no thread has panicked"));
        }
    };
    std::thread::scope(|scope| (0..AT_A_TIME).for_each(|_| drop(scope.spawn(work))));
    let tally = tally.into_inner().expect("no thread has panicked");
    println!("{}, seed {seed}: {tally:#?}", family.join(" "));
    assert_eq!(tally.played + tally.refused + tally.given_up, count);
    assert!(tally.played > count / 8, "so much damage tests nothing but probing: {tally:?}");
}

fn play(family: &[&str], number: u64, data: &[u8]) -> Run {
    let stage = Stage::new(if number.is_multiple_of(2) { BROKER } else { ORCHESTRATOR });
    std::fs::write(stage.path("damaged"), data).expect("writable");
    let threads: &[&str] = if family.contains(&"ffmpeg") && number % 4 < 2 { &["--threads", "4"] } else { &[] };
    stage.run(&[family, threads, &["--json", "--framemd5", "list", "--wav", "sound", "damaged"]].concat())
}

/// Nothing crashed but workers, and each of those for a reason that was told.
fn judge(told: &str, run: &Run, tally: &mut Tally) {
    match run.code {
        Some(0) => tally.played += 1,
        Some(2) => tally.refused += 1,
        Some(3) => tally.given_up += 1,
        code => panic!("{told}: the host ended with {code:?}: {}", run.stderr),
    }
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{told}: {error}"));
    let workers = report["workers"].as_array().expect("a list");
    let restarts: u64 = workers.iter().filter_map(|worker| worker["restarts"].as_u64()).sum();
    let deaths: Vec<_> = run.stderr.lines().flat_map(deaths).collect();
    assert!(restarts == 0 || !deaths.is_empty(), "{told}: {restarts} restarts, and not a word: {}", run.stderr);
    for death in deaths {
        assert!(is_explained(&death), "{told}: {death:?}");
        *tally.deaths.entry(death).or_default() += 1;
    }
}

/// The deaths that a line tells of: `the video worker died: WHY; …`.
fn deaths(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split("; ").filter_map(|part| {
        let (before, why) = part.split_once(" worker died")?;
        let role = before.rsplit(' ').next()?;
        let why = why.split_once("at last of this: ").map_or(why.trim_start_matches(": "), |(_, why)| why);
        // What it was busy with is another message each time.
        let why = why.split_once(" (by its own account").map_or(why, |(why, _)| why);
        Some(format!("{role}: {why}"))
    })
}

/// Whether a death has a cause that a person can do something with.
fn is_explained(death: &str) -> bool {
    let (_, why) = death.split_once(": ").unwrap_or_default();
    let (cause, words) = why.split_once(" — ").unwrap_or((why, ""));
    match cause {
        _ if cause.starts_with("killed by SIG") || cause.starts_with("killed by the host: ") => true,
        _ if cause.starts_with("forbidden system call ") => cause.len() > "forbidden system call ".len(),
        // A code says nothing by itself; the last words do.
        _ => cause.starts_with("exit code ") && !words.is_empty(),
    }
}
