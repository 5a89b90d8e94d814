//! The audit log: who was granted, denied, accused, evicted, and why.

use std::collections::HashMap;

use cloison_msg::Name;

use crate::router::Event;

/// How many denials of one role are logged one by one; beyond, only each that doubles the count.
const DENIALS_LOGGED: u64 = 32;

/// Writes the audit log.
#[derive(Debug, Default)]
pub(super) struct Audit {
    denials: HashMap<Name, u64>,
}

impl Audit {
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Ready { role } => tracing::debug!(target: "cloison::audit", %role, "said hello"),
            Event::Granted { from, to, direct } => {
                tracing::info!(target: "cloison::audit", %from, %to, direct, "link granted");
            }
            Event::Refused { from, to, interface } if self.is_news(from) => {
                tracing::warn!(target: "cloison::audit", %from, %to, %interface, "link refused: no rule allows it");
            }
            Event::Denied { from, to, rpc, denial } if self.is_news(from) => {
                tracing::warn!(target: "cloison::audit", %from, %to, method = rpc.0, %denial, "message denied");
            }
            Event::Refused { .. } | Event::Denied { .. } => {}
            Event::Accused { by, of, what } => {
                tracing::warn!(target: "cloison::audit", %by, %of, what, "direct link cut on an accusation");
            }
            Event::Evicted { role, violation } => {
                tracing::error!(target: "cloison::audit", %role, %violation, "worker evicted");
            }
            Event::Counted { role, messages, bytes } => {
                tracing::debug!(target: "cloison::audit", %role, messages, bytes, "sent directly so far");
            }
        }
    }

    /// A worker that is denied all the time does not fill the disk.
    fn is_news(&mut self, role: &Name) -> bool {
        let count = self.denials.entry(role.clone()).or_default();
        *count += 1;
        *count <= DENIALS_LOGGED || count.is_power_of_two()
    }
}
