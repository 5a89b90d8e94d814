//! What must hold over many launches, and at the host's own end. Each part is played by a host process of its own, since
//! the other tests in this one open descriptors too.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use cloison_sandbox::{Child, Exit, Launch, Launcher, Tier};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::host::{SOON, end, plan, start, tiers};

/// Launches of each tier in the test for leaks. `CLOISON_ROUNDS` overrides it.
const ROUNDS: usize = 60;

pub fn trials() -> Vec<(&'static str, fn())> {
    vec![
        ("many_rounds_leak_nothing", || plays("rounds")),
        ("a_large_host_with_many_threads_launches", || plays("crowd")),
        ("a_host_that_ignores_sigchld_launches", a_host_that_ignores_sigchld_launches),
        ("a_launcher_with_low_descriptors_launches", || plays("first")),
        ("a_host_with_rights_over_its_mounts_keeps_them", a_host_with_rights_over_its_mounts_keeps_them),
        ("a_dead_host_takes_its_children_along", a_dead_host_takes_its_children_along),
        ("a_dropped_child_is_gone", a_dropped_child_is_gone),
        ("children_outlive_the_launcher_handle", children_outlive_the_launcher_handle),
    ]
}

/// Plays one part, in a process of its own.
pub fn play(part: &str) -> ExitCode {
    match part {
        "rounds" => rounds(),
        "crowd" => crowd(),
        "ignoring" => ignoring(),
        "first" => first(),
        "parent" => parent(),
        other => panic!("no such part: {other}"),
    }
    ExitCode::SUCCESS
}

fn player(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(format!("play={part}"));
    command
}

fn plays(part: &str) {
    let output = player(part).output().unwrap();
    assert!(output.status.success(), "{part}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Ignored signals stay ignored in what is executed, so a shell can prepare such a host without unsafe code here.
fn a_host_that_ignores_sigchld_launches() {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' CHLD; exec \"$0\" play=ignoring"]).arg(std::env::current_exe().unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A host that is root in a namespace where it may mount, but may make no further user namespace: a worker that could not
/// enter a mount namespace of its own must not change the host's.
fn a_host_with_rights_over_its_mounts_keeps_them() {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces || exit 0; exec \"$0\" play=rounds";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
    let output = command.env("CLOISON_ROUNDS", "1").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    // Where user namespaces are forbidden, there is no such host.
    assert!(output.status.success() || error.contains("unshare"), "{error}");
}

fn rounds() {
    let rounds = std::env::var("CLOISON_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let round = |tier, kill| {
        let (child, channel) = start(plan("idle", tier)).unwrap();
        if kill {
            child.kill()
        } else {
            drop(channel)
        }
        end(child);
    };
    tiers().iter().for_each(|&tier| round(tier, true));
    let before = settled();
    for _ in 0..rounds {
        tiers().iter().for_each(|&tier| [true, false].into_iter().for_each(|kill| round(tier, kill)));
    }
    assert_eq!(settled(), before);
}

/// What this process holds when nothing is under way any more: its own thread, and the spawner's.
fn settled() -> BTreeMap<&'static str, usize> {
    let patience = Instant::now() + SOON;
    loop {
        let held = possessions();
        if (held["children"] == 0 && held["threads"] == 2) || Instant::now() > patience {
            return held;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What this process holds: descriptors, threads, children, mounts.
fn possessions() -> BTreeMap<&'static str, usize> {
    let entries = |path| fs::read_dir(path).unwrap().count();
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let children = children.map(|list| list.split_whitespace().count()).sum();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let held = [("descriptors", entries("/proc/self/fd")), ("threads", entries("/proc/self/task"))];
    held.into_iter().chain([("children", children), ("mounts", mounts)]).collect()
}

/// A host with a hundred threads and half a gigabyte.
fn crowd() {
    let memory = vec![1u8; 512 << 20];
    let threads: Vec<_> = (0..100).map(|_| std::thread::spawn(std::thread::park)).collect();
    for &tier in tiers() {
        let (child, channel) = start(plan("idle", tier)).unwrap();
        drop(channel);
        let ended = end(child);
        assert_eq!(ended.exit, Exit::Code(0));
        assert!(ended.usage.peak_memory < 64 << 20, "the host's memory is not the child's: {ended:?}");
    }
    assert_eq!(memory.len(), 512 << 20);
    threads.iter().for_each(|thread| thread.thread().unpark());
}

/// A host whose children the kernel reaps.
fn ignoring() {
    for &tier in tiers() {
        let (child, channel) = start(plan("idle", tier)).unwrap();
        drop(channel);
        assert!(matches!(end(child).exit, Exit::Code(0) | Exit::Lost));
        let (child, _channel) = start(plan("idle", tier)).unwrap();
        child.kill();
        let exit = end(child).exit;
        println!("{exit}");
        assert!(matches!(exit, Exit::Signal { signal: 9, .. } | Exit::Lost), "{exit}");
    }
}

/// A host in which the launcher gets the descriptor numbers that a child's own descriptors will have.
fn first() {
    let launcher = Launcher::new().unwrap();
    for &tier in &[Tier::Full, Tier::NoUserNs] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let launch = Launch { most: tier, ready_within: SOON, ..Launch::own("threads") };
        let _child = launcher.launch(launch, theirs.into()).unwrap();
        let mut sum = [0; 4];
        ours.read_exact(&mut sum).unwrap();
        assert_eq!(u32::from_le_bytes(sum), 10);
    }
}

/// Starts a child in each tier, says their numbers, and stays.
fn parent() {
    let children: Vec<(Child, UnixStream)> = tiers().iter().map(|&tier| start(plan("spin", tier)).unwrap()).collect();
    let numbers: Vec<String> = children.iter().map(|(child, _)| child.pid().to_string()).collect();
    println!("{}", numbers.join(" "));
    std::thread::sleep(SOON);
}

fn a_dead_host_takes_its_children_along() {
    let mut host = player("parent").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let number = |text: &str| Pid::from_raw(text.parse().unwrap()).unwrap();
    let children: Vec<_> =
        line.split_whitespace().map(|text| pidfd_open(number(text), PidfdFlags::empty()).unwrap()).collect();
    assert_eq!(children.len(), tiers().len());
    host.kill().unwrap();
    let killed = Instant::now();
    for child in &children {
        let mut polled = [rustix::event::PollFd::new(child, rustix::event::PollFlags::IN)];
        let second = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
        assert_eq!(rustix::event::poll(&mut polled, Some(&second)).unwrap(), 1, "a child survives its host");
    }
    println!("children were gone after {:?}", killed.elapsed());
    host.wait().unwrap();
}

fn a_dropped_child_is_gone() {
    for &tier in tiers() {
        let (child, _channel) = start(plan("spin", tier)).unwrap();
        let pid = child.pid();
        drop(child);
        assert!(!fs::exists(format!("/proc/{pid}")).unwrap(), "{tier}");
    }
}

fn children_outlive_the_launcher_handle() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let launcher = Launcher::new().unwrap();
    let child = launcher.launch(plan("idle", tiers()[0]), theirs.into()).unwrap();
    drop(launcher);
    let mut child = child;
    assert_eq!(child.wait(Duration::from_millis(100)).unwrap(), None);
    drop(ours);
    assert_eq!(end(child).exit, Exit::Code(0));
}
