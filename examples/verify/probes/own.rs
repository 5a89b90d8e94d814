//! The worker's own state: its protections, its user, its terminal, what it was left with and what it can use up.

use super::Row;
use crate::probe::Outcome;
use crate::probe::Wanted::{AtMost, Errno, Kills, Reported};
use crate::raw::{call, space, text};

const PRCTL: &str = "prctl";
const CREDENTIALS: &str = "credentials";
const TERMINAL: &str = "terminal";
const LEAKS: &str = "leak scans";
const RESOURCES: &str = "resources";

pub fn probes() -> Vec<Row> {
    [protections(), credentials(), terminal(), counts()].concat()
}

fn prctl(option: u64, arguments: &[u64]) -> Outcome {
    call(libc::SYS_prctl, &[&[option], arguments].concat())
}

fn protections() -> Vec<Row> {
    vec![
        (PRCTL, "set_dumpable_1", Reported, |_| prctl(4, &[1])),
        (PRCTL, "set_pdeathsig_0", Reported, |_| prctl(1, &[0])),
        (PRCTL, "unset_nnp", Reported, |_| prctl(38, &[0])),
        (PRCTL, "unset_mdwe", Reported, |_| prctl(65, &[0])),
        (PRCTL, "set_ptracer_any", Reported, |_| prctl(0x5961_6d61, &[u64::MAX])),
        (PRCTL, "set_mm", Reported, |_| prctl(35, &[1, 0])),
        (PRCTL, "set_tsc_sigsegv", Reported, |_| prctl(26, &[2])),
        (PRCTL, "spec_enable", Reported, |_| prctl(53, &[0, 2])),
    ]
}

fn credentials() -> Vec<Row> {
    const HEADER: &[u8] = &0x2008_0522u32.to_le_bytes();
    vec![
        (CREDENTIALS, "setuid0", Kills, |_| call(libc::SYS_setuid, &[0])),
        (CREDENTIALS, "setresuid", Kills, |_| call(libc::SYS_setresuid, &[0, 0, 0])),
        (CREDENTIALS, "setgroups", Kills, |_| call(libc::SYS_setgroups, &[0, 0])),
        (CREDENTIALS, "capset_all", Kills, |_| call(libc::SYS_capset, &[space(HEADER), space(&[0xff; 24])])),
        (CREDENTIALS, "have_caps", Reported, |_| call(libc::SYS_capget, &[space(HEADER), space(&[])])),
    ]
}

fn terminal() -> Vec<Row> {
    const NOT_A_TERMINAL: crate::probe::Wanted = Errno(libc::ENOTTY);
    const TIOCSTI: u64 = 0x5412;
    vec![
        (TERMINAL, "tiocsti", NOT_A_TERMINAL, |_| call(libc::SYS_ioctl, &[0, TIOCSTI, text(c"x")])),
        (TERMINAL, "tiocsti_highbits", NOT_A_TERMINAL, |_| call(libc::SYS_ioctl, &[0, TIOCSTI | 1 << 32, text(c"x")])),
        (TERMINAL, "tioclinux", NOT_A_TERMINAL, |_| call(libc::SYS_ioctl, &[0, 0x541c, text(c"\x03")])),
        (TERMINAL, "tiocsctty", NOT_A_TERMINAL, |_| call(libc::SYS_ioctl, &[0, 0x540e, 1])),
        (TERMINAL, "tcgets", NOT_A_TERMINAL, |_| call(libc::SYS_ioctl, &[0, 0x5401, space(&[])])),
    ]
}

fn counts() -> Vec<Row> {
    const GIVEN: u64 = 5;
    let limit = u64::from(cloison_sandbox::DECODER_DESCRIPTORS);
    let threads = u64::from(cloison_sandbox::DECODER_THREADS);
    vec![
        // The standard three, the channel, and the root directory that the probes are passed.
        (LEAKS, "open_fd_count", AtMost(GIVEN), |_| {
            let open = |fd: &u64| matches!(call(libc::SYS_fcntl, &[*fd, 1]), Outcome::Succeeded(_));
            Outcome::Counted((0..4096).filter(open).count() as u64)
        }),
        (LEAKS, "env_count", AtMost(0), |_| Outcome::Counted(std::env::vars_os().count() as u64)),
        (LEAKS, "core_limit_positive", Reported, |_| {
            call(libc::SYS_prlimit64, &[0, libc::RLIMIT_CORE as u64, 0, space(&[])])
        }),
        (RESOURCES, "threads_until_fail", AtMost(threads), |_| {
            let park = || std::thread::Builder::new().stack_size(64 << 10).spawn(std::thread::park);
            Outcome::Counted((0..10_000).take_while(|_| park().is_ok()).count() as u64)
        }),
        (RESOURCES, "dup_until_fail", AtMost(limit), |_| {
            let again = || call(libc::SYS_fcntl, &[0, libc::F_DUPFD_CLOEXEC as u64, 0]);
            Outcome::Counted((0..100_000).take_while(|_| matches!(again(), Outcome::Succeeded(_))).count() as u64)
        }),
    ]
}
