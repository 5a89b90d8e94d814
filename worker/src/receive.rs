//! What arrives: from packets to requests, outcomes and words.

use cloison_ipc::{Passed, RecvError};
use cloison_msg::control::ToBroker;
use cloison_msg::{
    Arrival, CallFailure, Denial, Descriptor, DescriptorClasses, Destination, Failure, Gone, Header, Kind, Messages,
    Pending, Route, Text, Time, Use, Verdict, decide,
};

use crate::buffers::Place;
use crate::clock::NEVER;
use crate::error::Disconnect;
use crate::send::shape;
use crate::session::{Outcome, Queued, Session};
use crate::wire::{OUTBOX_MAX, Patience};

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

impl Session {
    /// Receives one packet from the socket of the link named `from`, or from the control socket, and takes it in.
    pub(crate) fn receive(&mut self, from: Destination, look: Look) -> Received {
        let mut packet = self.buffers.packet();
        let mut passed = std::mem::take(&mut self.passed);
        let patience = if look == Look::Brief { Patience::Brief } else { Patience::None };
        let received = match self.wire_mut(from) {
            Some(wire) => wire.recv(&mut packet, &mut passed, patience),
            None => Err(RecvError::WouldBlock),
        };
        if look != Look::Ready {
            self.tick();
        }
        let result = match received {
            Ok(len) => {
                self.take_packet(from, &mut packet, len, &mut passed);
                Received::Packet
            }
            Err(RecvError::WouldBlock) => Received::Nothing,
            Err(RecvError::Closed) => {
                // On a link's own socket that alone means nothing: the broker will say what has happened.
                if from == Destination::BROKER {
                    self.end(Disconnect::Ended);
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

    fn take_packet(&mut self, from: Destination, packet: &mut Vec<u8>, len: usize, passed: &mut Vec<Passed>) {
        let now = self.time;
        match Header::decode(&packet[..len]) {
            Ok(header) if header.message_len() == len => {
                self.take_message(from, header, Place::Whole(packet), passed, now);
            }
            // A message with descriptors travels alone.
            _ if !passed.is_empty() => self.breach(from, "descriptors with more than one message"),
            _ => {
                for message in Messages::new(&packet[..len]) {
                    match message {
                        Ok((start, header)) => {
                            self.take_message(from, header, Place::Part(&packet[start..]), passed, now);
                        }
                        Err(error) => return self.breach(from, &error.to_string()),
                    }
                }
            }
        }
    }

    fn take_message(
        &mut self,
        from: Destination,
        mut header: Header,
        place: Place<'_>,
        passed: &mut Vec<Passed>,
        now: Time,
    ) {
        if usize::from(header.descriptors) != passed.len() {
            return self.breach(from, "not as many descriptors as announced");
        }
        if from != Destination::BROKER {
            // Who sent it is known from the socket it came by; what the sender calls the link is the sender's affair.
            header.destination = from;
        } else if header.kind == Kind::Control {
            return self.take_word(place.payload(&header), std::mem::take(passed));
        }
        let Some(end) = self.ends.get_mut(header.destination) else { return };
        if (from == Destination::BROKER) != end.wire.is_none() {
            return;
        }
        let classes = passed.iter().map(Descriptor::class).fold(DescriptorClasses::empty(), |all, class| all | class);
        match end.link.handle(&header, place.payload(&header), classes, now) {
            Ok(Arrival::Request) => self.enqueue(header, place, passed, now),
            Ok(Arrival::Denied(denial)) => self.deny(&header, denial),
            Ok(Arrival::Outcome(pending)) => self.conclude(&header, place, passed, classes, pending, now),
            Ok(Arrival::Late) => self.note_taken(&header),
            Ok(Arrival::Release) => self.take_release(&header, place.payload(&header)),
            Ok(Arrival::Credit) => self.send_returns(header.destination),
            Err(breach) => self.breach(from, &breach.to_string()),
        }
    }

    fn enqueue(&mut self, header: Header, place: Place<'_>, passed: &mut Vec<Passed>, now: Time) {
        let Some(end) = self.ends.get(header.destination) else { return };
        let deadline = if header.kind == Kind::Call { now.after(header.time_left()) } else { NEVER };
        let peer = end.peer.clone();
        let payload = self.buffers.keep(&header, place);
        self.queue.push_back(Queued { header, peer, payload, passed: std::mem::take(passed), deadline });
    }

    /// The outcome of a call: from here on it waits for whoever made the call.
    fn conclude(
        &mut self,
        header: &Header,
        place: Place<'_>,
        passed: &mut Vec<Passed>,
        classes: DescriptorClasses,
        pending: Pending<usize>,
        now: Time,
    ) {
        let outcome = match self.judge_answer(header, classes, now) {
            Some(denial) => Outcome::Failed(CallFailure::Failed(Failure::Denied(denial))),
            None => {
                let payload = self.buffers.keep(header, place);
                Outcome::Answered(*header, payload, std::mem::take(passed))
            }
        };
        self.settle(pending.context, outcome);
        self.note_taken(header);
    }

    /// On a direct route nobody has asked yet whether the answer may carry what it carries.
    fn judge_answer(&self, header: &Header, classes: DescriptorClasses, now: Time) -> Option<Denial> {
        let end = self.ends.get(header.destination).filter(|end| end.link.route() == Route::Direct)?;
        match decide(&end.peer_rights, &Use::default(), header, classes, now) {
            Verdict::Allow => None,
            Verdict::Deny(denial) => Some(denial),
        }
    }

    /// A request that came over a direct link without right: what the broker would do on a relayed one.
    fn deny(&mut self, header: &Header, denial: Denial) {
        self.note_taken(header);
        if header.kind == Kind::Call {
            self.answer_failure(header, &Failure::Denied(denial));
        }
    }

    /// Answers a call with a failure.
    pub(crate) fn answer_failure(&mut self, call: &Header, failure: &Failure) {
        let message = self.message_of(failure);
        // It carries no descriptor, so there is always room for it.
        let end = self.ends.get_mut(call.destination);
        match end.and_then(|end| end.link.answer(call, true, shape(&message)).ok()) {
            Some(header) => {
                self.post_own(&header, message);
                self.check_outbox(call.destination);
            }
            None => self.return_message(message),
        }
    }

    /// Notes that a request or a returned buffer was taken out of its link's window, and says so when that is due.
    pub(crate) fn note_taken(&mut self, header: &Header) {
        let Some(end) = self.ends.get_mut(header.destination) else { return };
        let Some(credit) = end.link.taken(header) else { return };
        let message = self.message_of(&credit);
        if let Some(end) = self.ends.get_mut(header.destination) {
            let credit = end.link.credit(credit, shape(&message));
            self.post_own(&credit, message);
        }
        self.check_outbox(header.destination);
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
        }
    }
}
