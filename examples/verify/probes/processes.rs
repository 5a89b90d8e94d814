//! Other processes, new ones, and namespaces.

use super::Row;
use crate::probe::Outcome;
use crate::probe::Wanted::{Errno, Hidden, Kills, Reported};
use crate::raw::{call, space, text, text_of};

const GROUP: &str = "processes";
const SIGCHLD: u64 = libc::SIGCHLD as u64;
const ALL: u64 = u64::MAX;

/// A child that is made by mistake must not go on as a second probe.
fn child(outcome: Outcome) -> Outcome {
    if outcome == Outcome::Succeeded(0) {
        std::process::exit(0);
    }
    outcome
}

fn pidfd_of(pid: u64) -> u64 {
    match call(libc::SYS_pidfd_open, &[pid, 0]) {
        Outcome::Succeeded(fd) => fd,
        _ => u64::MAX,
    }
}

pub fn probes() -> Vec<Row> {
    [created(), namespaces(), signalled(), inspected(), scheduled(), other_threads()].concat()
}

/// What a second thread attempts.
fn in_thread(attempt: fn() -> Outcome) -> Outcome {
    std::thread::spawn(attempt).join().unwrap_or(Outcome::Failed(libc::EAGAIN))
}

fn other_threads() -> Vec<Row> {
    const READ: u64 = libc::O_RDONLY as u64;
    vec![
        (GROUP, "second_thread_socket", Kills, |_| in_thread(|| call(libc::SYS_socket, &[2, 1, 0]))),
        (GROUP, "second_thread_ptrace", Kills, |_| in_thread(|| call(libc::SYS_ptrace, &[0, 0, 0, 0]))),
        (GROUP, "second_thread_fork", Errno(libc::EPERM), |_| in_thread(|| child(call(libc::SYS_clone, &[SIGCHLD])))),
        (GROUP, "second_thread_getppid", Reported, |_| in_thread(|| call(libc::SYS_getppid, &[]))),
        (GROUP, "second_thread_open", Hidden, |_| {
            in_thread(|| call(libc::SYS_openat, &[ALL, text(c"/etc/passwd"), READ, 0]))
        }),
    ]
}

fn created() -> Vec<Row> {
    vec![
        (GROUP, "fork", Errno(libc::EPERM), |_| child(call(libc::SYS_clone, &[SIGCHLD]))),
        (GROUP, "vfork_flags", Errno(libc::EPERM), |_| {
            child(call(libc::SYS_clone, &[SIGCHLD | libc::CLONE_VFORK as u64]))
        }),
        (GROUP, "clone3_efault", Errno(libc::ENOSYS), |_| call(libc::SYS_clone3, &[1, 88])),
        (GROUP, "wait_any", Reported, |_| call(libc::SYS_wait4, &[ALL, 0, libc::WNOHANG as u64, 0])),
    ]
}

fn namespaces() -> Vec<Row> {
    const NEW_USER: u64 = libc::CLONE_NEWUSER as u64;
    vec![
        (GROUP, "clone_newuser", Kills, |_| child(call(libc::SYS_clone, &[SIGCHLD | NEW_USER]))),
        (GROUP, "unshare_newuser", Kills, |_| call(libc::SYS_unshare, &[NEW_USER])),
        (GROUP, "unshare_newns", Kills, |_| call(libc::SYS_unshare, &[libc::CLONE_NEWNS as u64])),
        (GROUP, "setns_victim", Kills, |w| call(libc::SYS_setns, &[pidfd_of(w.victim), libc::CLONE_NEWNS as u64])),
        (GROUP, "mount_tmpfs", Kills, |_| call(libc::SYS_mount, &[text(c"none"), text(c"/tmp"), text(c"tmpfs"), 0, 0])),
        (GROUP, "umount_root", Kills, |_| call(libc::SYS_umount2, &[text(c"/nonexistent"), 2])),
        (GROUP, "pivot_root", Kills, |_| call(libc::SYS_pivot_root, &[text(c"."), text(c".")])),
        (GROUP, "fsopen", Kills, |_| call(libc::SYS_fsopen, &[text(c"tmpfs"), 0])),
        (GROUP, "open_tree", Kills, |_| call(libc::SYS_open_tree, &[ALL, text(c"/"), 1])),
        (GROUP, "mount_setattr", Kills, |_| call(libc::SYS_mount_setattr, &[ALL, text(c"/"), 0, 0, 0])),
    ]
}

fn signalled() -> Vec<Row> {
    vec![
        (GROUP, "kill_victim_0", Kills, |w| call(libc::SYS_kill, &[w.victim, 0])),
        (GROUP, "kill_sibling_0", Kills, |w| call(libc::SYS_kill, &[w.sibling, 0])),
        (GROUP, "sibling_seen", Hidden, |w| {
            let path = text_of(format!("/proc/{}/status", w.sibling));
            call(libc::SYS_openat, &[ALL, path, 0, 0])
        }),
        (GROUP, "kill_ppid_0", Kills, |_| call(libc::SYS_kill, &[u64::from(std::os::unix::process::parent_id()), 0])),
        (GROUP, "kill_all_0", Kills, |_| call(libc::SYS_kill, &[ALL, 0])),
        (GROUP, "kill_pgrp_0", Kills, |_| call(libc::SYS_kill, &[0, 0])),
        (GROUP, "tgkill_victim_0", Kills, |w| call(libc::SYS_tgkill, &[w.victim, w.victim, 0])),
        (GROUP, "tkill_victim_0", Kills, |w| call(libc::SYS_tkill, &[w.victim, 0])),
        (GROUP, "sigqueue_victim", Kills, |w| call(libc::SYS_rt_sigqueueinfo, &[w.victim, 0, space(&[])])),
        (GROUP, "pidfd_signal_victim", Kills, |w| call(libc::SYS_pidfd_send_signal, &[pidfd_of(w.victim), 0, 0, 0])),
        (GROUP, "pidfd_getfd_victim", Kills, |w| call(libc::SYS_pidfd_getfd, &[pidfd_of(w.victim), 0, 0])),
    ]
}

fn inspected() -> Vec<Row> {
    const SEIZE: u64 = 0x4206;
    vec![
        (GROUP, "ptrace_seize_victim", Kills, |w| call(libc::SYS_ptrace, &[SEIZE, w.victim, 0, 0])),
        (GROUP, "ptrace_seize_sibling", Kills, |w| call(libc::SYS_ptrace, &[SEIZE, w.sibling, 0, 0])),
        (GROUP, "ptrace_traceme", Kills, |_| call(libc::SYS_ptrace, &[0, 0, 0, 0])),
        (GROUP, "process_vm_readv", Kills, |w| {
            call(libc::SYS_process_vm_readv, &[w.victim, space(&[]), 1, space(&[]), 1, 0])
        }),
        (GROUP, "process_vm_writev", Kills, |w| {
            call(libc::SYS_process_vm_writev, &[w.victim, space(&[]), 1, space(&[]), 1, 0])
        }),
        (GROUP, "process_vm_readv_sibling", Kills, |w| {
            call(libc::SYS_process_vm_readv, &[w.sibling, space(&[]), 1, space(&[]), 1, 0])
        }),
        (GROUP, "kcmp_victim", Kills, |w| call(libc::SYS_kcmp, &[w.victim, w.victim, 0, 0, 0])),
        (GROUP, "get_robust_list_victim", Reported, |w| {
            call(libc::SYS_get_robust_list, &[w.victim, space(&[]), space(&[])])
        }),
        (GROUP, "clock_victim_cpu", Reported, |w| {
            call(libc::SYS_clock_gettime, &[process_clock(w.victim), space(&[])])
        }),
    ]
}

fn scheduled() -> Vec<Row> {
    const NPROC: u64 = libc::RLIMIT_NPROC as u64;
    vec![
        (GROUP, "getpriority_victim", Reported, |w| call(libc::SYS_getpriority, &[0, w.victim])),
        (GROUP, "setpriority_victim", Reported, |w| call(libc::SYS_setpriority, &[0, w.victim, 19])),
        (GROUP, "setpriority_self_neg", Reported, |_| call(libc::SYS_setpriority, &[0, 0, ALL])),
        (GROUP, "sched_setaff_victim", Reported, |w| call(libc::SYS_sched_setaffinity, &[w.victim, 8, space(&[1])])),
        (GROUP, "sched_setaff_self", Reported, |_| call(libc::SYS_sched_setaffinity, &[0, 8, space(&[1])])),
        (GROUP, "sched_fifo_self", Reported, |_| call(libc::SYS_sched_setscheduler, &[0, 1, space(&[1])])),
        (GROUP, "prlimit_victim_read", Reported, |w| call(libc::SYS_prlimit64, &[w.victim, NPROC, 0, space(&[])])),
        (GROUP, "prlimit_self_raise", Reported, |_| call(libc::SYS_prlimit64, &[0, NPROC, space(&[0xff; 16]), 0])),
        (GROUP, "setpgid_self", Reported, |_| call(libc::SYS_setpgid, &[0, 0])),
        (GROUP, "setsid", Reported, |_| call(libc::SYS_setsid, &[])),
        (GROUP, "getsid_victim", Reported, |w| call(libc::SYS_getsid, &[w.victim])),
    ]
}

/// The id of the clock that counts the CPU time of a process, as the kernel composes it: the lower half of a register.
fn process_clock(process: u64) -> u64 {
    (!process << 3 | 2) & u64::from(u32::MAX)
}
