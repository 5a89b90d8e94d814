//! What the host makes of a call that no rule names: an error for the worker and a line for the host, or death.

use nix::errno::Errno;
use nix::libc;
use syscalls::Sysno;

use crate::rule::{Effect, Rule};
use crate::rules::{NEW_NAMESPACE, THREAD};

/// Calls that make a process, however they are made.
pub(crate) const NEVER: &[&str] = &["fork", "vfork", "clone3"];

/// Calls that no demuxer or decoder ever makes, whatever their arguments: a worker that makes one is an attacker.
pub(crate) const DEADLY: &[&str] = &[
    "execve",
    "execveat",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "kcmp",
    "pidfd_getfd",
    "pidfd_send_signal",
    "pidfd_open",
    "kill",
    "tkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "move_mount",
    "open_tree",
    "open_tree_attr",
    "mount_setattr",
    "name_to_handle_at",
    "open_by_handle_at",
    "fanotify_init",
    "fanotify_mark",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "keyctl",
    "add_key",
    "request_key",
    "seccomp",
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
    "personality",
    "modify_ldt",
    "iopl",
    "ioperm",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "syslog",
    "swapon",
    "swapoff",
    "sethostname",
    "setdomainname",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "quotactl",
    "quotactl_fd",
    "acct",
    "remap_file_pages",
    "memfd_secret",
    "map_shadow_stack",
    "process_madvise",
    "process_mrelease",
    "shmget",
    "shmat",
    "shmctl",
    "shmdt",
    "semget",
    "semop",
    "semctl",
    "semtimedop",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "mq_open",
    "mq_unlink",
    "mq_timedsend",
    "mq_timedreceive",
    "mq_notify",
    "mq_getsetattr",
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setfsuid",
    "setfsgid",
    "setgroups",
    "capset",
    "connect",
    "bind",
    "listen",
    "accept",
    "accept4",
    "vhangup",
    "uselib",
    "nfsservctl",
    "lookup_dcookie",
    "move_pages",
    "migrate_pages",
];

/// What becomes of a call that came to the host, and of the worker that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The worker dies.
    Kill,
    /// The call fails, and the host remembers it.
    Fail(Errno),
    /// The worker asks for its own death, as `abort()` does.
    Abort,
    /// One more thread, which the host counts.
    Thread,
}

/// Judges a call. `own_pid` is the worker's number in its own process namespace.
pub(crate) fn judge(number: i32, arguments: &[u64; 6], own_pid: u32) -> Verdict {
    const PR_SET_SYSCALL_USER_DISPATCH: u64 = 59;
    const SECCOMP: u64 = libc::PR_SET_SECCOMP.unsigned_abs() as u64;
    const UNIX: u64 = libc::AF_UNIX.unsigned_abs() as u64;
    const SIGABRT: u64 = libc::SIGABRT.unsigned_abs() as u64;
    let Ok(index) = usize::try_from(number) else { return Verdict::Kill };
    let Some(call) = Sysno::new(index) else { return unknown(number) };
    match call.name() {
        name if DEADLY.contains(&name) => Verdict::Kill,
        "socket" if arguments[0] != UNIX => Verdict::Kill,
        "clone" if arguments[0] == THREAD => Verdict::Thread,
        "clone" if arguments[0] & NEW_NAMESPACE != 0 => Verdict::Kill,
        "prctl" if matches!(arguments[0], SECCOMP | PR_SET_SYSCALL_USER_DISPATCH) => Verdict::Kill,
        "tgkill" if arguments[0] == u64::from(own_pid) && arguments[2] == SIGABRT => Verdict::Abort,
        "tgkill" => Verdict::Kill,
        _ => Verdict::Fail(Errno::EPERM),
    }
}

/// What a call of a learning worker fails with: what the profile's `rules` say of it, or nothing. A process is never made.
pub(crate) fn lesson(rules: &[Rule], number: i32, arguments: &[u64; 6]) -> Option<Errno> {
    let Some(call) = usize::try_from(number).ok().and_then(Sysno::new) else { return Some(Errno::ENOSYS) };
    let refusal = |rule: &Rule| match rule.effect {
        Effect::Refuse(errno) if rule.call == call.name() && rule.matches(arguments) => Some(Errno::from_raw(errno)),
        _ => None,
    };
    let makes_a_process = call.name() == "clone" || NEVER.contains(&call.name());
    rules.iter().find_map(refusal).or_else(|| makes_a_process.then_some(Errno::EPERM))
}

/// A number that has no name: newer than this list, or of the x32 interface, which nothing here uses.
fn unknown(number: i32) -> Verdict {
    const X32: i32 = 0x4000_0000;
    if number & X32 != 0 { Verdict::Kill } else { Verdict::Fail(Errno::ENOSYS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(call: &str, arguments: [u64; 6]) -> Verdict {
        let call: Sysno = call.parse().unwrap();
        judge(call.id(), &arguments, 1)
    }

    #[test]
    fn attacks_kill_and_ignorance_does_not() {
        assert_eq!(of("ptrace", [0; 6]), Verdict::Kill);
        assert_eq!(of("socket", [2, 0, 0, 0, 0, 0]), Verdict::Kill);
        assert_eq!(of("socket", [1, 0, 0, 0, 0, 0]), Verdict::Fail(Errno::EPERM));
        assert_eq!(of("clone", [NEW_NAMESPACE, 0, 0, 0, 0, 0]), Verdict::Kill);
        assert_eq!(of("getppid", [0; 6]), Verdict::Fail(Errno::EPERM));
        assert_eq!(judge(4000, &[0; 6], 1), Verdict::Fail(Errno::ENOSYS));
        assert_eq!(judge(-1, &[0; 6], 1), Verdict::Kill);
        assert_eq!(judge(0x4000_0027, &[0; 6], 1), Verdict::Kill);
    }

    #[test]
    fn learning_refuses_what_rules_refuse_and_processes() {
        let of = |rules: &[Rule], call: &str, arguments| lesson(rules, call.parse::<Sysno>().unwrap().id(), &arguments);
        let strict = crate::rules::decoder();
        assert_eq!(of(&strict, "openat", [0; 6]), Some(Errno::ENOENT));
        assert_eq!(of(&strict, "mmap", [0, 1, 4, 0, 0, 0]), Some(Errno::EACCES));
        assert_eq!(of(&strict, "getppid", [0; 6]), None);
        assert_eq!(of(&[], "clone", [17, 0, 0, 0, 0, 0]), Some(Errno::EPERM));
        assert_eq!(of(&[], "vfork", [0; 6]), Some(Errno::EPERM));
        assert_eq!(lesson(&strict, 4000, &[0; 6]), Some(Errno::ENOSYS));
    }

    #[test]
    fn abort_is_no_attack_unless_it_is_aimed_at_others() {
        assert_eq!(of("tgkill", [1, 5, 6, 0, 0, 0]), Verdict::Abort);
        assert_eq!(of("tgkill", [2, 5, 6, 0, 0, 0]), Verdict::Kill);
        assert_eq!(of("tgkill", [1, 5, 9, 0, 0, 0]), Verdict::Kill);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_deadly_call_exists() {
        assert!(DEADLY.iter().all(|name| name.parse::<Sysno>().is_ok()));
    }
}
