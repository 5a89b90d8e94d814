//! The items of a call, as its caller takes them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll as Progress};

use super::{Feed, Flow, PollFlow};
use crate::contract::call::Read;
use crate::contract::stub::check_reply;
use crate::contract::{Answer, Carrier, Method, View};
use crate::{AppendError, CallError, Message, Reader, RecvError};

/// The items of a call that was begun: [`next`](Iterator::next) waits for one, [`next_async`](Self::next_async) can be
/// awaited. Dropped before its end, the call is given up.
#[must_use = "a stream that is dropped is given up"]
pub struct Items<L: Carrier, T, E> {
    /// `None` at its end.
    flow: Option<L::Flow>,
    method: &'static Method,
    read: ReadItem<L, T>,
    read_end: Read<L::Pending, (), E>,
}

/// How an item is read.
pub type ReadItem<L, T> = for<'a> fn(&mut Reader<'a, <L as Carrier>::Passed, L>) -> Result<T, RecvError>;

/// How an item is written.
pub type WriteItem<L, T> = fn(&mut Message<<L as Carrier>::Sent>, &T) -> Result<(), AppendError>;

impl<L: Carrier, T, E> Items<L, T, E> {
    pub(in crate::contract) const fn new(
        flow: L::Flow,
        method: &'static Method,
        read: ReadItem<L, T>,
        read_end: Read<L::Pending, (), E>,
    ) -> Self {
        Self { flow: Some(flow), method, read, read_end }
    }

    /// Waits for the next item and looks at it where it arrived: nothing is copied. `None` at the end.
    pub fn view<R>(&mut self, look: impl FnOnce(T::Of<'_>) -> R) -> Option<Answer<R, E>>
    where
        T: View,
    {
        let method = self.method;
        let item = self.flow.as_mut()?.next(&mut None, |reader| {
            check_reply(method, reader.remaining())?;
            Ok(look(reader.recv()?))
        });
        self.settle(item)
    }

    pub(in crate::contract) fn next_fed(&mut self, feed: &mut Option<Feed<L>>) -> Option<Answer<T, E>> {
        let (method, read) = (self.method, self.read);
        let item = self.flow.as_mut()?.next(feed, |reader| read_item(method, read, reader));
        self.settle(item)
    }

    fn settle<R>(&mut self, item: Option<Result<R, CallError>>) -> Option<Answer<R, E>> {
        match item {
            Some(Ok(item)) => Some(Ok(item)),
            Some(Err(error)) => {
                self.flow = None;
                Some(Err(self.method.failed(error).into()))
            }
            None => {
                let read_end = self.read_end;
                let end = self.method.answer(self.flow.take()?.reply(read_end));
                end.err().map(Err)
            }
        }
    }

    /// The next item, to be awaited on any executor; `None` at the end. Dropped before it is done, it has taken nothing, and
    /// nobody waits: whoever awaits it again begins a new wait, with the deadline of one.
    pub async fn next_async(&mut self) -> Option<Answer<T, E>>
    where
        L::Flow: PollFlow,
    {
        Next { items: self, is_awaited: false }.await
    }

    /// The next item, if it is there; `None` at the end. If it is not there, `context` is woken when it is.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Progress<Option<Answer<T, E>>>
    where
        L::Flow: PollFlow,
    {
        let (method, read) = (self.method, self.read);
        let Some(flow) = &mut self.flow else { return Progress::Ready(None) };
        match flow.poll_next(context, |reader| read_item(method, read, reader)) {
            Progress::Ready(item) => Progress::Ready(self.settle(item)),
            Progress::Pending => Progress::Pending,
        }
    }
}

/// The next item. Dropped while it is awaited, it says that nobody waits any more.
struct Next<'a, L: Carrier<Flow: PollFlow>, T, E> {
    items: &'a mut Items<L, T, E>,
    is_awaited: bool,
}

impl<L: Carrier<Flow: PollFlow>, T, E> Future for Next<'_, L, T, E> {
    type Output = Option<Answer<T, E>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Progress<Self::Output> {
        let next = self.items.poll_next(context);
        self.is_awaited = next.is_pending();
        next
    }
}

impl<L: Carrier<Flow: PollFlow>, T, E> Drop for Next<'_, L, T, E> {
    fn drop(&mut self) {
        if let Some(flow) = self.items.flow.as_mut().filter(|_| self.is_awaited) {
            flow.stop_waiting();
        }
    }
}

fn read_item<L: Carrier, T>(
    method: &Method,
    read: ReadItem<L, T>,
    reader: &mut Reader<'_, L::Passed, L>,
) -> Result<T, RecvError> {
    check_reply(method, reader.remaining())?;
    read(reader)
}

impl<L: Carrier, T, E> Iterator for Items<L, T, E> {
    type Item = Answer<T, E>;

    fn next(&mut self) -> Option<Answer<T, E>> {
        self.next_fed(&mut None)
    }
}

impl<L: Carrier, T, E> std::iter::FusedIterator for Items<L, T, E> {}

impl<L: Carrier, T, E> fmt::Debug for Items<L, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Items").field(&self.method.name).finish()
    }
}
