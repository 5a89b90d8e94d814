//! One port: a worker's connection, or the host's.

use std::collections::BTreeMap;

use cloison_msg::control::RequestId;
use cloison_msg::{Destination, Entry, Gone, Key, Name, Table};

use super::lineage::Caused;
use super::link::Side;
use super::opening::Opening;

/// What a worker has sent through the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Traffic {
    /// Messages.
    pub messages: u64,
    /// Bytes, headers included.
    pub bytes: u64,
}

impl Traffic {
    /// Both together. Saturates: what a worker says that it sent directly may be any number.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self { messages: self.messages.saturating_add(more.messages), bytes: self.bytes.saturating_add(more.bytes) }
    }
}

/// A worker's connection, or the host's.
#[derive(Clone, Debug, Hash)]
pub(super) struct Port {
    role: Name,
    stage: Stage,
    is_host: bool,
    /// The holder's link table: what its destinations mean.
    names: Table<End>,
    /// Links it asked for that wait for their other end.
    pub(super) waiting: Vec<Opening>,
    /// Bytes of all pools it asked for.
    pub(super) pool_bytes: u64,
    /// The same, with those that it has given up since.
    pub(super) pool_bytes_ever: u64,
    pub(super) traffic: Traffic,
    /// The links that exist because of it, whoever holds them now.
    pub(super) caused: Caused,
    /// The links that it gave away, by the names it had for them, until it confirms that it has delivered all that had come.
    pub(super) given: BTreeMap<Destination, Key>,
    /// Whether too much waits for it already: it gets no new links and pools until it has taken that.
    crowded: bool,
    /// Whether nobody will play its role after it.
    pub(super) is_last: bool,
}

/// What one name in a holder's table means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct End {
    pub(super) link: Key,
    pub(super) side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// It has not said hello.
    Silent,
    /// It may send.
    Open,
    /// It broke the protocol and is about to be killed.
    Condemned,
}

impl Port {
    pub(super) fn worker(role: Name) -> Self {
        Self {
            role,
            stage: Stage::Silent,
            is_host: false,
            names: Table::new(),
            waiting: Vec::new(),
            pool_bytes: 0,
            pool_bytes_ever: 0,
            traffic: Traffic::default(),
            caused: Caused::default(),
            given: BTreeMap::new(),
            crowded: false,
            is_last: false,
        }
    }

    pub(super) fn host(role: Name) -> Self {
        Self { stage: Stage::Open, is_host: true, ..Self::worker(role) }
    }

    pub(super) const fn role(&self) -> &Name {
        &self.role
    }

    pub(super) const fn traffic(&self) -> Traffic {
        self.traffic
    }

    pub(super) const fn is_host(&self) -> bool {
        self.is_host
    }

    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    pub(super) fn is_condemned(&self) -> bool {
        self.stage == Stage::Condemned
    }

    pub(super) const fn is_crowded(&self) -> bool {
        self.crowded
    }

    pub(super) const fn set_crowded(&mut self, crowded: bool) {
        self.crowded = crowded;
    }

    /// What its peers are told when it is gone, which may be that it does not come back.
    pub(super) fn epitaph(&self, why: &Gone) -> Gone {
        match why {
            Gone::Crashed(_) | Gone::Evicted(_) if self.is_last => Gone::GivenUp(why.to_string().into()),
            _ => why.clone(),
        }
    }

    /// It said hello; whether that was its first word.
    pub(super) fn greet(&mut self) -> bool {
        let first = self.stage == Stage::Silent;
        if first {
            self.stage = Stage::Open;
        }
        first
    }

    /// From now on it is not listened to; whether that is news.
    pub(super) fn condemn(&mut self) -> bool {
        let news = !self.is_condemned() && !self.is_host;
        if news {
            self.stage = Stage::Condemned;
        }
        news
    }

    /// Gives the holder a name for its end of a link.
    pub(super) fn name(&mut self, end: End) -> Destination {
        self.names.insert(end).into()
    }

    /// A name that names nothing any more.
    pub(super) fn dead_name(&mut self, end: End) -> Destination {
        let name = self.name(end);
        self.forget(name);
        name
    }

    pub(super) fn forget(&mut self, name: Destination) {
        if let Some(key) = name.key() {
            self.names.remove(key);
        }
    }

    /// What the holder means by `name`.
    pub(super) fn meaning(&self, name: Destination) -> Entry<End> {
        match name.key().map(|key| self.names.entry(key)) {
            Some(Entry::Open(&end)) => Entry::Open(end),
            Some(Entry::Closed) => Entry::Closed,
            Some(Entry::Never) | None => Entry::Never,
        }
    }

    pub(super) fn link_count(&self) -> usize {
        self.names.len()
    }

    pub(super) fn ends(&self) -> Vec<End> {
        self.names.iter().map(|(_, &end)| end).collect()
    }

    /// Takes out the openings that wait for `role`.
    pub(super) fn openings_for(&mut self, role: &Name) -> Vec<Opening> {
        let (now, still) = self.waiting.drain(..).partition(|opening| opening.role == *role);
        self.waiting = still;
        now
    }

    pub(super) fn cancel_opening(&mut self, request: RequestId) {
        self.waiting.retain(|opening| opening.request != request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_claims_adds_up_without_overflow() {
        let claimed = Traffic { messages: u64::MAX, bytes: u64::MAX };
        assert_eq!(Traffic { messages: 1, bytes: 48 }.plus(claimed), claimed);
    }
}
