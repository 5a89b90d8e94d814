//! Files: by path, by descriptors that were leaked or passed by mistake, and by anything that makes one.

use super::Row;
use crate::probe::Outcome;
use crate::probe::Wanted::{Errno, Hidden, Kills};
use crate::probe::World;
use crate::raw::{call, space, text, text_of};

const HERE: u64 = libc::AT_FDCWD as i64 as u64;
const READ: u64 = libc::O_RDONLY as u64;
const CREATE: u64 = (libc::O_CREAT | libc::O_WRONLY) as u64;
const DIRECTORY: u64 = (libc::O_RDONLY | libc::O_DIRECTORY) as u64;
const FIFO: u64 = (libc::S_IFIFO | 0o600) as u64;
const DEVICE: u64 = (libc::S_IFCHR | 0o600) as u64;
/// `/dev/mem`.
const MEMORY_DEVICE: u64 = 0x101;
const EMPTY_PATH: u64 = libc::AT_EMPTY_PATH as u64;

const FILES: &str = "filesystem";
const EXECUTION: &str = "execution";

fn open(path: u64, flags: u64) -> Outcome {
    call(libc::SYS_openat, &[HERE, path, flags, 0o600])
}

fn secret(world: &World) -> u64 {
    text_of(format!("{}/secret", world.directory))
}

fn of_victim(world: &World, file: &str) -> u64 {
    text_of(format!("/proc/{}/{file}", world.victim))
}

/// The first directory among the descriptors that nobody gave, through which something can be opened.
fn leaked(attempt: impl Fn(u64) -> Outcome) -> Outcome {
    let outcomes = (5..64).map(attempt);
    let best = outcomes.max_by_key(|outcome| matches!(outcome, Outcome::Succeeded(_)));
    match best {
        Some(Outcome::Failed(libc::EBADF)) | None => Outcome::Failed(libc::ENOENT),
        Some(outcome) => outcome,
    }
}

/// The root directory under the numbers of the standard three, which a rule might trust. The worst outcome of all.
fn reused(world: &World, attempt: impl Fn(u64) -> Outcome) -> Outcome {
    let mut worst = Outcome::Failed(libc::ENOENT);
    for number in 0..3 {
        call(libc::SYS_close, &[number]);
        let outcome = call(libc::SYS_fcntl, &[world.root, libc::F_DUPFD_CLOEXEC as u64, number]).then(&attempt);
        if !matches!(outcome, Outcome::Failed(libc::ENOENT | libc::EPERM)) {
            worst = outcome;
        }
    }
    worst
}

fn memfd() -> Outcome {
    call(libc::SYS_memfd_create, &[text(c"probe"), 0])
}

pub fn probes() -> Vec<Row> {
    [by_path(), by_change(), by_descriptor(), executed()].concat()
}

fn by_path() -> Vec<Row> {
    vec![
        (FILES, "open_etc_passwd", Hidden, |_| open(text(c"/etc/passwd"), READ)),
        (FILES, "open_secret", Hidden, |w| open(secret(w), READ)),
        (FILES, "open_root_dir_path", Hidden, |_| open(text(c"/"), DIRECTORY | libc::O_PATH as u64)),
        (FILES, "list_root", Hidden, |_| {
            open(text(c"/"), DIRECTORY).then(|fd| call(libc::SYS_getdents64, &[fd, space(&[]), 4096]))
        }),
        (FILES, "stat_etc_passwd", Hidden, |_| {
            call(libc::SYS_newfstatat, &[HERE, text(c"/etc/passwd"), space(&[]), 0])
        }),
        (FILES, "statx_etc_passwd", Errno(libc::ENOSYS), |_| {
            call(libc::SYS_statx, &[HERE, text(c"/etc/passwd"), 0, 0x7ff, space(&[])])
        }),
        (FILES, "access_etc_passwd", Hidden, |_| call(libc::SYS_faccessat, &[HERE, text(c"/etc/passwd"), 4])),
        (FILES, "readlink_self_exe", Hidden, |_| {
            call(libc::SYS_readlinkat, &[HERE, text(c"/proc/self/exe"), space(&[]), 4096])
        }),
        (FILES, "open_self_maps", Hidden, |_| open(text(c"/proc/self/maps"), READ)),
        (FILES, "open_victim_mem", Hidden, |w| open(of_victim(w, "mem"), READ)),
        (FILES, "open_victim_environ", Hidden, |w| open(of_victim(w, "environ"), READ)),
        (FILES, "open_dev_null", Hidden, |_| open(text(c"/dev/null"), READ)),
    ]
}

fn by_change() -> Vec<Row> {
    vec![
        (FILES, "creat_tmp", Hidden, |w| open(text_of(format!("{}/new", w.directory)), CREATE)),
        (FILES, "creat_rootdir", Hidden, |_| open(text(c"/cloison-probe"), CREATE)),
        (FILES, "mkdir_tmp", Hidden, |w| {
            call(libc::SYS_mkdirat, &[HERE, text_of(format!("{}/d", w.directory)), 0o700])
        }),
        (FILES, "symlink_tmp", Hidden, |w| {
            call(libc::SYS_symlinkat, &[text(c"/etc"), HERE, text_of(format!("{}/l", w.directory))])
        }),
        (FILES, "truncate_secret", Hidden, |w| call(libc::SYS_truncate, &[secret(w), 0])),
        (FILES, "chmod_secret", Hidden, |w| call(libc::SYS_fchmodat, &[HERE, secret(w), 0o666])),
        (FILES, "setxattr_secret", Hidden, |w| {
            call(libc::SYS_setxattr, &[secret(w), text(c"user.probe"), text(c"x"), 1, 0])
        }),
        (FILES, "utime_secret", Hidden, |w| call(libc::SYS_utimensat, &[HERE, secret(w), 0, 0])),
        (FILES, "mknod_fifo", Hidden, |w| {
            call(libc::SYS_mknodat, &[HERE, text_of(format!("{}/f", w.directory)), FIFO, 0])
        }),
        (FILES, "mknod_chr_mem", Hidden, |w| {
            call(libc::SYS_mknodat, &[HERE, text_of(format!("{}/m", w.directory)), DEVICE, MEMORY_DEVICE])
        }),
        (FILES, "chdir_etc", Hidden, |_| call(libc::SYS_chdir, &[text(c"/etc")])),
        (FILES, "chroot_dot", Kills, |_| call(libc::SYS_chroot, &[text(c".")])),
    ]
}

fn by_descriptor() -> Vec<Row> {
    vec![
        (FILES, "inherited_dirfd", Hidden, |_| leaked(|fd| call(libc::SYS_openat, &[fd, text(c"."), READ, 0]))),
        (FILES, "inherited_dirfd_fchdir", Hidden, |_| leaked(|fd| call(libc::SYS_fchdir, &[fd]))),
        (FILES, "passed_dirfd_openat", Hidden, |w| call(libc::SYS_openat, &[w.root, text(c"etc/passwd"), READ, 0])),
        (FILES, "passed_dirfd_stat", Hidden, |w| {
            call(libc::SYS_newfstatat, &[w.root, text(c"etc/passwd"), space(&[]), 0])
        }),
        (FILES, "passed_dirfd_fchdir", Hidden, |w| call(libc::SYS_fchdir, &[w.root])),
        (FILES, "passed_dirfd_exec", Hidden, |w| {
            call(libc::SYS_openat, &[w.root, text(c"bin/true"), READ, 0])
                .then(|fd| call(libc::SYS_execveat, &[fd, text(c""), 0, 0, EMPTY_PATH]))
        }),
        (FILES, "reused_descriptor_openat", Hidden, |w| {
            reused(w, |fd| call(libc::SYS_openat, &[fd, text(c"etc"), READ, 0]))
        }),
        (FILES, "reused_descriptor_fchdir", Hidden, |w| reused(w, |fd| call(libc::SYS_fchdir, &[fd]))),
        (FILES, "name_to_handle", Kills, |w| {
            call(libc::SYS_name_to_handle_at, &[w.root, text(c"etc"), space(&128u32.to_le_bytes()), space(&[]), 0])
        }),
        (FILES, "inotify_init", Hidden, |_| call(libc::SYS_inotify_init1, &[0])),
        (FILES, "fanotify_init", Kills, |_| call(libc::SYS_fanotify_init, &[0, 0])),
        (FILES, "memfd_create", Hidden, |_| memfd()),
        (FILES, "memfd_ftruncate_1M", Hidden, |_| memfd().then(|fd| call(libc::SYS_ftruncate, &[fd, 1 << 20]))),
        (FILES, "memfd_write_8k", Hidden, |_| memfd().then(|fd| call(libc::SYS_write, &[fd, space(&[]), 4096]))),
    ]
}

fn executed() -> Vec<Row> {
    vec![
        (EXECUTION, "execve_true", Kills, |_| call(libc::SYS_execve, &[text(c"/bin/true"), 0, 0])),
        (EXECUTION, "execveat_inherited_fd", Kills, |_| call(libc::SYS_execveat, &[20, text(c""), 0, 0, EMPTY_PATH])),
        (EXECUTION, "memfd_exec", Kills, |_| {
            let fd = if let Outcome::Succeeded(fd) = memfd() { fd } else { u64::MAX };
            call(libc::SYS_execveat, &[fd, text(c""), 0, 0, EMPTY_PATH])
        }),
    ]
}
