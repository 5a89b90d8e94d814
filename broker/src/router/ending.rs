//! How links end: taken back with all that was derived from them, or one by one.

use cloison_msg::control::ToWorker;
use cloison_msg::{Descriptor, Gone, Key, Time};

use super::lineage::Lineage;
use super::link::Side;
use super::{Event, Output, Router};

impl<D: Descriptor> Router<D> {
    /// Takes a link and all that was derived from it back from all holders. [`Output::Revoked`] with this `ticket` comes
    /// when nothing more is delivered over any of them: a holder that does not confirm that in time is evicted.
    pub fn revoke(&mut self, link: Key, ticket: u64, now: Time) {
        let mut doomed = self.heirs(link);
        let (mut awaited, mut pairs) = (Vec::new(), Vec::new());
        while let Some(key) = doomed.pop() {
            let Some(link) = self.links.get(key) else { continue };
            doomed.extend(&link.lineage.children);
            let held = Side::BOTH.map(|side| (link.holder(side).port, link.holder(side).name));
            awaited.extend(held.into_iter().filter(|(port, _)| *port != self.host));
            pairs.extend(link.way.has_pair().then_some(key));
            let former = link.former.clone();
            for &(port, name) in &former {
                self.say(port, ToWorker::Closed { link: name, why: Gone::Revoked }, Vec::new());
            }
            awaited.extend(former.into_iter().filter(|(port, _)| *port != self.host));
            self.close_link(key, &Side::BOTH, &Gone::Revoked);
        }
        self.await_release(awaited, pairs, ticket, now);
    }

    /// Ends a link and tells the holders on `sides` why. What was derived from it lives on, as derived from what it was
    /// derived from itself.
    pub(super) fn close_link(&mut self, key: Key, sides: &[Side], why: &Gone) {
        let Some(link) = self.links.remove(key) else { return };
        self.forget_switch(key, &link.way);
        for (port, name) in &link.former {
            if let Some(port) = self.ports.get_mut(*port) {
                port.given.remove(name);
            }
        }
        match why {
            _ if !link.way.has_pair() => {}
            // What is queued on the socket may come before what is queued for its reader elsewhere, so it stays until the
            // reader has confirmed that it reads neither.
            Gone::Revoked => self.outputs.extend([0, 1].map(|end| Output::Shut { link: key, end })),
            _ => self.outputs.push_back(Output::Cut { link: key, empty: false }),
        }
        self.orphan(key, &link.lineage);
        let (from, to) = (self.role_name(link.asker.port), self.role_name(link.asked.port));
        self.tell(Event::Closed { link: key, from, to, why: why.clone() });
        for pool in &link.pools {
            self.return_pool_bytes(link.holder(pool.owner).port, pool.shape);
        }
        for side in Side::BOTH {
            let holder = link.holder(side);
            if let Some(port) = self.ports.get_mut(holder.port) {
                port.forget(holder.name);
            }
        }
        for &side in sides {
            let holder = link.holder(side);
            if self.ports.get(holder.port).is_some_and(|port| !port.is_condemned()) {
                self.say(holder.port, ToWorker::Closed { link: holder.name, why: why.clone() }, Vec::new());
            }
        }
    }

    /// Ends every link of one port and tells those at the other ends.
    pub(super) fn close_links_of(&mut self, port: Key, why: &Gone) {
        let Some(closed) = self.ports.get(port) else { return };
        let (ends, why) = (closed.ends(), &closed.epitaph(why));
        for end in ends {
            self.close_link(end.link, &[end.side.other()], why);
        }
    }

    /// Where taking a link back begins: with the link, or if that has ended, with whatever came of it.
    fn heirs(&self, link: Key) -> Vec<Key> {
        if self.links.get(link).is_some() {
            return vec![link];
        }
        let heirs = self.links.iter().filter(|(_, other)| other.lineage.ancestors.contains(&link));
        heirs.map(|(key, _)| key).collect()
    }

    /// Takes a link that ends out of the tree of grants.
    fn orphan(&mut self, key: Key, lineage: &Lineage) {
        for &child in &lineage.children {
            if let Some(child) = self.links.get_mut(child) {
                child.lineage.parent = lineage.parent;
            }
        }
        if let Some(parent) = lineage.parent.and_then(|parent| self.links.get_mut(parent)) {
            parent.lineage.children.retain(|&child| child != key);
            parent.lineage.children.extend(&lineage.children);
        }
        if let Some(port) = self.ports.get_mut(lineage.cause.port) {
            port.caused.forget(lineage.cause);
        }
    }
}
