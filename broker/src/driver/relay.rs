//! What one packet of a worker becomes: messages that are checked one by one, and sent on from where they lie.

use std::ops::Range;

use cloison_ipc::Passed;
use cloison_msg::{HEADER_LEN, Header, Key, LinkRef, PACKET_MAX};

use super::{Driver, now};
use crate::router::{Forward, Freight};

/// Messages that go on to the same worker and lie side by side in the packet they came in: they leave as one packet too.
struct Run {
    to: Key,
    place: Range<usize>,
}

/// Messages of the host's that are going to leave as one packet.
#[derive(Default)]
pub(super) struct Gathered {
    /// Whether more may come at once.
    pub(super) is_open: bool,
    pub(super) to: Option<Key>,
    bytes: Vec<u8>,
}

impl Driver {
    /// Handles every message of a packet; how many those were.
    pub(super) fn handle_packet(&mut self, port: Key, len: usize) -> usize {
        let mut packet = std::mem::take(&mut self.packet);
        let mut descriptors = std::mem::take(&mut self.descriptors);
        let (mut at, mut messages, mut run) = (0, 0, None);
        while at < len {
            let header = match Header::of_message(&packet[at..len]) {
                Ok(header) => header,
                Err(error) => {
                    // What it had said before still counts, and comes before the word that it is gone.
                    self.send_run(run.take(), &packet);
                    self.evict(port, error.into());
                    break;
                }
            };
            let place = at..at + header.message_len();
            (at, messages) = (place.end, messages + 1);
            let (payload, links) = packet[place.clone()][HEADER_LEN..].split_at(header.payload as usize);
            let freight = Freight { payload, links };
            if let Some(forward) = self.router.handle_message(port, &header, freight, &mut descriptors, now()) {
                run = self.forward(run, &forward, &mut packet, place, &mut descriptors);
            }
            if self.router.has_output() {
                self.send_run(run.take(), &packet);
                self.obey();
            }
        }
        self.send_run(run, &packet);
        // Sending can overflow, which is the router's to judge.
        self.obey();
        descriptors.clear();
        (self.packet, self.descriptors) = (packet, descriptors);
        self.alarm.ring_by(self.router.next_deadline());
        messages
    }

    /// Sends the message on from the memory it arrived in, behind the header that the receiver is to see; or lets it wait
    /// for the next one in the packet, which may go the same way. What waits then.
    fn forward(
        &mut self,
        run: Option<Run>,
        forward: &Forward,
        packet: &mut [u8],
        place: Range<usize>,
        descriptors: &mut Vec<Passed>,
    ) -> Option<Run> {
        if !forward.links.is_empty() {
            // The receiver hears of the links that a message carries before it gets them.
            self.send_run(run, packet);
            self.obey();
            self.hand_on(forward, &mut packet[place], descriptors);
            return None;
        }
        if forward.to == self.router.host() {
            self.hand_on(forward, &mut packet[place], descriptors);
            return run;
        }
        packet[place.start..place.start + HEADER_LEN].copy_from_slice(&forward.header.encode());
        match run {
            run if !descriptors.is_empty() => {
                self.send_run(run, packet);
                self.send(forward.to, &packet[place], descriptors);
                None
            }
            Some(run) if run.to == forward.to && run.place.end == place.start => {
                Some(Run { to: run.to, place: run.place.start..place.end })
            }
            run => {
                self.send_run(run, packet);
                Some(Run { to: forward.to, place })
            }
        }
    }

    /// Sends a message of the host's; or lets it wait for the next one, as long as the host's commands are being carried out.
    pub(super) fn gather(&mut self, to: Key, message: &[u8], descriptors: &mut Vec<Passed>) {
        if !self.gathered.is_open || !descriptors.is_empty() {
            return self.send(to, message, descriptors);
        }
        if self.gathered.to != Some(to) || self.gathered.bytes.len() + message.len() > PACKET_MAX {
            self.send_gathered();
        }
        self.gathered.to = Some(to);
        self.gathered.bytes.extend_from_slice(message);
    }

    /// Sends the messages of the host's that share a packet.
    pub(super) fn send_gathered(&mut self) {
        let Some(to) = self.gathered.to.take() else { return };
        let mut bytes = std::mem::take(&mut self.gathered.bytes);
        self.send(to, &bytes, &mut Vec::new());
        bytes.clear();
        self.gathered.bytes = bytes;
    }

    fn send_run(&mut self, run: Option<Run>, packet: &[u8]) {
        if let Some(Run { to, place }) = run {
            self.send(to, &packet[place], &mut Vec::new());
        }
    }

    fn hand_on(&mut self, forward: &Forward, message: &mut [u8], descriptors: &mut Vec<Passed>) {
        let links_at = forward.header.links_at();
        if forward.to == self.router.host() {
            let payload = &message[HEADER_LEN..links_at];
            return self.host_receives(&forward.header, payload, &forward.links, std::mem::take(descriptors));
        }
        for (at, &name) in forward.links.iter().enumerate() {
            LinkRef::rename(&mut message[links_at..], at, name);
        }
        message[..HEADER_LEN].copy_from_slice(&forward.header.encode());
        self.send(forward.to, message, descriptors);
    }
}
