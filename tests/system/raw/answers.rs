//! How an attacker answers calls of peers: honestly, or not.

use cloison_broker::msg::{Header, Kind};

use super::{Raw, packet};
use crate::words::ECHO;

/// How calls of peers are answered.
pub enum Behaviour {
    /// As an honest peer would.
    Honest,
    /// Not before there are so many.
    Reverse(usize, Vec<(Header, Vec<u8>)>),
    /// With something made up.
    Made { kind: u8, call_offset: i64, payload: Vec<u8>, times: u32 },
}

impl Raw {
    /// Answers a call of a peer.
    pub fn answer(&mut self, at: usize, call: Header, payload: Vec<u8>) {
        match std::mem::replace(&mut self.behaviour, Behaviour::Honest) {
            Behaviour::Honest => self.reply_honestly(at, &call, &payload),
            Behaviour::Reverse(count, mut held) => {
                held.push((call, payload));
                if held.len() < count {
                    self.behaviour = Behaviour::Reverse(count, held);
                    return;
                }
                for (call, payload) in held.into_iter().rev() {
                    self.reply_honestly(at, &call, &payload);
                }
            }
            Behaviour::Made { kind, call_offset, payload, times } => {
                let mut header = self.reply_header(at, &call, payload.len());
                header.call.0 = header.call.0.wrapping_add_signed(call_offset);
                let mut packet = header.encode().to_vec();
                packet[10] = kind;
                packet.extend(payload);
                for _ in 0..times {
                    let _ = self.send(self.via(at), &packet, &[]);
                }
            }
        }
    }

    fn reply_honestly(&self, at: usize, call: &Header, payload: &[u8]) {
        if call.rpc == ECHO {
            self.reply(at, call, payload);
        } else {
            self.reply(at, call, &[]);
        }
    }

    pub fn reply(&self, at: usize, call: &Header, payload: &[u8]) {
        let header = self.reply_header(at, call, payload.len());
        let _ = self.send(self.via(at), &packet(&header, payload), &[]);
    }

    fn reply_header(&self, at: usize, call: &Header, len: usize) -> Header {
        let payload = u32::try_from(len).expect("short");
        Header {
            destination: self.links[at].shown.name,
            kind: Kind::Reply,
            remaining: 0,
            descriptors: 0,
            payload,
            ..*call
        }
    }
}
