//! The one path of a message through the broker.

use cloison_msg::{
    Credit, Denial, Descriptor, DescriptorClasses, Entry, Failure, Header, HeaderError, Key, Kind, Route, Time,
    Verdict, decide, decode_whole,
};

use super::link::{Link, Side};
use super::port::End;
use super::{Body, Event, Forward, Output, Router, Violation};

/// What becomes of a message.
enum Fate {
    Forward(Forward),
    /// The sender of the other direction gets this credit instead.
    Credit(Credit),
    /// It is not delivered, and its sender is not to blame beyond hearing so.
    Denied(Denial),
}

impl<D: Descriptor> Router<D> {
    /// A message came from the worker at `from`. If it is to be delivered, the receiver and the header as that receiver
    /// is to see it; the payload goes on as it is, and so do the descriptors, which stay in `descriptors` then.
    pub fn handle_message(
        &mut self,
        from: Key,
        header: &Header,
        payload: &[u8],
        descriptors: &mut Vec<D>,
        now: Time,
    ) -> Option<Forward> {
        let port = self.ports.get_mut(from).filter(|port| !port.is_condemned())?;
        if usize::from(header.descriptors) != descriptors.len() {
            let (announced, found) = (header.descriptors, descriptors.len());
            descriptors.clear();
            self.evict(from, Violation::Descriptors { announced, found });
            return None;
        }
        port.traffic.messages += 1;
        port.traffic.bytes += header.message_len() as u64;
        let forward = if header.kind == Kind::Control {
            self.handle_word_bytes(from, payload);
            None
        } else {
            let classes = descriptors.iter().map(Descriptor::class).fold(DescriptorClasses::empty(), |a, b| a | b);
            self.relay(from, header, payload, classes, now)
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
        payload: &[u8],
        classes: DescriptorClasses,
        now: Time,
    ) -> Option<Forward> {
        let port = self.ports.get(from)?;
        let end = match port.meaning(header.destination) {
            _ if !port.is_open() => return self.violate(from, Violation::Hello),
            Entry::Open(end) => end,
            Entry::Closed => return None,
            Entry::Never => return self.violate(from, Violation::Forged(header.destination)),
        };
        let link = self.links.get_mut(end.link)?;
        match judge(link, end.side, header, payload, classes, now) {
            Ok(Fate::Forward(forward)) => Some(forward),
            Ok(Fate::Credit(total)) => {
                self.credit(end.link, end.side.other(), total);
                None
            }
            Ok(Fate::Denied(denial)) => {
                self.deny(from, end, header, denial);
                None
            }
            Err(violation) => self.violate(from, violation),
        }
    }

    /// A message that was to be forwarded is not: too many descriptors wait for its receiver already. Its sender hears so.
    pub fn handle_undelivered(&mut self, from: Key, header: &Header) {
        if let Some(Entry::Open(end)) = self.ports.get(from).map(|port| port.meaning(header.destination)) {
            self.deny(from, end, header, Denial::Crowded);
        }
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
        if header.kind != Kind::Oneway && header.kind != Kind::Release {
            let answer = Header { destination: name, kind: Kind::Error, remaining: 0, ..*header };
            self.send(caller, answer, Body::Failure(Failure::Denied(denial)));
        }
        let role = |port: Key| self.ports.get(port).map(|port| port.role().clone());
        if let Some((from, to)) = role(from).zip(role(to)) {
            self.tell(Event::Denied { from, to, rpc: header.rpc, denial });
        }
    }

    /// Tells the holder on `side` how much of what it sent is out of the way.
    fn credit(&mut self, link: Key, side: Side, total: Credit) {
        let Some(link) = self.links.get(link) else { return };
        let holder = link.holder(side);
        let header = Header { destination: holder.name, kind: Kind::Credit, ..Header::default() };
        self.send(holder.port, header, Body::Credit(total));
    }

    fn send(&mut self, to: Key, header: Header, body: Body) {
        let header = Header { descriptors: 0, ..header };
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
    if link.opened.route == Route::Direct {
        return Err(Violation::Route);
    }
    if header.kind == Kind::Credit && header.descriptors > 0 {
        return Err(HeaderError::Stowaway(header.kind).into());
    }
    match header.kind {
        Kind::Credit => return credit(link, side, header, payload),
        Kind::Reply | Kind::Error => link.holder_mut(side.other()).meter.answer()?,
        Kind::Call | Kind::Oneway | Kind::Release | Kind::Control => {}
    }
    link.holder_mut(side).meter.send(header.kind, header.shape())?;
    let sender = link.holder_mut(side);
    if let Verdict::Deny(denial) = decide(&sender.rights, &sender.used, header, classes, now) {
        return Ok(Fate::Denied(denial));
    }
    sender.used.note(&sender.rights, header);
    Ok(Fate::Forward(onward(link, side, header)))
}

/// A receiver says what it has taken. It counts only what it saw, so what it never saw is added on the way.
fn credit(link: &mut Link, side: Side, header: &Header, payload: &[u8]) -> Result<Fate, Violation> {
    let taken: Credit = decode_whole(payload).map_err(|_| Violation::Word)?;
    let sender = link.holder_mut(side.other());
    let total = taken.plus(sender.denied);
    sender.meter.credit(total)?;
    let unseen = sender.denied != Credit::default();
    Ok(if unseen { Fate::Credit(total) } else { Fate::Forward(onward(link, side, header)) })
}

fn onward(link: &Link, side: Side, header: &Header) -> Forward {
    let receiver = link.holder(side.other());
    Forward { to: receiver.port, header: Header { destination: receiver.name, ..*header } }
}

/// What a denied message's sender gets back at once: its place in the window, and for a call the call.
fn refund(link: &mut Link, side: Side, header: &Header) -> Option<Credit> {
    let sender = link.holder_mut(side);
    let message = Credit::of(header.kind, header.shape());
    if message == Credit::default() {
        return None;
    }
    let total = sender.meter.taken().plus(message);
    sender.denied = sender.denied.plus(message);
    // Both belong to the message that was counted a moment ago, so neither can be overdrawn.
    let _ = sender.meter.credit(total);
    if header.kind == Kind::Call {
        let _ = sender.meter.answer();
    }
    Some(total)
}
