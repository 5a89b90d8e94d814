//! From the call of `launch` to an accepted report, and what an idle worker costs.
//!
//! `cargo bench -p cloison-sandbox`. Under `cargo test` it makes a few rounds, to see that it still works.
#![expect(clippy::unwrap_used, reason = "a bench ends at the first thing that does not work")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use cloison_sandbox::{Child, Launch, LaunchError, Launcher, Tier};

/// Launches of each tier, one after the other.
const ROUNDS: usize = 500;
/// Workers started at the same time.
const AT_ONCE: usize = 8;
/// The argument of a process that only says a byte.
const BARE: &str = "bare";

fn main() {
    if std::env::args().nth(1).as_deref() == Some(BARE) {
        return std::io::stdout().write_all(b"!").unwrap();
    }
    if cloison_sandbox::is_worker().is_some() {
        let mut channel = UnixStream::from(cloison_sandbox::enter().unwrap());
        let _ = channel.read(&mut [0]);
        return;
    }
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 3 };
    let launcher = Launcher::new().unwrap();
    bare(rounds);
    for tier in [Tier::Full, Tier::NoUserNs, Tier::Off] {
        if let Err(error) = start(&launcher, tier) {
            println!("{tier:<10} not here: {error}");
            continue;
        }
        one_by_one(&launcher, tier, rounds);
        at_once(&launcher, tier, rounds.div_ceil(AT_ONCE));
        idle(&launcher, tier);
    }
}

/// What the same executable takes to say its first byte without this crate, for comparison.
fn bare(rounds: usize) {
    let own = std::env::current_exe().unwrap();
    let timed = || {
        let begun = Instant::now();
        let mut child = Command::new(&own).arg(BARE).env_clear().stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let taken = begun.elapsed();
        child.wait().unwrap();
        taken
    };
    let used = cpu_time();
    print("(none)", "spawn to first byte", (0..rounds).map(|_| timed()).collect());
    print_cpu("(none)", cpu_time() - used, rounds);
}

fn start(launcher: &Launcher, tier: Tier) -> Result<(Child, UnixStream), LaunchError> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let launch = Launch { least: tier, most: tier, ..Launch::own("idle") };
    launcher.launch(launch, theirs.into()).map(|child| (child, ours))
}

fn one_by_one(launcher: &Launcher, tier: Tier, rounds: usize) {
    let timed = || {
        let begun = Instant::now();
        let started = start(launcher, tier).unwrap();
        let taken = begun.elapsed();
        drop(started);
        taken
    };
    let used = cpu_time();
    print(tier, "spawn to ready", (0..rounds).map(|_| timed()).collect());
    print_cpu(tier, cpu_time() - used, rounds);
}

fn at_once(launcher: &Launcher, tier: Tier, rounds: usize) {
    let timed = || {
        let begun = Instant::now();
        let started: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| start(launcher, tier).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let taken = begun.elapsed();
        drop(started);
        taken
    };
    print(tier, "8 at once, until the last is ready", (0..rounds).map(|_| timed()).collect());
}

fn print(tier: impl std::fmt::Display, what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!("{tier:<10} {what:<36} p50 {:>7.2?}  p99 {:>7.2?}", at(50), at(99));
}

fn print_cpu(tier: impl std::fmt::Display, used: Duration, rounds: usize) {
    let each = used / u32::try_from(rounds).unwrap();
    println!("{tier:<10} {:<36} {each:>11.2?} of host and worker together", "CPU time of a launch and its end");
}

/// CPU time of this process and of its children that have ended. Unlike time by the clock it does not depend on what else
/// the machine does.
fn cpu_time() -> Duration {
    let of = |who| {
        let usage = getrusage(who).unwrap();
        let micros = |time: nix::sys::time::TimeVal| {
            Duration::from_secs(time.tv_sec().unsigned_abs()) + Duration::from_micros(time.tv_usec().unsigned_abs())
        };
        micros(usage.user_time()) + micros(usage.system_time())
    };
    of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
}

/// The worker's own share of memory. Readable only by root, since the worker is not dumpable.
fn idle(launcher: &Launcher, tier: Tier) {
    let (child, _channel) = start(launcher, tier).unwrap();
    let Ok(text) = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", child.pid())) else { return };
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().to_owned()
    };
    println!("{tier:<10} {:<36} PSS {}, RSS {}", "idle worker", field("Pss:"), field("Rss:"));
}
