//! Calls that are made again when their peer has died and is started again.
//!
//! A call is served at most once. One of an `#[idempotent]` method, by a client that is bound to a role, is made again if
//! its peer dies before it answers: the role's next player is waited for, a link to it opened, the contract compared, and
//! the call made over that, all within the call's deadline. All clones of the client call over the new link from then on.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bind::BindError;
use super::{Contract, Method};
use crate::{AppendError, CallError, CallFailure, Message, Name, RpcIndex};

/// How often one call is made again at most. What has killed so many servers in a row may be what kills them.
pub const RETRIES_MAX: u32 = 2;

/// What a client is bound to that was opened by a role.
#[derive(Debug)]
pub struct Binding<L> {
    role: Name,
    contract: &'static Contract,
    current: Mutex<Current<L>>,
}

/// The link that leads to whoever plays the role.
#[derive(Clone, Debug)]
pub(super) struct Current<L> {
    pub(super) link: L,
    /// How many of the contract's methods are there.
    pub(super) served: u16,
    /// How many links there were before this.
    number: u32,
}

impl<L: Clone> Binding<L> {
    pub(super) const fn new(role: Name, contract: &'static Contract, link: L, served: u16) -> Self {
        Self { role, contract, current: Mutex::new(Current { link, served, number: 0 }) }
    }

    pub(super) fn current(&self) -> Current<L> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Current<L>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of a call until it is answered.
#[derive(Debug)]
struct Kept<L> {
    binding: Arc<Binding<L>>,
    method: &'static Method,
    arguments: Message<()>,
    /// The number of the link that it was made over last.
    over: AtomicU32,
}

/// A call that can be made again, and how much time is left for that.
#[derive(Debug)]
pub(super) struct Again<L> {
    kept: Arc<Kept<L>>,
    within: Duration,
    spent: Duration,
    retries: u32,
}

impl<L: Clone> Again<L> {
    /// Of a call that was made over `over` and may take so long in all.
    pub(super) fn new(
        binding: &Arc<Binding<L>>,
        over: &Current<L>,
        method: &'static Method,
        arguments: Message<()>,
        within: Duration,
    ) -> Self {
        let (binding, over) = (Arc::clone(binding), AtomicU32::new(over.number));
        Self { kept: Arc::new(Kept { binding, method, arguments, over }), within, spent: Duration::ZERO, retries: 0 }
    }

    /// What to do after this failure.
    ///
    /// # Errors
    /// The failure of the whole, if the call is not made again.
    pub(super) fn after(&mut self, error: CallError) -> Result<Retry<L>, CallError> {
        self.spent = self.spent.saturating_add(error.after);
        let error = CallError { after: self.spent, ..error };
        if !matches!(error.why, CallFailure::PeerRestarted(_)) || self.retries == RETRIES_MAX {
            return Err(error);
        }
        let left = self.within.saturating_sub(self.spent);
        if left.is_zero() {
            return Err(CallError { why: CallFailure::Deadline, ..error });
        }
        self.retries += 1;
        Ok(Retry { kept: Arc::clone(&self.kept), within: left })
    }
}

/// A call to be made again, as a carrier makes it.
#[derive(Debug)]
pub struct Retry<L> {
    kept: Arc<Kept<L>>,
    within: Duration,
}

impl<L: Clone> Retry<L> {
    /// Who is to be called.
    #[must_use]
    pub fn role(&self) -> &Name {
        &self.kept.binding.role
    }

    /// By what.
    #[must_use]
    pub fn contract(&self) -> &'static Contract {
        self.kept.binding.contract
    }

    /// The method.
    #[must_use]
    pub fn rpc(&self) -> RpcIndex {
        self.kept.method.rpc
    }

    /// How long opening a link and the call may take together.
    #[must_use]
    pub const fn within(&self) -> Duration {
        self.within
    }

    /// The link that is called over at this moment, good or not.
    #[must_use]
    pub fn former(&self) -> L {
        self.kept.binding.current().link
    }

    /// The link to call over, if somebody else has opened one since the call failed.
    #[must_use]
    pub fn reopened(&self) -> Option<L> {
        let current = self.kept.binding.current();
        (self.kept.over.swap(current.number, Ordering::Relaxed) != current.number).then_some(current.link)
    }

    /// Calls go over `link` from now on, where the first `served` methods are. If somebody else was faster, that one's link
    /// is returned, and this one to be closed.
    #[must_use]
    pub fn renew(&self, link: &L, served: u16) -> Option<L> {
        let mut current = self.kept.binding.lock();
        if self.kept.over.swap(current.number, Ordering::Relaxed) != current.number {
            return Some(current.link.clone());
        }
        let number = current.number.wrapping_add(1);
        *current = Current { link: link.clone(), served, number };
        self.kept.over.store(number, Ordering::Relaxed);
        None
    }

    /// Writes the arguments, and that it is not the first time.
    ///
    /// # Errors
    /// None in fact: they fitted before.
    pub fn build<F>(&self, message: &mut Message<F>) -> Result<(), AppendError> {
        message.append_values_of(&self.kept.arguments)?.mark_retry();
        Ok(())
    }
}

/// Why there is no link to call over again.
impl From<BindError<Self>> for CallFailure {
    fn from(error: BindError<Self>) -> Self {
        match error {
            BindError::Open(why) => why,
            BindError::Ask(error) => error.why,
            BindError::Mismatch(mismatch) => Self::Unsendable(mismatch.to_string().into()),
        }
    }
}
