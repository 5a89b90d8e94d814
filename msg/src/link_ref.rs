//! A link that travels in a message: the capability to communicate, on its way to another process.

use crate::{DescriptorClasses, Destination, Rights, RightsFlags, RpcSet, Time};

/// Most links that one message carries. Each is a slot in its receiver's table.
pub const LINKS_MAX: usize = 4;

/// Length of an encoded [`LinkRef`], in bytes. They stand behind the payload, where the broker finds them without
/// decoding anything else.
pub const LINK_REF_LEN: usize = 48;

/// What becomes of the sender's own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Transfer {
    /// It stays; the receiver gets a link of its own to the same peer, derived from the sender's.
    Copy = 1,
    /// It becomes the receiver's. Calls that are unanswered on it, in either direction, end as
    /// [`Gone::Moved`](crate::Gone::Moved).
    Move = 2,
}

/// One link that a message carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkRef {
    /// Which: the sender's own name for it; the broker rewrites it into the receiver's.
    pub link: Destination,
    /// What becomes of the sender's own end.
    pub transfer: Transfer,
    /// What the receiver may do at most. It never gets more than the sender has.
    pub rights: Rights,
}

/// Why bytes are no [`LinkRef`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("a carried link that cannot be read")]
pub struct LinkRefError;

const HAS_USES: u8 = 1;
const HAS_EXPIRY: u8 = 2;

impl LinkRef {
    /// As it travels.
    #[must_use]
    pub fn encode(&self) -> [u8; LINK_REF_LEN] {
        let Rights { methods, flags, classes, once, uses, expires } = &self.rights;
        let mut bytes = [0; LINK_REF_LEN];
        bytes[0..4].copy_from_slice(&self.link.index.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.link.generation.to_le_bytes());
        bytes[8] = self.transfer as u8;
        bytes[9] = if uses.is_some() { HAS_USES } else { 0 } | if expires.is_some() { HAS_EXPIRY } else { 0 };
        bytes[10..12].copy_from_slice(&flags.bits().to_le_bytes());
        bytes[12..14].copy_from_slice(&classes.bits().to_le_bytes());
        bytes[16..20].copy_from_slice(&uses.unwrap_or_default().to_le_bytes());
        bytes[24..32].copy_from_slice(&methods.bits().to_le_bytes());
        bytes[32..40].copy_from_slice(&once.bits().to_le_bytes());
        bytes[40..48].copy_from_slice(&expires.unwrap_or_default().0.to_le_bytes());
        bytes
    }

    /// Reads one and checks all of it.
    ///
    /// # Errors
    /// [`LinkRefError`]; no bit without a meaning is let pass.
    pub fn decode(bytes: &[u8]) -> Result<Self, LinkRefError> {
        let bytes = bytes.first_chunk::<LINK_REF_LEN>().ok_or(LinkRefError)?;
        let transfer = match bytes[8] {
            1 => Transfer::Copy,
            2 => Transfer::Move,
            _ => return Err(LinkRefError),
        };
        let present = bytes[9];
        let uses = u32_at(bytes, 16);
        let expires = u64_at(bytes, 40);
        let is_clean = present & !(HAS_USES | HAS_EXPIRY) == 0
            && bytes[14..16] == [0; 2]
            && bytes[20..24] == [0; 4]
            && (present & HAS_USES != 0 || uses == 0)
            && (present & HAS_EXPIRY != 0 || expires == 0);
        if !is_clean {
            return Err(LinkRefError);
        }
        let rights = Rights {
            methods: RpcSet::from_bits(u64_at(bytes, 24)),
            flags: RightsFlags::from_bits(u16_at(bytes, 10)).ok_or(LinkRefError)?,
            classes: DescriptorClasses::from_bits(u16_at(bytes, 12)).ok_or(LinkRefError)?,
            once: RpcSet::from_bits(u64_at(bytes, 32)),
            uses: (present & HAS_USES != 0).then_some(uses),
            expires: (present & HAS_EXPIRY != 0).then_some(Time(expires)),
        };
        Ok(Self { link: Destination { index: u32_at(bytes, 0), generation: u32_at(bytes, 4) }, transfer, rights })
    }

    /// Writes `link` as the name of the `at`th of the encoded links.
    pub fn rename(encoded: &mut [u8], at: usize, link: Destination) {
        if let Some(bytes) = encoded.get_mut(at * LINK_REF_LEN..).and_then(|rest| rest.first_chunk_mut::<8>()) {
            bytes[0..4].copy_from_slice(&link.index.to_le_bytes());
            bytes[4..8].copy_from_slice(&link.generation.to_le_bytes());
        }
    }

    /// All that stand in the bytes behind a payload.
    ///
    /// # Errors
    /// [`LinkRefError`].
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, LinkRefError> {
        let (whole, rest) = bytes.as_chunks::<LINK_REF_LEN>();
        if !rest.is_empty() {
            return Err(LinkRefError);
        }
        whole.iter().map(|bytes| Self::decode(bytes)).collect()
    }
}

fn u16_at(bytes: &[u8; LINK_REF_LEN], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8; LINK_REF_LEN], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8; LINK_REF_LEN], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rights() -> impl Strategy<Value = Rights> {
        let flags = any::<u16>().prop_map(RightsFlags::from_bits_truncate);
        let classes = any::<u16>().prop_map(DescriptorClasses::from_bits_truncate);
        (any::<u64>(), flags, classes, any::<u64>(), any::<Option<u32>>(), any::<Option<u64>>()).prop_map(
            |(methods, flags, classes, once, uses, expires)| Rights {
                methods: RpcSet::from_bits(methods),
                flags,
                classes,
                once: RpcSet::from_bits(once),
                uses,
                expires: expires.map(Time),
            },
        )
    }

    proptest! {
        #[test]
        fn round_trip(rights in rights(), index: u32, generation: u32, moves: bool) {
            let transfer = if moves { Transfer::Move } else { Transfer::Copy };
            let link = LinkRef { link: Destination { index, generation }, transfer, rights };
            prop_assert_eq!(LinkRef::decode(&link.encode()), Ok(link));
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), LINK_REF_LEN)) {
            let mut bytes = bytes;
            bytes[8] %= 3;
            bytes[9] %= 5;
            bytes[10] %= 32;
            bytes[11] = 0;
            bytes[12] %= 64;
            bytes[13] = 0;
            bytes[14..16].fill(0);
            bytes[20..24].fill(0);
            if let Ok(link) = LinkRef::decode(&bytes) {
                prop_assert_eq!(&link.encode()[..], &bytes[..]);
            }
        }
    }

    #[test]
    fn bits_without_a_meaning_are_refused() {
        let link = LinkRef { link: Destination::BROKER, transfer: Transfer::Copy, rights: Rights::default() };
        for (at, byte) in [(8, 0), (8, 3), (9, 4), (11, 0x80), (13, 0x40), (14, 1), (16, 1), (20, 1), (40, 1)] {
            let mut bytes = link.encode();
            bytes[at] = byte;
            assert_eq!(LinkRef::decode(&bytes), Err(LinkRefError), "byte {at}");
        }
        assert_eq!(LinkRef::decode(&link.encode()[1..]), Err(LinkRefError));
    }
}
