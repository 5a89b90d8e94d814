//! Which spans belong to which chain of calls.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use cloison_msg::trace::SpanId;
use cloison_msg::{CallId, ChainId, Key, Name, Time};
use tracing::Span;

use super::TraceProcess;

/// How long a span stays that others may still turn out to be part of: what its call caused may be told after its end.
pub(super) const LINGER: Duration = Duration::from_millis(100);

/// Most calls of the host's own that are kept.
const CALLS_MAX: usize = 4096;

/// Most calls that one worker serves or makes, or has just served or made, that are kept.
const PARTS_PER_WORKER: usize = 256;

/// How long a call is kept of whose end nothing is heard.
const LONGEST: Duration = Duration::from_secs(60);

/// The spans of calls, by the chains they belong to.
#[derive(Default)]
pub(super) struct Chains {
    /// Those that the host has begun, and when they are forgotten.
    calls: HashMap<ChainId, (Span, Time)>,
    /// What workers do in each.
    parts: HashMap<ChainId, Vec<Part>>,
    /// How many of each worker's are in `parts`.
    counts: HashMap<Key, usize>,
    /// When what is to be forgotten.
    due: BTreeSet<Due>,
}

/// A call of the host's, or what a worker does in its chain, and when that is forgotten.
type Due = (Time, ChainId, Option<(Key, Deed)>);

/// What a worker does in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    /// It serves a call, in this span of its own.
    Serves(SpanId),
    /// It has made this call.
    Calls(CallId),
}

struct Part {
    by: Key,
    role: Name,
    deed: Deed,
    depth: u8,
    span: Span,
    due: Time,
}

impl Chains {
    /// The host begins a chain in `span`; the call ends by `until`.
    pub(super) fn begin_call(&mut self, chain: ChainId, span: Span, until: Time) {
        if self.calls.len() >= CALLS_MAX {
            self.forget_a_call();
        }
        let due = until.after(LINGER);
        if let Some((_, before)) = self.calls.insert(chain, (span, due)) {
            self.due.remove(&(before, chain, None));
        }
        self.due.insert((due, chain, None));
    }

    /// The call with which the host began a chain is over.
    pub(super) fn end_call(&mut self, chain: ChainId, at: Time) {
        if let Some((_, due)) = self.calls.get_mut(&chain) {
            self.due.remove(&(*due, chain, None));
            *due = at.after(LINGER);
            self.due.insert((*due, chain, None));
        }
    }

    /// A worker begins to do something for a call of this depth.
    pub(super) fn begin(&mut self, chain: ChainId, by: &TraceProcess, deed: Deed, depth: u8, span: Span, at: Time) {
        let count = self.counts.entry(by.port).or_default();
        if *count >= PARTS_PER_WORKER {
            return;
        }
        *count += 1;
        let (role, due, by) = (by.role.clone(), at.after(LONGEST), by.port);
        self.parts.entry(chain).or_default().push(Part { by, role, deed, depth, span, due });
        self.due.insert((due, chain, Some((by, deed))));
    }

    /// A worker is done with it.
    pub(super) fn end(&mut self, chain: ChainId, by: Key, deed: Deed, at: Time) {
        let parts = self.parts.get_mut(&chain).map_or(&mut [][..], Vec::as_mut_slice);
        if let Some(part) = parts.iter_mut().rev().find(|part| (part.by, part.deed) == (by, deed)) {
            self.due.remove(&(part.due, chain, Some((by, deed))));
            part.due = at.after(LINGER);
            self.due.insert((part.due, chain, Some((by, deed))));
        }
    }

    /// The span that caused a call of this depth which `caller` made: that in which it made it, if that is known.
    pub(super) fn cause(&self, chain: ChainId, caller: &str, call: CallId, depth: u8) -> Option<&Span> {
        let parts = || self.parts_of(chain).iter().rev().filter(|part| part.role.as_str() == caller);
        let made = parts().find(|part| part.deed == Deed::Calls(call) && part.depth == depth);
        let serves = |part: &&Part| matches!(part.deed, Deed::Serves(_)) && part.depth < depth;
        let cause = made.or_else(|| parts().filter(serves).max_by_key(|part| part.depth));
        cause.map(|part| &part.span).or_else(|| self.call(chain))
    }

    /// The span to which belongs what `worker` does for a chain.
    pub(super) fn around(&self, chain: ChainId, worker: Key) -> Option<&Span> {
        let is_own = |part: &&Part| part.by == worker && matches!(part.deed, Deed::Serves(_));
        let own = self.parts_of(chain).iter().rev().find(is_own);
        own.map(|part| &part.span).or_else(|| self.call(chain))
    }

    fn parts_of(&self, chain: ChainId) -> &[Part] {
        self.parts.get(&chain).map_or(&[], Vec::as_slice)
    }

    fn call(&self, chain: ChainId) -> Option<&Span> {
        self.calls.get(&chain).map(|(span, _)| span)
    }

    /// When something is to be forgotten next.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.due.first().map(|(due, ..)| *due)
    }

    /// Lets go of what nothing more belongs to.
    pub(super) fn forget(&mut self, now: Time) {
        while let Some(&(due, chain, what)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            match what {
                None => drop(self.calls.remove(&chain)),
                Some((by, deed)) => self.forget_part(chain, by, deed),
            }
        }
    }

    fn forget_part(&mut self, chain: ChainId, by: Key, deed: Deed) {
        let Some(parts) = self.parts.get_mut(&chain) else { return };
        let before = parts.len();
        parts.retain(|part| (part.by, part.deed) != (by, deed));
        let gone = before - parts.len();
        if parts.is_empty() {
            self.parts.remove(&chain);
        }
        if let Some(count) = self.counts.get_mut(&by) {
            *count = count.saturating_sub(gone);
            if *count == 0 {
                self.counts.remove(&by);
            }
        }
    }

    /// Makes room: the call that is to be forgotten next is forgotten now.
    fn forget_a_call(&mut self) {
        let next = self.due.iter().find(|(_, _, part)| part.is_none()).copied();
        if let Some(due @ (_, chain, _)) = next {
            self.due.remove(&due);
            self.calls.remove(&chain);
        }
    }
}
