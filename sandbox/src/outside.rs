//! What the host can see of a worker through `/proc`, and how that compares with what the worker claims.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::unistd::SysconfVar;

use crate::child::Usage;
use crate::layers::limits;
use crate::profile::Limits;
use crate::report::{Layer, Tier};
use crate::wire::{Setup, UserChange};

/// What was seen of each layer: how it was seen to be in force, or what was seen instead.
pub(crate) type Seen = BTreeMap<Layer, Result<String, String>>;

const NAMESPACES: &[(Layer, &str)] = &[
    (Layer::UserNamespace, "user"),
    (Layer::MountNamespace, "mnt"),
    (Layer::NetNamespace, "net"),
    (Layer::IpcNamespace, "ipc"),
    (Layer::UtsNamespace, "uts"),
    (Layer::CgroupNamespace, "cgroup"),
    (Layer::PidNamespace, "pid"),
];

/// The descriptors a worker has during its launch.
const DESCRIPTORS: &[&str] = &["0", "1", "2", "3", "4"];

/// Looks at what is hidden once the worker is not dumpable.
pub(crate) fn look_early(pid: u32, namespaces: bool, seen: &mut Seen) {
    if namespaces {
        for &(layer, name) in NAMESPACES {
            note(seen, layer, namespace(pid, name));
        }
    }
    note(seen, Layer::Environment, environment(pid));
    note(seen, Layer::Descriptors, descriptors(pid));
}

/// Looks at what only the finished worker shows, once the stub has ended too.
pub(crate) fn look_late(pid: u32, setup: &Setup, seen: &mut Seen) {
    if setup.tier == Tier::Full {
        note(seen, Layer::EmptyRoot, empty_root(pid));
    }
    note(seen, Layer::NotDumpable, hidden(pid));
    note(seen, Layer::Session, session(pid));
    note(seen, Layer::ResourceLimits, resource_limits(pid, &setup.limits));
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return };
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    };
    let mut expect = |layer, name: &'static str, is_right: &dyn Fn(&str) -> bool| {
        if let Some(value) = field(name) {
            let text = format!("/proc status {name}: {value}");
            seen.insert(layer, if is_right(&value) { Ok(text) } else { Err(text) });
        }
    };
    let empty = |value: &str| value.bytes().all(|digit| digit == b'0');
    for name in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        expect(Layer::Capabilities, name, &empty);
    }
    expect(Layer::BoundingSet, "CapBnd", &empty);
    expect(Layer::NoNewPrivileges, "NoNewPrivs", &|value| value == "1");
    expect(Layer::Seccomp, "Seccomp", &|value| value == "2");
    expect(Layer::StoreBypass, "Speculation_Store_Bypass", &|value| value.contains("force mitigated"));
    expect(Layer::IndirectBranch, "SpeculationIndirectBranch", &|value| value.contains("force disabled"));
    if let UserChange::Become(number) = &setup.user {
        let number = number.to_string();
        expect(Layer::User, "Uid", &|value| value.split_whitespace().all(|uid| uid == number));
    }
}

/// What a living process has used.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = after_name(&stat)?.collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let per_second = nix::unistd::sysconf(SysconfVar::CLK_TCK).ok()??.unsigned_abs();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Usage { cpu: Duration::from_millis(ticks * 1000 / per_second), peak_memory: kilobytes << 10 })
}

/// How many threads a process has.
pub(crate) fn threads(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}

/// Notes what was seen; what could not be looked at is not noted, and stays a matter of the worker's word.
fn note(seen: &mut Seen, layer: Layer, outcome: io::Result<Result<String, String>>) {
    if let Ok(outcome) = outcome {
        seen.insert(layer, outcome);
    }
}

fn namespace(pid: u32, name: &str) -> io::Result<Result<String, String>> {
    let theirs = fs::read_link(format!("/proc/{pid}/ns/{name}"))?;
    let ours = fs::read_link(format!("/proc/self/ns/{name}"))?;
    let text = format!("/proc ns: {}", theirs.display());
    Ok(if theirs == ours { Err(format!("{text}, the host's own")) } else { Ok(text) })
}

fn empty_root(pid: u32) -> io::Result<Result<String, String>> {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    let lines: Vec<&str> = mounts.lines().collect();
    Ok(match lines.as_slice() {
        [only] if only.contains(" / / ro,") && only.contains(" - tmpfs ") => {
            Ok("/proc mountinfo: one read-only tmpfs".to_owned())
        }
        [only] => Err(format!("/proc mountinfo: {only}")),
        many => Err(format!("/proc mountinfo: {} mounts", many.len())),
    })
}

fn environment(pid: u32) -> io::Result<Result<String, String>> {
    let bytes = fs::read(format!("/proc/{pid}/environ"))?;
    let text = format!("/proc environ: {} bytes", bytes.len());
    Ok(if bytes.is_empty() { Ok(text) } else { Err(text) })
}

fn descriptors(pid: u32) -> io::Result<Result<String, String>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let mut open: Vec<String> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<io::Result<_>>()?;
    open.sort();
    let text = format!("/proc fd: {}", open.join(" "));
    Ok(if open == DESCRIPTORS { Ok(text) } else { Err(text) })
}

/// The entries of a process that is not dumpable belong to root, whoever it runs as.
fn hidden(pid: u32) -> io::Result<Result<String, String>> {
    let process = fs::metadata(format!("/proc/{pid}"))?.uid();
    let entry = fs::metadata(format!("/proc/{pid}/environ"))?.uid();
    if process == 0 {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    }
    let text = format!("/proc environ belongs to user {entry}");
    Ok(if entry == process { Err(text) } else { Ok(text) })
}

fn session(pid: u32) -> io::Result<Result<String, String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let session = after_name(&stat).and_then(|mut fields| fields.nth(3)).map(str::to_owned);
    let text = format!("/proc stat: session {}", session.as_deref().unwrap_or("unknown"));
    Ok(if session == Some(pid.to_string()) { Ok(text) } else { Err(text) })
}

fn resource_limits(pid: u32, bounds: &Limits) -> io::Result<Result<String, String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    for (resource, most) in limits::table(bounds) {
        let name = limits::proc_name(resource);
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let mut values = line.split_whitespace().map(|value| value.parse::<u64>().unwrap_or(u64::MAX));
        let bounded = values.next().is_some_and(|soft| soft <= most) && values.next().is_some_and(|hard| hard <= most);
        if !bounded {
            return Ok(Err(format!("/proc limits: {name}{line}")));
        }
    }
    Ok(Ok("/proc limits".to_owned()))
}

/// The fields of `/proc/<pid>/stat` after the name, which may contain anything; the first is the state.
fn after_name(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}
