//! Opening a link for a contract.

use cloison_msg::Contract;
use cloison_msg::contract::bind::{self, BindError};
use cloison_msg::contract::{Bind, Stub};

use crate::{Link, OpenError, Worker};

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
