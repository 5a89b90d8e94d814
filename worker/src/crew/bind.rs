//! Opening a link from a thread.

use std::time::Duration;

use cloison_msg::contract::bind::{self, BindError};
use cloison_msg::contract::{Bind, Retry, Stub};
use cloison_msg::{CallFailure, Contract, Gone, Interface, Name};

use super::carrier::{Thread, ThreadCall, ThreadLink};
use super::mail::{Opening, Outcome, What};
use crate::clock::now;
use crate::error::{Disconnect, OpenError, OpenFailure};
use crate::worker::DEFAULT_DEADLINE;

impl Bind for Thread {
    type Carrier = ThreadLink;
    type Error = OpenError;

    fn bind_stub(&self, role: &str, contract: &'static Contract) -> Result<Stub<ThreadLink>, BindError<OpenError>> {
        let link = self.open_within(role, contract, DEFAULT_DEADLINE).map_err(BindError::Open)?;
        match bind::ask(&link, link.peer(), contract, None) {
            Ok(served) => Ok(Stub::bound(link.peer().clone(), contract, link, served)),
            Err(error) => {
                link.close();
                Err(error)
            }
        }
    }
}

impl Thread {
    /// Opens a link to whoever plays `role`, to be used by `interface`; waits for it for at most `within`, and meanwhile
    /// serves what is of the same chain. It counts among the worker's links: what each call needs, bind once, and keep.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Panics
    /// If the interface's name is no [`Name`].
    pub fn open_within(&self, role: &str, interface: &Interface, within: Duration) -> Result<ThreadLink, OpenError> {
        let failed = |why| OpenError { role: role.to_owned(), interface: interface.name(), why };
        let name = Name::new(role).map_err(|error| failed(error.into()))?;
        let opening = Opening {
            role: name,
            interface: interface.name(),
            deadline: now().after(within),
            job: self.0.job(),
            within,
        };
        let ask = self.0.ask(|ask| What::Open(ask, opening));
        match self.0.wait(ask) {
            Some(Outcome::Opened(Ok((name, peer)))) => Ok(ThreadLink::new(&self.0, name, peer)),
            Some(Outcome::Opened(Err(why))) => Err(failed(why)),
            _ => Err(failed(Disconnect::Ended.into())),
        }
    }

    /// Makes a call again whose peer died.
    pub(super) fn call_again(&self, retry: &Retry<ThreadLink>) -> ThreadCall {
        let since = now();
        let left = || retry.within().saturating_sub(now().since(since));
        let link = retry.reopened().map_or_else(|| self.reopen(retry, left), Ok);
        match link {
            Ok(link) => link.begin(retry.rpc(), left(), false, |message| retry.build(message)),
            Err(why) => ThreadCall::failed(retry.former(), retry.rpc(), since, why),
        }
    }

    /// A link to the role's next player, over which calls of the same client go from now on.
    fn reopen(&self, retry: &Retry<ThreadLink>, left: impl Fn() -> Duration) -> Result<ThreadLink, CallFailure> {
        let (role, contract) = (retry.role(), retry.contract());
        let link = self.open_within(role.as_str(), contract, left()).map_err(|error| match error.why {
            OpenFailure::Refused(refusal) => refusal.into(),
            OpenFailure::Cancelled => CallFailure::Cancelled,
            OpenFailure::Disconnected(_) => CallFailure::Gone(Gone::BrokerEnded),
            OpenFailure::Role(_) | OpenFailure::Deadline(_) => CallFailure::Deadline,
        })?;
        let served = bind::ask(&link, role, contract, Some(left())).map_err(|error| {
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
