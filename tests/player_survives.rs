//! What becomes of playing when workers crash, hang, or are ended from outside.

mod player;

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use player::promptly::promptly;
use player::{Run, Stage, WAYS, clip};
use serde_json::Value;

const CLIP: &str = "clip-av1.webm";

/// All that the player is asked for where its outputs are compared.
const OUTPUTS: [&str; 5] = ["--json", "--framemd5", "list", "--wav", "sound"];

#[test]
fn a_crash_of_any_worker_loses_nothing() {
    each_model(|stage| {
        for (role, fault) in [("demux", "demux@40"), ("audio", "audio@50"), ("video", "video@30")] {
            let run = play(stage, &["--crash", fault]);
            assert_recovered(stage, &run, role, "killed by SIGKILL");
        }
    });
}

#[test]
fn a_crash_before_anything_was_decoded_loses_nothing() {
    each_model(|stage| {
        for role in ["demux", "audio", "video"] {
            let run = play(stage, &["--crash", &format!("{role}@0")]);
            assert_recovered(stage, &run, role, "killed by SIGKILL");
        }
    });
}

#[test]
fn crashes_of_several_workers_lose_nothing() {
    each_model(|stage| {
        let run = play(stage, &["--crash", "demux@60", "--crash", "video@31", "--crash", "audio@90"]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(std::fs::read(stage.path("list")).expect("written"), reference(), "{}", run.stderr);
        assert!(std::fs::read(stage.path("sound")).expect("written") == whole_sound(), "{}", run.stderr);
        assert!(run.stderr.ends_with(": nothing was lost\n"), "{}", run.stderr);
    });
}

/// Containers round their times in ways of their own: the sound is joined where it was counted to be.
#[test]
fn sound_goes_on_at_the_very_sample() {
    /// AAC leaves noise to the decoder, which makes other noise if it does not begin at the start.
    const AAC: [&str; 2] = ["tone.m4a", "clip-av1.mp4"];
    const SOUND: &[&str] = &["audio@3", "audio@20", "demux@9"];
    const BOTH: &[&str] = &["demux@20", "audio@20", "video@20", "audio@90", "video@60"];
    let sound = ["tone.flac", "tone.ogg", "tone.mp3", "tone.wav", AAC[0]].map(|name| (name, SOUND));
    each_model(|stage| {
        for (name, faults) in sound.into_iter().chain([(CLIP, BOTH), (AAC[1], BOTH)]) {
            let whole = stage.output("--wav", name, &[]);
            for fault in faults {
                let run = stage.run(&["--quiet", "--crash", fault, "--wav", "output", &clip(name)]);
                assert_eq!(run.code, Some(0), "{}", run.stderr);
                assert!(run.stderr.ends_with(": nothing was lost\n"), "{name}, {fault}: {}", run.stderr);
                let sound = std::fs::read(stage.path("output")).expect("written");
                assert_eq!(sound.len(), whole.len(), "{name}, {fault}");
                let has_other_noise = AAC.contains(&name) && !run.stderr.contains("went on from 0.000 s");
                assert!(sound == whole || has_other_noise && is_near(&sound, &whole), "{name}, {fault}");
            }
        }
    });
}

#[test]
fn a_worker_that_answers_no_more_is_replaced() {
    each_model(|stage| {
        std::thread::scope(|scope| {
            for role in ["demux", "audio", "video"] {
                for how in ["", ":stop"] {
                    let stage = Stage::new(stage.way);
                    scope.spawn(move || {
                        let run = play(&stage, &["--hang", &format!("{role}@40{how}")]);
                        assert_recovered(&stage, &run, role, "killed by the host: it did not answer");
                    });
                }
            }
        });
    });
}

#[test]
fn a_worker_that_runs_in_circles_is_replaced() {
    each_model(|stage| {
        for role in ["demux", "audio", "video"] {
            let run = play(stage, &["--hang", &format!("{role}@40:busy")]);
            assert_recovered(stage, &run, role, "killed by the host: it did not answer");
        }
    });
}

#[test]
fn a_stretch_that_keeps_killing_is_skipped() {
    each_model(|stage| {
        let run = play(stage, &["--crash", "video@5:always"]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains(" and before 1.003 s are lost"), "{}", run.stderr);
        assert!(!run.stderr.contains("nothing was lost"), "{}", run.stderr);
        let reference = String::from_utf8(reference()).expect("text");
        let list = std::fs::read_to_string(stage.path("list")).expect("written");
        let rows: Vec<_> = list.lines().collect();
        assert!(rows.len() > 9 + 15, "some of each second: {list}");
        assert!(rows.iter().all(|row| reference.contains(row)), "{list}");
        assert_nothing_runs(&run);
    });
}

#[test]
fn a_fault_that_never_came_is_told() {
    each_model(|stage| {
        let run = play(stage, &["--crash", "video@9999"]);
        let message = "video@9999 was never reached: there were 96 pictures";
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains(message), "{}", run.stderr);
        assert_eq!(report(&run)["notes"][0], message);
    });
}

#[test]
fn a_worker_that_never_lives_is_given_up() {
    each_model(|stage| {
        for role in ["demux", "audio", "video"] {
            let run = play(stage, &["--crash", &format!("{role}@0:always")]);
            assert_eq!(run.code, Some(3), "{}", run.stderr);
            let expected = format!("gave up: the {role} worker died 6 times without bringing anything new");
            assert!(run.stderr.contains(&expected), "{}", run.stderr);
            assert_nothing_runs(&run);
        }
    });
}

#[test]
fn what_was_played_before_giving_up_is_kept() {
    each_model(|stage| {
        let run = play(stage, &["--crash", "demux@10:always"]);
        assert_eq!(run.code, Some(3), "{}", run.stderr);
        let list = std::fs::read_to_string(stage.path("list")).expect("kept");
        let reference = String::from_utf8(reference()).expect("text");
        let rows = list.lines().filter(|row| !row.starts_with('#'));
        let sums: Vec<_> = rows.filter_map(|row| row.rsplit(' ').next()).collect();
        assert!(!sums.is_empty() && sums.iter().all(|sum| reference.contains(sum)), "{list}");
        assert_eq!(report(&run)["exit_code"], 3);
    });
}

#[test]
fn an_interrupt_ends_everything_within_a_second() {
    each_model(|stage| {
        for more in [&["--repeat", "100000"][..], &["--hang", "video@10:stop"], &["--hang", "demux@10:busy"]] {
            let interrupt = || {
                let (run, took) = stage.interrupt(&[&["--json"], more].concat(), Duration::from_millis(700));
                assert_eq!(run.code, Some(130), "{more:?}: {}", run.stderr);
                assert_nothing_runs(&run);
                took
            };
            promptly(Duration::from_secs(1), interrupt);
        }
    });
}

#[test]
fn workers_do_not_outlive_their_host() {
    each_model(|stage| {
        let mut child = stage.start(&["--repeat", "100000", "--quiet"]);
        let workers = within_seconds(10, || Some(children(child.id())).filter(|workers| workers.len() >= 3));
        child.kill().expect("the player runs");
        child.wait().expect("the player is a child");
        within_seconds(10, || workers.iter().all(|pid| !runs(*pid)).then_some(()));
    });
}

#[test]
fn the_least_confinement_is_what_the_user_says() {
    each_model(|stage| {
        let run = stage.play(&["--json"]);
        assert!(confinements(&run).iter().all(|tier| tier.starts_with("full: ") || tier.starts_with("no-userns: ")));

        let run = stage.run(&["--json", "--sandbox", "off"]);
        assert_eq!(run.code, Some(0));
        assert!(run.stderr.contains("WARNING: --sandbox off: NOTHING IS CONFINED"), "{}", run.stderr);
        assert_eq!(confinements(&run), ["off: NOT CONFINED"; 3]);

        // Not every system allows it; then nothing is played with less.
        let run = stage.run(&["--json", "--sandbox", "full"]);
        match run.code {
            Some(0) => assert!(confinements(&run).iter().all(|tier| tier.starts_with("full: ")), "{}", run.stdout),
            code => assert_eq!((code, report(&run)["pictures"].as_u64()), (Some(2), Some(0)), "{}", run.stderr),
        }
    });
}

#[test]
fn a_worker_says_what_it_used() {
    each_model(|stage| {
        let run = stage.play(&["--json"]);
        let report = report(&run);
        let workers = report["workers"].as_array().expect("a list");
        assert_eq!(workers.iter().map(|row| &row["role"]).collect::<Vec<_>>(), ["host", "demux", "audio", "video"]);
        for worker in &workers[1..] {
            let number = |name: &str| worker[name].as_f64().expect("a number");
            assert!(number("pid") > 1.0 && number("messages") > 90.0 && number("bytes") > 1000.0, "{worker}");
            assert!(number("peak_memory_bytes") > 1e6, "{worker}");
            assert_eq!(number("restarts"), 0.0);
        }
        assert!(workers[3]["cpu_seconds"].as_f64() > Some(0.0), "decoding takes time: {report}");
        assert_nothing_runs(&run);
    });
}

/// Runs `test` once for each model.
fn each_model(test: impl Fn(&Stage)) {
    for way in &WAYS[1..] {
        test(&Stage::new(way));
    }
}

/// Plays the clip into files.
fn play(stage: &Stage, more: &[&str]) -> Run {
    stage.run(&[&OUTPUTS[..], more, &[&clip(CLIP)]].concat())
}

/// The worker of `role` died of `why`, another one took its place, and nobody would know by the pictures and the sound.
fn assert_recovered(stage: &Stage, run: &Run, role: &str, why: &str) {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("the {role} worker died: {why}")), "{}", run.stderr);
    assert!(run.stderr.contains("; playing went on from "), "{}", run.stderr);
    assert!(run.stderr.ends_with(": nothing was lost\n"), "{}", run.stderr);
    assert!(std::fs::read(stage.path("list")).expect("written") == reference(), "{}", run.stderr);
    assert!(std::fs::read(stage.path("sound")).expect("written") == whole_sound(), "{}", run.stderr);
    let report = report(run);
    let rows = report["workers"].as_array().expect("a list");
    let row = rows.iter().find(|row| row["role"] == role).expect("a row");
    // On a machine that is busy enough, a worker may seem to hang that does not.
    assert!(row["restarts"].as_u64() >= Some(1), "{report}");
    assert_nothing_runs(run);
}

fn report(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).expect("JSON")
}

/// How the workers were confined.
fn confinements(run: &Run) -> Vec<String> {
    let report = report(run);
    let workers = report["workers"].as_array().expect("a list").iter().skip(1);
    workers.map(|row| row["confinement"].as_str().expect("text").to_owned()).collect()
}

/// None of the processes in the player's report is there any more.
fn assert_nothing_runs(run: &Run) {
    for worker in report(run)["workers"].as_array().expect("a list") {
        let pid = worker["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a number");
        assert!(!runs(pid), "{worker}");
    }
}

fn runs(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// The processes whose parent is `pid`.
fn children(pid: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|child| parent(*child) == Some(pid)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything, come the state and the parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Asks until there is an answer.
fn within_seconds<T>(seconds: u64, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(seconds);
    loop {
        match ask() {
            Some(answer) => return answer,
            None => assert!(Instant::now() < until, "nothing within {seconds} s"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether two files differ by no more than some noise.
fn is_near(a: &[u8], b: &[u8]) -> bool {
    const NOISE: u16 = 1 << 9;
    let samples =
        |file: &[u8]| -> Vec<_> { file.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect() };
    samples(a).iter().zip(samples(b)).all(|(a, b)| a.abs_diff(b) < NOISE)
}

/// The sound of the clip, when nothing dies.
fn whole_sound() -> &'static [u8] {
    static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| Stage::new(WAYS[0]).output("--wav", CLIP, &[]));
    &SOUND
}

fn reference() -> Vec<u8> {
    std::fs::read(clip(&format!("{CLIP}.framemd5"))).expect("lists are shipped")
}

/// The shipped decoders need no rule that the strict profile lacks: learning finds none, says how confined it was not, and
/// changes nothing of what is played.
#[test]
fn learning_shows_that_the_strict_rules_are_enough() {
    each_model(|stage| {
        let run = play(stage, &["--sandbox", "learn"]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains("WARNING: --sandbox learn: NO SYSTEM CALL IS REFUSED"), "{}", run.stderr);
        assert_eq!(std::fs::read(stage.path("list")).expect("written"), reference(), "{}", run.stderr);
        let report: Value = serde_json::from_str(&run.stdout).expect("a report");
        for worker in report["workers"].as_array().expect("workers").iter().filter(|worker| worker["role"] != "host") {
            let text = |key: &str| worker[key].as_str().expect("text").to_owned();
            assert!(text("confinement").starts_with("LEARNING, NO CALL IS REFUSED"), "{worker}");
            assert!(text("learned").starts_with("// "), "{worker}");
            assert!(!text("learned").contains(".rule("), "{worker}");
        }
    });
}
