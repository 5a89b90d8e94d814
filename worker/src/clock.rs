//! The one clock: `CLOCK_MONOTONIC`, the same in every process of the machine.

use cloison_msg::Time;
use rustix::event::Timespec;
use rustix::time::{ClockId, clock_gettime};

/// So late that it never comes.
pub(crate) const NEVER: Time = Time(u64::MAX);

/// This moment.
pub(crate) fn now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    // The monotonic clock counts from the start of the machine, so neither part is negative.
    Time(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
}

/// How long from `now` a call of the system may wait for `until`; `None` for ever.
pub(crate) fn timeout(now: Time, until: Time) -> Option<Timespec> {
    (until != NEVER).then(|| Timespec::try_from(until.since(now)).expect("a duration since start fits"))
}
