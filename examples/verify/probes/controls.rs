//! What a decoder needs must work; otherwise a sandbox that refuses everything would pass.

use std::time::Duration;

use super::Row;
use crate::probe::Outcome::Succeeded;
use crate::probe::Wanted::Works;
use crate::raw::{call, space};

const GROUP: &str = "positive controls";

pub fn probes() -> Vec<Row> {
    vec![
        (GROUP, "malloc64", Works, |_| {
            let block = std::hint::black_box(vec![1u8; 64 << 20]);
            Succeeded(block.iter().map(|&byte| u64::from(byte)).sum())
        }),
        (GROUP, "thread_join", Works, |_| std::thread::spawn(|| Succeeded(1)).join().unwrap_or(Succeeded(0))),
        (GROUP, "clock_monotonic", Works, |_| call(libc::SYS_clock_gettime, &[1, space(&[])])),
        (GROUP, "getrandom", Works, |_| call(libc::SYS_getrandom, &[space(&[]), 16, 0])),
        (GROUP, "nanosleep", Works, |_| {
            std::thread::sleep(Duration::from_millis(1));
            Succeeded(0)
        }),
        (GROUP, "epoll", Works, |_| {
            call(libc::SYS_epoll_create1, &[0]).then(|epoll| {
                call(libc::SYS_eventfd2, &[1, 0]).then(|event| {
                    let readable = space(&1u32.to_le_bytes());
                    call(libc::SYS_epoll_ctl, &[epoll, 1, event, readable])
                        .then(|_| call(libc::SYS_epoll_pwait, &[epoll, space(&[]), 1, 0]))
                })
            })
        }),
        (GROUP, "sched_yield", Works, |_| call(libc::SYS_sched_yield, &[])),
        (GROUP, "set_name", Works, |_| call(libc::SYS_prctl, &[15, crate::raw::text(c"probe")])),
    ]
}
