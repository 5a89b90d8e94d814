//! Calls that wait for their outcome.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{RpcIndex, Time};

/// Which call a message is or answers. Minted by the caller, in growing order; unique among the calls of one end of one
/// link, whoever holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub u64);

impl CallId {
    /// What stands in a message that is no call and answers none.
    pub const NONE: Self = Self(0);

    /// What lies before the first call from an end that had so many holders before: each of them has 2⁴⁸ ids of its own.
    #[must_use]
    pub const fn first_of(moves: u16) -> Self {
        Self((moves as u64) << HOLDER_SHIFT)
    }

    /// Of which holder of its end the call is.
    #[must_use]
    pub const fn holder(self) -> u64 {
        self.0 >> HOLDER_SHIFT
    }

    /// Whether this can be the next call after `last` from an end that had `moves` holders before.
    #[must_use]
    pub const fn follows(self, last: Self, moves: u16) -> bool {
        self.0 > last.0 && self.holder() == moves as u64
    }
}

const HOLDER_SHIFT: u32 = 48;

/// The chain of nested calls a message belongs to. Minted by whoever makes the first call of the chain.
///
/// A worker that lies about it changes the order in which a peer serves *its* calls, and nothing else.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChainId(pub u64);

impl ChainId {
    /// The `count`th chain of the process that the broker knows by number `origin`.
    #[must_use]
    pub const fn new(origin: u32, count: u32) -> Self {
        Self((origin as u64) << 32 | count as u64)
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// A call that waits for its outcome. `C` is whatever the caller wants back with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pending<C> {
    /// Its id.
    pub call: CallId,
    /// The method.
    pub rpc: RpcIndex,
    /// When it was made.
    pub since: Time,
    /// When it ends in any case.
    pub deadline: Time,
    /// The caller's own.
    pub context: C,
}

/// The calls of one end that wait. At most [`CALLS_IN_FLIGHT`](crate::CALLS_IN_FLIGHT), so a search is a short walk.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Calls<C> {
    waiting: Vec<Pending<C>>,
    minted: u64,
}

impl<C> Calls<C> {
    pub(crate) const fn new() -> Self {
        Self::after(CallId::NONE)
    }

    /// The calls of an end from which calls up to that one were made already.
    pub(crate) const fn after(last: CallId) -> Self {
        Self { waiting: Vec::new(), minted: last.0 }
    }

    /// The last call that was made.
    pub(crate) const fn last(&self) -> CallId {
        CallId(self.minted)
    }

    /// How many calls were made after that one.
    pub(crate) fn minted_after(&self, last: CallId) -> u16 {
        u16::try_from(self.minted.saturating_sub(last.0)).unwrap_or(u16::MAX)
    }

    /// Takes out every call up to that one.
    pub(crate) fn finish_up_to(&mut self, last: CallId) -> Vec<Pending<C>> {
        self.waiting.extract_if(.., |pending| pending.call <= last).collect()
    }

    pub(crate) fn start(&mut self, rpc: RpcIndex, since: Time, deadline: Time, context: C) -> CallId {
        self.minted += 1;
        let call = CallId(self.minted);
        self.waiting.push(Pending { call, rpc, since, deadline, context });
        call
    }

    /// Takes out the call, if it still waits.
    pub(crate) fn finish(&mut self, call: CallId) -> Option<Pending<C>> {
        let at = self.waiting.iter().position(|pending| pending.call == call)?;
        Some(self.waiting.swap_remove(at))
    }

    /// The call, if it still waits.
    pub(crate) fn get(&self, call: CallId) -> Option<&Pending<C>> {
        self.waiting.iter().find(|pending| pending.call == call)
    }

    pub(crate) fn set_deadline(&mut self, call: CallId, deadline: Time) {
        if let Some(pending) = self.waiting.iter_mut().find(|pending| pending.call == call) {
            pending.deadline = deadline;
        }
    }

    /// Takes out one call whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Time) -> Option<Pending<C>> {
        let at = self.waiting.iter().position(|pending| pending.deadline <= now)?;
        Some(self.waiting.swap_remove(at))
    }

    /// The last call that was made was not made after all.
    pub(crate) fn unmake(&mut self, call: CallId) -> Option<Pending<C>> {
        if self.minted == call.0 {
            self.minted -= 1;
        }
        self.finish(call)
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.waiting.iter().map(|pending| pending.deadline).min()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pending<C>> {
        self.waiting.iter()
    }

    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Pending<C>> {
        self.waiting.drain(..)
    }
}
