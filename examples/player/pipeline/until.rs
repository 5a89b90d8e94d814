//! Running until somebody says stop.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often it is looked whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// What all of playing runs on: this thread, and a clock.
///
/// # Errors
/// The system's.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_time().build()
}

/// Wakes up every [`TICK`].
pub fn ticks() -> Interval {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Runs `playing` until it ends; `None` if `stop` was set before.
pub async fn until<F: Future>(stop: &AtomicBool, playing: F) -> Option<F::Output> {
    let mut playing = pin!(playing);
    let mut ticks = ticks();
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => if stop.load(Ordering::Relaxed) { return None },
            outcome = &mut playing => return Some(outcome),
        }
    }
}

/// Lets whoever watches playing look up, although there is more to do.
pub async fn let_others_look() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
