//! A root that is empty but for what the worker may read, and that can not be written to.

use std::fs::{DirBuilder, metadata};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, pivot_root};

/// Where the new root is mounted for a moment: a directory that must exist, since the stub wrote its maps there.
const FOOTHOLD: &str = "/proc";
/// No inode but the root directory's own, and nobody may even list that.
const EMPTY: &str = "size=4k,nr_inodes=1,mode=0";
/// Directories lead to the readable ones; the worker's own user may walk through.
const LEADING: &str = "size=256k,nr_inodes=256,mode=0500";
const NONE: Option<&str> = None;

/// Puts a read-only tmpfs in place of the root, with nothing in it but the `readable` directories. The old root then lies on
/// top of it until [`detach_old`].
pub(crate) fn swap(readable: &[PathBuf]) -> io::Result<()> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    if readable.is_empty() {
        mount(Some("none"), FOOTHOLD, Some("tmpfs"), harmless() | MsFlags::MS_RDONLY, Some(EMPTY))?;
    } else {
        mount(Some("none"), FOOTHOLD, Some("tmpfs"), harmless(), Some(LEADING))?;
        readable.iter().try_for_each(|directory| show(directory))?;
        let again = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | harmless();
        mount(NONE, FOOTHOLD, NONE, again, NONE)?;
    }
    chdir(FOOTHOLD)?;
    Ok(pivot_root(".", ".")?)
}

/// Takes everything that was mounted away from the namespace. The kernel may take a millisecond or two to be sure that
/// nobody is on a path through it, so the stub does this while the worker goes on.
pub(crate) fn detach_old() -> io::Result<()> {
    Ok(umount2(".", MntFlags::MNT_DETACH)?)
}

fn harmless() -> MsFlags {
    MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC
}

/// Binds `directory` to the same path in the new root, read-only.
fn show(directory: &Path) -> io::Result<()> {
    let below = directory.strip_prefix("/").map_err(io::Error::other)?;
    let place = Path::new(FOOTHOLD).join(below);
    if !metadata(directory)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
    mount(Some(directory), &place, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
    let again = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | harmless();
    // How access times are kept may be locked by the outer namespace, so it stays as it is.
    let times = [
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    let kept = statvfs(directory)?.flags();
    let times = times.into_iter().filter(|(has, _)| kept.contains(*has)).fold(again, |all, (_, flag)| all | flag);
    Ok(mount(NONE, &place, NONE, times, NONE)?)
}
