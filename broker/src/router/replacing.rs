//! Another policy takes the place of the one in force.

use std::sync::Arc;

use cloison_msg::control::ToWorker;
use cloison_msg::{Descriptor, Key, Time};

use super::lineage::Asked;
use super::link::Side;
use super::{Event, Router};
use crate::policy::{Ask, Decision, Grant, Policy};

impl<D: Descriptor> Router<D> {
    /// Decides by another policy from now on, also about the links that there are: each goes on with what both its present
    /// rights and the new grant allow; what the new policy would not grant is to be revoked, and comes back. Nothing grows.
    #[must_use = "these links are to be revoked"]
    pub fn set_policy(&mut self, policy: Arc<dyn Policy>, now: Time) -> Vec<Key> {
        self.policy = policy;
        // Of a link that a worker has to itself nobody has been asked anything yet.
        let granted = self.links.iter().filter(|(_, link)| !link.is_unclaimed());
        let asks: Vec<(Key, Asked)> = granted.map(|(key, link)| (key, link.lineage.ask.clone())).collect();
        let mut refused = Vec::new();
        for (key, Asked { from, to, interface }) in asks {
            match self.policy.decide(&Ask { from: &from, to: &to, interface: &interface }) {
                Decision::Grant(grant) => self.attenuate(key, &grant, now),
                Decision::Refuse | Decision::Defer => refused.push(key),
            }
        }
        refused
    }

    fn attenuate(&mut self, key: Key, grant: &Grant, now: Time) {
        let Some(link) = self.links.get_mut(key) else { return };
        let rights = [link.asker.rights.attenuate(&grant.rights), link.asked.rights.attenuate(&grant.back)];
        if rights == [link.asker.rights.clone(), link.asked.rights.clone()] {
            return;
        }
        [link.asker.rights, link.asked.rights] = rights;
        let words = Side::BOTH.map(|side| {
            let (own, peer) = (link.holder(side), link.holder(side.other()));
            let (rights, peer_rights) = (own.rights.clone(), peer.rights.clone());
            (own.port, ToWorker::Attenuated { link: own.name, rights, peer_rights })
        });
        let (from, to) = (link.asker.port, link.asked.port);
        for (port, word) in words {
            self.say(port, word, Vec::new());
        }
        let (from, to) = (self.role_name(from), self.role_name(to));
        self.tell(Event::Attenuated { link: key, from, to });
        self.steer(key, now);
    }
}
