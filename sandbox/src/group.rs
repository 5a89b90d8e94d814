//! Control groups (version 2): limits that the kernel keeps on a worker as a whole, where a group was delegated to the host.
//!
//! Nothing depends on them: most hosts have no such group. A group is delegated if a service manager says so
//! (`Delegate=yes`, which it marks on the group's directory), or if the host names it. Each worker gets a group of its own
//! below, which is gone when the worker is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::getxattr;

use crate::profile::Limits;
use crate::report::{Layer, Standing};

/// The layers that are groups', with the controller each needs.
const CONTROLLERS: &[(Layer, &str)] = &[(Layer::MemoryGroup, "memory"), (Layer::PidsGroup, "pids")];
/// How a service manager marks a group that it has delegated; the second one is only to be seen by root.
const MARKS: &[&str] = &["user.delegate", "trusted.delegate"];
/// How often, and after which pause, a group is taken away that the kernel still thinks busy.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);

/// The group below which workers get theirs.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    directory: Result<PathBuf, String>,
}

/// A worker's own group. Dropped, it is taken away; the worker must have ended by then.
#[derive(Debug)]
pub(crate) struct Group {
    directory: PathBuf,
    /// Where the layers stand that this group is for.
    pub standings: Vec<(Layer, Standing)>,
}

impl Parent {
    /// The delegated group that the host lives below, if there is one.
    pub fn find() -> Self {
        let told = |error: io::Error| format!("no control group of the host's is to be seen: {error}");
        let read = |path| fs::read_to_string(path).map_err(told);
        let directory = read("/proc/self/cgroup").and_then(|own| {
            let mounts = read("/proc/self/mountinfo")?;
            let own = own_group(&own, &mounts).ok_or("control groups of version 2 are not mounted")?;
            delegated(&own)
        });
        Self { directory }
    }

    /// The group in `directory`, which the host says was delegated to it.
    pub fn named(directory: PathBuf) -> Self {
        Self { directory: Ok(directory) }
    }

    /// Puts the process `pid` into a group of its own, with `limits`.
    pub fn enclose(&self, pid: u32, limits: &Limits) -> Result<Group, String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let parent = self.directory.as_deref().map_err(Clone::clone)?;
        for (_, controller) in CONTROLLERS {
            // What is not to be had, or is there already, shows below.
            let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        let name = format!("cloison-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let directory = parent.join(name);
        fs::create_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let mut group = Group { directory, standings: Vec::new() };
        let path = group.directory.join("cgroup.procs");
        fs::write(&path, pid.to_string()).map_err(|error| format!("{}: {error}", path.display()))?;
        // Half a limit is none: without this, one of several threads could be killed.
        let _ = fs::write(group.directory.join("memory.oom.group"), "1");
        group.standings = CONTROLLERS.iter().map(|&(layer, _)| (layer, group.limit(layer, limits, pid))).collect();
        Ok(group)
    }

    /// Where the layers stand if there is no group, for the reason `why`.
    pub fn absent(why: &str) -> Vec<(Layer, Standing)> {
        CONTROLLERS.iter().map(|&(layer, _)| (layer, Standing::Unavailable { why: why.to_owned() })).collect()
    }
}

impl Group {
    /// Sets one limit and looks whether it is there.
    fn limit(&self, layer: Layer, limits: &Limits, pid: u32) -> Standing {
        let (file, most) = match layer {
            Layer::MemoryGroup => ("memory.max", limits.resident),
            _ => ("pids.max", limits.threads.into()),
        };
        let path = self.directory.join(file);
        let set = || -> io::Result<String> {
            fs::write(&path, most.to_string())?;
            Ok(fs::read_to_string(&path)?.trim().to_owned())
        };
        let of = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let name = self.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match set() {
            // The kernel rounds memory down to pages.
            Ok(set) if set.parse().is_ok_and(|set: u64| set <= most) && of.contains(&name) => {
                Standing::Verified { how: format!("{file} {set} of {name}") }
            }
            Ok(set) => Standing::Unavailable { why: format!("{file} says {set}, and the worker is in {}", of.trim()) },
            Err(error) => Standing::Unavailable { why: format!("the delegated group has no {file}: {error}") },
        }
    }

    /// Whether the kernel killed the group for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.directory.join("memory.events")).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.is_some_and(|count| count.trim() != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..TRIES {
            match fs::remove_dir(&self.directory) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(PAUSE),
                // Gone; or it can not be taken away, and then the service manager does it when the host ends.
                _ => return,
            }
        }
    }
}

/// The directory of this process's group, by what `/proc/self/cgroup` and `/proc/self/mountinfo` say.
fn own_group(cgroup: &str, mountinfo: &str) -> Option<PathBuf> {
    let path = Path::new(cgroup.lines().find_map(|line| line.strip_prefix("0::"))?);
    let mount = |line: &str| {
        let (fields, kind) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        let below = kind.starts_with("cgroup2 ").then(|| path.strip_prefix(root).ok())??;
        Some(Path::new(place).join(below))
    };
    mountinfo.lines().find_map(mount)
}

/// `own` or the group above it, whichever was delegated and has no process in it.
fn delegated(own: &Path) -> Result<PathBuf, String> {
    let marked = |directory: &Path| {
        MARKS.iter().any(|mark| {
            let mut value = [0; 8];
            getxattr(directory, *mark, &mut value).is_ok_and(|length| value[..length] == *b"1")
        })
    };
    match own.parent() {
        Some(parent) if marked(parent) => Ok(parent.to_owned()),
        _ if marked(own) => {
            Err("the delegated group has the host itself in it, so it can limit nothing (see DelegateSubgroup=)"
                .to_owned())
        }
        _ => Err("no control group was delegated to the host".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str =
        "22 1 0:20 / / rw - ext4 /dev/vda rw\n30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_own_group_is_found() {
        let of = |cgroup| own_group(cgroup, MOUNTS);
        assert_eq!(of("0::/user.slice/app.scope\n"), Some("/sys/fs/cgroup/user.slice/app.scope".into()));
        assert_eq!(of("4:memory:/a\n0::/\n"), Some("/sys/fs/cgroup/".into()));
        assert_eq!(of("4:memory:/a\n"), None);
        let inside = "30 22 0:26 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(own_group("0::/box/a\n", inside), Some("/sys/fs/cgroup/a".into()));
        assert_eq!(own_group("0::/other\n", inside), None);
    }

    #[test]
    fn nothing_is_delegated_that_is_not_marked() {
        let refused = delegated(Path::new("/sys/fs/cgroup/nowhere")).unwrap_err();
        assert!(refused.contains("no control group was delegated"), "{refused}");
    }

    /// A directory that is no control group has no controllers: said for each layer, and nothing is left.
    #[test]
    fn a_group_without_controllers_says_so() {
        let parent = std::env::temp_dir().join(format!("cloison-group-{}", std::process::id()));
        fs::create_dir(&parent).unwrap();
        let limits = crate::profile::Profile::decoder().limits();
        let group = Parent::named(parent.clone()).enclose(std::process::id(), &limits).unwrap();
        for (layer, standing) in &group.standings {
            let Standing::Unavailable { why } = standing else { panic!("{layer} {standing}") };
            assert!(why.contains("the worker is in"), "{why}");
        }
        assert!(!group.ran_out_of_memory());
        drop(group);
        fs::remove_dir_all(&parent).unwrap();
        assert!(Parent::named(parent).enclose(1, &limits).is_err());
    }
}
