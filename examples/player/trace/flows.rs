//! Which message that was taken is which one that was sent.

use std::collections::{HashMap, VecDeque};

use cloison_broker::msg::Text;
use cloison_broker::msg::trace::{Mark, MarkKind};

use super::chrome::Place;

/// Messages that were sent and not taken yet.
#[derive(Default)]
pub struct Flows(HashMap<Key, VecDeque<Place>>);

/// What both ends of a message agree on. What agrees in all that was sent in this order over one link, or else it does not
/// matter which is which.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    from: String,
    to: String,
    kind: MarkKind,
    rpc: u16,
    call: u64,
    chain: u64,
    bytes: u32,
}

impl Flows {
    /// `role` has sent a message.
    pub fn sent(&mut self, role: &str, mark: &Mark<Text>, from: Place) {
        self.0.entry(Key::new(role, mark.peer.as_str(), mark)).or_default().push_back(from);
    }

    /// `role` has taken a message: where that was sent, if it was seen.
    pub fn taken(&mut self, role: &str, mark: &Mark<Text>) -> Option<Place> {
        let key = Key::new(mark.peer.as_str(), role, mark);
        let sent = self.0.get_mut(&key)?;
        let from = sent.pop_front();
        if sent.is_empty() {
            self.0.remove(&key);
        }
        from
    }
}

impl Key {
    fn new(from: &str, to: &str, mark: &Mark<Text>) -> Self {
        let (rpc, call, chain, bytes) = (mark.rpc.0, mark.call.0, mark.chain.0, mark.bytes);
        Self { from: from.to_owned(), to: to.to_owned(), kind: mark.kind, rpc, call, chain, bytes }
    }
}
