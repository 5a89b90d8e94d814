//! Waiting for a future without a runtime, for hosts that are synchronous.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks this thread until the future is ready, or until `within` has passed.
pub(crate) fn wait_for<F: Future>(future: F, within: Option<Duration>) -> Option<F::Output> {
    let until = within.and_then(|within| Instant::now().checked_add(within));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            None => thread::park(),
            Some(Duration::ZERO) => return None,
            Some(left) => thread::park_timeout(left),
        }
    }
}

/// Blocks this thread until the future is ready.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    wait_for(future, None).expect("without a limit the wait ends with the future")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_until_ready_or_until_the_time_is_up() {
        let (give, take) = tokio::sync::oneshot::channel();
        thread::spawn(move || give.send(7));
        assert_eq!(wait(take), Ok(7));
        assert_eq!(wait_for(std::future::pending::<()>(), Some(Duration::from_millis(5))), None);
    }
}
