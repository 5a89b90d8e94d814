//! Opening a link for a contract, and offering one.

use cloison_msg::contract::bind::{self, BindError};
use cloison_msg::contract::{Bind, Dispatch, Offer, Retry, Server, Stub};
use cloison_msg::{CallError, CallFailure, Contract, Gone, Name, Streams, Time};

use crate::error::OpenFailure;
use crate::pending::PendingCall;
use crate::{Link, OpenError, Worker};

impl Offer for Worker {
    type Carrier = Link;

    fn offer_stub<M: Dispatch<Link> + 'static>(&self, server: Server<M>) -> Result<Stub<Link>, CallError> {
        let contract = server.contract();
        let methods = u16::try_from(contract.methods().len()).unwrap_or(u16::MAX);
        self.offer(contract, server).map(|link| Stub::new(link, methods))
    }
}

impl Bind for Worker {
    type Carrier = Link;
    type Error = OpenError;

    fn bind_stub(&self, role: &str, contract: &'static Contract) -> Result<Stub<Link>, BindError<OpenError>> {
        let link = self.open(role, contract).map_err(BindError::Open)?;
        match bind::ask(&link, &link.peer(), contract, None) {
            Ok(served) => Ok(Stub::bound(Name::clone(&link.peer()), contract, link, served)),
            Err(error) => {
                link.close();
                Err(error)
            }
        }
    }
}

impl Worker {
    /// Makes a call again whose peer died. Meanwhile requests of the chain that is being served are served.
    pub(super) fn call_again(&self, retry: &Retry<Link>) -> Result<PendingCall, CallError> {
        let since = self.tick();
        let deadline = self.session().frame_of_call().deadline.min(since.after(retry.within()));
        let link = retry.reopened().map_or_else(|| self.reopen(retry, deadline), Ok);
        let link =
            link.map_err(|why| CallError::new(retry.role().clone(), retry.rpc(), self.tick().since(since), why))?;
        link.with_message(
            retry.rpc(),
            |message| retry.build(message),
            |message| {
                let begun = link.begin(retry.rpc(), message, since, retry.within(), Streams::empty());
                begun.map_err(|why| link.call_error(retry.rpc(), since, why))
            },
        )
    }

    /// A link to the role's next player, over which calls of the same client go from now on.
    fn reopen(&self, retry: &Retry<Link>, deadline: Time) -> Result<Link, CallFailure> {
        let (role, contract) = (retry.role(), retry.contract());
        let left = deadline.since(self.tick());
        let link = self.open_within(role.as_str(), contract, left).map_err(|error| match error.why {
            OpenFailure::Refused(refusal) => refusal.into(),
            OpenFailure::Disconnected(_) => CallFailure::Gone(Gone::BrokerEnded),
            OpenFailure::Cancelled => CallFailure::Cancelled,
            OpenFailure::Role(_) | OpenFailure::Deadline(_) => CallFailure::Deadline,
        })?;
        let served = bind::ask(&link, role, contract, Some(deadline.since(self.tick()))).map_err(|error| {
            link.clone().close();
            CallFailure::from(error)
        })?;
        match retry.renew(&link, served) {
            None => Ok(link),
            Some(theirs) => {
                link.close();
                Ok(theirs)
            }
        }
    }
}
