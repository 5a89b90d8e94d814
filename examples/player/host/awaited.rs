//! Something that takes its time, asked for now and then by a loop that must not wait for it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A future that is polled.
pub struct Awaited<'a, T>(Pin<Box<dyn Future<Output = T> + 'a>>);

impl<'a, T> Awaited<'a, T> {
    /// Begins to await `future`.
    pub fn new(future: impl Future<Output = T> + 'a) -> Self {
        Self(Box::pin(future))
    }

    /// What came of it, if it is done. Not to be asked again then.
    pub fn ask(&mut self) -> Option<T> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }
}
