//! Objects of the host's: what the links lead to that it makes to itself and gives away.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cloison_msg::contract::{Dispatch, Offers, Serve, Server, Stub};
use cloison_msg::{CallError, CallFailure, Gone, Name, Refusal, RpcIndex};
use tokio::sync::oneshot;

use super::inbox::{LateMailbox, Mailbox};
use super::{HostLink, Incoming, Unclaimed};
use crate::driver::{Command, Commands};
use crate::wait::wait;
use crate::{Broker, HOST};

/// Whoever can make objects for a broker's host, on any thread, and does not keep the broker alive: what is served, or an object
/// itself, may have one. See [`Broker::objects`].
///
/// An object is given to a worker as an argument or an answer, as the client that its contract's `offer` makes of it; the
/// policy says who may have it, as if that one had asked for the contract of [`HOST`]. What is said to it comes into the
/// [`Inbox`](super::Inbox), and is served by [`Incoming::serve_object`] on a thread of the host's choice: by several, if they
/// like, so objects are `Send` and `Sync`. An object ends with the last link that leads to it and the last message for it, and
/// is dropped where the inbox is read. One worker has at most [`OFFERS_PER_PAIR`](crate::router::OFFERS_PER_PAIR).
///
/// Whoever waits for a worker that calls an object meanwhile must not be the one who serves it.
///
/// ```no_run
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use cloison_broker::{Answer, Broker, Inbox, Item, interface};
///
/// #[interface]
/// trait Progress {
///     fn done(&self, percent: u32) -> Answer<()>;
/// }
/// #[interface]
/// trait Encoder<L> {
///     fn encode(&self, file: &str, progress: ProgressClient<L>) -> Answer<()>;
/// }
///
/// struct Bar(AtomicU32);
///
/// impl Progress for Bar {
///     fn done(&self, percent: u32) -> Answer<()> {
///         self.0.store(percent, Ordering::Relaxed);
///         Ok(())
///     }
/// }
///
/// fn encode(broker: &Broker, mut inbox: Inbox) -> Result<(), Box<dyn std::error::Error>> {
///     std::thread::spawn(move || {
///         while let Some(item) = inbox.next_within(std::time::Duration::MAX) {
///             if let Item::Message(message) = item {
///                 drop(message.serve_object());
///             }
///         }
///     });
///     let encoder = EncoderClient::bind(broker, "encoder")?;
///     encoder.encode("film", ProgressClient::offer(broker, Bar(AtomicU32::new(0)))?)?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Objects {
    commands: Commands,
    mailbox: LateMailbox,
}

/// Something that serves what comes over the links that lead to it.
pub(crate) trait Object: Send + Sync {
    fn serve(&self, message: Incoming);
}

impl<M: Dispatch<HostLink> + Send + Sync> Object for Server<M> {
    fn serve(&self, message: Incoming) {
        message.serve(self);
    }
}

impl fmt::Debug for dyn Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").finish_non_exhaustive()
    }
}

/// An object, as all that leads to it holds it: the host's ends of its links, and messages that came over them.
#[derive(Debug)]
pub(crate) struct Held {
    /// `None` at its end.
    object: Option<Box<dyn Object>>,
    mailbox: LateMailbox,
}

impl Held {
    pub(super) fn serve(&self, message: Incoming) {
        if let Some(object) = &self.object {
            object.serve(message);
        }
    }
}

/// That may be anywhere, also on the broker's own thread, which must not wait for what an object does at its end.
impl Drop for Held {
    fn drop(&mut self) {
        let unread = self.object.take().and_then(|object| self.mailbox.put_ended(object));
        if let Some(object) = unread {
            // If there can be no thread, it is dropped here.
            drop(thread::Builder::new().name("cloison-ended".into()).spawn(move || drop(object)));
        }
    }
}

impl Objects {
    pub(crate) fn new(commands: Commands, mailbox: &Mailbox) -> Self {
        Self { commands, mailbox: mailbox.late() }
    }

    /// Asks the broker's own thread for a link, which never waits for a worker.
    fn offer(&self, interface: Name, object: Box<dyn Object>) -> Result<HostLink, Refusal> {
        let (done, offered) = oneshot::channel();
        let object = Arc::new(Held { object: Some(object), mailbox: self.mailbox.clone() });
        self.commands.give(Command::Offer { interface, object, done });
        let ended = |_| Err(Refusal::PeerGone(Gone::BrokerEnded));
        wait(offered).unwrap_or_else(ended).map(Unclaimed::claim)
    }
}

impl<M: Dispatch<HostLink> + Send + Sync + 'static> Offers<M> for Objects {
    type Carrier = HostLink;

    fn offer_one(&self, server: Server<M>) -> Result<Stub<HostLink>, CallError> {
        let since = Instant::now();
        let contract = <M as Serve>::CONTRACT;
        let methods = u16::try_from(contract.methods().len()).unwrap_or(u16::MAX);
        let link = self.offer(contract.name(), Box::new(server)).map_err(|refusal| failed(refusal, since.elapsed()))?;
        Ok(Stub::new(link.held(), methods))
    }
}

impl<M: Dispatch<HostLink> + Send + Sync + 'static> Offers<M> for Broker {
    type Carrier = HostLink;

    fn offer_one(&self, server: Server<M>) -> Result<Stub<HostLink>, CallError> {
        self.objects().offer_one(server)
    }
}

fn failed(refusal: Refusal, after: Duration) -> CallError {
    let peer = Name::new(HOST).expect("a constant that is a name");
    CallError::new(peer, RpcIndex::OFFER, after, CallFailure::from(refusal))
}
