//! Rarely used doors into the kernel, and System V's.

use super::Row;
use crate::probe::Wanted::{Errno, Kills, Reported};
use crate::raw::{call, space, text};

const GROUP: &str = "kernel surface";
const IPC: &str = "SysV/POSIX IPC";
const NONE: u64 = u64::MAX;

pub fn probes() -> Vec<Row> {
    [hostile(), x86(), needless(), shared()].concat()
}

fn hostile() -> Vec<Row> {
    vec![
        (GROUP, "bpf_prog_load", Kills, |_| call(libc::SYS_bpf, &[5, space(&[]), 128])),
        (GROUP, "perf_event_open", Kills, |_| call(libc::SYS_perf_event_open, &[space(&[]), 0, NONE, NONE, 0])),
        (GROUP, "userfaultfd_user", Kills, |_| call(libc::SYS_userfaultfd, &[1])),
        (GROUP, "io_uring_setup", Kills, |_| call(libc::SYS_io_uring_setup, &[1, space(&[])])),
        (GROUP, "keyctl_session", Kills, |_| call(libc::SYS_keyctl, &[1, 0])),
        (GROUP, "add_key", Kills, |_| call(libc::SYS_add_key, &[text(c"user"), text(c"k"), text(c"v"), 1, NONE - 1])),
        (GROUP, "request_key", Kills, |_| call(libc::SYS_request_key, &[text(c"user"), text(c"k"), 0, 0])),
        (GROUP, "seccomp_stack", Kills, |_| call(libc::SYS_seccomp, &[1, 0, space(&[])])),
        (GROUP, "landlock_create", Kills, |_| call(libc::SYS_landlock_create_ruleset, &[space(&[1]), 8, 0])),
        (GROUP, "personality_rie", Kills, |_| call(libc::SYS_personality, &[0x40_0000])),
        (GROUP, "init_module", Kills, |_| call(libc::SYS_init_module, &[space(&[]), 0, text(c"")])),
        (GROUP, "reboot_badmagic", Kills, |_| call(libc::SYS_reboot, &[0, 0, 0, 0])),
        (GROUP, "syslog_read", Kills, |_| call(libc::SYS_syslog, &[3, space(&[]), 16])),
        (GROUP, "swapon", Kills, |_| call(libc::SYS_swapon, &[text(c"/nonexistent"), 0])),
        (GROUP, "sethostname", Kills, |_| call(libc::SYS_sethostname, &[text(c""), NONE])),
        (GROUP, "clock_settime", Kills, |_| call(libc::SYS_clock_settime, &[1, space(&[])])),
        (GROUP, "quotactl", Kills, |_| call(libc::SYS_quotactl, &[NONE, 0, 0, 0])),
        (GROUP, "acct", Kills, |_| call(libc::SYS_acct, &[text(c"/nonexistent")])),
        (GROUP, "remap_file_pages", Kills, |_| call(libc::SYS_remap_file_pages, &[0, 0, 0, 0, 0])),
        (GROUP, "memfd_secret", Kills, |_| call(libc::SYS_memfd_secret, &[0])),
        (GROUP, "process_madvise", Kills, |_| call(libc::SYS_process_madvise, &[NONE, 0, 0, 0, 0])),
        (GROUP, "quotactl_fd", Kills, |_| call(libc::SYS_quotactl_fd, &[NONE, 0, 0, 0])),
        (GROUP, "syscall_user_disp", Kills, |_| call(libc::SYS_prctl, &[59, 1, 0, 0, space(&[])])),
    ]
}

#[cfg(target_arch = "x86_64")]
fn x86() -> Vec<Row> {
    use crate::probe::Wanted::System;
    use crate::raw::{int80_getpid, vsyscall_time};
    const X32: libc::c_long = 0x4000_0000;
    vec![
        (GROUP, "modify_ldt", Kills, |_| call(libc::SYS_modify_ldt, &[0, space(&[]), 16])),
        (GROUP, "iopl", Kills, |_| call(libc::SYS_iopl, &[3])),
        (GROUP, "map_shadow_stack", Kills, |_| call(453, &[0, 4096, 0])),
        (GROUP, "arch_prctl_cpuid", Reported, |_| call(libc::SYS_arch_prctl, &[0x1012, 0])),
        ("ABI", "int80_getpid", Kills, |_| int80_getpid()),
        ("ABI", "x32_getpid", Kills, |_| call(X32 | libc::SYS_getpid, &[])),
        ("ABI", "vsyscall_time", System, |_| vsyscall_time()),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
fn x86() -> Vec<Row> {
    Vec::new()
}

fn needless() -> Vec<Row> {
    vec![
        (GROUP, "uname_nodename_len", Errno(libc::EPERM), |_| call(libc::SYS_uname, &[space(&[])])),
        (GROUP, "sysinfo", Errno(libc::EPERM), |_| call(libc::SYS_sysinfo, &[space(&[])])),
        (GROUP, "mbind", Reported, |_| call(libc::SYS_mbind, &[0, 0, 0, 0, 0, 0])),
        (GROUP, "vmsplice", Reported, |_| call(libc::SYS_vmsplice, &[1, space(&[]), 0, 0])),
        (GROUP, "timerfd", Reported, |_| call(libc::SYS_timerfd_create, &[1, 0])),
        (GROUP, "timer_create", Reported, |_| call(libc::SYS_timer_create, &[1, 0, space(&[])])),
        (GROUP, "signalfd", Reported, |_| call(libc::SYS_signalfd4, &[NONE, space(&[]), 8, 0])),
        (GROUP, "pkey_alloc", Reported, |_| call(libc::SYS_pkey_alloc, &[0, 0])),
        (GROUP, "cachestat", Reported, |_| call(451, &[0, space(&[]), space(&[]), 0])),
        (GROUP, "lsm_list_modules", Reported, |_| call(461, &[space(&[]), space(&[]), 0])),
        ("ABI", "bogus_nr_4000", Errno(libc::ENOSYS), |_| call(4000, &[])),
        ("ABI", "neg_nr", Kills, |_| call(-2, &[])),
    ]
}

fn shared() -> Vec<Row> {
    const CREATE: u64 = libc::IPC_CREAT as u64 | 0o600;
    vec![
        (IPC, "shmget", Kills, |_| call(libc::SYS_shmget, &[0, 4096, CREATE])),
        (IPC, "semget", Kills, |_| call(libc::SYS_semget, &[0, 1, CREATE])),
        (IPC, "msgget", Kills, |_| call(libc::SYS_msgget, &[0, CREATE])),
        (IPC, "shmat_victim", Kills, |w| call(libc::SYS_shmat, &[w.segment, 0, 0])),
        (IPC, "mq_open", Kills, |_| call(libc::SYS_mq_open, &[text(c"probe"), 0o102, 0o600, 0])),
    ]
}
