//! Resource limits.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

use crate::profile::Limits;

/// Puts on what does not depend on the user's other processes.
pub(crate) fn apply(limits: &Limits) -> Result<(), Errno> {
    for (resource, value) in table(limits) {
        lower(resource, value)?;
    }
    Ok(())
}

/// Bounds the threads by `RLIMIT_NPROC`, which counts *all* processes of a user in one user namespace: here the worker's
/// threads and, for another moment, the stub. The host takes that one back.
pub(crate) fn threads(limits: &Limits) -> Result<(), Errno> {
    lower(Resource::RLIMIT_NPROC, rlim_t::from(limits.threads) + 1)
}

/// What [`apply`] sets, also as the host expects to see it in `/proc`.
pub(crate) fn table(limits: &Limits) -> [(Resource, rlim_t); 8] {
    [
        (Resource::RLIMIT_AS, limits.memory),
        (Resource::RLIMIT_CPU, limits.cpu_seconds),
        (Resource::RLIMIT_NOFILE, limits.descriptors.into()),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
    ]
}

/// What `/proc/<pid>/limits` calls a resource of [`table`].
pub(crate) fn proc_name(resource: Resource) -> &'static str {
    match resource {
        Resource::RLIMIT_AS => "Max address space",
        Resource::RLIMIT_CPU => "Max cpu time",
        Resource::RLIMIT_NOFILE => "Max open files",
        Resource::RLIMIT_FSIZE => "Max file size",
        Resource::RLIMIT_CORE => "Max core file size",
        Resource::RLIMIT_MEMLOCK => "Max locked memory",
        Resource::RLIMIT_MSGQUEUE => "Max msgqueue size",
        Resource::RLIMIT_RTPRIO => "Max realtime priority",
        _ => "Max processes",
    }
}

/// Soft and hard limit both, and never above what the host itself may have.
fn lower(resource: Resource, value: rlim_t) -> Result<(), Errno> {
    let (_, hard) = getrlimit(resource)?;
    let value = value.min(hard);
    setrlimit(resource, value, value)
}
