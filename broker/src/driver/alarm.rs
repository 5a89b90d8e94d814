//! The one timer for all that is waited for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cloison_msg::Time;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Rings no later than the earliest deadline there is.
///
/// Most deadlines are met long before their time, and it would cost a system timer per turn of the loop to follow each of
/// them. So an alarm that was set stays set; what it finds when it rings decides when it rings next.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: OwnedFd,
    set: Option<Time>,
}

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self { timer, set: None })
    }

    /// Makes it ring at `deadline`, or earlier if it was set earlier.
    pub(super) fn ring_by(&mut self, deadline: Option<Time>) {
        let Some(deadline) = deadline.filter(|&deadline| self.set.is_none_or(|set| deadline < set)) else { return };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: timespec(deadline) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once).expect("a moment on the clock, and a timer");
        self.set = Some(deadline);
    }

    /// Notes that it has rung; it is not set any more.
    pub(super) fn stop(&mut self) {
        // How often it rang does not matter; that it did not, which an error says, does no harm either.
        let _ = rustix::io::read(&self.timer, &mut [0; 8]);
        self.set = None;
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

/// Never zero, which would mean no moment at all: the clock counts from the start of the machine.
fn timespec(moment: Time) -> Timespec {
    let nanos = moment.0.clamp(1, i64::MAX.unsigned_abs());
    Timespec {
        tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, poll};

    use super::super::now;
    use super::*;

    fn wait(alarm: &Alarm, most: Duration) -> (bool, Duration) {
        let (start, most) = (Instant::now(), Timespec::try_from(most).unwrap());
        let rang = poll(&mut [PollFd::new(alarm, PollFlags::IN)], Some(&most)).unwrap() == 1;
        (rang, start.elapsed())
    }

    #[test]
    fn it_rings_at_the_earliest_deadline_and_once() {
        let mut alarm = Alarm::new().unwrap();
        alarm.ring_by(None);
        assert!(!wait(&alarm, Duration::ZERO).0);
        for later in [60_000, 20, 40_000] {
            alarm.ring_by(Some(now().after(Duration::from_millis(later))));
        }
        let (rang, after) = wait(&alarm, Duration::from_secs(30));
        assert!(rang && after >= Duration::from_millis(19), "{rang} after {after:?}");
        alarm.stop();
        assert!(!wait(&alarm, Duration::from_millis(1)).0);
        alarm.ring_by(Some(Time(0)));
        assert!(wait(&alarm, Duration::from_secs(30)).0, "what is past rings at once");
    }
}
