//! What the applications of a world saw.

use std::collections::BTreeMap;

use cloison_msg::{Denial, Destination, RpcIndex};

use super::World;

/// What the applications saw. Whatever the routes, it is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Diary {
    /// The requests that arrived, in their order, by the worker and its link.
    pub requests: BTreeMap<(usize, usize), Vec<RpcIndex>>,
    /// What became of each call, by the worker, its link and the caller's number.
    pub outcomes: BTreeMap<(usize, usize, u8), Outcome>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was answered.
    Replied,
    /// It was denied.
    Denied(Denial),
    /// The link ended, or was given away.
    Gone,
}

impl World {
    /// Begins a diary; what stood in the one before.
    pub fn note_from_now(&mut self) -> Diary {
        self.diary.replace(Box::default()).map(|diary| *diary).unwrap_or_default()
    }

    /// Which of a worker's links has this name.
    fn link_of(&self, at: usize, name: Destination) -> usize {
        self.workers[at].names.iter().position(|known| *known == name).unwrap_or(usize::MAX)
    }

    pub(super) fn note_request(&mut self, at: usize, name: Destination, rpc: RpcIndex) {
        let link = self.link_of(at, name);
        if let Some(diary) = &mut self.diary {
            diary.requests.entry((at, link)).or_default().push(rpc);
        }
    }

    pub(super) fn note_outcome(&mut self, at: usize, name: Destination, call: u8, outcome: Outcome) {
        let link = self.link_of(at, name);
        if let Some(diary) = &mut self.diary {
            diary.outcomes.insert((at, link, call), outcome);
        }
    }
}
