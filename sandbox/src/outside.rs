//! What the host can see of a worker through `/proc`, and how that compares with what the worker claims.
//!
//! The worker waits for some of this, so it is done with as few system calls as possible.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::SysconfVar;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, openat, readlinkat, statat};

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

/// A process's directory in `/proc`, and a number that no other process has as long as its pidfd is held.
pub(crate) struct Place {
    pid: u32,
    directory: OwnedFd,
}

/// What a worker is compared with: what it would have without any layer.
pub(crate) struct Bare {
    /// The host's namespaces, in the order of [`NAMESPACES`].
    namespaces: Vec<io::Result<String>>,
    /// How many system-call filters the worker inherits: those that its stub has. A host may live under some itself, as in a
    /// container.
    filters: Option<u32>,
}

impl Bare {
    /// Looks at this process, and at a stub that was just spawned.
    pub fn look(stub: u32) -> Self {
        let read = |directory: &OwnedFd| NAMESPACES.iter().map(|(_, name)| link(directory, name)).collect();
        let namespaces = open("/proc/self").as_ref().map_or_else(|_| Vec::new(), read);
        let status = Place::of(stub).and_then(|place| place.read("status"));
        let filters = status.ok().and_then(|status| field(&status, "Seccomp_filters")?.parse().ok());
        Self { namespaces, filters }
    }
}

/// One look at a worker: what can be seen and was not yet seen to be in force.
///
/// What is in force stays so: none of these layers can be taken off again. So the host may look as early as it likes, and
/// looks again at the rest.
pub(crate) struct Look<'a> {
    pub place: &'a Place,
    pub setup: &'a Setup,
    pub bare: &'a Bare,
    pub seen: &'a mut Seen,
}

impl Look<'_> {
    /// At what the worker was born with.
    pub fn first(&mut self) {
        if self.setup.tier == Tier::Full {
            for (&(layer, name), own) in NAMESPACES.iter().zip(&self.bare.namespaces) {
                self.at(layer, |place, _| namespace(place, name, own));
            }
        }
        self.at(Layer::Environment, |place, _| environment(place));
    }

    /// At what is hidden once the worker is not dumpable. The worker waits for the end of this.
    pub fn early(&mut self) {
        self.first();
        if self.setup.tier == Tier::Full {
            self.at(Layer::EmptyRoot, |place, setup| empty_root(place, &setup.readable));
        }
        self.at(Layer::Descriptors, |place, _| descriptors(place));
    }

    /// At what was put on before the host was told to look, while the worker goes on.
    pub fn meanwhile(&mut self) {
        self.at(Layer::Session, |place, _| session(place));
        self.at(Layer::ResourceLimits, |place, setup| resource_limits(place, &setup.limits));
    }

    /// At what is there once the worker is ready, and whatever was not there before.
    pub fn late(&mut self) {
        if self.setup.tier == Tier::Full {
            self.at(Layer::EmptyRoot, |place, setup| empty_root(place, &setup.readable));
        }
        self.meanwhile();
        self.at(Layer::NotDumpable, |place, _| hidden(place));
        status(self.place, &self.setup.user, self.bare.filters, self.seen);
    }

    /// What can not be looked at is not noted, and stays a matter of the worker's word.
    fn at(&mut self, layer: Layer, look: impl FnOnce(&Place, &Setup) -> io::Result<Result<String, String>>) {
        if !self.seen.has(layer)
            && let Ok(outcome) = look(self.place, self.setup)
        {
            self.seen.layers.insert(layer, outcome);
        }
    }
}

/// The lines of `/proc/<pid>/status`. What could not be read is not noted, and stays a matter of the worker's word.
fn status(place: &Place, user: &UserChange, inherited: Option<u32>, seen: &mut Seen) {
    let Ok(status) = place.read("status") else { return };
    let mut expect = |layer, names: &[&str], is_right: &dyn Fn(&str) -> bool| {
        let values: Option<Vec<&str>> = names.iter().map(|name| field(&status, name)).collect();
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
    if let Some(inherited) = inherited {
        let own = |value: &str| value.parse().is_ok_and(|count: u32| count > inherited);
        expect(Layer::Seccomp, &["Seccomp_filters"], &own);
    }
    expect(Layer::StoreBypass, &["Speculation_Store_Bypass"], &|value| value.contains("force mitigated"));
    expect(Layer::IndirectBranch, &["SpeculationIndirectBranch"], &|value| value.contains("force disabled"));
    if let UserChange::Become(number) = user {
        let number = number.to_string();
        expect(Layer::User, &["Uid", "Gid"], &|value| value.split_whitespace().all(|id| id == number));
    }
}

/// A line of a `status` file.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(str::trim)
}

/// What a living process has used.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let place = Place::of(pid).ok()?;
    let stat = place.read("stat").ok()?;
    let fields: Vec<&str> = after_name(&stat)?.collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let per_second = nix::unistd::sysconf(SysconfVar::CLK_TCK).ok()??.unsigned_abs();
    let status = place.read("status").ok()?;
    let kilobytes: u64 = field(&status, "VmHWM")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(Usage { cpu: Duration::from_millis(ticks * 1000 / per_second), peak_memory: kilobytes << 10 })
}

/// How many threads a process has.
pub(crate) fn threads(pid: u32) -> Option<u32> {
    let status = Place::of(pid).and_then(|place| place.read("status")).ok()?;
    field(&status, "Threads")?.parse().ok()
}

impl Place {
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { pid, directory: open(&format!("/proc/{pid}"))? })
    }

    /// A whole file. Those of `/proc` are made when they are read, so that one large read is the cheapest.
    fn read(&self, name: &str) -> io::Result<String> {
        let file = openat(&self.directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = Vec::new();
        loop {
            text.reserve(READ_AT_ONCE);
            if rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text))? == 0 {
                return String::from_utf8(text).map_err(io::Error::other);
            }
        }
    }

    /// The user to whom an entry belongs.
    fn owner(&self, name: &str) -> io::Result<u32> {
        Ok(statat(&self.directory, name, AtFlags::EMPTY_PATH)?.st_uid)
    }
}

/// More than most files of `/proc` have.
const READ_AT_ONCE: usize = 4096;

fn open(directory: &str) -> io::Result<OwnedFd> {
    Ok(openat(CWD, directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Which namespace of a kind the process of that directory is in.
fn link(directory: &OwnedFd, name: &str) -> io::Result<String> {
    let link = readlinkat(directory, format!("ns/{name}"), Vec::with_capacity(32))?;
    link.into_string().map_err(io::Error::other)
}

fn namespace(place: &Place, name: &str, ours: &io::Result<String>) -> io::Result<Result<String, String>> {
    let theirs = link(&place.directory, name)?;
    let text = format!("/proc ns: {theirs}");
    match ours {
        Ok(ours) if *ours == theirs => Ok(Err(format!("{text}, the host's own"))),
        Ok(_) => Ok(Ok(text)),
        Err(error) => Err(error.kind().into()),
    }
}

/// One read-only tmpfs, and below it only what the worker may read.
fn empty_root(place: &Place, readable: &[PathBuf]) -> io::Result<Result<String, String>> {
    let mounts = place.read("mountinfo")?;
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

fn environment(place: &Place) -> io::Result<Result<String, String>> {
    let variables = place.read("environ")?;
    let text = format!("/proc environ: {} bytes", variables.len());
    Ok(if variables.is_empty() { Ok(text) } else { Err(text) })
}

fn descriptors(place: &Place) -> io::Result<Result<String, String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(&place.directory, "fd", flags, Mode::empty())?;
    let mut space = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&directory, &mut space);
    let mut open = Vec::new();
    while let Some(entry) = entries.next() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            open.push(name);
        }
    }
    open.sort();
    let text = format!("/proc fd: {}", open.join(" "));
    Ok(if open == DESCRIPTORS { Ok(text) } else { Err(text) })
}

/// The entries of a process that is not dumpable belong to root, whoever it runs as.
fn hidden(place: &Place) -> io::Result<Result<String, String>> {
    // Of the directory itself a process's own user stays the owner.
    let (process, entry) = (place.owner("")?, place.owner("environ")?);
    if process == 0 {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    }
    let text = format!("/proc environ belongs to user {entry}");
    Ok(if entry == process { Err(text) } else { Ok(text) })
}

fn session(place: &Place) -> io::Result<Result<String, String>> {
    let stat = place.read("stat")?;
    let session = after_name(&stat).and_then(|mut fields| fields.nth(3)).map(str::to_owned);
    let text = format!("/proc stat: session {}", session.as_deref().unwrap_or("unknown"));
    Ok(if session == Some(place.pid.to_string()) { Ok(text) } else { Err(text) })
}

fn resource_limits(place: &Place, bounds: &Limits) -> io::Result<Result<String, String>> {
    let text = place.read("limits")?;
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
