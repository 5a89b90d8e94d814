//! What all clients share.

use std::time::Duration;

use super::call::{Call, Read};
use super::stream::{Feed, Flow, Items, ReadItem, Stream};
use super::{Answer, Carrier, Method, Never};
use crate::{AppendError, Message, Rights};

/// The inside of a client: a carrier, and how it is called through. Generated clients are a shell around it.
#[derive(Clone, Debug)]
pub struct Stub<L> {
    link: L,
    within: Option<Duration>,
    served: u16,
    /// What whoever is given the link may do at most; `None` for what the contract needs.
    given: Option<Rights>,
    is_shared: bool,
}

impl<L> Stub<L> {
    /// A stub over a carrier, at whose other end the first `served` methods are. Nothing is asked or compared:
    /// [`Bind::bind_stub`](super::Bind::bind_stub) does that.
    pub const fn new(link: L, served: u16) -> Self {
        Self { link, within: None, served, given: None, is_shared: false }
    }

    /// The same, of which whoever is given it as an argument or an answer gets no more than these rights, and never more
    /// than there are here. Without this it gets what the contract needs; a copy it may hand on to nobody.
    #[must_use]
    pub fn giving(self, rights: Rights) -> Self {
        Self { given: Some(rights), ..self }
    }

    /// The same, of which whoever is given it as an argument or an answer gets a copy.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }

    pub(super) const fn is_shared(&self) -> bool {
        self.is_shared
    }

    pub(super) const fn given(&self) -> Option<&Rights> {
        self.given.as_ref()
    }

    pub(super) const fn served(&self) -> u16 {
        self.served
    }

    /// The carrier.
    pub const fn link(&self) -> &L {
        &self.link
    }

    /// The same, with another deadline for calls of methods that state none.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within: Some(within), ..self }
    }

    /// Whether the other side has that method; one that is not optional it has.
    #[must_use]
    pub const fn serves(&self, method: &Method) -> bool {
        method.rpc.0 < self.served
    }
}

impl<L: Carrier> Stub<L> {
    /// Calls and waits.
    ///
    /// # Errors
    /// [`MethodError`](super::MethodError).
    pub fn call<T, E>(
        &self,
        method: &'static Method,
        build: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>,
        read: Read<L::Pending, T, E>,
    ) -> Answer<T, E> {
        let within = method.deadline.or(self.within);
        let answer = self.link.call(method.rpc, within, bounded(method, build), |reader| {
            check_reply(method, reader.remaining())?;
            read(reader)
        });
        answer?.map_err(super::MethodError::Own)
    }

    /// Begins a call.
    pub fn start<T, E>(
        &self,
        method: &'static Method,
        build: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>,
        read: Read<L::Pending, T, E>,
    ) -> Call<L::Pending, T, E> {
        let within = method.deadline.or(self.within);
        Call::new(self.link.start(method.rpc, within, bounded(method, build)), method, read)
    }

    /// Begins a call of a method that gives a stream and takes none.
    pub fn items<T, E>(
        &self,
        method: &'static Method,
        build: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>,
        read: ReadItem<L, T>,
        read_end: Read<L::Pending, (), E>,
    ) -> Items<L, T, E> {
        let within = method.deadline.or(self.within);
        let flow = self.link.stream(method.rpc, within, method.streams, bounded(method, build));
        Items::new(flow, method, read, read_end)
    }

    /// Begins a call of a method that gives a stream, and feeds it what it takes whenever an item is waited for.
    pub fn stream<T: 'static, E: 'static>(
        &self,
        method: &'static Method,
        build: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>,
        mut feed: Option<Feed<L>>,
        read: ReadItem<L, T>,
        read_end: Read<L::Pending, (), E>,
    ) -> Stream<T, E> {
        let mut items = self.items(method, build, read, read_end);
        Stream::new(std::iter::from_fn(move || items.next_fed(&mut feed)))
    }

    /// Calls a method that takes a stream, and feeds it until it answers.
    ///
    /// # Errors
    /// [`MethodError`](super::MethodError).
    pub fn feed<T, E>(
        &self,
        method: &'static Method,
        build: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>,
        feed: Feed<L>,
        read: Read<L::Pending, T, E>,
    ) -> Answer<T, E> {
        let within = method.deadline.or(self.within);
        let mut flow = self.link.stream(method.rpc, within, method.streams, bounded(method, build));
        if let Some(outcome) = flow.next(&mut Some(feed), |_| Err::<T, _>(crate::RecvError::Value)) {
            outcome?;
        }
        let answer = flow.reply(|reader| {
            check_reply(method, reader.remaining())?;
            read(reader)
        });
        answer?.map_err(super::MethodError::Own)
    }

    /// Sends what nobody answers.
    ///
    /// # Errors
    /// [`MethodError::Call`](super::MethodError::Call) if it was not sent.
    pub fn oneway(
        &self,
        method: &'static Method,
        build: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>,
    ) -> Answer<()> {
        let within = method.deadline.or(self.within);
        Ok(self.link.oneway(method.rpc, within, bounded(method, build))?)
    }

    /// Begins to send what nobody answers.
    pub fn start_oneway(
        &self,
        method: &'static Method,
        build: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>,
    ) -> Call<L::Pending, (), Never> {
        let within = method.deadline.or(self.within);
        Call::new(self.link.start_oneway(method.rpc, within, bounded(method, build)), method, |_| Ok(Ok(())))
    }
}

/// Builds the arguments, and sees that they are no longer than the contract says.
fn bounded<F>(
    method: &'static Method,
    build: impl FnOnce(&mut Message<F>) -> Result<(), AppendError>,
) -> impl FnOnce(&mut Message<F>) -> Result<(), AppendError> {
    |message| {
        build(message)?;
        let (bytes, most) = (message.payload_len(), method.request_max);
        if bytes > most { Err(AppendError::Bound { bytes, most }) } else { Ok(()) }
    }
}

pub(super) fn check_reply(method: &Method, bytes: usize) -> Result<(), crate::RecvError> {
    if bytes > method.reply_max as usize {
        return Err(crate::RecvError::Bound { bytes, most: method.reply_max });
    }
    Ok(())
}
