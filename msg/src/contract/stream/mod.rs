//! Streams: items that a method takes or gives, one after the other.

mod flow;
mod items;
mod made;

use std::fmt;

use super::{Answer, MethodError, Never};
pub use flow::{Fed, Feed, Flow, Flows, Intake, Output, PollFlow, Produced, ReadOne};
pub use items::{Items, ReadItem, WriteItem};
pub use made::{feed, give_items, take_fed};

/// Items that come one after the other: what a method gives whose answer is one, or takes as an argument.
///
/// It is pulled: whoever wants an item calls [`next`](Iterator::next), and waits for it. Nothing runs ahead of that by more
/// than the stream's credit ([`STREAM_ITEMS`](crate::STREAM_ITEMS), [`STREAM_BYTES`](crate::STREAM_BYTES)), so a consumer
/// that is slow holds its producer up, and nobody else. An implementation gives a stream that is an iterator of its own; the
/// runtime pulls it whenever there is credit, and serves others meanwhile.
///
/// It ends once: after its last item, or by one error, behind which nothing comes. Dropped before its end, it is given up:
/// its producer is told, and dropped.
///
/// A deadline is of each wait for an item, not of the stream, which may last for hours.
///
/// ```
/// use cloison_msg::contract::Stream;
/// use cloison_msg::{Answer, interface};
///
/// #[interface]
/// trait Counting {
///     /// The numbers up to that one.
///     fn up_to(&self, last: u32) -> Stream<u32>;
///     /// Adds them up.
///     fn sum(&self, numbers: Stream<u32>) -> Answer<u32>;
///     /// Twice each.
///     fn doubled(&self, numbers: Stream<u32>) -> Stream<u32>;
/// }
///
/// struct Here;
/// impl Counting for Here {
///     fn up_to(&self, last: u32) -> Stream<u32> {
///         Stream::of(1..=last)
///     }
///     fn sum(&self, mut numbers: Stream<u32>) -> Answer<u32> {
///         numbers.try_fold(0, |sum, number| Ok(sum + number?))
///     }
///     fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
///         Stream::new(numbers.map(|number| Ok(2 * number?)))
///     }
/// }
/// assert_eq!(Here.sum(Here.doubled(Here.up_to(3))), Ok(12));
/// ```
pub struct Stream<T, E = Never> {
    /// `None` at its end.
    items: Option<Box<dyn Iterator<Item = Answer<T, E>>>>,
    /// Whether the next item can be made; `None` if it always can.
    is_ready: Option<Box<dyn Fn() -> bool>>,
    packets: Packet,
}

/// What an item leaves in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// One of its own, at once.
    Own,
    /// One that it may share with the items behind it: see [`Stream::in_batches`].
    Shared,
}

impl<T, E> Stream<T, E> {
    /// What this iterator gives, to its first error.
    pub fn new(items: impl IntoIterator<Item = Answer<T, E>, IntoIter: 'static>) -> Self {
        Self { items: Some(Box::new(items.into_iter())), is_ready: None, packets: Packet::Own }
    }

    /// The same, whose items need something that may be in use: a buffer of a pool, all of which are lent. As what a method
    /// gives it is not pulled while `is_ready` says that there is none, however long that lasts; others are served meanwhile.
    /// So its reader must give something back before it waits, also for the end, of which nobody knows before. `is_ready` is
    /// asked whenever something has arrived, so what comes back must come by a message. It must not block.
    ///
    /// What is made of such a stream by an adaptor knows nothing of it, and neither does whoever calls `next`.
    #[must_use]
    pub fn ready_when(self, is_ready: impl Fn() -> bool + 'static) -> Self {
        Self { is_ready: Some(Box::new(is_ready)), ..self }
    }

    /// The same, whose items come quickly one after the other, so that they may share packets: many small ones take a fraction
    /// of the time then. An item leaves when its packet is full (64 KiB), when whoever takes the items must take some first,
    /// when its worker waits for anything, and a millisecond after the first in its packet, or when the next item is there if that
    /// takes longer. So a stream whose next item may take its time should not be in batches. What its iterator itself says over
    /// the same link, without waiting, leaves in order: with the items before it.
    ///
    /// It is the worker's runtime that knows packets: on threads, in hosts and in the caller's own process it changes nothing.
    /// What is made of such a stream by an adaptor is not in batches.
    #[must_use]
    pub fn in_batches(self) -> Self {
        Self { packets: Packet::Shared, ..self }
    }

    fn is_ready(&self) -> bool {
        self.items.is_none() || self.is_ready.as_ref().is_none_or(|is_ready| is_ready())
    }

    /// What this iterator gives, which cannot fail.
    pub fn of(items: impl IntoIterator<Item = T, IntoIter: 'static>) -> Self
    where
        T: 'static,
        E: 'static,
    {
        Self::new(items.into_iter().map(Ok))
    }

    /// No items but an error.
    pub fn failed(error: impl Into<MethodError<E>>) -> Self
    where
        T: 'static,
        E: 'static,
    {
        Self::new(std::iter::once(Err(error.into())))
    }

    /// What `begin` gives, or the error that it has: it runs at once.
    pub fn begin<I>(begin: impl FnOnce() -> Answer<I, E>) -> Self
    where
        I: IntoIterator<Item = Answer<T, E>, IntoIter: 'static>,
        T: 'static,
        E: 'static,
    {
        match begin() {
            Ok(items) => Self::new(items),
            Err(error) => Self::failed(error),
        }
    }
}

impl<T, E> Iterator for Stream<T, E> {
    type Item = Answer<T, E>;

    fn next(&mut self) -> Option<Answer<T, E>> {
        let item = self.items.as_mut()?.next();
        if !matches!(item, Some(Ok(_))) {
            self.items = None;
        }
        item
    }
}

impl<T, E> std::iter::FusedIterator for Stream<T, E> {}

impl<T, E> fmt::Debug for Stream<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("over", &self.items.is_none()).finish_non_exhaustive()
    }
}
