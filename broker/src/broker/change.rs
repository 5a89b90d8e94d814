//! A change that was begun.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::wait::wait;

/// A change that was begun, and goes on by itself. [`wait`](Self::wait) for its completion, `.await` it on any executor, or
/// drop it: that takes nothing back.
///
/// It always completes. A worker that does not do its part is evicted after [`SWITCH_WITHIN`](crate::SWITCH_WITHIN) or
/// [`RELEASE_WITHIN`](crate::RELEASE_WITHIN), and where a broker has ended there is nothing left to change.
#[derive(Debug)]
pub struct Change {
    /// Nothing is ever sent: it is complete when the other half is dropped.
    done: oneshot::Receiver<()>,
}

impl Change {
    pub(crate) fn begin() -> (oneshot::Sender<()>, Self) {
        let (sender, done) = oneshot::channel();
        (sender, Self { done })
    }

    /// Blocks until the change is complete.
    pub fn wait(self) {
        wait(self);
    }
}

impl Future for Change {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.done).poll(context).map(drop)
    }
}
