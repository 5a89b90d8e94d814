//! Links that the host makes to itself, to give one end away: whoever gets it holds an object of the host's.

use std::sync::Arc;

use cloison_msg::control::{OfferedEnds, RequestId, ToBroker};
use cloison_msg::{Destination, Name, Refusal};
use tokio::sync::oneshot;

use super::desk::Desk;
use super::host_end::HostEnd;
use super::{Driver, now};
use crate::host::{Held, Unclaimed};

/// An object that the host wants a link to.
pub(super) struct Offering {
    request: RequestId,
    object: Arc<Held>,
    done: oneshot::Sender<Result<Unclaimed, Refusal>>,
}

impl Driver {
    pub(super) fn host_offers(
        &mut self,
        interface: Name,
        object: Arc<Held>,
        done: oneshot::Sender<Result<Unclaimed, Refusal>>,
    ) {
        let request = self.desk.number();
        self.desk.offering.push(Offering { request, object, done });
        self.router.handle_word(self.router.host(), ToBroker::Offer { request, interface }, now());
    }

    /// Both ends were granted just before, or were refused.
    pub(super) fn host_is_offered(&mut self, request: RequestId, ends: Result<OfferedEnds, Refusal>) {
        let Some(offering) = self.desk.take_offering(request) else { return };
        match ends {
            Ok(OfferedEnds { own, given }) => {
                self.desk.lead_to(own, &offering.object);
                let link = self.desk.ends.get(given).map(HostEnd::unclaimed).ok_or(Refusal::NotFound);
                // Should nobody take it, it closes itself.
                drop(offering.done.send(link));
            }
            Err(refusal) => drop(offering.done.send(Err(refusal))),
        }
    }
}

impl Desk {
    fn take_offering(&mut self, request: RequestId) -> Option<Offering> {
        let at = self.offering.iter().position(|offering| offering.request == request)?;
        Some(self.offering.swap_remove(at))
    }

    fn lead_to(&mut self, link: Destination, object: &Arc<Held>) {
        if let Some(end) = self.ends.get_mut(link) {
            end.object = Some(object.clone());
        }
    }

    /// What the original leads to, the copy leads to.
    pub(super) fn share(&mut self, original: Destination, copy: Destination) {
        if let Some(object) = self.ends.get(original).and_then(|original| original.object.clone()) {
            self.lead_to(copy, &object);
        }
    }
}
