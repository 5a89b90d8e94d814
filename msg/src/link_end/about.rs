//! What is said about calls that wait: that they are given up, and whether they wait for themselves.

use super::{Caller, LinkEnd};
use crate::{CallId, Header, Kind, Overdraft, Pending, RpcIndex, Shape};

impl<C> LinkEnd<C> {
    /// Gives up a call that waits: nobody waits for its outcome any more, and its answer, when it comes, is late. The header
    /// by which to tell the peer; `None` if it does not wait, since it has ended or was never made.
    pub fn cancel(&mut self, call: CallId) -> Option<(Header, Pending<C>)> {
        self.streams.close(call, Caller::Own);
        let pending = self.calls.finish(call)?;
        Some((self.tell_cancelled(&pending), pending))
    }

    /// Takes out a call that goes on, and for whose outcome nobody waits; its answer, when it comes, is late.
    pub fn detach(&mut self, call: CallId) -> Option<Pending<C>> {
        self.streams.close(call, Caller::Own);
        self.calls.finish(call)
    }

    /// The header by which to tell the peer that a call which [`expire`](Self::expire) took out is given up.
    #[must_use]
    pub fn tell_cancelled(&mut self, given_up: &Pending<C>) -> Header {
        // Each call is given up once, so there is room for it: see `Meter`.
        let _ = self.count(Kind::Cancel, Shape::default());
        Header { call: given_up.call, ..self.header(Kind::Cancel, given_up.rpc, Shape::default()) }
    }

    /// The header of a probe that goes after a call which waits.
    ///
    /// # Errors
    /// [`Overdraft`] if there is no room for it.
    pub fn probe(&mut self, call: CallId, shape: Shape) -> Result<Header, Overdraft> {
        self.count(Kind::Probe, shape)?;
        Ok(Header { call, ..self.header(Kind::Probe, RpcIndex::default(), shape) })
    }

    /// One of the calls that wait and that are meant.
    #[must_use]
    pub fn find_call(&self, mut is_meant: impl FnMut(&C) -> bool) -> Option<CallId> {
        self.calls.iter().find(|pending| is_meant(&pending.context)).map(|pending| pending.call)
    }

    /// The last of the calls that arrived and for whose answers nobody waits, since their caller has given the link away.
    #[must_use]
    pub const fn last_orphan(&self) -> CallId {
        self.orphans
    }
}
