//! Feeding a call that was begun, item by item, as they come.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll as Progress};

use super::call::Read;
use super::stream::{Flow, PollFlow, WriteItem};
use super::stub::check_reply;
use super::{Answer, Carrier, Method};
use crate::{AppendError, CallError, Message, Reader, RecvError};

/// Feeds a call that was begun by a client's `start()`: what its method takes as a stream goes in here, item by item.
/// [`send`](Self::send) can be awaited, [`push`](Self::push) blocks, and both wait for the stream's credit: whoever feeds is
/// never ahead of the server by more than that.
///
/// [`finish`](Self::finish) says that all was fed. Dropped before, it gives the call up, so that `?` does what it should; unless
/// it was told that no more is wanted, which need not be a failure.
///
/// ```
/// # use cloison_msg::contract::{Carrier, Flow, PollSink, PollFlow, Stream};
/// # use cloison_msg::{Answer, interface};
/// #[interface]
/// trait Store {
///     fn keep(&self, name: &str, blocks: Stream<Vec<u8>>) -> Answer<u64>;
/// }
///
/// async fn upload<L>(store: &StoreClient<L>, blocks: impl IntoIterator<Item = Vec<u8>>) -> Answer<u64>
/// where
///     L: Carrier<Flow: PollFlow + Unpin + Flow<Sink: PollSink>>,
/// {
///     let (mut feeder, call) = store.start().keep("a name");
///     for block in blocks {
///         if feeder.send(&block).await.is_err() {
///             return call.await; // The answer says why no more is wanted.
///         }
///     }
///     feeder.finish();
///     call.await
/// }
/// ```
#[must_use = "dropped before it has finished, it gives the call up"]
pub struct Feeder<L: Carrier, T> {
    sink: SinkOf<L>,
    write: WriteItem<L, T>,
}

/// Where the items go that a call over this carrier is fed.
type SinkOf<L> = <<L as Carrier>::Flow as Flow>::Sink;

/// Why an item was not fed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Nobody wants more: the method has answered without, or the call has failed. Its answer says which.
    #[error("no more is wanted")]
    Unwanted,
    /// It cannot be written.
    #[error("it cannot be sent: {0}")]
    Unsendable(#[from] AppendError),
}

/// Where the items go that a call is fed, as a carrier makes it. Dropped before it has finished, or was told that no more is
/// wanted, it gives the call up.
pub trait Sink: Sized {
    /// What the call was made through.
    type Carrier: Carrier;

    /// Waits until there is room for an item, and sends it.
    ///
    /// # Errors
    /// [`FeedError`].
    fn push(
        &mut self,
        build: impl FnOnce(&mut Message<<Self::Carrier as Carrier>::Sent>) -> Result<(), AppendError>,
    ) -> Result<(), FeedError>;

    /// All was fed.
    fn finish(self);
}

/// The same where there is an executor.
pub trait PollSink: Sink {
    /// Whether there is room, so that [`push`](Sink::push) would not block. If not, `context` is woken when there is.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Progress<Result<(), FeedError>>;

    /// There was no room, and whoever waited for some does so no longer: it has time.
    fn stop_waiting(&mut self);
}

impl<L: Carrier, T> Feeder<L, T> {
    pub(super) fn new(flow: &mut L::Flow, write: WriteItem<L, T>) -> Self {
        Self { sink: flow.sink(), write }
    }

    /// Feeds one more item; waits while the server does not keep up, no longer than the call has for each wait.
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn push(&mut self, item: &T) -> Result<(), FeedError> {
        self.sink.push(|message| (self.write)(message, item))
    }

    /// The same, to be awaited on any executor. Dropped before it is done, it has fed nothing, and nobody waits: whoever tries
    /// again begins a new wait, with the deadline of one.
    ///
    /// # Errors
    /// [`FeedError`].
    pub async fn send(&mut self, item: &T) -> Result<(), FeedError>
    where
        SinkOf<L>: PollSink,
    {
        Room { sink: &mut self.sink, is_awaited: false }.await?;
        self.push(item)
    }

    /// All was fed. Blocks no longer than it takes the link to have room for a word, and a host not at all.
    pub fn finish(self) {
        self.sink.finish();
    }
}

impl<L: Carrier, T> fmt::Debug for Feeder<L, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeder").finish_non_exhaustive()
    }
}

/// Room for an item. Dropped while it is awaited, it tells the sink that nobody waits any more.
struct Room<'a, S: PollSink> {
    sink: &'a mut S,
    is_awaited: bool,
}

impl<S: PollSink> Future for Room<'_, S> {
    type Output = Result<(), FeedError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Progress<Self::Output> {
        let room = self.sink.poll_room(context);
        self.is_awaited = room.is_pending();
        room
    }
}

impl<S: PollSink> Drop for Room<'_, S> {
    fn drop(&mut self) {
        if self.is_awaited {
            self.sink.stop_waiting();
        }
    }
}

/// A call of a method that takes a stream, which a [`Feeder`] feeds: [`wait`](Self::wait) for its answer, or `.await` it.
/// Dropped, it is given up.
#[must_use = "an answer is to be waited for"]
pub struct FedCall<L: Carrier, T, E> {
    /// `None` at its end.
    flow: Option<L::Flow>,
    method: &'static Method,
    read: Read<L::Pending, T, E>,
}

impl<L: Carrier, T, E> FedCall<L, T, E> {
    pub(super) const fn new(flow: L::Flow, method: &'static Method, read: Read<L::Pending, T, E>) -> Self {
        Self { flow: Some(flow), method, read }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// [`MethodError`](super::MethodError).
    ///
    /// # Panics
    /// If it was polled to its end before.
    pub fn wait(mut self) -> Answer<T, E> {
        let next = self.flow.as_mut().and_then(|flow| flow.next(&mut None, not_expected));
        self.settle(next)
    }

    fn settle(&mut self, next: Option<Result<Item, CallError>>) -> Answer<T, E> {
        let (method, read) = (self.method, self.read);
        let flow = self.flow.take().expect("a call has one answer, which was taken");
        match next {
            Some(Err(error)) => Err(method.failed(error).into()),
            Some(Ok(item)) => match item {},
            None => method.answer(flow.reply(|reader| {
                check_reply(method, reader.remaining())?;
                read(reader)
            })),
        }
    }
}

/// An item of a call that gives none.
enum Item {}

const fn not_expected<D, L>(_: &mut Reader<'_, D, L>) -> Result<Item, RecvError> {
    Err(RecvError::Value)
}

impl<L, T, E> Future for FedCall<L, T, E>
where
    L: Carrier<Flow: PollFlow + Unpin>,
{
    type Output = Answer<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Progress<Answer<T, E>> {
        let flow = self.flow.as_mut().expect("a call has one answer, which was taken");
        flow.poll_next(context, not_expected).map(|next| self.settle(next))
    }
}

impl<L: Carrier, T, E> fmt::Debug for FedCall<L, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FedCall").field(&self.method.name).finish()
    }
}

/// The sink of a carrier that has no streams: nothing is wanted.
#[derive(Debug)]
pub struct NoSink<L>(PhantomData<fn(L)>);

impl<L> NoSink<L> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<L: Carrier> Sink for NoSink<L> {
    type Carrier = L;

    fn push(&mut self, _: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>) -> Result<(), FeedError> {
        Err(FeedError::Unwanted)
    }

    fn finish(self) {}
}
