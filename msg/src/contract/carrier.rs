//! What a client calls through.

use std::future::Future;
use std::task::Context;
use std::time::Duration;

use super::bind::BindError;
use super::stream::Flow;
use super::{Contract, Retry, Stub};
use crate::{
    AppendError, CallError, Descriptor, Message, Name, Reader, RecvError, Rights, RpcIndex, Streams, Transfer,
};

/// Something that takes calls to somebody who serves them: a worker's link, or a host's.
///
/// `build` writes the arguments, and is called once; `read` reads the reply, whose end is checked behind it. `within` is
/// how long the call may take; `None` for [`DEADLINE`](Self::DEADLINE).
pub trait Carrier: Clone + 'static {
    /// Descriptors, as they are attached to a message.
    type Sent: 'static;
    /// Descriptors, as they arrive.
    type Passed: Descriptor + 'static;
    /// A call that was begun.
    type Pending: Pending<Passed = Self::Passed, Link = Self>;
    /// A call with streams that was begun.
    type Flow: Flow<Carrier = Self> + 'static;

    /// How long a call may take unless somebody says otherwise.
    const DEADLINE: Duration;

    /// The role at the other end.
    fn peer_role(&self) -> Name;

    /// Puts the link into a message, as a copy or for good, with these rights for its receiver. One that is given away is
    /// the message's from then on: if that is not sent, it is closed.
    ///
    /// # Errors
    /// [`AppendError`]: there is no room for it.
    fn put_into(
        &self,
        message: &mut Message<Self::Sent>,
        transfer: Transfer,
        rights: &Rights,
    ) -> Result<(), AppendError>;

    /// Calls, and waits for the reply.
    ///
    /// # Errors
    /// [`CallError`], the one outcome of a call that brought nothing to be read.
    fn call<T>(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<Self::Sent>) -> Result<(), AppendError>,
        read: impl FnOnce(&mut Reader<'_, Self::Passed, Self>) -> Result<T, RecvError>,
    ) -> Result<T, CallError>;

    /// Begins a call. What fails at once is told by whoever waits for it.
    fn start(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<Self::Sent>) -> Result<(), AppendError>,
    ) -> Self::Pending;

    /// Begins a call with these streams. `within` is how long each wait for an item may take. What fails at once is told by
    /// whoever waits for the first item, or for the reply.
    fn stream(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        streams: Streams,
        build: impl FnOnce(&mut Message<Self::Sent>) -> Result<(), AppendError>,
    ) -> Self::Flow;

    /// Sends what nobody answers, and waits until it is on its way.
    ///
    /// # Errors
    /// [`CallError`] if it was not sent.
    fn oneway(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<Self::Sent>) -> Result<(), AppendError>,
    ) -> Result<(), CallError>;

    /// Begins to send what nobody answers. What is waited for is that it is on its way; there is nothing to be read.
    fn start_oneway(
        &self,
        rpc: RpcIndex,
        within: Option<Duration>,
        build: impl FnOnce(&mut Message<Self::Sent>) -> Result<(), AppendError>,
    ) -> Self::Pending;
}

/// A call that was begun. Dropped, it is given up: the peer is told, and need not serve it.
pub trait Pending: Sized {
    /// Descriptors, as they arrive.
    type Passed: Descriptor;
    /// Links, as they arrive: those that nobody takes are closed.
    type Link: Clone;

    /// Makes a call again whose peer died: over the link that was opened meanwhile, or over one that is opened now to the
    /// role's next player. What fails is told by whoever waits for it, and as late as it was begun.
    fn retry(retry: Retry<Self::Link>) -> Self;

    /// Waits for the reply and reads it.
    ///
    /// # Errors
    /// [`CallError`].
    fn wait<T>(
        self,
        read: impl FnOnce(&mut Reader<'_, Self::Passed, Self::Link>) -> Result<T, RecvError>,
    ) -> Result<T, CallError>;

    /// Leaves the call to its peer, who serves it although nobody waits for the reply.
    fn detach(self);

    /// Waits until one of these calls has its outcome, and says which. There is at least one.
    fn wait_any(pending: &mut [Self]) -> usize;
}

/// A call that was begun where there is an executor.
pub trait Poll: Pending + Unpin {
    /// Whether the outcome is there, so that [`wait`](Pending::wait) would not block. If not, `context` is woken when it
    /// is.
    fn poll_done(&mut self, context: &mut Context<'_>) -> bool;
}

/// A client of one contract, over any carrier; [`interface`](macro@crate::interface) makes one of each trait.
pub trait Client: Sized {
    /// The carrier.
    type Carrier: Carrier;

    /// What it calls.
    const CONTRACT: &'static Contract;

    /// The client whose calls go through this stub.
    fn over(stub: Stub<Self::Carrier>) -> Self;

    /// The stub that its calls go through.
    fn stub(&self) -> &Stub<Self::Carrier>;
}

/// Somebody who can open a link to a role: a worker, or a broker.
pub trait Bind {
    /// The link.
    type Carrier: Carrier;
    /// Why there is none.
    type Error: std::error::Error;

    /// Opens a link to whoever plays `role`, and makes sure that both sides mean the same contract.
    ///
    /// # Errors
    /// [`BindError`]. No link is left then.
    fn bind_stub(&self, role: &str, contract: &'static Contract)
    -> Result<Stub<Self::Carrier>, BindError<Self::Error>>;

    /// A client of whoever plays `role`. The client's own `bind` does the same and reads better.
    ///
    /// # Errors
    /// [`BindError`]. No link is left then.
    fn bind<C: Client<Carrier = Self::Carrier>>(&self, role: &str) -> Result<C, BindError<Self::Error>> {
        self.bind_stub(role, C::CONTRACT).map(C::over)
    }
}

/// Somebody who can open a link where there is an executor: a broker.
pub trait BindAsync: Bind {
    /// [`Bind::bind_stub`], to be awaited on any executor.
    ///
    /// # Errors
    /// [`BindError`]. No link is left then.
    fn bind_stub_async(
        &self,
        role: &str,
        contract: &'static Contract,
    ) -> impl Future<Output = Result<Stub<Self::Carrier>, BindError<Self::Error>>> + Send;
}
