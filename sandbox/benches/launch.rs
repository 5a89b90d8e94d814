//! From the call of `launch` to an accepted report, what an idle worker costs, and what the filter adds to a call.
//!
//! `cargo bench -p cloison-sandbox`; as root it can also see the memory of a worker. Behind each figure stands what is to be
//! reached, where something is. Under `cargo test` it makes a few rounds, to see that it still works.
#![expect(clippy::unwrap_used, reason = "a bench ends at the first thing that does not work")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags};

use cloison_sandbox::{Child, Launch, LaunchError, Launcher, Tier};

/// Launches of each tier, one after the other.
const ROUNDS: usize = 500;
/// Workers started at the same time.
const AT_ONCE: usize = 8;
/// Round trips of each kind, in turns of [`TURN`].
const TURNS: usize = 101;
/// Round trips in a row.
const TURN: u32 = 1000;
/// Bytes of a request and of its answer.
const REQUEST: usize = 64;
/// The argument of a process that only says a byte.
const BARE: &str = "bare";

fn main() {
    if std::env::args().nth(1).as_deref() == Some(BARE) {
        return std::io::stdout().write_all(b"!").unwrap();
    }
    if cloison_sandbox::is_worker().is_some() {
        return answer(UnixStream::from(cloison_sandbox::enter().unwrap()));
    }
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let rounds = if is_bench { ROUNDS } else { 3 };
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
    round_trips(if is_bench { TURNS } else { 3 });
}

/// A worker: waits, receives and answers, as workers do, until its host closes the channel.
fn answer(mut channel: UnixStream) {
    let mut request = [0; REQUEST];
    loop {
        let mut polled = [PollFd::new(&channel, PollFlags::IN)];
        rustix::event::poll(&mut polled, None).unwrap();
        if channel.read_exact(&mut request).is_err() || channel.write_all(&request).is_err() {
            return;
        }
    }
}

/// What a host accepts of a worker of `tier`: a median, at most so long.
fn goal(tier: Tier) -> &'static str {
    match tier {
        Tier::Full => "(p50 to reach: 1.6 ms)",
        Tier::NoUserNs => "(p50 to reach: 0.7 ms)",
        Tier::Off => "",
    }
}

/// The same worker with the filter and without, on the same processor as its host, in turns: only that can be compared.
fn round_trips(turns: usize) {
    let mut here = CpuSet::new();
    here.set(0).unwrap();
    let before = sched_getaffinity(Pid::this()).unwrap();
    // The launcher's thread starts the workers, so it is a new one, made on that processor.
    sched_setaffinity(Pid::this(), &here).unwrap();
    let pinned = Launcher::new().unwrap();
    let start = |tier| start(&pinned, tier);
    if let (Ok((_confined, mut with)), Ok((_open, mut without))) = (start(Tier::NoUserNs), start(Tier::Off)) {
        let mut times: Vec<(f64, f64)> = (0..turns).map(|_| (turn(&mut with), turn(&mut without))).collect();
        let mut ratios: Vec<f64> = times.iter().map(|(with, without)| with / without).collect();
        let middle = turns / 2;
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[middle];
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let with = times[middle].0;
        times.sort_by(|a, b| a.1.total_cmp(&b.1));
        let without = times[middle].1;
        let what = format!("round trip, {REQUEST} B, one processor");
        println!(
            "{:<10} {what:<36} p50 {with:>5.2} µs, unconfined {without:>5.2} µs: {ratio:.3} x (to reach: 1.2 x)",
            "seccomp"
        );
    }
    sched_setaffinity(Pid::this(), &before).unwrap();
}

/// Microseconds of a round trip.
fn turn(channel: &mut UnixStream) -> f64 {
    let mut request = [7; REQUEST];
    let begun = Instant::now();
    for _ in 0..TURN {
        channel.write_all(&request).unwrap();
        channel.read_exact(&mut request).unwrap();
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(TURN)
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
    print("(none)", "spawn to first byte", "", (0..rounds).map(|_| timed()).collect());
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
    print(tier, "spawn to ready", goal(tier), (0..rounds).map(|_| timed()).collect());
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
    print(tier, "8 at once, until the last is ready", "", (0..rounds).map(|_| timed()).collect());
}

fn print(tier: impl std::fmt::Display, what: &str, goal: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!("{tier:<10} {what:<36} p50 {:>7.2?}  p99 {:>7.2?}  {goal}", at(50), at(99));
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

/// The memory of idle workers: of one beside its host, and of each of several. Readable only by root, since a worker is not
/// dumpable.
fn idle(launcher: &Launcher, tier: Tier) {
    let mut started = Vec::new();
    for (count, what, goal) in [(1, "one idle worker", ""), (AT_ONCE, "each of 8 idle workers", "(to reach: 600 kB)")] {
        while started.len() < count {
            started.push(start(launcher, tier).unwrap());
        }
        let rollups = started.iter().map(|(child, _)| format!("/proc/{}/smaps_rollup", child.pid()));
        let Ok(rollups) = rollups.map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>() else { return };
        let mean = |name: &str| rollups.iter().map(|text| kilobytes(text, name)).sum::<u64>() / rollups.len() as u64;
        let own = mean("Private_Clean:") + mean("Private_Dirty:");
        println!("{tier:<10} {what:<36} PSS {:>4} kB, of its own {own:>4} kB  {goal}", mean("Pss:"));
    }
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
