//! Memory for what arrives, used again and again.

use cloison_msg::{HEADER_LEN, Header, PACKET_MAX, WINDOW_MESSAGES};

/// Most buffers of a whole packet's size that are kept for later.
const PACKETS_KEPT: usize = 4;

/// Most smaller buffers that are kept for later: about what one link's window can hold.
#[expect(clippy::cast_possible_truncation, reason = "a window is a small number")]
const COPIES_KEPT: usize = WINDOW_MESSAGES as usize;

/// A payload shorter than this is copied out of the buffer it arrived in, so that one that waits holds no more than four
/// times the memory it needs.
const COPIED_BELOW: usize = PACKET_MAX / 4;

/// Spare buffers.
#[derive(Default)]
pub(crate) struct Buffers {
    /// Each [`PACKET_MAX`] long.
    packets: Vec<Vec<u8>>,
    copies: Vec<Vec<u8>>,
}

/// The payload of one message that is kept.
pub(crate) struct Payload {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

/// One message in the packet it arrived in.
pub(crate) enum Place<'a> {
    /// It shares the packet with others: header and payload.
    Part(&'a [u8]),
    /// It is all there is in the packet, which it may keep.
    Whole(&'a mut Vec<u8>),
}

impl Buffers {
    /// Room for one packet.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        self.packets.pop().unwrap_or_else(|| vec![0; PACKET_MAX])
    }

    /// Takes back what [`packet`](Self::packet) gave.
    pub(crate) fn return_packet(&mut self, packet: Vec<u8>) {
        if self.packets.len() < PACKETS_KEPT {
            self.packets.push(packet);
        }
    }

    /// Keeps the payload of the message with this header for later.
    pub(crate) fn keep(&mut self, header: &Header, place: Place<'_>) -> Payload {
        let len = header.payload as usize;
        match place {
            Place::Whole(packet) if len >= COPIED_BELOW => {
                Payload { bytes: std::mem::replace(packet, self.packet()), start: HEADER_LEN, len }
            }
            place => {
                let mut bytes = self.copies.pop().unwrap_or_default();
                bytes.extend_from_slice(place.payload(header));
                Payload { bytes, start: 0, len }
            }
        }
    }

    /// Takes back what [`keep`](Self::keep) gave.
    pub(crate) fn release(&mut self, payload: Payload) {
        let mut bytes = payload.bytes;
        if payload.start > 0 {
            self.return_packet(bytes);
        } else if self.copies.len() < COPIES_KEPT {
            bytes.clear();
            self.copies.push(bytes);
        }
    }
}

impl Payload {
    /// No bytes.
    pub(crate) const fn empty() -> Self {
        Self { bytes: Vec::new(), start: 0, len: 0 }
    }

    /// How much memory it takes.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl Place<'_> {
    /// The payload of the message with this header.
    pub(crate) fn payload(&self, header: &Header) -> &[u8] {
        &self.message()[HEADER_LEN..header.links_at()]
    }

    /// The links that the message with this header carries.
    pub(crate) fn links(&self, header: &Header) -> &[u8] {
        &self.message()[header.links_at()..header.message_len()]
    }

    fn message(&self) -> &[u8] {
        match self {
            Place::Part(message) => message,
            Place::Whole(packet) => packet.as_slice(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(buffers: &mut Buffers, payload: u32) -> (Payload, Vec<u8>) {
        let header = Header { payload, ..Header::default() };
        let mut packet = buffers.packet();
        packet[HEADER_LEN..header.message_len()].fill(7);
        (buffers.keep(&header, Place::Whole(&mut packet)), packet)
    }

    #[test]
    fn what_is_kept_is_small_or_the_packet_itself() {
        let mut buffers = Buffers::default();
        for (payload, at_most) in [(0, 64), (100, 512), (20_000, PACKET_MAX)] {
            let (kept, packet) = arrive(&mut buffers, payload);
            assert_eq!(kept.as_slice(), vec![7; payload as usize]);
            assert!(kept.bytes.capacity() <= at_most, "{} for {payload}", kept.bytes.capacity());
            assert_eq!(packet.len(), PACKET_MAX, "there is always room for the next packet");
            buffers.return_packet(packet);
            buffers.release(kept);
        }
        assert!(buffers.packets.iter().all(|packet| packet.len() == PACKET_MAX));
    }
}
