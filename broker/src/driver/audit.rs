//! The audit log: who was granted, denied, accused, evicted, and why.

use std::collections::BTreeMap;

use cloison_msg::{Gone, Name};

use crate::router::{Event, LinkId};

/// How many events of one kind that one role causes are logged one by one; beyond, only each that doubles the count. Each line
/// says how many there were so far, and when the worker ends the last one says how many there were in all.
const EVENTS_LOGGED: u64 = 32;

/// Writes the audit log.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// What each role caused. Roles are the host's own, so there are few.
    counts: BTreeMap<(Name, Cause), Count>,
}

/// What a worker can cause as often as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Grant,
    Handing,
    Closing,
    Denial,
    Accusation,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// How many there were, those that were not logged included.
    seen: u64,
    /// How many there were when the log last said so.
    told: u64,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "links granted",
            Self::Handing => "links handed on",
            Self::Closing => "links ended",
            Self::Denial => "denials",
            Self::Accusation => "accusations",
        }
    }
}

impl Audit {
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Ready { role } => tracing::debug!(target: "cloison::audit", %role, "said hello"),
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
            Event::Evicted { role, violation } => {
                tracing::error!(target: "cloison::audit", %role, %violation, "worker evicted");
            }
            Event::Counted { role, messages, bytes, .. } => {
                tracing::debug!(target: "cloison::audit", %role, messages, bytes, "sent directly so far");
            }
            Event::Granted { from, .. } => self.thin_out(from, Cause::Grant, event),
            Event::Copied { by, .. } | Event::Moved { by, .. } => self.thin_out(by, Cause::Handing, event),
            Event::Closed { from, .. } => self.thin_out(from, Cause::Closing, event),
            Event::Refused { from, .. } | Event::Denied { from, .. } => self.thin_out(from, Cause::Denial, event),
            Event::Accused { by, .. } => self.thin_out(by, Cause::Accusation, event),
        }
    }

    /// Logs what its culprit causes as often as it likes, unless that is no news.
    fn thin_out(&mut self, culprit: &Name, cause: Cause, event: &Event) {
        if let Some(so_far) = self.news(culprit, cause) {
            write(event, so_far);
        }
    }

    /// How many there were so far, if that is to be logged. A worker that causes the same all the time does not fill the disk.
    fn news(&mut self, culprit: &Name, cause: Cause) -> Option<u64> {
        let count = self.counts.entry((culprit.clone(), cause)).or_default();
        count.seen += 1;
        let is_news = count.seen <= EVENTS_LOGGED || count.seen.is_power_of_two();
        if is_news {
            count.told = count.seen;
        }
        is_news.then_some(count.seen)
    }

    /// The worker that played a role is dead: says how often it did what was not logged each time.
    pub(super) fn sum_up(&mut self, role: &Name) {
        for (what, total) in self.untold(role) {
            tracing::info!(target: "cloison::audit", %role, what, total, "not each of these was logged");
        }
    }

    /// The broker ends. What workers did is told by now; what its host did is not.
    pub(super) fn sum_up_all(&mut self) {
        let mut roles: Vec<Name> = self.counts.keys().map(|(role, _)| role.clone()).collect();
        roles.dedup();
        roles.iter().for_each(|role| self.sum_up(role));
    }

    /// What the log has not told about a role, in all; it is told now.
    fn untold(&mut self, role: &Name) -> Vec<(&'static str, u64)> {
        let counts = self.counts.iter_mut();
        let counts = counts.filter(|((culprit, _), count)| culprit == role && count.told < count.seen);
        let told = counts.map(|((_, cause), count)| {
            count.told = count.seen;
            (cause.as_str(), count.seen)
        });
        told.collect()
    }
}

/// What is logged of an event that is thinned out.
fn write(event: &Event, so_far: u64) {
    match event {
        Event::Granted { link, from, to, direct } => {
            let link = LinkId(*link);
            tracing::info!(target: "cloison::audit", %link, %from, %to, direct, so_far, "link granted");
        }
        Event::Copied { link, by, to, peer } => {
            let link = LinkId(*link);
            tracing::info!(target: "cloison::audit", %link, %by, %to, %peer, so_far, "link copied");
        }
        Event::Moved { link, by, to, peer } => {
            let link = LinkId(*link);
            tracing::info!(target: "cloison::audit", %link, %by, %to, %peer, so_far, "link moved");
        }
        Event::Closed { link, from, to, why } => {
            let link = LinkId(*link);
            tracing::debug!(target: "cloison::audit", %link, %from, %to, %why, so_far, "link ended");
        }
        Event::Refused { from, to, interface } => {
            tracing::warn!(target: "cloison::audit", %from, %to, %interface, so_far, "link refused: no rule allows it");
        }
        Event::Denied { from, to, rpc, denial } => {
            tracing::warn!(target: "cloison::audit", %from, %to, method = rpc.0, %denial, so_far, "message denied");
        }
        Event::Accused { by, of, what } => {
            tracing::warn!(target: "cloison::audit", %by, %of, what, so_far, "direct link cut on an accusation");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opened_for_ever_is_logged_a_few_times() {
        let (mut audit, role) = (Audit::default(), Name::new("churner").unwrap());
        let logged: Vec<u64> = (0..100_000).filter_map(|_| audit.news(&role, Cause::Grant)).collect();
        assert!(logged.len() < 64, "{logged:?}");
        assert_eq!(logged.last(), Some(&65_536));
        assert_eq!(audit.news(&role, Cause::Accusation), Some(1), "another kind of event is news");
    }

    #[test]
    fn what_was_not_logged_one_by_one_is_told_in_all_at_the_end() {
        let (mut audit, [role, other]) = (Audit::default(), ["churner", "other"].map(|role| Name::new(role).unwrap()));
        (0..1000).for_each(|_| _ = audit.news(&role, Cause::Denial));
        (0..40).for_each(|_| _ = audit.news(&other, Cause::Denial));
        (0..64).for_each(|_| _ = audit.news(&role, Cause::Grant));
        assert_eq!(audit.untold(&role), [("denials", 1000)], "the log has told of all 64 links");
        assert_eq!(audit.untold(&role), [], "it is told once");
        assert_eq!(audit.news(&role, Cause::Denial), None);
        assert_eq!(audit.untold(&role), [("denials", 1001)], "its successor goes on where it ended");
        assert_eq!(audit.untold(&other), [("denials", 40)]);
    }
}
