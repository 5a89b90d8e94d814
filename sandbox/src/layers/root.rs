//! An empty root that can not be written to.

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

/// Where the new root is mounted for a moment: a directory that must exist, since the stub wrote its maps there.
const FOOTHOLD: &str = "/proc";
/// No inode but the root directory's own, and nobody may even list that.
const OPTIONS: &str = "size=4k,nr_inodes=1,mode=0";

/// Puts an empty, read-only tmpfs in place of the root. The old root then lies on top of it until [`detach_old`].
pub(crate) fn swap() -> Result<(), Errno> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("none"), FOOTHOLD, Some("tmpfs"), flags, Some(OPTIONS))?;
    chdir(FOOTHOLD)?;
    pivot_root(".", ".")
}

/// Takes everything that was mounted away from the namespace. The kernel may take a millisecond or two to be sure that
/// nobody is on a path through it, so the stub does this while the worker goes on.
pub(crate) fn detach_old() -> Result<(), Errno> {
    umount2(".", MntFlags::MNT_DETACH)
}
