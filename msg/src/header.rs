//! The fixed header of a message.

use std::time::Duration;

use crate::calls::{CallId, ChainId};
use crate::destination::{Destination, RpcIndex};
use crate::kind::{Kind, Streams};
use crate::link_ref::{LINK_REF_LEN, LINKS_MAX};
use crate::message::{DESCRIPTORS_MAX, PACKET_MAX, PAYLOAD_MAX};
use crate::probe::PROBE_LEN_MAX;

/// Length of an encoded header, in bytes.
pub const HEADER_LEN: usize = 48;

/// The longest deadline that a call can carry: what 32 bits of microseconds hold, rounded down to an hour.
pub const DEADLINE_MAX: Duration = Duration::from_secs(3600);

/// What precedes every payload. No field says who sent it: that is known from the socket it came by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Header {
    /// Which of the sender's links; the broker rewrites it into the receiver's own name for that link.
    pub destination: Destination,
    /// Which method.
    pub rpc: RpcIndex,
    /// What it is.
    pub kind: Kind,
    /// How many descriptors travel with it, at most [`DESCRIPTORS_MAX`].
    pub descriptors: u8,
    /// How many nested calls led to this one.
    pub depth: u8,
    /// How many links it carries, at most [`LINKS_MAX`]; they stand behind the payload.
    pub links: u8,
    /// Length of the payload in bytes, at most [`PAYLOAD_MAX`].
    pub payload: u32,
    /// Which call this is, answers, gives up, asks about or belongs to; [`CallId::NONE`] for everything else.
    pub call: CallId,
    /// The chain of nested calls it belongs to.
    pub chain: ChainId,
    /// How much time is left to answer a call, in microseconds; of one with streams, how long each wait for an item may
    /// take. 0 for everything but a call.
    pub remaining: u32,
    /// Which streams a call has, or to which of them an item or a demand belongs.
    pub streams: Streams,
    /// Whether a call, so its caller says, was made before and not answered.
    pub is_retry: bool,
}

/// What of a message takes room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Length of the payload, in bytes.
    pub payload: u32,
    /// How many descriptors travel with it.
    pub descriptors: u8,
    /// How many links it carries.
    pub links: u8,
}

/// Why bytes are no header. Whoever sent them is not our code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HeaderError {
    /// Fewer than [`HEADER_LEN`] bytes.
    #[error("{0} bytes are no header, which has {HEADER_LEN}")]
    Short(usize),
    /// Fewer bytes than the header announces.
    #[error("{found} bytes of a message that announces {announced}")]
    Cut {
        /// Length of the message, header and payload, in bytes.
        announced: usize,
        /// What there is of it.
        found: usize,
    },
    /// A kind without a meaning.
    #[error("kind {0} has no meaning")]
    Kind(u8),
    /// A reserved byte that is not zero, or a flag that is neither set nor not.
    #[error("reserved bytes are not zero")]
    Reserved,
    /// A payload longer than [`PAYLOAD_MAX`].
    #[error("a payload of {0} bytes is longer than {PAYLOAD_MAX}")]
    Payload(u32),
    /// More descriptors than [`DESCRIPTORS_MAX`].
    #[error("{0} descriptors are more than {DESCRIPTORS_MAX}")]
    Descriptors(u8),
    /// More links than [`LINKS_MAX`].
    #[error("{0} links are more than {LINKS_MAX}")]
    Links(u8),
    /// Longer than any packet may be.
    #[error("a message of {0} bytes is longer than {PACKET_MAX}")]
    Message(usize),
    /// Descriptors, links or too long a payload with a message that only keeps accounts: no right is asked for it, so none could
    /// cover them.
    #[error("a {0:?} carries nothing of that kind")]
    Stowaway(Kind),
    /// A call without a call id or a deadline, or something else with one, or that is said to be made again.
    #[error("call id, deadline or retry do not fit a {0:?}")]
    Call(Kind),
    /// Flags of streams that a message of its kind has not, or that make no sense together.
    #[error("flags of streams do not fit a {0:?}")]
    Streams(Kind),
    /// A control word that is not for the broker, or something for the broker that is none.
    #[error("control words, and only they, belong to destination 0")]
    Control,
}

/// Most bytes that the return of a buffer says: which pool, and which of its buffers.
const RELEASE_MAX: u32 = 8;

/// Most bytes that a demand says: two totals.
const DEMAND_MAX: u32 = 20;

/// Where the word begins that is always zero.
const RESERVED: usize = HEADER_LEN - size_of::<u64>();

impl Header {
    /// Writes the header in front of its payload.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(self.words()) {
            *bytes = word.to_le_bytes();
        }
        bytes
    }

    /// The encoded header as little-endian words. Whole words are what a processor can read again at once after it has
    /// written them; of single bytes it would have to wait until they have left for its cache.
    pub(crate) fn words(&self) -> [u64; HEADER_LEN / size_of::<u64>()] {
        let Destination { index, generation } = self.destination;
        let what = u32::from(self.rpc.0) | u32::from(self.kind as u8) << 16 | u32::from(self.descriptors) << 24;
        let rest = u32::from_le_bytes([self.depth, self.links, self.streams.bits(), u8::from(self.is_retry)]);
        [join(index, generation), join(what, self.payload), self.call.0, self.chain.0, join(self.remaining, rest), 0]
    }

    /// Reads a header and checks all of it.
    ///
    /// # Errors
    /// [`HeaderError`]; no byte of a wrong header is believed.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else { return Err(HeaderError::Short(bytes.len())) };
        let header = Self {
            destination: Destination { index: u32_at(bytes, 0), generation: u32_at(bytes, 4) },
            rpc: RpcIndex(u16::from_le_bytes([bytes[8], bytes[9]])),
            kind: Kind::from_byte(bytes[10]).ok_or(HeaderError::Kind(bytes[10]))?,
            descriptors: bytes[11],
            payload: u32_at(bytes, 12),
            call: CallId(u64_at(bytes, 16)),
            chain: ChainId(u64_at(bytes, 24)),
            remaining: u32_at(bytes, 32),
            depth: bytes[36],
            links: bytes[37],
            streams: Streams::from_bits(bytes[38]).ok_or(HeaderError::Reserved)?,
            is_retry: bytes[39] == 1,
        };
        if bytes[39] > 1 || u64_at(bytes, RESERVED) != 0 {
            return Err(HeaderError::Reserved);
        }
        header.check()?;
        Ok(header)
    }

    /// The header of the message that `bytes` begin with, all of which is there.
    ///
    /// # Errors
    /// [`HeaderError`], also when the payload is cut short.
    pub fn of_message(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header = Self::decode(bytes)?;
        let (announced, found) = (header.message_len(), bytes.len());
        if announced > found {
            return Err(HeaderError::Cut { announced, found });
        }
        Ok(header)
    }

    fn check(&self) -> Result<(), HeaderError> {
        if self.payload as usize > PAYLOAD_MAX {
            return Err(HeaderError::Payload(self.payload));
        }
        if usize::from(self.descriptors) > DESCRIPTORS_MAX {
            return Err(HeaderError::Descriptors(self.descriptors));
        }
        if usize::from(self.links) > LINKS_MAX {
            return Err(HeaderError::Links(self.links));
        }
        if self.message_len() > PACKET_MAX {
            return Err(HeaderError::Message(self.message_len()));
        }
        self.check_freight()?;
        let has_call = self.call != CallId::NONE;
        let fits = match self.kind {
            Kind::Call => has_call && self.remaining > 0,
            Kind::Reply | Kind::Error | Kind::Cancel | Kind::Probe | Kind::Item | Kind::Demand => {
                has_call && self.remaining == 0
            }
            _ => !has_call && self.remaining == 0,
        };
        if !fits || (self.is_retry && self.kind != Kind::Call) {
            return Err(HeaderError::Call(self.kind));
        }
        if !self.streams.fits(self.kind, self.payload) {
            return Err(HeaderError::Streams(self.kind));
        }
        let for_broker = self.destination.index == 0;
        if for_broker != (self.kind == Kind::Control) || (for_broker && self.destination != Destination::BROKER) {
            return Err(HeaderError::Control);
        }
        Ok(())
    }

    /// What each kind may carry.
    fn check_freight(&self) -> Result<(), HeaderError> {
        let is_clean = match self.kind {
            Kind::Call | Kind::Oneway | Kind::Reply => true,
            Kind::Error | Kind::Control => self.links == 0,
            Kind::Credit => self.links == 0 && self.descriptors == 0,
            Kind::Release => self.links == 0 && self.descriptors == 0 && self.payload <= RELEASE_MAX,
            Kind::Probe => self.links == 0 && self.descriptors == 0 && self.payload <= PROBE_LEN_MAX,
            Kind::Switch | Kind::Cancel => self.links == 0 && self.descriptors == 0 && self.payload == 0,
            Kind::Item => self.links == 0 && self.descriptors == 0,
            Kind::Demand => self.links == 0 && self.descriptors == 0 && self.payload <= DEMAND_MAX,
        };
        if is_clean { Ok(()) } else { Err(HeaderError::Stowaway(self.kind)) }
    }

    /// Length of the whole message (header, payload and carried links), in bytes.
    #[must_use]
    pub const fn message_len(&self) -> usize {
        HEADER_LEN + self.payload as usize + self.links as usize * LINK_REF_LEN
    }

    /// Where the carried links begin in the whole message.
    #[must_use]
    pub const fn links_at(&self) -> usize {
        HEADER_LEN + self.payload as usize
    }

    /// What of the message takes room.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        Shape { payload: self.payload, descriptors: self.descriptors, links: self.links }
    }

    /// How much time a call leaves for its answer.
    #[must_use]
    pub const fn time_left(&self) -> Duration {
        Duration::from_micros(self.remaining as u64)
    }
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn u32_at(bytes: &[u8; HEADER_LEN], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEADER_LEN], at: usize) -> u64 {
    join(u32_at(bytes, at), u32_at(bytes, at + 4))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call() -> Header {
        Header {
            destination: Destination { index: 3, generation: 2 },
            rpc: RpcIndex(7),
            kind: Kind::Call,
            descriptors: 1,
            depth: 2,
            links: 1,
            payload: 64,
            call: CallId(11),
            chain: ChainId(12),
            remaining: 5_000_000,
            streams: Streams::empty(),
            is_retry: false,
        }
    }

    #[test]
    fn round_trip() {
        assert_eq!(Header::decode(&call().encode()), Ok(call()));
        let again = Header { is_retry: true, ..call() };
        assert_eq!(Header::decode(&again.encode()), Ok(again));
        assert_eq!(call().message_len(), 160);
    }

    #[test]
    fn flags_of_streams_say_one_thing() {
        let (feed, items, end) = (Streams::FEED, Streams::ITEMS, Streams::END);
        let decode = |header: Header| Header::decode(&header.encode());
        let bare = Header { remaining: 0, links: 0, descriptors: 0, payload: 0, ..call() };
        let of = |kind, streams| Header { kind, streams, ..bare };
        let fine = [
            Header { streams: feed | items, ..call() },
            of(Kind::Item, feed),
            of(Kind::Item, items),
            of(Kind::Item, feed | end),
            of(Kind::Demand, items | end),
        ];
        for header in fine {
            assert_eq!(decode(header), Ok(header));
        }
        let wrong = [
            Header { streams: feed | end, ..call() },
            of(Kind::Item, Streams::empty()),
            of(Kind::Item, feed | items),
            of(Kind::Item, items | end),
            Header { payload: 1, ..of(Kind::Item, feed | end) },
            of(Kind::Demand, feed | items),
            of(Kind::Reply, feed),
        ];
        for header in wrong {
            assert_eq!(decode(header), Err(HeaderError::Streams(header.kind)), "{header:?}");
        }
        assert_eq!(decode(Header { links: 1, ..of(Kind::Item, feed) }), Err(HeaderError::Stowaway(Kind::Item)));
        let long = Header { payload: DEMAND_MAX + 1, ..of(Kind::Demand, feed) };
        assert_eq!(decode(long), Err(HeaderError::Stowaway(Kind::Demand)));
    }

    #[test]
    fn each_lie_is_named() {
        let decode = |header: Header| Header::decode(&header.encode());
        assert_eq!(Header::decode(&[0; 47]), Err(HeaderError::Short(47)));
        assert_eq!(decode(Header { payload: u32::MAX, ..call() }), Err(HeaderError::Payload(u32::MAX)));
        assert_eq!(decode(Header { descriptors: 17, ..call() }), Err(HeaderError::Descriptors(17)));
        assert_eq!(decode(Header { links: 5, ..call() }), Err(HeaderError::Links(5)));
        let full = Header { payload: u32::try_from(PAYLOAD_MAX).unwrap(), ..call() };
        assert_eq!(decode(full), Err(HeaderError::Message(full.message_len())));
        for kind in [Kind::Reply, Kind::Error] {
            let again = Header { kind, remaining: 0, links: 0, is_retry: true, ..call() };
            assert_eq!(decode(again), Err(HeaderError::Call(kind)));
            assert!(decode(Header { is_retry: false, ..again }).is_ok());
        }
        let switch = Header { kind: Kind::Switch, call: CallId::NONE, remaining: 0, ..call() };
        assert_eq!(decode(switch), Err(HeaderError::Stowaway(Kind::Switch)));
        let cancel = Header { kind: Kind::Cancel, remaining: 0, links: 0, descriptors: 0, payload: 0, ..call() };
        assert_eq!(decode(cancel), Ok(cancel));
        assert_eq!(decode(Header { payload: 1, ..cancel }), Err(HeaderError::Stowaway(Kind::Cancel)));
        let probe = Header { kind: Kind::Probe, payload: PROBE_LEN_MAX, ..cancel };
        assert_eq!(decode(probe), Ok(probe));
        let long = Header { payload: PROBE_LEN_MAX + 1, ..probe };
        assert_eq!(decode(long), Err(HeaderError::Stowaway(Kind::Probe)));
        assert_eq!(decode(Header { call: CallId::NONE, ..cancel }), Err(HeaderError::Call(Kind::Cancel)));
        for kind in [Kind::Credit, Kind::Release] {
            let header = Header { kind, call: CallId::NONE, remaining: 0, links: 0, ..call() };
            assert_eq!(decode(header), Err(HeaderError::Stowaway(kind)));
            let bare = Header { descriptors: 0, payload: RELEASE_MAX, ..header };
            assert_eq!(decode(bare), Ok(bare));
        }
        let release =
            Header { kind: Kind::Release, call: CallId::NONE, remaining: 0, links: 0, descriptors: 0, ..call() };
        assert_eq!(decode(release), Err(HeaderError::Stowaway(Kind::Release)));
        assert_eq!(decode(Header { call: CallId::NONE, ..call() }), Err(HeaderError::Call(Kind::Call)));
        assert_eq!(decode(Header { remaining: 0, ..call() }), Err(HeaderError::Call(Kind::Call)));
        assert_eq!(decode(Header { destination: Destination::BROKER, ..call() }), Err(HeaderError::Control));
        for (at, error) in [
            (10, HeaderError::Kind(0xff)),
            (38, HeaderError::Reserved),
            (39, HeaderError::Reserved),
            (40, HeaderError::Reserved),
            (47, HeaderError::Reserved),
        ] {
            let mut bytes = call().encode();
            bytes[at] = 0xff;
            assert_eq!(Header::decode(&bytes), Err(error));
        }
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in prop::array::uniform32(any::<u8>())) {
            let mut whole = [0; HEADER_LEN];
            whole[..32].copy_from_slice(&bytes);
            whole[10] = bytes[10] % 14;
            whole[11] = bytes[11] % 20;
            whole[37] = bytes[9] % 6;
            whole[39] = bytes[8] % 3;
            whole[14..16].fill(0);
            if let Ok(header) = Header::decode(&whole) {
                prop_assert_eq!(header.encode(), whole);
            }
        }
    }
}
