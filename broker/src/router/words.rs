//! What workers say to the broker itself.

use cloison_msg::control::{PROTOCOL_VERSION, ToBroker, ToWorker};
use cloison_msg::{Descriptor, Destination, Entry, Gone, Key, Text, Time, decode_whole};

use super::link::Side;
use super::port::End;
use super::{Event, Output, Router, Violation};

impl<D: Descriptor> Router<D> {
    pub(super) fn handle_word_bytes(&mut self, from: Key, payload: &[u8], now: Time) {
        match decode_whole(payload) {
            Ok(word) => self.handle_word(from, word, now),
            Err(_) => self.evict(from, Violation::Word),
        }
    }

    /// A port says something to the broker itself.
    pub fn handle_word(&mut self, from: Key, word: ToBroker, now: Time) {
        let Some(port) = self.ports.get(from) else { return };
        if !port.is_open() && !matches!(word, ToBroker::Hello { .. }) {
            return self.evict(from, Violation::Hello);
        }
        match word {
            ToBroker::Hello { version } => self.greet(from, version),
            ToBroker::Open { request, role, interface } => self.handle_open(from, request, role, interface),
            ToBroker::Offer { request, interface } => self.offer(from, request, interface),
            ToBroker::MakePool { request, link, shape } => self.make_pool(from, request, link, shape),
            ToBroker::DropPool { link, pool } => self.drop_pool(from, link, pool),
            ToBroker::Close { link } => {
                if let Some(end) = self.own_end(from, link) {
                    self.close_link(end.link, &[end.side.other()], &Gone::Closed);
                }
            }
            ToBroker::Accuse { link, what } => {
                if let Some(end) = self.own_end(from, link) {
                    self.cut_off(end, what);
                }
            }
            ToBroker::Left { link, calls } => {
                if let Some(end) = self.own_end(from, link) {
                    self.handle_left(end, calls, now);
                }
            }
            ToBroker::Settled { link } => {
                if let Some(end) = self.own_end(from, link) {
                    self.handle_settled(end, now);
                }
            }
            ToBroker::Rest { link } => {
                if let Some(end) = self.own_end(from, link) {
                    self.handle_rest(end, now);
                }
            }
            ToBroker::Released { link } => self.handle_released(from, link),
            ToBroker::Traced { records } => self.outputs.push_back(Output::Traced { port: from, records: records.0 }),
            ToBroker::Counted { messages, bytes } => {
                let role = port.role().clone();
                self.tell(Event::Counted { port: from, role, messages, bytes });
            }
        }
    }

    fn greet(&mut self, from: Key, version: u16) {
        let Some(port) = self.ports.get_mut(from) else { return };
        if !port.greet() {
            return self.evict(from, Violation::Hello);
        }
        if version != PROTOCOL_VERSION {
            return self.evict(from, Violation::Version(version));
        }
        let role = port.role().clone();
        let origin = from.index;
        self.say(from, ToWorker::Welcome { version: PROTOCOL_VERSION, role: role.clone(), origin }, Vec::new());
        self.tell(Event::Ready { role: role.clone() });
        self.settle_opens(&role);
    }

    /// What a port means by a name that it says; a made-up one evicts it, a closed one is an honest race.
    fn own_end(&mut self, from: Key, name: Destination) -> Option<End> {
        match self.ports.get(from)?.meaning(name) {
            Entry::Open(end) => Some(end),
            Entry::Closed => None,
            Entry::Never => {
                self.evict(from, Violation::Forged(name));
                None
            }
        }
    }

    /// One worker says that another broke the protocol of their link. It is one's word against the other's, so the
    /// link ends and nobody is evicted.
    fn cut_off(&mut self, end: End, what: Text) {
        let Some(link) = self.links.get(end.link) else { return };
        let [by, of] = [end.side, end.side.other()].map(|side| link.holder(side).port);
        let role = |port: Key| self.ports.get(port).map(|port| port.role().clone());
        if let Some((by, of)) = role(by).zip(role(of)) {
            self.tell(Event::Accused { by, of, what: what.to_string() });
        }
        self.close_link(end.link, &[Side::Asker, Side::Asked], &Gone::CutOff(what));
    }
}
