//! Links that a worker makes to itself, to give one end of them away: whoever gets it holds an object in that worker.
//!
//! Nothing is granted when such a link is made: by the end that is to be given nothing can be said. When it is given, the
//! policy is asked what it would be asked if the receiver had asked for the link itself; so a worker can give nobody more
//! than what the policy lets that one have of it.

use cloison_msg::control::{OfferedEnds, RequestId, ToWorker};
use cloison_msg::{Denial, Descriptor, Key, Name, Refusal, Rights, RightsFlags, Transfer};

use super::carrying::Passing;
use super::lineage::{Asked, Cause, Lineage, Origin};
use super::link::{
    DESCRIPTOR_LINKS_PER_WORKER, Holder, LINKS_PER_WORKER, Link, OFFERS_PER_PAIR, Side, pass_descriptors,
};
use super::port::{End, Port};
use super::{Event, Router};
use crate::policy::{Ask, Decision, Grant};

impl<D: Descriptor> Router<D> {
    /// A port asks for a link to itself.
    pub(super) fn offer(&mut self, from: Key, request: RequestId, interface: Name) {
        let Some(port) = self.ports.get(from) else { return };
        if port.link_count() + 2 > LINKS_PER_WORKER && !port.is_host() {
            let limit = format!("{} has {} links already", port.role(), port.link_count());
            return self.say(from, ToWorker::Offered { request, ends: Err(Refusal::Limit(limit.into())) }, Vec::new());
        }
        let role = port.role().clone();
        let cause = Cause { origin: Origin::Offered, port: from, peer: from, with_descriptors: false };
        let lineage = Lineage {
            ask: Asked { from: role.clone(), to: role.clone(), interface },
            request: None,
            parent: None,
            ancestors: Vec::new(),
            children: Vec::new(),
            giver: None,
            cause,
        };
        let given = Rights { flags: RightsFlags::DELEGATE, ..Rights::default() };
        let mut link = Link::new(Holder::new(from, given), Holder::new(from, Rights::default()), lineage);
        link.wish.rest[Side::Asker.index()] = true;
        let key = self.links.insert(link);
        if let Some(port) = self.ports.get_mut(from) {
            port.caused.note(cause);
        }
        self.name_ends(key);
        self.introduce(key);
        let Some(link) = self.links.get(key) else { return };
        let ends = Ok(OfferedEnds { own: link.asked.name, given: link.asker.name });
        self.say(from, ToWorker::Offered { request, ends }, Vec::new());
        self.tell(Event::Granted { link: key, from: role.clone(), to: role, direct: false });
    }

    /// What the policy lets the holder at `to` have of a link that its giver has both ends of.
    pub(super) fn price(
        &self,
        end: End,
        link: &Link,
        to: Key,
        transfer: Transfer,
        wanted: &Rights,
    ) -> Result<Grant, Denial> {
        let receiver = self.ports.get(to).ok_or(Denial::Delegation)?;
        if end.side != Side::Asker {
            return Err(Denial::Delegation);
        }
        if transfer != Transfer::Move {
            return Err(Denial::Offered);
        }
        let Asked { to: server, interface, .. } = &link.lineage.ask;
        match self.policy.decide(&Ask { from: receiver.role(), to: server, interface }) {
            Decision::Grant(grant) => Ok(Grant { rights: grant.rights.attenuate(wanted), back: grant.back }),
            Decision::Refuse | Decision::Defer => Err(Denial::Delegation),
        }
    }

    /// Whether the holder at `to` may have that many more objects of the giver's.
    pub(super) fn has_room_for_offers(&self, giver: &Port, to: Key, passing: &[Passing]) -> Result<(), Denial> {
        let offers =
            passing.iter().filter_map(|one| if let Passing::Offer(_, grant) = one { Some(grant) } else { None });
        let with_descriptors = offers.clone().filter(|grant| pass_descriptors(&grant.rights, &grant.back)).count();
        let there_are = giver.caused.offered.get(&to).copied().unwrap_or_default();
        let too_many = there_are + offers.count() > OFFERS_PER_PAIR;
        let too_many_with_descriptors = with_descriptors > 0
            && giver.caused.asked_with_descriptors + with_descriptors > DESCRIPTOR_LINKS_PER_WORKER;
        // The host, too, gives one worker no more objects than that, who may ask it for them; what passes over its links is its own affair.
        let has_room = !too_many && (giver.is_host() || !too_many_with_descriptors);
        if has_room { Ok(()) } else { Err(Denial::Links) }
    }

    /// A link that its giver had both ends of is about to get another holder, with what the policy grants that one.
    pub(super) fn claim(&mut self, to: Key, end: End, grant: &Grant) {
        let from = self.role_name(to);
        let Some(link) = self.links.get_mut(end.link) else { return };
        link.lineage.ask.from = from;
        link.asked.rights = grant.back.clone();
        let old = link.lineage.cause;
        let new = Cause { peer: to, with_descriptors: pass_descriptors(&grant.rights, &grant.back), ..old };
        link.lineage.cause = new;
        if let Some(port) = self.ports.get_mut(old.port) {
            port.caused.forget(old);
            port.caused.note(new);
        }
    }
}
