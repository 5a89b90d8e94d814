//! Namespaces of the worker's own. The stub makes them; the worker is born into them.

use std::fs::OpenOptions;
use std::io::{self, Write};

use nix::libc::c_int;
use nix::sched::{CloneFlags, unshare};
use rustix::process::{getgid, getuid};

use super::Dressing;
use crate::report::Layer;

/// The user and group that a worker is inside its own user namespace: nobody.
const INSIDE: u32 = 65534;

const UNSHARED: &[(Layer, CloneFlags)] = &[
    (Layer::MountNamespace, CloneFlags::CLONE_NEWNS),
    (Layer::NetNamespace, CloneFlags::CLONE_NEWNET),
    (Layer::IpcNamespace, CloneFlags::CLONE_NEWIPC),
    (Layer::UtsNamespace, CloneFlags::CLONE_NEWUTS),
    (Layer::CgroupNamespace, CloneFlags::CLONE_NEWCGROUP),
];

/// What is left to do about namespaces.
#[derive(Default)]
pub(crate) struct Entered {
    /// Flags for the worker's `clone`: only a child can be in a new process namespace.
    pub for_clone: c_int,
    /// Whether mounts may be changed. Otherwise they are the host's!
    pub own_mounts: bool,
}

/// Enters new namespaces, all but the process namespace.
pub(crate) fn enter(dressing: &mut Dressing) -> Entered {
    if !dressing.put_on(Layer::UserNamespace, enter_user_namespace) {
        return Entered::default();
    }
    let wanted: Vec<_> = UNSHARED.iter().filter(|(layer, _)| dressing.simulation(*layer).is_none()).collect();
    let all = wanted.iter().fold(CloneFlags::empty(), |all, (_, flag)| all | *flag);
    let together = unshare(all);
    let mut own_mounts = false;
    for &(layer, flag) in UNSHARED {
        let entered = dressing.put_on(layer, || if together.is_ok() { Ok(()) } else { unshare(flag) });
        own_mounts |= entered && layer == Layer::MountNamespace;
    }
    dressing.put_on(Layer::NoNestedNamespaces, || write("/proc/sys/user/max_user_namespaces", "0"));
    // The claim is settled by `clone`, which fails as a whole if the namespace can not be had.
    let own_pids = dressing.put_on(Layer::PidNamespace, || Ok::<_, io::Error>(()));
    Entered { for_clone: if own_pids { CloneFlags::CLONE_NEWPID.bits() } else { 0 }, own_mounts }
}

fn enter_user_namespace() -> io::Result<()> {
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("{INSIDE} {user} 1"))?;
    write("/proc/self/gid_map", &format!("{INSIDE} {group} 1"))
}

fn write(path: &str, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
}
