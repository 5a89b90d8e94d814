//! One message to all that play a role.

use std::os::fd::OwnedFd;
use std::time::Duration;

use cloison_msg::{CallError, CallFailure, Destination, Message, RpcIndex};

use crate::worker::DEFAULT_DEADLINE;
use crate::{Link, Worker};

impl Worker {
    /// This worker's links to whoever plays `role`, whoever asked for them, in no particular order.
    #[must_use]
    pub fn links_to(&self, role: &str) -> Vec<Link> {
        let session = self.session();
        let names = session.ends.iter().filter(|(_, end)| end.peer.as_str() == role).map(|(name, _)| name);
        let names: Vec<Destination> = names.collect();
        drop(session);
        names.into_iter().map(|name| self.link(name)).collect()
    }

    /// Sends a oneway over each link to `role`. Each is charged for itself: what has room gets it at once, and only then the
    /// others are waited for, for [`DEFAULT_DEADLINE`] all together. The values alone are sent, no descriptors and no links.
    ///
    /// Whom it did not reach, and why; it has reached all others, of whom there may be none.
    ///
    /// ```
    /// # fn with(worker: &cloison_worker::Worker) -> Result<(), Box<dyn std::error::Error>> {
    /// # use cloison_worker::msg::{Message, RpcIndex};
    /// let mut position = Message::new();
    /// position.append(&1.5f64)?;
    /// for error in worker.oneway_to_all("view", RpcIndex(0), &position) {
    ///     eprintln!("{error}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn oneway_to_all(&self, role: &str, rpc: RpcIndex, message: &Message<OwnedFd>) -> Vec<CallError> {
        let until = self.tick().after(DEFAULT_DEADLINE);
        let at_once = |link: Link| self.copy_over(&link, rpc, message, Duration::ZERO).err().map(|error| (link, error));
        let missed: Vec<(Link, CallError)> = self.links_to(role).into_iter().filter_map(at_once).collect();
        let later = |(link, error): (Link, CallError)| match error.why {
            CallFailure::Overloaded => self.copy_over(&link, rpc, message, until.since(self.tick())).err(),
            _ => Some(error),
        };
        missed.into_iter().filter_map(later).collect()
    }

    fn copy_over(
        &self,
        link: &Link,
        rpc: RpcIndex,
        message: &Message<OwnedFd>,
        within: Duration,
    ) -> Result<(), CallError> {
        let mut copy = self.session().spare_message();
        copy.append_values_of(message).expect("what fits into a message fits into an empty one");
        let sent = link.oneway_within(rpc, &mut copy, within);
        self.session().return_message(copy);
        sent
    }
}
