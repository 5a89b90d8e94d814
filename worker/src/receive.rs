//! What arrives: from packets to requests, outcomes and words.

use std::rc::Rc;

use cloison_ipc::{Passed, RecvError};
use cloison_msg::control::ToBroker;
use cloison_msg::{
    Arrival, CallFailure, Caller, Denial, Descriptor, DescriptorClasses, Destination, Failure, Gone, Header, Kind,
    LinkRef, Messages, Name, Pending, Probe, Route, Streams, Text, Use, Verdict, Via, decide,
};

use crate::buffers::Place;
use crate::clock::NEVER;
use crate::error::Disconnect;
use crate::session::{Answered, End, Outcome, Queued, Session};
use crate::wire::{OUTBOX_MAX, Patience, Wire};

/// What looking for a packet has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Packet,
    Nothing,
    /// Nothing more will come from there.
    End,
}

/// How to look for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A poll has just said that there is one.
    Ready,
    /// There may be one.
    Try,
    /// There may be one, or one may come soon.
    Brief,
}

/// A message that is being taken in.
struct Arriving<'a> {
    route: Route,
    header: Header,
    place: Place<'a>,
    passed: &'a mut Vec<Passed>,
    classes: DescriptorClasses,
    /// The links that it carries, by this worker's names.
    links: Vec<Destination>,
}

impl Session {
    /// Receives one packet from the socket of the link named `from`, or from the control socket, and takes it in. A link's
    /// own socket that is not to be read yet has nothing.
    pub(crate) fn receive(&mut self, from: Destination, look: Look) -> Received {
        let mut packet = self.buffers.packet();
        let mut passed = std::mem::take(&mut self.passed);
        let patience = if look == Look::Brief { Patience::Brief } else { Patience::None };
        let received = match self.readable(from) {
            Some(wire) => wire.recv(&mut packet, &mut passed, patience),
            None => Err(RecvError::WouldBlock),
        };
        if look != Look::Ready {
            self.tick();
        }
        let result = match received {
            Ok(len) => {
                self.arrived = self.arrived.wrapping_add(1);
                self.take_packet(from, &mut packet, len, &mut passed);
                Received::Packet
            }
            Err(RecvError::WouldBlock) => Received::Nothing,
            Err(RecvError::Closed) => {
                match from {
                    Destination::BROKER => self.end(Disconnect::Ended),
                    link => self.end_socket(link),
                }
                Received::End
            }
            Err(error) => {
                self.breach(from, &error.to_string());
                Received::End
            }
        };
        passed.clear();
        self.passed = passed;
        self.buffers.return_packet(packet);
        result
    }

    fn readable(&mut self, name: Destination) -> Option<&mut Wire> {
        match name {
            Destination::BROKER => Some(&mut self.control),
            link => self.ends.get_mut(link).filter(|end| end.reads())?.wire.as_mut(),
        }
    }

    fn take_packet(&mut self, from: Destination, packet: &mut Vec<u8>, len: usize, passed: &mut Vec<Passed>) {
        match Header::decode(&packet[..len]) {
            Ok(header) if header.message_len() == len => {
                self.take_message(from, header, Place::Whole(packet), passed);
            }
            // A message with descriptors travels alone.
            _ if !passed.is_empty() => self.breach(from, "descriptors with more than one message"),
            _ => {
                for message in Messages::new(&packet[..len]) {
                    match message {
                        Ok((start, header)) => {
                            self.take_message(from, header, Place::Part(&packet[start..]), passed);
                        }
                        Err(error) => return self.breach(from, &error.to_string()),
                    }
                }
            }
        }
    }

    fn take_message(&mut self, from: Destination, header: Header, place: Place<'_>, passed: &mut Vec<Passed>) {
        if usize::from(header.descriptors) != passed.len() {
            return self.breach(from, "not as many descriptors as announced");
        }
        if from != Destination::BROKER {
            return self.take_direct(Header { destination: from, ..header }, place, passed);
        }
        if header.kind == Kind::Control {
            return self.take_word(place.payload(&header), std::mem::take(passed));
        }
        let mut links = Vec::new();
        if header.links > 0 {
            match LinkRef::decode_all(place.links(&header)) {
                Ok(carried) => links.extend(carried.iter().map(|carried| carried.link)),
                Err(error) => return self.breach(from, &error.to_string()),
            }
        }
        if self.ends.get(header.destination).is_some_and(|end| end.link.may_outrun()) {
            self.drain(header.destination);
        }
        self.take_arriving(Arriving { route: Route::Relayed, header, place, classes: classes(passed), passed, links });
    }

    /// Who sent it is known from the socket it came by; what the sender calls the link is the sender's affair.
    fn take_direct(&mut self, header: Header, place: Place<'_>, passed: &mut Vec<Passed>) {
        if header.links > 0 {
            return self.accuse(header.destination, "a link that only the broker can hand on");
        }
        // The socket is not read beyond a switch; but a packet holds several messages.
        if !self.ends.get(header.destination).is_some_and(End::reads) {
            return self.accuse(header.destination, "a message behind the switch to the other route");
        }
        let classes = classes(passed);
        self.take_arriving(Arriving { route: Route::Direct, header, place, classes, passed, links: Vec::new() });
    }

    fn take_arriving(&mut self, arriving: Arriving<'_>) {
        let (header, now) = (arriving.header, self.time);
        let name = header.destination;
        let Some(end) = self.ends.get_mut(name) else { return self.take_belated(arriving) };
        let via = end.link.via(arriving.route);
        match end.link.handle(via.route, &header, arriving.place.payload(&header), arriving.classes, now) {
            Ok(Arrival::Request) => {
                let peer = Rc::clone(&end.peer);
                return self.enqueue(arriving, Some(via), peer);
            }
            Ok(Arrival::Outcome(pending)) => return self.conclude(arriving, via, &pending),
            Ok(Arrival::Item) => return self.take_item(via, &header, arriving.place),
            Ok(Arrival::Denied(denial)) => self.deny(via, &header, denial),
            Ok(Arrival::Late) => {
                self.late += 1;
                self.note_taken(via, &header);
            }
            Ok(Arrival::Stray) => self.note_taken(via, &header),
            Ok(Arrival::Cancel) => {
                self.note_taken(via, &header);
                self.cancel_call(name, header.call);
            }
            Ok(Arrival::Probe) => {
                self.note_taken(via, &header);
                match Probe::read(arriving.place.payload(&header)) {
                    Some(probe) => self.take_probe(name, header.call, probe),
                    None => self.accuse(name, "a probe that cannot be read"),
                }
            }
            Ok(Arrival::Release) => self.take_release(via, &header, arriving.place.payload(&header)),
            Ok(Arrival::Credit) => self.send_returns(name),
            Ok(Arrival::Demand) => {}
            Ok(Arrival::Switched) => self.note_switched(name),
            // On a link that was ever direct a peer can make the broker's account differ from this one.
            Err(breach) => self.accuse(name, &breach.to_string()),
        }
        self.close_all(arriving.links);
    }

    /// A message for a link that is gone. What was on its way when the link was given away is still to be served; its
    /// window bounds it.
    fn take_belated(&mut self, arriving: Arriving<'_>) {
        let Header { kind, destination: name, .. } = arriving.header;
        match self.departed.peer(name) {
            Some(peer) if matches!(kind, Kind::Call | Kind::Oneway) && self.departed.was_moved(name) => {
                let peer = Rc::clone(peer);
                self.enqueue(arriving, None, peer);
            }
            _ => self.close_all(arriving.links),
        }
    }

    fn enqueue(&mut self, arriving: Arriving<'_>, via: Option<Via>, peer: Rc<Name>) {
        let Arriving { header, place, passed, links, .. } = arriving;
        let deadline = if header.kind == Kind::Call { self.time.after(header.time_left()) } else { NEVER };
        if via.is_some() && header.streams.contains(Streams::FEED) {
            self.open_inflow(header.destination, header.call, Caller::Peer);
        }
        let (payload, passed) = (self.buffers.keep(&header, place), std::mem::take(passed));
        self.push_request(Queued { header, via, peer, payload, passed, links, since: self.time, deadline });
    }

    /// The outcome of a call: from here on it waits for whoever made the call.
    fn conclude(&mut self, arriving: Arriving<'_>, via: Via, pending: &Pending<usize>) {
        let denial = self.judge_answer(&arriving);
        let Arriving { header, place, passed, links, .. } = arriving;
        let outcome = match denial {
            Some(denial) => Outcome::Failed(CallFailure::Failed(Failure::Denied(denial))),
            None => {
                let payload = self.buffers.keep(&header, place);
                Outcome::Answered(Answered { header, payload, passed: std::mem::take(passed), links })
            }
        };
        self.trace_taken(&header);
        self.settle(pending.context, outcome);
        self.note_taken(via, &header);
    }

    /// On a direct route nobody has asked yet whether the answer may carry what it carries.
    fn judge_answer(&self, arriving: &Arriving<'_>) -> Option<Denial> {
        if arriving.route == Route::Relayed {
            return None;
        }
        let end = self.ends.get(arriving.header.destination)?;
        match decide(end.link.peer_rights(), &Use::default(), &arriving.header, arriving.classes, self.time) {
            Verdict::Allow => None,
            Verdict::Deny(denial) => Some(denial),
        }
    }

    /// A request that came over a direct link without right: what the broker would do on a relayed one.
    fn deny(&mut self, via: Via, header: &Header, denial: Denial) {
        self.note_taken(via, header);
        if header.kind == Kind::Call {
            self.answer_failure(header, &Failure::Denied(denial));
        }
    }

    /// Answers a call with a failure.
    pub(crate) fn answer_failure(&mut self, call: &Header, failure: &Failure) {
        let message = self.message_of(failure);
        // It carries nothing, so there is always room for it, unless nobody waits for it any more.
        let end = self.ends.get_mut(call.destination);
        match end.and_then(|end| end.link.answer(call, true, message.shape()).ok()) {
            Some(header) => {
                self.trace_sent(&header);
                self.post_own(&header, message);
                self.check_outbox(call.destination);
            }
            None => self.return_message(message),
        }
    }

    /// Notes that a request or a returned buffer that came by `via` was taken out of its link's window, and says so when
    /// that is due.
    pub(crate) fn note_taken(&mut self, via: Via, header: &Header) {
        if let Some(end) = self.ends.get_mut(header.destination) {
            end.link.taken(via, header);
            self.send_due(header.destination);
        }
    }

    /// Says what was taken, as far as that is due.
    pub(crate) fn send_due(&mut self, name: Destination) {
        let mut has_said = false;
        while let Some(receipt) = self.ends.get_mut(name).and_then(|end| end.link.due()) {
            let message = self.message_of(&receipt);
            let Some(end) = self.ends.get_mut(name) else { return };
            let (credit, route) = end.link.credit(receipt, message.shape());
            self.post_own_by(route, &credit, message);
            has_said = true;
        }
        if has_said {
            self.check_outbox(name);
        }
    }

    /// A peer that sends and never takes what it is owed must not make this worker keep it for ever.
    pub(crate) fn check_outbox(&mut self, name: Destination) {
        if self.ends.get(name).is_some_and(|end| end.waiting() > OUTBOX_MAX) {
            self.breach(name, "it does not take the answers to its own messages");
        }
    }

    /// Whoever is at the other end of a socket broke the protocol.
    pub(crate) fn breach(&mut self, from: Destination, what: &str) {
        if from == Destination::BROKER {
            // The broker checks what it relays, so whatever this is, it is not our broker.
            return self.end(Disconnect::Broken(Text::new(what)));
        }
        self.accuse(from, what);
    }

    /// Tells the broker that a peer broke the protocol, and closes the link's end.
    pub(crate) fn accuse(&mut self, link: Destination, what: &str) {
        if self.ends.get(link).is_some() {
            let what = Text::new(what);
            self.say(&ToBroker::Accuse { link, what: what.clone() });
            self.depart(link, Gone::CutOff(what));
            self.orphan_calls(link, |_| true);
        }
    }
}

fn classes(passed: &[Passed]) -> DescriptorClasses {
    passed.iter().map(Descriptor::class).fold(DescriptorClasses::empty(), |all, class| all | class)
}
