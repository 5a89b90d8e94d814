//! Executable memory, and more of it than is good.

use super::Row;
use crate::probe::Outcome;
use crate::probe::Wanted::{Errno, Reported, System};
use crate::raw::{call, text};

const GROUP: &str = "memory";
const READ: u64 = libc::PROT_READ as u64;
const WRITE: u64 = libc::PROT_WRITE as u64;
const EXECUTE: u64 = libc::PROT_EXEC as u64;
const OWN: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
const NOBODYS: u64 = u64::MAX;

fn map(length: u64, protection: u64, flags: u64, fd: u64) -> Outcome {
    call(libc::SYS_mmap, &[0, length, protection, flags, fd, 0])
}

pub fn probes() -> Vec<Row> {
    vec![
        (GROUP, "mmap_rwx", Errno(libc::EACCES), |_| map(4096, READ | WRITE | EXECUTE, OWN, NOBODYS)),
        (GROUP, "mprotect_w_to_x", Errno(libc::EACCES), |_| {
            map(4096, READ | WRITE, OWN, NOBODYS).then(|page| call(libc::SYS_mprotect, &[page, 4096, READ | EXECUTE]))
        }),
        (GROUP, "mmap_anon_rx", Errno(libc::EACCES), |_| map(4096, READ | EXECUTE, OWN, NOBODYS)),
        (GROUP, "mmap_memfd_rx", Reported, |_| {
            call(libc::SYS_memfd_create, &[text(c"probe"), 0])
                .then(|fd| map(4096, READ | EXECUTE, libc::MAP_SHARED as u64, fd))
        }),
        (GROUP, "mmap_16G_noreserve", Errno(libc::ENOMEM), |_| {
            map(16 << 30, READ | WRITE, OWN | libc::MAP_NORESERVE as u64, NOBODYS)
        }),
        (GROUP, "mmap_lowpage", System, |_| {
            call(libc::SYS_mmap, &[0x1_0000, 4096, READ, OWN | libc::MAP_FIXED as u64, NOBODYS, 0])
        }),
        (GROUP, "mlockall", Reported, |_| call(libc::SYS_mlockall, &[1])),
    ]
}
