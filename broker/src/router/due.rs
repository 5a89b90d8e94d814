//! What workers have to confirm, and until when.

use std::collections::BTreeSet;
use std::time::Duration;

use cloison_msg::{Descriptor, Destination, Key, Time};

use super::{Output, Router, Violation};

/// How long a worker has to confirm that it delivers nothing more over a link that was taken back. Whoever has not by then
/// is evicted.
pub const RELEASE_WITHIN: Duration = Duration::from_secs(5);

/// Something for which time is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Due {
    /// A link's change of routes.
    Switch(Key),
    /// A revocation, by its ticket.
    Release(u64),
}

/// Links that were taken back, and who has yet to confirm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Revocation {
    ticket: u64,
    until: Time,
    awaited: BTreeSet<(Key, Destination)>,
    /// Links whose socket pairs are to be emptied when all have confirmed.
    pairs: Vec<Key>,
}

impl<D: Descriptor> Router<D> {
    /// When to call [`handle_time`](Self::handle_time) next, if nothing else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Time has passed.
    pub fn handle_time(&mut self, now: Time) {
        while let Some(&(at, due)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            match due {
                Due::Switch(link) => self.expire_switch(link),
                Due::Release(ticket) => self.expire_release(ticket),
            }
        }
    }

    /// Waits until all of these have confirmed that a link is not used any more.
    pub(super) fn await_release(
        &mut self,
        awaited: Vec<(Key, Destination)>,
        pairs: Vec<Key>,
        ticket: u64,
        now: Time,
    ) {
        let until = now.after(RELEASE_WITHIN);
        self.revocations.push(Revocation { ticket, until, awaited: awaited.into_iter().collect(), pairs });
        self.due.insert((until, Due::Release(ticket)));
        self.settle_releases();
    }

    /// A worker confirms that it delivers nothing more over a link.
    pub(super) fn handle_released(&mut self, port: Key, name: Destination) {
        for revocation in &mut self.revocations {
            revocation.awaited.remove(&(port, name));
        }
        self.settle_releases();
    }

    /// A worker is dead, and delivers nothing more.
    pub(super) fn release_all_of(&mut self, dead: Key) {
        for revocation in &mut self.revocations {
            revocation.awaited.retain(|(port, _)| *port != dead);
        }
        self.settle_releases();
    }

    fn settle_releases(&mut self) {
        for done in self.revocations.extract_if(.., |revocation| revocation.awaited.is_empty()) {
            self.due.remove(&(done.until, Due::Release(done.ticket)));
            self.outputs.extend(done.pairs.into_iter().map(|link| Output::Cut { link, empty: true }));
            self.outputs.push_back(Output::Revoked { ticket: done.ticket });
        }
    }

    fn expire_release(&mut self, ticket: u64) {
        let late = self.revocations.iter().filter(|revocation| revocation.ticket == ticket);
        let late: BTreeSet<Key> =
            late.flat_map(|revocation| revocation.awaited.iter().map(|(port, _)| *port)).collect();
        for port in late {
            self.evict(port, Violation::Late("the release of a link that was revoked"));
        }
    }
}
