//! An empty root that can not be written to.

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

/// Where the new root is mounted for a moment: a directory that must exist, since the stub wrote its maps there.
const FOOTHOLD: &str = "/proc";
/// No inode but the root directory's own, and nobody may even list that.
const OPTIONS: &str = "size=4k,nr_inodes=1,mode=0";

/// Replaces everything that is mounted by an empty, read-only tmpfs.
pub(crate) fn empty() -> Result<(), Errno> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("none"), FOOTHOLD, Some("tmpfs"), flags, Some(OPTIONS))?;
    chdir(FOOTHOLD)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")
}
