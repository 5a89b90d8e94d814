//! Links in what methods take and give.
//!
//! A client that is an argument or an answer travels as a link beside the payload and, in the payload, as what its sender
//! knows to be served over it: the interface's name, its version, and the shape of each method. The receiver compares that
//! with its own contract before it calls anything, as at binding. It is as true as the sender is: whoever lies gives away a
//! link to something else, whose answers are read with care.

use serde::{Deserialize, Serialize};

use super::bind::{Claim, ClaimedMethod, Mismatch};
use super::{Carrier, Client, Contract, Stub};
use crate::{AppendError, CallError, Descriptor, METHODS_MAX, Message, Name, Reader, RecvError, Text, Transfer};

use super::serve::{Dispatch, Serve, Server};

/// Somebody who can make links to objects of its own: a worker, or [`Here`](super::Here).
pub trait Offer {
    /// The link.
    type Carrier: Carrier;

    /// A stub over a new link to `server`, to be given to somebody. The server lives until each link that leads to it is
    /// closed: this one, or the one it has become at its receiver, and all copies.
    ///
    /// # Errors
    /// [`CallError`]: there is no room for more links, or nobody who could make one.
    fn offer_stub<M: Dispatch<Self::Carrier> + 'static>(
        &self,
        server: Server<M>,
    ) -> Result<Stub<Self::Carrier>, CallError>;
}

/// Somebody who can make a link to an object that `M` serves: to any, as a worker; or, as a host, to one that several threads
/// may call.
pub trait Offers<M: Serve> {
    /// The link.
    type Carrier: Carrier;

    /// The same as [`Offer::offer_stub`].
    ///
    /// # Errors
    /// [`CallError`]: there is no room for more links, or nobody who could make one.
    fn offer_one(&self, server: Server<M>) -> Result<Stub<Self::Carrier>, CallError>;
}

impl<O: Offer, M: Dispatch<O::Carrier> + 'static> Offers<M> for O {
    type Carrier = O::Carrier;

    fn offer_one(&self, server: Server<M>) -> Result<Stub<O::Carrier>, CallError> {
        self.offer_stub(server)
    }
}

/// What is said to be served over a link.
#[derive(Debug, Serialize, Deserialize)]
struct Served {
    interface: Name,
    version: u16,
    /// Of each method, in order.
    shapes: Vec<u64>,
}

impl Served {
    fn by(contract: &Contract, methods: u16) -> Self {
        let shapes = contract.methods().iter().take(usize::from(methods)).map(super::Method::shape).collect();
        Self { interface: contract.name(), version: contract.version(), shapes }
    }

    /// How many of the contract's methods can be called.
    fn compare(self, contract: &Contract, server: Name) -> Result<u16, RecvError> {
        if self.shapes.len() > METHODS_MAX {
            return Err(RecvError::Value);
        }
        let unknown = |shape| ClaimedMethod { signature: Text::new(""), shape };
        let methods = self.shapes.into_iter().map(unknown).collect();
        let claim = Claim { interface: self.interface, version: self.version, methods };
        claim.compare(contract).map_err(|what| {
            let ours = (contract.name(), contract.version());
            RecvError::Link(Box::new(Mismatch { server, ours, theirs: (claim.interface, claim.version), what }))
        })
    }
}

/// Puts a client's link into a message: gives it away, unless the client is [shared](Stub::shared) or `keeps` is set.
pub fn give<C: Client>(
    client: &C,
    keeps: bool,
    message: &mut Message<<C::Carrier as Carrier>::Sent>,
) -> Result<(), AppendError> {
    let stub = client.stub();
    message.append(&Served::by(C::CONTRACT, stub.served()))?;
    let transfer = if keeps || stub.is_shared() { Transfer::Copy } else { Transfer::Move };
    let rights = stub.given().cloned().unwrap_or_else(|| match transfer {
        Transfer::Copy => C::CONTRACT.rights(),
        Transfer::Move => C::CONTRACT.rights().delegable(),
    });
    stub.link().put_into(message, transfer, &rights)
}

/// Takes the next link out of a message.
pub fn take<C: Client, D: Descriptor>(reader: &mut Reader<'_, D, C::Carrier>) -> Result<C, RecvError> {
    let served: Served = reader.recv()?;
    let link = reader.link()?;
    let served = served.compare(C::CONTRACT, link.peer_role())?;
    Ok(C::over(Stub::new(link, served)))
}
