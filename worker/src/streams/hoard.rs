//! A bound on what callers have fed to one worker and nobody has taken.
//!
//! Each stream has a credit, but a worker does not choose how many calls others feed it: thirty-two on each link, of which it
//! reads one. So there is a bound on all of them together, far beyond what honest callers of an honest worker need; and when
//! it is reached, a stream of whoever has most of it is given up, who is the one that fills it.

use std::collections::HashMap;

use cloison_msg::{CallId, Caller, Destination, Name};

use super::{FeedEnd, Inflow};
use crate::session::Session;

/// Most bytes of memory that hold unread items of all streams that one worker is fed: of some 80 of them if each is as full as
/// its credit allows, and its items are large.
pub const FED_BYTES_MAX: usize = 16 * 1024 * 1024;

impl Session {
    /// An item has come of a stream that is fed. If it is one too many, a stream ends: whoever reads it hears that it is
    /// [`Overloaded`](cloison_msg::CallFailure::Overloaded).
    pub(super) fn bound_hoard(&mut self) {
        while self.fed().map(|inflow| inflow.held).sum::<usize>() > FED_BYTES_MAX {
            let Some((link, call)) = self.largest_hoard() else { return };
            self.refuse_items(link, call, Caller::Peer);
            if let Some(inflow) = self.inflow(link, call, Caller::Peer) {
                inflow.end = Some(FeedEnd::Overloaded);
            }
        }
    }

    fn fed(&self) -> impl Iterator<Item = &Inflow> {
        self.inflows.iter().filter(|inflow| inflow.caller == Caller::Peer)
    }

    /// The largest stream of whoever has most unread, over all links that were that role's when it fed them: what it has left
    /// behind over a link that is gone, or another's by now, counts as its own.
    fn largest_hoard(&self) -> Option<(Destination, CallId)> {
        let mut hoards: HashMap<Option<&Name>, usize> = HashMap::new();
        for inflow in self.fed() {
            *hoards.entry(inflow.peer.as_deref()).or_default() += inflow.held;
        }
        let rank = |inflow: &&Inflow| (hoards.get(&inflow.peer.as_deref()).copied(), inflow.held);
        self.fed().filter(|inflow| !inflow.items.is_empty()).max_by_key(rank).map(|inflow| (inflow.link, inflow.call))
    }
}
