//! What the host can see of a worker through `/proc`, and how that compares with what the worker claims.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::SysconfVar;

use crate::child::Usage;
use crate::layers::limits;
use crate::profile::Limits;
use crate::report::{Layer, Tier};
use crate::wire::{Setup, UserChange};

/// What was seen of a worker.
#[derive(Default)]
pub(crate) struct Seen {
    /// How each layer was seen to be in force, or what was seen instead.
    pub layers: BTreeMap<Layer, Result<String, String>>,
    /// How many system-call filters it had at the first look: those that it inherited.
    inherited_filters: Option<u32>,
}

impl Seen {
    fn has(&self, layer: Layer) -> bool {
        matches!(self.layers.get(&layer), Some(Ok(_)))
    }
}

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

/// Looks at all that can be seen of the worker and was not yet seen to be in force.
///
/// What is in force stays so: none of these layers can be taken off again. So the host may look as early as it likes, and
/// looks again at the rest; some of it is hidden once the worker is not dumpable, the rest is only there at the end.
pub(crate) fn look(pid: u32, setup: &Setup, seen: &mut Seen) {
    let mut look = |layer, at: &dyn Fn() -> io::Result<Result<String, String>>| {
        if !seen.has(layer)
            && let Ok(outcome) = at()
        {
            seen.layers.insert(layer, outcome);
        }
    };
    if setup.tier == Tier::Full {
        for &(layer, name) in NAMESPACES {
            look(layer, &|| namespace(pid, name));
        }
        look(Layer::EmptyRoot, &|| empty_root(pid, &setup.readable));
    }
    look(Layer::Environment, &|| environment(pid));
    look(Layer::Descriptors, &|| descriptors(pid));
    look(Layer::Session, &|| session(pid));
    look(Layer::ResourceLimits, &|| resource_limits(pid, &setup.limits));
    look(Layer::NotDumpable, &|| hidden(pid));
    status(pid, &setup.user, seen);
}

/// The lines of `/proc/<pid>/status`. What could not be read is not noted, and stays a matter of the worker's word.
fn status(pid: u32, user: &UserChange, seen: &mut Seen) {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return };
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    };
    // A host may live under a filter itself, as in a container: what counts is that the worker got one more.
    let filters = field("Seccomp_filters").and_then(|count| count.parse().ok()).unwrap_or_default();
    let inherited = *seen.inherited_filters.get_or_insert(filters);
    let mut expect = |layer, names: &[&str], is_right: &dyn Fn(&str) -> bool| {
        let values: Option<Vec<String>> = names.iter().map(|name| field(name)).collect();
        let Some(values) = values.filter(|_| !seen.has(layer)) else { return };
        let right = values.iter().all(|value| is_right(value));
        let pairs: Vec<String> = names.iter().zip(&values).map(|(name, value)| format!("{name} {value}")).collect();
        let text = format!("/proc status: {}", pairs.join(", "));
        seen.layers.insert(layer, if right { Ok(text) } else { Err(text) });
    };
    let empty = |value: &str| value.bytes().all(|digit| digit == b'0');
    expect(Layer::Capabilities, &["CapEff", "CapPrm", "CapInh", "CapAmb"], &empty);
    expect(Layer::BoundingSet, &["CapBnd"], &empty);
    expect(Layer::NoNewPrivileges, &["NoNewPrivs"], &|value| value == "1");
    let own = |value: &str| value.parse().is_ok_and(|count: u32| count > inherited);
    expect(Layer::Seccomp, &["Seccomp_filters"], &own);
    expect(Layer::StoreBypass, &["Speculation_Store_Bypass"], &|value| value.contains("force mitigated"));
    expect(Layer::IndirectBranch, &["SpeculationIndirectBranch"], &|value| value.contains("force disabled"));
    if let UserChange::Become(number) = user {
        let number = number.to_string();
        expect(Layer::User, &["Uid", "Gid"], &|value| value.split_whitespace().all(|id| id == number));
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

fn namespace(pid: u32, name: &str) -> io::Result<Result<String, String>> {
    let theirs = fs::read_link(format!("/proc/{pid}/ns/{name}"))?;
    let ours = fs::read_link(format!("/proc/self/ns/{name}"))?;
    let text = format!("/proc ns: {}", theirs.display());
    Ok(if theirs == ours { Err(format!("{text}, the host's own")) } else { Ok(text) })
}

/// One read-only tmpfs, and below it only what the worker may read.
fn empty_root(pid: u32, readable: &[PathBuf]) -> io::Result<Result<String, String>> {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    let is_root = |line: &str| line.contains(" / / ro,") && line.contains(" - tmpfs ");
    let is_readable = |line: &str| {
        let place = line.split(' ').nth(4).map(|place| place.replace("\\040", " "));
        place.is_some_and(|place| readable.iter().any(|directory| Path::new(&place).starts_with(directory)))
    };
    let mut lines = mounts.lines();
    let root = lines.next().unwrap_or_default();
    let strange = if is_root(root) { lines.find(|line| !is_readable(line)) } else { Some(root) };
    Ok(match strange {
        None if readable.is_empty() => Ok("/proc mountinfo: one read-only tmpfs".to_owned()),
        None => Ok("/proc mountinfo: one read-only tmpfs and what is readable".to_owned()),
        Some(line) => Err(format!("/proc mountinfo: {} mounts, one is {line}", mounts.lines().count())),
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
