//! The one path of a message through the broker.

use cloison_msg::{
    Credit, Denial, Descriptor, DescriptorClasses, Entry, Failure, Gone, Header, HeaderError, Key, Kind, Overdraft,
    Receipt, Route, Streams, Time, Verdict, decide, decode_whole,
};

use super::carrying::Stuck;
use super::link::{Link, Side};
use super::port::End;
use super::routes::handle_switch;
use super::{Body, Event, Forward, Output, Router, Violation};

/// A message as it came: everything behind its header, and what travels with it.
#[derive(Clone, Copy, Debug)]
pub struct Freight<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// The carried links, as they travel.
    pub links: &'a [u8],
}

/// What becomes of a message.
enum Fate {
    Forward(Forward),
    /// The sender of the other direction gets this credit instead.
    Credit(Receipt),
    /// It is not delivered, and its sender is not to blame beyond hearing so.
    Denied(Denial),
    /// It answers a call of a former holder, who waits no more, or says what was taken of what one had sent.
    Stale,
}

impl<D: Descriptor> Router<D> {
    /// A message came from the worker at `from`. If it is to be delivered, the receiver and the header as that receiver
    /// is to see it; the payload goes on as it is, and so do the descriptors, which stay in `descriptors` then.
    pub fn handle_message(
        &mut self,
        from: Key,
        header: &Header,
        freight: Freight<'_>,
        descriptors: &mut Vec<D>,
        now: Time,
    ) -> Option<Forward> {
        let Some(port) = self.ports.get_mut(from).filter(|port| !port.is_condemned()) else {
            descriptors.clear();
            return None;
        };
        if usize::from(header.descriptors) != descriptors.len() {
            let (announced, found) = (header.descriptors, descriptors.len());
            descriptors.clear();
            self.evict(from, Violation::Descriptors { announced, found });
            return None;
        }
        port.traffic.messages += 1;
        port.traffic.bytes += header.message_len() as u64;
        let forward = if header.kind == Kind::Control {
            self.handle_word_bytes(from, freight.payload, now);
            None
        } else {
            let classes = descriptors.iter().map(Descriptor::class).fold(DescriptorClasses::empty(), |a, b| a | b);
            self.relay(from, header, freight, classes, now)
        };
        if forward.is_none() {
            descriptors.clear();
        }
        forward
    }

    fn relay(
        &mut self,
        from: Key,
        header: &Header,
        freight: Freight<'_>,
        classes: DescriptorClasses,
        now: Time,
    ) -> Option<Forward> {
        let port = self.ports.get(from)?;
        let end = match port.meaning(header.destination) {
            _ if !port.is_open() => return self.violate(from, Violation::Hello),
            Entry::Open(end) => end,
            Entry::Closed => {
                self.close_moved(from, freight.links);
                return None;
            }
            Entry::Never => return self.violate(from, Violation::Forged(header.destination)),
        };
        let link = self.links.get_mut(end.link)?;
        match judge(link, end.side, header, freight.payload, classes, now) {
            Ok(Fate::Forward(forward)) if self.is_too_much(&forward) => {
                self.deny(from, end, header, Denial::Crowded);
                self.close_moved(from, freight.links);
                None
            }
            Ok(Fate::Forward(forward)) if header.links == 0 => Some(forward),
            Ok(Fate::Forward(forward)) => self.forward_with_links(from, end, header, freight.links, forward, now),
            Ok(Fate::Credit(receipt)) => {
                self.credit(end.link, end.side.other(), receipt);
                None
            }
            Ok(Fate::Denied(denial)) => {
                self.deny(from, end, header, denial);
                self.close_moved(from, freight.links);
                None
            }
            Ok(Fate::Stale) => {
                let refund = self.links.get_mut(end.link).and_then(|link| refund(link, end.side, header));
                if let Some(receipt) = refund {
                    self.credit(end.link, end.side, receipt);
                }
                self.close_moved(from, freight.links);
                None
            }
            Err(Violation::Overdraft(Overdraft::Answer | Overdraft::Calls)) if self.was_direct(end.link) => {
                self.close_moved(from, freight.links);
                let why = Gone::CutOff("calls and answers do not match".into());
                self.close_link(end.link, &Side::BOTH, &why);
                None
            }
            Err(violation) => self.violate(from, violation),
        }
    }

    /// Whether the holders of a link may have called each other unseen: a peer that did so while it should have left the
    /// socket makes the other one answer more than was counted, so nobody is evicted for that.
    fn was_direct(&self, link: Key) -> bool {
        self.links.get(link).is_some_and(|link| link.was_direct)
    }

    /// What carries links is forwarded with the receiver's names for them, or denied whole.
    fn forward_with_links(
        &mut self,
        from: Key,
        end: End,
        header: &Header,
        links: &[u8],
        forward: Forward,
        now: Time,
    ) -> Option<Forward> {
        match self.hand_on(from, forward.to, links, now) {
            Ok(links) => Some(Forward { links, ..forward }),
            Err(Stuck::Denied(denial)) => {
                self.deny(from, end, header, denial);
                self.close_moved(from, links);
                None
            }
            Err(Stuck::Violation(violation)) => self.violate(from, violation),
        }
    }

    /// Whether a message would pile up descriptors or links at a receiver that does not take what waits for it already.
    fn is_too_much(&self, forward: &Forward) -> bool {
        let costly = forward.header.descriptors > 0 || forward.header.links > 0;
        costly && self.is_crowded(forward.to)
    }

    pub(super) fn is_crowded(&self, port: Key) -> bool {
        self.ports.get(port).is_some_and(super::port::Port::is_crowded)
    }

    fn violate(&mut self, from: Key, violation: Violation) -> Option<Forward> {
        self.evict(from, violation);
        None
    }

    /// Answers for the receiver, who never sees the message, and gives its place in the window back.
    fn deny(&mut self, from: Key, end: End, header: &Header, denial: Denial) {
        let Some(link) = self.links.get_mut(end.link) else { return };
        let to = link.holder(end.side.other()).port;
        // The denial goes to whoever called: the sender itself, or for an answer the one that waits for it.
        let caller = if header.kind == Kind::Call { end.side } else { end.side.other() };
        let refund = refund(link, end.side, header);
        let (caller, name) = (link.holder(caller).port, link.holder(caller).name);
        if let Some(total) = refund {
            self.credit(end.link, end.side, total);
        }
        let is_silent = matches!(header.kind, Kind::Oneway | Kind::Release | Kind::Cancel | Kind::Probe | Kind::Item);
        if !is_silent {
            let streams = Streams::empty();
            let answer = Header { destination: name, kind: Kind::Error, remaining: 0, streams, ..*header };
            self.send(caller, answer, Body::Failure(Failure::Denied(denial)));
        }
        let role = |port: Key| self.ports.get(port).map(|port| port.role().clone());
        if let Some((from, to)) = role(from).zip(role(to)) {
            self.tell(Event::Denied { from, to, rpc: header.rpc, denial });
        }
    }

    /// Tells the holder on `side` how much of what it sent is out of the way.
    fn credit(&mut self, link: Key, side: Side, receipt: Receipt) {
        let Some(link) = self.links.get(link) else { return };
        let holder = link.holder(side);
        let (port, name) = (holder.port, holder.name);
        self.send_credit(port, name, receipt);
    }

    pub(super) fn send(&mut self, to: Key, header: Header, body: Body) {
        let header = Header { descriptors: 0, links: 0, ..header };
        self.outputs.push_back(Output::Send { to, header, body, descriptors: Vec::new() });
    }
}

/// Keeps the account of a message on its link, and asks whether its sender has a right to it.
fn judge(
    link: &mut Link,
    side: Side,
    header: &Header,
    payload: &[u8],
    classes: DescriptorClasses,
    now: Time,
) -> Result<Fate, Violation> {
    match header.kind {
        Kind::Credit => return credit(link, side, header, payload),
        Kind::Switch => {
            handle_switch(link, side)?;
            return Ok(Fate::Forward(onward(link, side, header)));
        }
        Kind::Demand => return demand(link, side, header),
        Kind::Reply
        | Kind::Error
        | Kind::Call
        | Kind::Oneway
        | Kind::Release
        | Kind::Cancel
        | Kind::Probe
        | Kind::Item
        | Kind::Control => {}
    }
    if link.way.runs_direct(side) && header.links == 0 {
        return Err(Violation::Route);
    }
    let is_stale = count(link, side, header)?;
    link.holder_mut(side).meter.send(Route::Relayed, header.kind, header.shape())?;
    if is_stale {
        return Ok(Fate::Stale);
    }
    if header.kind == Kind::Release && !link.has_lent[side.other().index()] {
        return Ok(Fate::Denied(Denial::Kind));
    }
    let sender = link.holder_mut(side);
    if let Verdict::Deny(denial) = decide(&sender.rights, &sender.used, header, classes, now) {
        return Ok(Fate::Denied(denial));
    }
    sender.used.note(&sender.rights, header);
    allow_demands(link, side, header);
    Ok(Fate::Forward(onward(link, side, header)))
}

/// The reader of a stream says what it has taken. Only the two ends know what of which stream; but nobody says more than there
/// can be to say.
fn demand(link: &mut Link, side: Side, header: &Header) -> Result<Fate, Violation> {
    if link.way.runs_direct(side) {
        return Err(Violation::Route);
    }
    let reader = link.holder_mut(side);
    reader.demands = reader.demands.checked_sub(1).ok_or(Overdraft::Credit)?;
    Ok(Fate::Forward(onward(link, side, header)))
}

/// Each item may be followed by a demand, and each stream refused.
fn allow_demands(link: &mut Link, side: Side, header: &Header) {
    let readers: &[Side] = match header.kind {
        Kind::Item => &[side.other()],
        Kind::Call if !header.streams.is_empty() => &Side::BOTH,
        _ => return,
    };
    for &reader in readers {
        let reader = link.holder_mut(reader);
        reader.demands = reader.demands.saturating_add(1);
    }
}

/// Keeps the account of calls: each is answered at most once. Whether this answers a call of a former holder.
fn count(link: &mut Link, side: Side, header: &Header) -> Result<bool, Violation> {
    match header.kind {
        Kind::Call => {
            // What makes an excursion from a direct route is answered by that route, unseen; and so may a call be whose peer
            // has not left that route yet.
            let is_seen = link.way.answers_are_seen(side);
            let caller = link.holder_mut(side);
            if !header.call.follows(caller.last_call, caller.moves) {
                return Err(Violation::Call);
            }
            if is_seen {
                caller.meter.open()?;
            }
            caller.last_call = header.call;
        }
        Kind::Reply | Kind::Error => {
            let is_seen = !link.way.runs_direct(side);
            let caller = link.holder_mut(side.other());
            if header.call.holder() < u64::from(caller.moves) {
                return Ok(true);
            }
            if is_seen && caller.meter.answer().is_err() {
                caller.unseen_calls = caller.unseen_calls.checked_sub(1).ok_or(Overdraft::Answer)?;
            }
        }
        _ => {}
    }
    Ok(false)
}

/// A receiver says what it has taken. It counts only what it saw, so what it never saw is added on the way.
fn credit(link: &mut Link, side: Side, header: &Header, payload: &[u8]) -> Result<Fate, Violation> {
    if header.descriptors > 0 {
        return Err(HeaderError::Stowaway(header.kind).into());
    }
    let receipt: Receipt = decode_whole(payload).map_err(|_| Violation::Word)?;
    if receipt.route == Route::Direct {
        // Only the peer can check it. A few come when a link has become relayed; one that crosses a move is for nobody.
        let holder = link.holder_mut(side);
        holder.foreign_receipts = holder.foreign_receipts.checked_sub(1).ok_or(Overdraft::Credit)?;
        let is_stale = holder.receipts_are_stale;
        return Ok(if is_stale { Fate::Stale } else { Fate::Forward(onward(link, side, header)) });
    }
    let sender = link.holder_mut(side.other());
    let receipt = Receipt { taken: receipt.taken.plus(sender.denied), ..receipt };
    sender.meter.credit(receipt)?;
    let unseen = sender.denied != Credit::default();
    Ok(if unseen { Fate::Credit(receipt) } else { Fate::Forward(onward(link, side, header)) })
}

fn onward(link: &Link, side: Side, header: &Header) -> Forward {
    let receiver = link.holder(side.other());
    Forward { to: receiver.port, header: Header { destination: receiver.name, ..*header }, links: Vec::new() }
}

/// What a denied message's sender gets back at once: its place in the window, and for a call the call.
fn refund(link: &mut Link, side: Side, header: &Header) -> Option<Receipt> {
    let is_seen = link.way.answers_are_seen(side);
    let sender = link.holder_mut(side);
    if header.kind == Kind::Call && is_seen {
        // It was counted a moment ago, so the account cannot be overdrawn.
        let _ = sender.meter.answer();
    }
    let message = Credit::of(header.kind, header.shape());
    if message == Credit::default() {
        return None;
    }
    let receipt = Receipt { route: Route::Relayed, taken: sender.meter.account(Route::Relayed).taken.plus(message) };
    sender.denied = sender.denied.plus(message);
    let _ = sender.meter.credit(receipt);
    Some(receipt)
}
