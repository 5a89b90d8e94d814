//! Streams: items that a method takes or gives, one after the other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll as Progress};

use super::call::Read;
use super::feeder::Sink;
use super::serve::{fail, succeed};
use super::stub::check_reply;
use super::{Answer, Carrier, Method, MethodError, Never, View};
use crate::{AppendError, CallError, Failure, Message, Reader, RecvError, Text};

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
    /// takes longer. So a stream whose next item may take its time should not be in batches.
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
    pub(super) const fn new(
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

    pub(super) fn next_fed(&mut self, feed: &mut Option<Feed<L>>) -> Option<Answer<T, E>> {
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

/// A call with streams that was begun, as a carrier makes it. Dropped before its end, it is given up.
pub trait Flow: Sized {
    /// What it was made through.
    type Carrier: Carrier;
    /// Where the items go that it is fed.
    type Sink: Sink<Carrier = Self::Carrier>;

    /// Where the items go that it is fed, if no `feed` is pulled; to be asked for once, before it is waited for.
    fn sink(&mut self) -> Self::Sink;

    /// Waits for the next item and reads it; `None` when the call is over and only its [reply](Self::reply) is left. Meanwhile
    /// `feed` is pulled, and what it gives is sent, as far as there is credit.
    fn next<T>(
        &mut self,
        feed: &mut Option<Feed<Self::Carrier>>,
        read: impl FnOnce(&mut Reader<'_, <Self::Carrier as Carrier>::Passed, Self::Carrier>) -> Result<T, RecvError>,
    ) -> Option<Result<T, CallError>>;

    /// Reads the reply of a call that is over.
    ///
    /// # Errors
    /// [`CallError`].
    fn reply<T>(
        self,
        read: impl FnOnce(&mut Reader<'_, <Self::Carrier as Carrier>::Passed, Self::Carrier>) -> Result<T, RecvError>,
    ) -> Result<T, CallError>;
}

/// A call with streams that was begun where there is an executor.
pub trait PollFlow: Flow {
    /// The same as [`next`](Flow::next), of a call that is fed nothing: if there is no item yet, `context` is woken when there
    /// is.
    fn poll_next<T>(
        &mut self,
        context: &mut Context<'_>,
        read: impl FnOnce(&mut Reader<'_, <Self::Carrier as Carrier>::Passed, Self::Carrier>) -> Result<T, RecvError>,
    ) -> Progress<Option<Result<T, CallError>>>;

    /// There was no item yet, and whoever waited for one does so no longer: it has time.
    fn stop_waiting(&mut self);
}

/// Writes the next of the items that a call is fed.
pub type Feed<L> = Box<dyn FnMut(&mut Message<<L as Carrier>::Sent>) -> Fed>;

/// What became of the next item to be fed.
#[derive(Debug)]
pub enum Fed {
    /// It was written.
    Item(Packet),
    /// There is none: all were.
    End,
    /// There is none, since whoever was to give it failed.
    Broken(CallError),
    /// It cannot be written.
    Unsendable(AppendError),
}

/// Reads one item.
pub type ReadOne<'t, L> = &'t mut dyn FnMut(&mut Reader<'_, <L as Carrier>::Passed, L>) -> Result<(), RecvError>;

/// Takes the next of the items that the caller of what is served feeds, and has it read; `None` when all have been taken.
pub type Intake<L> = Box<dyn for<'t> FnMut(ReadOne<'t, L>) -> Option<Result<(), CallError>>>;

/// Writes the next of the items of what is served, or its reply.
pub type Output<L> = Box<dyn FnMut(&mut Message<<L as Carrier>::Sent>) -> Produced>;

/// What an [`Output`] has written.
#[derive(Debug)]
pub enum Produced {
    /// An item; there may be more.
    Item(Packet),
    /// Nothing: what the next item needs is in use. It is to be asked again when something has arrived.
    NotYet,
    /// The reply, or nothing, because of a failure: there are no more.
    End(Result<(), Failure>),
}

/// The streams of a call that is served.
pub struct Flows<L: Carrier> {
    /// What its caller feeds; taken by the implementation if it takes a stream.
    pub intake: Option<Intake<L>>,
    /// What the implementation gives, if that is a stream. The call is answered when it has ended.
    pub output: Option<Output<L>>,
}

impl<L: Carrier> Flows<L> {
    /// Of a call whose caller feeds this, or nothing.
    #[must_use]
    pub const fn new(intake: Option<Intake<L>>) -> Self {
        Self { intake, output: None }
    }
}

impl<L: Carrier> fmt::Debug for Flows<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flows").field("fed", &self.intake.is_some()).finish_non_exhaustive()
    }
}

/// A stream, to be fed to a call.
pub fn feed<L: Carrier, T: 'static>(mut stream: Stream<T>, write: WriteItem<L, T>) -> Feed<L> {
    let packet = stream.packets;
    Box::new(move |message| match stream.next() {
        Some(Ok(item)) => write(message, &item).map_or_else(Fed::Unsendable, |()| Fed::Item(packet)),
        Some(Err(error)) => Fed::Broken(error.into()),
        None => Fed::End,
    })
}

/// The stream that the caller feeds, as an argument.
pub fn take_fed<L: Carrier, T: 'static>(
    flows: &mut Flows<L>,
    method: &'static Method,
    read: ReadItem<L, T>,
) -> Result<Stream<T>, Failure> {
    let none = || Failure::Undecodable(Text::new("a stream is missing among the arguments"));
    let mut intake = flows.intake.take().ok_or_else(none)?;
    let next = move || {
        let mut item = None;
        let taken = intake(&mut |reader| {
            let (bytes, most) = (reader.remaining(), method.request_max);
            if bytes > most as usize {
                return Err(RecvError::Bound { bytes, most });
            }
            item = Some(read(reader)?);
            Ok(())
        });
        match taken? {
            Ok(()) => item.map(Ok),
            Err(error) => Some(Err(method.failed(error).into())),
        }
    };
    Ok(Stream::new(std::iter::from_fn(next)))
}

/// The stream that a method gives, to be pulled by the runtime.
pub fn give_items<L: Carrier, T: 'static, E: serde::Serialize + 'static>(
    flows: &mut Flows<L>,
    method: &'static Method,
    mut stream: Stream<T, E>,
    write: WriteItem<L, T>,
) {
    let packet = stream.packets;
    flows.output = Some(Box::new(move |message| match stream.is_ready().then(|| stream.next()) {
        None => Produced::NotYet,
        Some(Some(Ok(item))) => match write(message, &item) {
            Ok(()) => Produced::Item(packet),
            Err(error) => Produced::End(Err(error.into())),
        },
        Some(Some(Err(error))) => Produced::End(fail(error, message)),
        Some(None) => Produced::End(succeed(method, message).map_err(Failure::from)),
    }));
}
