//! The audit log: who was granted, denied, accused, evicted, and why.

use std::collections::HashMap;

use cloison_msg::{Gone, Name};

use crate::router::{Event, LinkId};

/// How many events of one kind that one role causes are logged one by one; beyond, only each that doubles the count.
const EVENTS_LOGGED: u64 = 32;

/// Writes the audit log.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// What each role caused: links granted, denials, accusations. Roles are the host's own, so there are few.
    counts: HashMap<(Name, Cause), u64>,
}

/// What a worker can cause as often as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cause {
    Grant,
    Handing,
    Closing,
    Denial,
    Accusation,
}

impl Audit {
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Ready { role } => tracing::debug!(target: "cloison::audit", %role, "said hello"),
            Event::Granted { link, from, to, direct } if self.is_news(from, Cause::Grant) => {
                let link = LinkId(*link);
                tracing::info!(target: "cloison::audit", %link, %from, %to, direct, "link granted");
            }
            Event::Copied { link, by, to, peer } if self.is_news(by, Cause::Handing) => {
                let link = LinkId(*link);
                tracing::info!(target: "cloison::audit", %link, %by, %to, %peer, "link copied");
            }
            Event::Moved { link, by, to, peer } if self.is_news(by, Cause::Handing) => {
                let link = LinkId(*link);
                tracing::info!(target: "cloison::audit", %link, %by, %to, %peer, "link moved");
            }
            Event::Switched { link, from, to, route, took } => {
                let link = LinkId(*link);
                tracing::debug!(target: "cloison::audit", %link, %from, %to, ?route, ?took, "route changed");
            }
            Event::Model { model } => tracing::info!(target: "cloison::audit", ?model, "model changed"),
            Event::Attenuated { link, from, to } => {
                let link = LinkId(*link);
                tracing::info!(target: "cloison::audit", %link, %from, %to, "link attenuated by a new policy");
            }
            Event::Closed { link, from, to, why: Gone::Revoked } => {
                let link = LinkId(*link);
                tracing::info!(target: "cloison::audit", %link, %from, %to, "link revoked");
            }
            Event::Closed { link, from, to, why } if self.is_news(from, Cause::Closing) => {
                let link = LinkId(*link);
                tracing::debug!(target: "cloison::audit", %link, %from, %to, %why, "link ended");
            }
            Event::Refused { from, to, interface } if self.is_news(from, Cause::Denial) => {
                let so_far = self.so_far(from, Cause::Denial);
                tracing::warn!(target: "cloison::audit", %from, %to, %interface, so_far, "link refused: no rule allows it");
            }
            Event::Denied { from, to, rpc, denial } if self.is_news(from, Cause::Denial) => {
                let so_far = self.so_far(from, Cause::Denial);
                tracing::warn!(target: "cloison::audit", %from, %to, method = rpc.0, %denial, so_far, "message denied");
            }
            Event::Accused { by, of, what } if self.is_news(by, Cause::Accusation) => {
                tracing::warn!(target: "cloison::audit", %by, %of, what, "direct link cut on an accusation");
            }
            Event::Granted { .. } | Event::Copied { .. } | Event::Moved { .. } | Event::Closed { .. } => {}
            Event::Refused { .. } | Event::Denied { .. } | Event::Accused { .. } => {}
            Event::Evicted { role, violation } => {
                tracing::error!(target: "cloison::audit", %role, %violation, "worker evicted");
            }
            Event::Counted { role, messages, bytes } => {
                tracing::debug!(target: "cloison::audit", %role, messages, bytes, "sent directly so far");
            }
        }
    }

    /// How many there were, those that were not logged included.
    fn so_far(&self, role: &Name, cause: Cause) -> u64 {
        self.counts.get(&(role.clone(), cause)).copied().unwrap_or_default()
    }

    /// A worker that causes the same all the time does not fill the disk.
    fn is_news(&mut self, role: &Name, cause: Cause) -> bool {
        let count = self.counts.entry((role.clone(), cause)).or_default();
        *count += 1;
        *count <= EVENTS_LOGGED || count.is_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opened_for_ever_is_logged_a_few_times() {
        let (mut audit, role) = (Audit::default(), Name::new("churner").unwrap());
        let logged = (0..100_000).filter(|_| audit.is_news(&role, Cause::Grant)).count();
        assert!(logged < 64, "{logged}");
        assert!(audit.is_news(&role, Cause::Accusation), "another kind of event is news");
    }
}
