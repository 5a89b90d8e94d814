//! What the player's own process uses.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::report::Worker;

/// CPU time when the program began: a process that was something else before (`cargo run`) has that one's too.
static BEFORE: OnceLock<Duration> = OnceLock::new();

/// To be called first in `main`.
pub fn begin() {
    BEFORE.get_or_init(cpu);
}

/// What this process has used so far, as `role`.
pub fn this_process(role: &str) -> Worker {
    Worker {
        role: role.to_owned(),
        pid: std::process::id(),
        confinement: "none".to_owned(),
        cpu_seconds: cpu().saturating_sub(BEFORE.get().copied().unwrap_or_default()).as_secs_f64(),
        peak_memory_bytes: peak_memory().unwrap_or_default(),
        ..Worker::default()
    }
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    let micros = usage.map_or(0, |usage| usage.user_time().num_microseconds() + usage.system_time().num_microseconds());
    Duration::from_micros(micros.unsigned_abs())
}

/// The highest resident memory of this program, in bytes. Unlike `getrusage`, `VmHWM` begins anew with each program.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    kib.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
