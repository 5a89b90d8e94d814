//! What all clients share.

use std::sync::Arc;
use std::time::Duration;

use super::call::{Call, Read};
use super::feeder::{FedCall, Feeder};
use super::retry::{Again, Binding, Current};
use super::stream::{Feed, Flow, Items, ReadItem, Stream, WriteItem};
use super::{Answer, Carrier, Contract, Method, Never, Pending};
use crate::{AppendError, CallError, CallFailure, Message, Name, Rights};

/// The inside of a client: a carrier, and how it is called through. Generated clients are a shell around it.
#[derive(Clone, Debug)]
pub struct Stub<L> {
    way: Way<L>,
    within: Option<Duration>,
    /// What whoever is given the link may do at most; `None` for what the contract needs.
    given: Option<Rights>,
    is_shared: bool,
}

/// What a stub calls over.
#[derive(Clone, Debug)]
enum Way<L> {
    /// This link.
    Link { link: L, served: u16 },
    /// The link to whoever plays a role.
    Role(Arc<Binding<L>>),
}

impl<L> Stub<L> {
    /// A stub over a carrier, at whose other end the first `served` methods are. Nothing is asked or compared:
    /// [`Bind::bind_stub`](super::Bind::bind_stub) does that.
    pub const fn new(link: L, served: u16) -> Self {
        Self { way: Way::Link { link, served }, within: None, given: None, is_shared: false }
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

    /// The same, with another deadline for calls of methods that state none.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within: Some(within), ..self }
    }
}

impl<L: Clone> Stub<L> {
    /// A stub over a carrier that was opened to whoever plays `role`, and leads to its next player once an idempotent call
    /// had to be made again. Its clones follow.
    pub fn bound(role: Name, contract: &'static Contract, link: L, served: u16) -> Self {
        let way = Way::Role(Arc::new(Binding::new(role, contract, link, served)));
        Self { way, within: None, given: None, is_shared: false }
    }

    pub(super) fn served(&self) -> u16 {
        match &self.way {
            Way::Link { served, .. } => *served,
            Way::Role(binding) => binding.current().served,
        }
    }

    /// The carrier, as it is at this moment.
    pub fn link(&self) -> L {
        match &self.way {
            Way::Link { link, .. } => link.clone(),
            Way::Role(binding) => binding.current().link,
        }
    }

    /// Whether the other side has that method; one that is not optional it has.
    #[must_use]
    pub fn serves(&self, method: &Method) -> bool {
        method.rpc.0 < self.served()
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
        let outcome = self.link().call(method.rpc, within, bounded(method, build), |reader| {
            check_reply(method, reader.remaining())?;
            read(reader)
        });
        method.answer(outcome)
    }

    /// Calls and waits; if the stub is [`bound`](Self::bound) and the peer dies, the call is made again.
    ///
    /// # Errors
    /// [`MethodError`](super::MethodError).
    pub fn call_idempotent<T, E>(
        &self,
        method: &'static Method,
        build: impl Fn(&mut Message<L::Sent>) -> Result<(), AppendError>,
        read: Read<L::Pending, T, E>,
    ) -> Answer<T, E> {
        let Way::Role(binding) = &self.way else { return self.call(method, build, read) };
        let within = method.deadline.or(self.within);
        let over = binding.current();
        let first = over.link.call(method.rpc, within, bounded(method, &build), |reader| {
            check_reply(method, reader.remaining())?;
            read(reader)
        });
        match first {
            Err(error) if matches!(error.why, CallFailure::PeerRestarted(_)) => {
                let mut again = self.keep(binding, &over, method, &build)?;
                let pending = L::Pending::retry(again.after(error).map_err(|error| method.failed(error))?);
                Call::new(pending, method, read).again(again).wait()
            }
            outcome => method.answer(outcome),
        }
    }

    /// Begins a call; if the stub is [`bound`](Self::bound) and the peer dies before it answers, the call is made again by
    /// whoever waits for it.
    pub fn start_idempotent<T, E>(
        &self,
        method: &'static Method,
        build: impl Fn(&mut Message<L::Sent>) -> Result<(), AppendError>,
        read: Read<L::Pending, T, E>,
    ) -> Call<L::Pending, T, E> {
        let Way::Role(binding) = &self.way else { return self.start(method, build, read) };
        let over = binding.current();
        let Ok(again) = self.keep(binding, &over, method, &build) else { return self.start(method, build, read) };
        let within = method.deadline.or(self.within);
        let pending = over.link.start(method.rpc, within, bounded(method, build));
        Call::new(pending, method, read).again(again)
    }

    /// Keeps what is needed to make a call again.
    fn keep(
        &self,
        binding: &Arc<Binding<L>>,
        over: &Current<L>,
        method: &'static Method,
        build: &impl Fn(&mut Message<L::Sent>) -> Result<(), AppendError>,
    ) -> Result<Again<L>, CallError> {
        let mut built = Message::new();
        let mut arguments = Message::new();
        let kept = bounded(method, build)(&mut built).and_then(|()| arguments.append_values_of(&built).map(|_| ()));
        kept.map_err(|error| {
            let why = CallFailure::Unsendable(error.to_string().into());
            method.failed(CallError::new(over.link.peer_role(), method.rpc, Duration::ZERO, why))
        })?;
        let within = method.deadline.or(self.within).unwrap_or(L::DEADLINE);
        Ok(Again::new(binding, over, method, arguments, within))
    }

    /// Begins a call.
    pub fn start<T, E>(
        &self,
        method: &'static Method,
        build: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>,
        read: Read<L::Pending, T, E>,
    ) -> Call<L::Pending, T, E> {
        let within = method.deadline.or(self.within);
        Call::new(self.link().start(method.rpc, within, bounded(method, build)), method, read)
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
        let flow = self.link().stream(method.rpc, within, method.streams, bounded(method, build));
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
        let mut flow = self.link().stream(method.rpc, within, method.streams, bounded(method, build));
        if let Some(outcome) = flow.next(&mut Some(feed), |_| Err::<T, _>(crate::RecvError::Value)) {
            outcome.map_err(|error| method.failed(error))?;
        }
        method.answer(flow.reply(|reader| {
            check_reply(method, reader.remaining())?;
            read(reader)
        }))
    }

    /// Begins a call of a method that takes a stream, and what feeds it.
    pub fn start_fed<T, V, E>(
        &self,
        method: &'static Method,
        build: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>,
        write: WriteItem<L, T>,
        read: Read<L::Pending, V, E>,
    ) -> (Feeder<L, T>, FedCall<L, V, E>) {
        let within = method.deadline.or(self.within);
        let mut flow = self.link().stream(method.rpc, within, method.streams, bounded(method, build));
        (Feeder::new(&mut flow, write), FedCall::new(flow, method, read))
    }

    /// Begins a call of a method that takes a stream and gives one, and what feeds it.
    pub fn items_fed<T, V, E>(
        &self,
        method: &'static Method,
        build: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>,
        write: WriteItem<L, T>,
        read: ReadItem<L, V>,
        read_end: Read<L::Pending, (), E>,
    ) -> (Feeder<L, T>, Items<L, V, E>) {
        let within = method.deadline.or(self.within);
        let mut flow = self.link().stream(method.rpc, within, method.streams, bounded(method, build));
        (Feeder::new(&mut flow, write), Items::new(flow, method, read, read_end))
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
        let sent = self.link().oneway(method.rpc, within, bounded(method, build));
        Ok(sent.map_err(|error| method.failed(error))?)
    }

    /// Begins to send what nobody answers.
    pub fn start_oneway(
        &self,
        method: &'static Method,
        build: impl FnOnce(&mut Message<L::Sent>) -> Result<(), AppendError>,
    ) -> Call<L::Pending, (), Never> {
        let within = method.deadline.or(self.within);
        Call::new(self.link().start_oneway(method.rpc, within, bounded(method, build)), method, |_| Ok(Ok(())))
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
