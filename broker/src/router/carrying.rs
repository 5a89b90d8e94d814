//! Links that travel in messages: the capability to communicate moves from one process to another.
//!
//! A copy is a new link from the receiver to the same peer, derived from the giver's, with at most the rights that the giver
//! chose and has; of the peer's rights it has what is not counted. A move leaves the link as it is and changes one holder: the accounts go on, calls that are unanswered end.

use cloison_msg::control::ToWorker;
use cloison_msg::{
    Balance, CallId, Denial, Descriptor, Destination, Entry, Gone, Key, LinkRef, Receipt, Rights, RightsFlags, Route,
    Time, Transfer,
};

use super::lineage::{Cause, Giver, Lineage, Origin};
use super::link::{
    COPIES_DEEP, COPIES_PER_WORKER, DESCRIPTOR_LINKS_PER_WORKER, GIVEN_PER_WORKER, Holder, Link, Side, pass_descriptors,
};
use super::port::End;
use super::routes::Way;
use super::{Body, Event, Router, Violation};
use crate::policy::Grant;

/// What one carried link will become at its receiver.
pub(super) enum Passing {
    /// A link of its own.
    Copy(End, Rights),
    /// This one.
    Move(End, Rights),
    /// This one, of which the giver had both ends.
    Offer(End, Grant),
    /// Nothing: it was closed while the message was on its way, which is an honest race.
    Dead,
}

/// Why a message's links cannot be handed on.
pub(super) enum Stuck {
    /// Its sender hears so.
    Denied(Denial),
    /// Its sender is evicted.
    Violation(Violation),
}

impl<D: Descriptor> Router<D> {
    /// Hands the links that a message carries to the holder at `to`: their names there. All of them, or none.
    pub(super) fn hand_on(&mut self, from: Key, to: Key, links: &[u8], now: Time) -> Result<Vec<Destination>, Stuck> {
        let links = LinkRef::decode_all(links).map_err(|_| Stuck::Violation(Violation::Links))?;
        let passing = self.examine(from, to, links)?;
        Ok(passing.into_iter().map(|one| self.pass(from, to, one, now)).collect())
    }

    fn examine(&self, from: Key, to: Key, links: Vec<LinkRef>) -> Result<Vec<Passing>, Stuck> {
        let giver = self.ports.get(from).ok_or(Stuck::Denied(Denial::Delegation))?;
        let mut passing = Vec::with_capacity(links.len());
        let mut moved = Vec::new();
        let mut copies = 0;
        for LinkRef { link: name, transfer, rights } in links {
            let end = match giver.meaning(name) {
                Entry::Open(end) => end,
                Entry::Closed => {
                    passing.push(Passing::Dead);
                    continue;
                }
                Entry::Never => return Err(Stuck::Violation(Violation::Forged(name))),
            };
            if moved.contains(&name) {
                return Err(Stuck::Denied(Denial::Delegation));
            }
            let link = self.links.get(end.link).ok_or(Stuck::Denied(Denial::Delegation))?;
            may_delegate(link, end.side, to).map_err(Stuck::Denied)?;
            // It hears of every copy and of every move, and has no window for such words.
            if self.is_crowded(link.holder(end.side.other()).port) {
                return Err(Stuck::Denied(Denial::Crowded));
            }
            if link.is_unclaimed() {
                passing.push(Passing::Offer(end, self.price(end, link, to, transfer, &rights).map_err(Stuck::Denied)?));
                moved.push(name);
                continue;
            }
            let rights = link.holder(end.side).rights.attenuate(&rights);
            passing.push(match transfer {
                Transfer::Copy if link.lineage.ancestors.len() >= COPIES_DEEP => {
                    return Err(Stuck::Denied(Denial::Links));
                }
                Transfer::Copy => {
                    copies += 1;
                    Passing::Copy(end, rights)
                }
                Transfer::Move => {
                    may_move(link).map_err(Stuck::Denied)?;
                    moved.push(name);
                    Passing::Move(end, rights)
                }
            });
        }
        self.has_room(from, to, &passing, copies).map_err(Stuck::Denied)?;
        Ok(passing)
    }

    /// Whether everybody concerned may have that many more links.
    fn has_room(&self, from: Key, to: Key, passing: &[Passing], copies: usize) -> Result<(), Denial> {
        let full = |port: Key, more: usize| !self.may_have(port, more, from);
        let giver = self.ports.get(from).ok_or(Denial::Links)?;
        let moves = passing.iter().filter(|one| matches!(one, Passing::Move(..) | Passing::Offer(..))).count();
        let too_many = !giver.is_host()
            && (giver.caused.copies + copies > COPIES_PER_WORKER || giver.given.len() + moves > GIVEN_PER_WORKER);
        if full(to, passing.len()) || too_many {
            return Err(Denial::Links);
        }
        let copied = passing.iter().filter_map(|one| if let Passing::Copy(end, _) = one { Some(end) } else { None });
        let mut with_descriptors = 0;
        for end in copied {
            let Some(link) = self.links.get(end.link) else { continue };
            with_descriptors += usize::from(link.passes_descriptors());
            if full(link.holder(end.side.other()).port, copies) {
                return Err(Denial::Links);
            }
        }
        self.has_room_for_offers(giver, to, passing)?;
        let there_are = giver.caused.copies_with_descriptors;
        if with_descriptors > 0 && !giver.is_host() && there_are + with_descriptors > DESCRIPTOR_LINKS_PER_WORKER {
            return Err(Denial::Links);
        }
        Ok(())
    }

    fn pass(&mut self, from: Key, to: Key, passing: Passing, now: Time) -> Destination {
        match passing {
            Passing::Copy(end, rights) => self.copy(from, to, end, rights, now),
            Passing::Move(end, rights) => self.move_end(to, end, rights, now),
            Passing::Offer(end, grant) => {
                self.claim(to, end, &grant);
                self.move_end(to, end, grant.rights, now)
            }
            Passing::Dead => {
                let nothing = End { link: Key { index: 0, generation: 0 }, side: Side::Asker };
                self.ports.get_mut(to).map_or(Destination::BROKER, |port| port.dead_name(nothing))
            }
        }
    }

    fn copy(&mut self, from: Key, to: Key, end: End, rights: Rights, now: Time) -> Destination {
        let giver = Giver { port: from, role: self.role_name(from) };
        let Some(parent) = self.links.get_mut(end.link) else { return Destination::BROKER };
        let rights = parent.holder_mut(end.side).split(rights);
        let peer = parent.holder(end.side.other());
        let (ours, theirs) = (Holder::new(to, rights), Holder::new(peer.port, peer.rights.uncounted()));
        let (asker, asked) = match end.side {
            Side::Asker => (ours, theirs),
            Side::Asked => (theirs, ours),
        };
        let with_descriptors = pass_descriptors(&asker.rights, &asked.rights);
        let cause = Cause { origin: Origin::Copied, port: from, peer: peer.port, with_descriptors };
        let lineage = Lineage {
            ask: parent.lineage.ask.clone(),
            request: None,
            parent: Some(end.link),
            ancestors: parent.lineage.ancestors.iter().copied().chain([end.link]).collect(),
            children: Vec::new(),
            giver: Some(giver),
            cause,
        };
        let key = self.links.insert(Link::new(asker, asked, lineage));
        if let Some(parent) = self.links.get_mut(end.link) {
            parent.lineage.children.push(key);
        }
        if let Some(giver) = self.ports.get_mut(from) {
            giver.caused.note(cause);
        }
        self.name_ends(key);
        self.introduce(key);
        let name = self.links.get(key).map_or(Destination::BROKER, |link| link.holder(end.side).name);
        let peer = self.links.get(key).map_or(to, |link| link.holder(end.side.other()).port);
        let (by, to, peer) = (self.role_name(from), self.role_name(to), self.role_name(peer));
        self.tell(Event::Copied { link: key, by, to, peer });
        self.steer(key, now);
        name
    }

    /// Gives one end of a link that is at rest to another holder.
    fn move_end(&mut self, to: Key, end: End, rights: Rights, now: Time) -> Destination {
        let Some(new) = self.ports.get_mut(to) else { return Destination::BROKER };
        let name = new.name(end);
        let Some(link) = self.links.get_mut(end.link) else { return name };
        link.wish.rest[end.side.index()] = false;
        let peer = link.holder_mut(end.side.other());
        let own = peer.last_call.max(peer.last_said);
        let refund = refund_all(peer);
        let received = peer.meter.account(Route::Relayed).sent.minus(peer.denied);
        peer.meter.set_calls(0);
        peer.receipts_are_stale = true;
        let peer_moves = peer.moves;
        let holder = link.holder_mut(end.side);
        let (old_port, old_name) = (holder.port, holder.name);
        holder.hand_over(to, name, rights);
        let sent = holder.meter.account(Route::Relayed);
        let balance = Balance { sent, received, moves: holder.moves, peer_moves };
        self.leave_behind(old_port, old_name, end.link);
        self.announce_move(end, own, refund, balance, old_port);
        self.steer(end.link, now);
        name
    }

    fn announce_move(&mut self, end: End, own: CallId, refund: Option<Receipt>, balance: Balance, old: Key) {
        let Some(link) = self.links.get(end.link) else { return };
        let (new, peer) = (link.holder(end.side).port, link.holder(end.side.other()).port);
        let peer_name = link.holder(end.side.other()).name;
        let granted = self.granted(link, end.side, balance);
        let [rights, peer_rights] = [end.side.other(), end.side].map(|side| link.holder(side).rights.clone());
        let attenuated = ToWorker::Attenuated { link: peer_name, rights, peer_rights };
        if let Some(receipt) = refund {
            self.send_credit(peer, peer_name, receipt);
        }
        self.say(peer, ToWorker::Moved { link: peer_name, peer: self.role_name(new), own }, Vec::new());
        // On a direct link it is the peer that asks whether the new holder may.
        self.say(peer, attenuated, Vec::new());
        self.say(new, granted, Vec::new());
        let (by, to, peer) = (self.role_name(old), self.role_name(new), self.role_name(peer));
        self.tell(Event::Moved { link: end.link, by, to, peer });
    }

    /// A holder has given its end away. What had reached it before it may still deliver, until it confirms that it has; so
    /// it is remembered, to be told if the link is revoked.
    fn leave_behind(&mut self, port: Key, name: Destination, link: Key) {
        let Some(old) = self.ports.get_mut(port) else { return };
        old.forget(name);
        let is_host = old.is_host();
        if !is_host {
            old.given.insert(name, link);
        }
        if let Some(link) = self.links.get_mut(link) {
            link.former.push((port, name));
        }
        if !is_host {
            self.say(port, ToWorker::Closed { link: name, why: Gone::Moved }, Vec::new());
        }
    }

    /// A former holder has delivered all that had come to it.
    pub(super) fn forget_former(&mut self, port: Key, name: Destination) {
        let given = self.ports.get_mut(port).and_then(|port| port.given.remove(&name));
        if let Some(link) = given.and_then(|link| self.links.get_mut(link)) {
            link.former.retain(|&former| former != (port, name));
        }
    }

    /// A message that was to move links was denied: the links end, so that its sender need not wonder.
    pub(super) fn close_moved(&mut self, from: Key, links: &[u8]) {
        let moved = LinkRef::decode_all(links).unwrap_or_default().into_iter();
        for link in moved.filter(|link| link.transfer == Transfer::Move) {
            if let Some(Entry::Open(end)) = self.ports.get(from).map(|port| port.meaning(link.link)) {
                self.close_link(end.link, &Side::BOTH, &Gone::Closed);
            }
        }
    }

    pub(super) fn send_credit(&mut self, to: Key, name: Destination, receipt: Receipt) {
        let header = cloison_msg::Header { destination: name, kind: cloison_msg::Kind::Credit, ..Default::default() };
        self.send(to, header, Body::Credit(receipt));
    }
}

impl Holder {
    /// What a copy gets of these rights, of which it is to have no more than `wanted`. Uses that are counted go from the
    /// giver's to the copy's, and a method that may be used once stays with the giver: together they have no more than
    /// before.
    fn split(&mut self, wanted: Rights) -> Rights {
        let uses = self.rights.uses.map(|most| {
            let left = most.saturating_sub(self.used.messages);
            let given = wanted.uses.unwrap_or(left).min(left);
            self.used.messages = self.used.messages.saturating_add(given);
            given
        });
        let methods = wanted.methods.minus(self.rights.once);
        Rights { methods, once: wanted.once.and(methods), uses: uses.or(wanted.uses), ..wanted }
    }

    /// Another holder takes this end over. What the former one has used stays used.
    fn hand_over(&mut self, port: Key, name: Destination, rights: Rights) {
        self.port = port;
        self.name = name;
        self.rights = rights;
        self.meter.set_calls(0);
        self.moves = self.moves.saturating_add(1);
        self.last_call = CallId::first_of(self.moves);
        self.last_said = CallId::NONE;
        self.unseen_calls = 0;
        self.foreign_receipts = 0;
        self.receipts_are_stale = false;
    }
}

fn may_delegate(link: &Link, side: Side, to: Key) -> Result<(), Denial> {
    let is_own = link.holder(side.other()).port == to;
    let may = link.holder(side).rights.flags.contains(RightsFlags::DELEGATE);
    if may && !is_own { Ok(()) } else { Err(Denial::Delegation) }
}

/// Only what is at rest moves: relayed in both directions, and without pools, whose memory only its old holders have.
fn may_move(link: &Link) -> Result<(), Denial> {
    let holders_left = Side::BOTH.iter().all(|&side| link.holder(side).moves < u16::MAX);
    let may = link.way == Way::Relayed && link.pools.is_empty() && holders_left;
    if may { Ok(()) } else { Err(Denial::Moving) }
}

/// All that an end's peer has sent to the end's former holder counts as taken: whoever gets it will take the rest.
fn refund_all(peer: &mut Holder) -> Option<Receipt> {
    let account = peer.meter.account(Route::Relayed);
    let receipt = Receipt { route: Route::Relayed, taken: account.sent };
    (account.sent != account.taken && peer.meter.credit(receipt).is_ok()).then_some(receipt)
}

#[cfg(test)]
mod tests {
    use cloison_msg::{Header, Kind, RpcSet};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However often a holder copies its end and uses it in between, all together have what it had at first.
        #[test]
        fn copies_share_the_uses_that_were_left(
            most in 0u32..50,
            steps in prop::collection::vec((any::<bool>(), any::<Option<u8>>()), 0..20),
        ) {
            let rights = Rights::methods(RpcSet::ALL).for_uses(most);
            let mut giver = Holder::new(Key { index: 0, generation: 1 }, rights.clone());
            let mut gone = 0;
            for (copies, wanted) in steps {
                let left = most - giver.used.messages;
                if copies {
                    let wanted = Rights { uses: wanted.map(u32::from), ..rights.clone() };
                    let copy = giver.split(rights.attenuate(&wanted));
                    let uses = copy.uses.expect("counted as its giver's are");
                    prop_assert!(uses <= left && copy.is_within(&rights));
                    gone += uses;
                } else if left > 0 {
                    giver.used.note(&giver.rights, &Header { kind: Kind::Oneway, ..Header::default() });
                    gone += 1;
                }
                prop_assert_eq!(giver.used.messages, gone);
                prop_assert!(gone <= most);
            }
        }
    }
}
