//! Opening a link for a contract, and offering one.

use cloison_msg::contract::bind::{self, BindError};
use cloison_msg::contract::{Bind, Dispatch, Offer, Server, Stub};
use cloison_msg::{CallError, Contract};

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
        match bind::ask(&link, &link.peer(), contract) {
            Ok(served) => Ok(Stub::new(link, served)),
            Err(error) => {
                link.close();
                Err(error)
            }
        }
    }
}
