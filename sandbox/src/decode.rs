//! The arguments of a system call in words, for reports: constants by name, descriptors and processes as numbers.
//!
//! Only what lies in a register is decoded. What an address points to belongs to the worker, which could change it between
//! the call and the look.

use nix::libc;
use nix::sys::signal::Signal;

type Names = &'static [(libc::c_int, &'static str)];

/// What one argument means.
#[derive(Clone, Copy)]
enum Kind {
    /// A descriptor, a process or another signed number.
    Number,
    /// An address in the worker's memory, or a number that reads best so.
    Hex,
    /// One constant out of a few.
    One(Names),
    /// Flags.
    Set(Names),
    /// A set of flags, where 0 has a name of its own.
    SetOr(Names, &'static str),
    /// A signal.
    Signal,
    /// A directory's descriptor for a path.
    Base,
    /// Permission bits.
    Mode,
}

macro_rules! names {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

const FAMILIES: Names =
    names!(AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_ALG AF_VSOCK AF_XDP AF_BLUETOOTH AF_CAN);
const SOCKETS: Names = names!(SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_SEQPACKET);
const SOCKET_FLAGS: libc::c_int = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
const OPEN: Names = names!(O_WRONLY O_RDWR O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_DIRECTORY O_NOFOLLOW
    O_CLOEXEC O_PATH);
const PROTECTION: Names = names!(PROT_READ PROT_WRITE PROT_EXEC);
const MAP: Names = names!(MAP_SHARED MAP_PRIVATE MAP_FIXED MAP_ANONYMOUS MAP_GROWSDOWN MAP_LOCKED MAP_NORESERVE
    MAP_POPULATE MAP_STACK MAP_HUGETLB MAP_FIXED_NOREPLACE);
const CLONE: Names = names!(CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PTRACE CLONE_VFORK CLONE_PARENT CLONE_THREAD
    CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID CLONE_CHILD_SETTID CLONE_NEWCGROUP
    CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET CLONE_IO);
const PRCTL: Names = names!(PR_SET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE PR_SET_KEEPCAPS PR_SET_NAME PR_GET_NAME
    PR_SET_SECCOMP PR_CAPBSET_DROP PR_SET_TSC PR_SET_SECUREBITS PR_SET_TIMERSLACK PR_SET_MM PR_SET_CHILD_SUBREAPER
    PR_SET_NO_NEW_PRIVS PR_SET_THP_DISABLE PR_CAP_AMBIENT PR_SET_SPECULATION_CTRL PR_SET_PTRACER PR_SET_VMA PR_SET_MDWE);
const ADVICE: Names = names!(MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_REMOVE
    MADV_DONTFORK MADV_DOFORK MADV_MERGEABLE MADV_UNMERGEABLE MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTDUMP MADV_DODUMP
    MADV_WIPEONFORK MADV_COLD MADV_PAGEOUT MADV_POPULATE_READ MADV_POPULATE_WRITE);
const CLOCKS: Names = names!(CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID
    CLOCK_MONOTONIC_RAW CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME);
const FCNTL: Names = names!(F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_SETLK F_SETLKW F_GETLK F_SETOWN
    F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS);
const LEVELS: Names = names!(SOL_SOCKET SOL_NETLINK);
const OPTIONS: Names = names!(SO_TYPE SO_ERROR SO_SNDBUF SO_RCVBUF SO_PASSCRED SO_PEERCRED SO_DOMAIN SO_PROTOCOL
    SO_ATTACH_FILTER SO_PEERSEC);
const MESSAGE: Names = names!(MSG_OOB MSG_PEEK MSG_DONTWAIT MSG_NOSIGNAL MSG_CMSG_CLOEXEC MSG_WAITALL MSG_TRUNC);
const UNSHARE: Names = CLONE;
const MEMFD: &[(libc::c_int, &str)] =
    &[(1, "MFD_CLOEXEC"), (2, "MFD_ALLOW_SEALING"), (4, "MFD_HUGETLB"), (8, "MFD_NOEXEC_SEAL")];
const LIMITS: Names = &[
    (0, "RLIMIT_CPU"),
    (1, "RLIMIT_FSIZE"),
    (2, "RLIMIT_DATA"),
    (3, "RLIMIT_STACK"),
    (4, "RLIMIT_CORE"),
    (5, "RLIMIT_RSS"),
    (6, "RLIMIT_NPROC"),
    (7, "RLIMIT_NOFILE"),
    (8, "RLIMIT_MEMLOCK"),
    (9, "RLIMIT_AS"),
];

/// What each of a call's arguments means; a call takes as many as are listed.
fn shape(call: &str) -> Option<&'static [Kind]> {
    use Kind::{Base, Hex, Mode, Number, One, Set, SetOr, Signal};
    Some(match call {
        "socket" => &[One(FAMILIES), One(SOCKETS), Number],
        "socketpair" => &[One(FAMILIES), One(SOCKETS), Number, Hex],
        "connect" | "bind" => &[Number, Hex, Number],
        "sendto" | "recvfrom" => &[Number, Hex, Number, Set(MESSAGE), Hex, Hex],
        "setsockopt" | "getsockopt" => &[Number, One(LEVELS), One(OPTIONS), Hex, Hex],
        "openat" => &[Base, Hex, SetOr(OPEN, "O_RDONLY"), Mode],
        "open" => &[Hex, SetOr(OPEN, "O_RDONLY"), Mode],
        "newfstatat" => &[Base, Hex, Hex, Hex],
        "readlinkat" | "faccessat" | "mkdirat" | "fchmodat" => &[Base, Hex, Hex, Hex],
        "mmap" => &[Hex, Number, SetOr(PROTECTION, "PROT_NONE"), Set(MAP), Number, Number],
        "mprotect" => &[Hex, Number, SetOr(PROTECTION, "PROT_NONE")],
        "madvise" => &[Hex, Number, One(ADVICE)],
        "clone" => &[Set(CLONE), Hex, Hex, Hex, Hex],
        "unshare" => &[Set(UNSHARE)],
        "setns" => &[Number, Set(UNSHARE)],
        "prctl" => &[One(PRCTL), Hex, Hex, Hex, Hex],
        "clock_gettime" | "clock_getres" | "clock_settime" => &[One(CLOCKS), Hex],
        "clock_nanosleep" => &[One(CLOCKS), Number, Hex, Hex],
        "timerfd_create" | "timer_create" => &[One(CLOCKS), Hex, Hex],
        "fcntl" => &[Number, One(FCNTL), Hex],
        "ioctl" => &[Number, Hex, Hex],
        "kill" | "tkill" => &[Number, Signal],
        "tgkill" => &[Number, Number, Signal],
        "memfd_create" => &[Hex, Set(MEMFD)],
        "prlimit64" => &[Number, One(LIMITS), Hex, Hex],
        "getrlimit" | "setrlimit" => &[One(LIMITS), Hex],
        "execve" => &[Hex, Hex, Hex],
        "execveat" => &[Base, Hex, Hex, Hex, Hex],
        "ptrace" => &[Number, Number, Hex, Hex],
        "process_vm_readv" | "process_vm_writev" => &[Number, Hex, Number, Hex, Number, Hex],
        "getpriority" | "setpriority" => &[Number, Number, Number],
        "sched_setaffinity" | "sched_getaffinity" => &[Number, Number, Hex],
        "sched_setscheduler" => &[Number, Number, Hex],
        "getppid" | "getuid" | "geteuid" | "getgid" | "getegid" | "setsid" | "getpgrp" => &[],
        "dup" | "close" | "fsync" | "fchdir" | "pidfd_open" => &[Number],
        "lseek" => &[Number, Number, Number],
        "ftruncate" => &[Number, Number],
        _ => return None,
    })
}

/// The arguments in words, as they stand between a call's parentheses.
pub(crate) fn arguments(call: &str, registers: &[u64; 6]) -> String {
    let words: Vec<String> = match shape(call) {
        Some(kinds) => kinds.iter().zip(registers).map(|(kind, &register)| kind.word(register)).collect(),
        None => registers.iter().map(|register| format!("{register:#x}")).collect(),
    };
    words.join(", ")
}

impl Kind {
    fn word(self, register: u64) -> String {
        // The kernel looks at 32 bits of such arguments; what is dirty above must show all the same.
        let Some(number) = narrow(register) else { return format!("{register:#x}") };
        match self {
            Self::Hex => format!("{register:#x}"),
            Self::Number => number.to_string(),
            Self::Mode => format!("{register:#o}"),
            Self::Base if number == libc::AT_FDCWD => "AT_FDCWD".to_owned(),
            Self::Base => number.to_string(),
            Self::Signal => Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.to_string()),
            Self::One(names) => one(names, number),
            Self::Set(names) => set(names, number),
            Self::SetOr(_, nothing) if number == 0 => nothing.to_owned(),
            Self::SetOr(names, _) => set(names, number),
        }
    }
}

/// A register as the `int` that the kernel takes it for: sign-extended, zero-extended, or not one at all.
fn narrow(register: u64) -> Option<libc::c_int> {
    i32::try_from(register.cast_signed()).ok().or_else(|| u32::try_from(register).ok().map(u32::cast_signed))
}

fn one(names: Names, number: libc::c_int) -> String {
    let named =
        |number: libc::c_int| names.iter().find(|(value, _)| *value == number).map(|(_, name)| (*name).to_owned());
    named(number)
        // Kinds of sockets have flags in the same number.
        .or_else(|| (names == SOCKETS).then(|| named(number & !SOCKET_FLAGS)).flatten())
        .unwrap_or_else(|| format!("{number:#x}"))
}

fn set(names: Names, number: libc::c_int) -> String {
    let mut rest = number;
    let mut words = Vec::new();
    for &(flag, name) in names {
        if rest & flag == flag && flag != 0 {
            words.push(name.to_owned());
            rest &= !flag;
        }
    }
    if rest != 0 || words.is_empty() {
        words.push(format!("{rest:#x}"));
    }
    words.join("|")
}

/// Which arguments of a call say what it is about: an operation, not an address or a length. Rules look at these.
pub(crate) fn selectors(call: &str) -> &'static [u8] {
    match call {
        "socket" | "socketpair" => &[0],
        "setsockopt" | "getsockopt" => &[1, 2],
        "fcntl" | "ioctl" | "prlimit64" | "memfd_create" => &[1],
        "openat" | "madvise" | "mprotect" => &[2],
        "mmap" => &[2, 3],
        "clone" | "prctl" | "clock_gettime" | "clock_getres" | "clock_nanosleep" | "arch_prctl" => &[0],
        "sched_getaffinity" | "sched_setaffinity" | "sched_getparam" | "sched_getscheduler" => &[0],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_have_names() {
        let words = |call, registers: &[u64]| {
            let mut all = [0; 6];
            all[..registers.len()].copy_from_slice(registers);
            arguments(call, &all)
        };
        assert_eq!(words("socket", &[2, 1 | 0o2000000, 6]), "AF_INET, SOCK_STREAM, 6");
        assert_eq!(
            words("openat", &[(-100i64).cast_unsigned(), 0x1000, 0o2000101, 0o600]),
            "AT_FDCWD, 0x1000, O_WRONLY|O_CREAT|O_CLOEXEC, 0o600"
        );
        assert_eq!(words("mprotect", &[0x1000, 4096, 5]), "0x1000, 4096, PROT_READ|PROT_EXEC");
        assert_eq!(words("kill", &[u64::MAX, 9]), "-1, SIGKILL");
        assert_eq!(words("unshare", &[0x1000_0000]), "CLONE_NEWUSER");
        assert_eq!(words("getppid", &[]), "");
        assert_eq!(words("nosuchcall", &[1]), "0x1, 0x0, 0x0, 0x0, 0x0, 0x0");
    }

    #[test]
    fn dirty_high_bits_show() {
        assert_eq!(arguments("madvise", &[0, 0, 4 | 1 << 40, 0, 0, 0]), "0x0, 0, 0x10000000004");
        assert_eq!(arguments("prctl", &[4 | 1 << 63, 1, 0, 0, 0, 0]).split(',').next(), Some("0x8000000000000004"));
    }
}
