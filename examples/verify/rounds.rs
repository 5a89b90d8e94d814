//! Many workers, started and ended one after the other by a host of their own, which holds as much afterwards as before.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use cloison_sandbox::{LaunchError, Launcher, Tier};
use nix::sched::{CloneFlags, unshare};

use crate::run::{self, PATIENCE, Row, Stage};

/// The argument of the host.
pub const WORD: &str = "--rounds-of";
/// Rounds unless the command line says otherwise.
pub const FEW: usize = 200;

/// Namespaces of each kind that the host may have at once. The kernel gives some back a moment after their last process.
const NAMESPACES: usize = 64;
/// How often a launch is tried for which no namespace was left.
const TRIES: u32 = 100;

pub fn run(stage: &Stage, rounds: usize) -> Row {
    let output = Command::new("/proc/self/exe").args([WORD, &stage.tier().to_string(), &rounds.to_string()]).output();
    let (happened, held) = match output {
        Ok(output) => {
            let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr });
            (said.trim().to_owned(), output.status.success())
        }
        Err(error) => (error.to_string(), false),
    };
    let (name, wanted) = (format!("{rounds}_rounds"), "nothing is left".to_owned());
    Row { group: "ends", name, wanted, happened, stopped_by: "", held }
}

/// The host.
pub fn main(words: &[String]) -> ExitCode {
    let told = || -> Result<String, String> {
        let tier = crate::tier(words.first().map_or("", |word| word))?;
        let rounds = words.get(1).and_then(|word| word.parse().ok()).ok_or("no number of rounds")?;
        let few = few_namespaces();
        rounds_of(tier, rounds).map(|held| {
            let namespaces = match few {
                Ok(()) => format!("never more than {NAMESPACES} namespaces of a kind"),
                Err(error) => format!("namespaces not counted ({error})"),
            };
            format!("{held}; {namespaces}")
        })
    };
    match told() {
        Ok(held) => {
            println!("{held}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Goes into a user namespace in which there may be only a few namespaces of each kind: the kernel counts them exactly.
fn few_namespaces() -> std::io::Result<()> {
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    for kind in ["user", "mnt", "net", "ipc", "uts", "cgroup", "pid"] {
        fs::write(format!("/proc/sys/user/max_{kind}_namespaces"), NAMESPACES.to_string())?;
    }
    Ok(())
}

fn rounds_of(tier: Tier, rounds: usize) -> Result<String, String> {
    let mut launcher = Launcher::new().map_err(|error| error.to_string())?;
    round(&mut launcher, tier, true)?;
    let before = settled();
    for number in 0..rounds {
        round(&mut launcher, tier, number % 2 == 0).map_err(|error| format!("round {number}: {error}"))?;
    }
    let after = settled();
    let words: Vec<String> = after.iter().map(|(what, count)| format!("{count} {what}")).collect();
    if before == after { Ok(words.join(", ")) } else { Err(format!("{before:?} before, {after:?} after")) }
}

/// Starts a worker, and kills it or lets it end.
fn round(launcher: &mut Launcher, tier: Tier, kill: bool) -> Result<(), String> {
    let mut tries = 0;
    let (mut child, channel) = loop {
        match run::start(launcher, run::plan(Some(tier))) {
            Err(LaunchError::TooWeak { .. }) if tries < TRIES => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(20));
                // This one remembers that the system has no namespaces to give.
                *launcher = Launcher::new().map_err(|error| error.to_string())?;
            }
            started => break started.map_err(|error| error.to_string())?,
        }
    };
    if kill {
        child.kill();
    }
    drop(channel);
    child.wait(PATIENCE).map_err(|error| error.to_string())?.map(drop).ok_or_else(|| "a worker does not end".to_owned())
}

/// What this process holds once nothing is under way any more: its own thread is there, and the spawner's.
fn settled() -> BTreeMap<&'static str, usize> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let held = possessions();
        if (held["children"] == 0 && held["threads"] == 2) || Instant::now() > deadline {
            return held;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn possessions() -> BTreeMap<&'static str, usize> {
    let entries = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let children = children.map(|list| list.split_whitespace().count()).sum();
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_or(0, |text| text.lines().count());
    let held = [("descriptors", entries("/proc/self/fd")), ("threads", entries("/proc/self/task"))];
    held.into_iter().chain([("children", children), ("mounts", mounts)]).collect()
}
