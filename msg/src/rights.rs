//! Rights are data.

use std::fmt;

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

use crate::{RpcIndex, Time};

/// A set of RPC indices, 0 to 63.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RpcSet(u64);

impl RpcSet {
    /// No method.
    pub const NONE: Self = Self(0);
    /// Every method an interface can have.
    pub const ALL: Self = Self(u64::MAX);

    /// The first `count` methods: those of an interface that has that many.
    #[must_use]
    pub const fn first(count: usize) -> Self {
        if count >= 64 { Self::ALL } else { Self((1 << count) - 1) }
    }

    /// This set and `rpc`. An index past 63 names no method, and adds none.
    #[must_use]
    pub const fn with(self, rpc: RpcIndex) -> Self {
        if rpc.0 < 64 { Self(self.0 | 1 << rpc.0) } else { self }
    }

    /// Whether `rpc` is in the set.
    #[must_use]
    pub const fn contains(self, rpc: RpcIndex) -> bool {
        rpc.0 < 64 && self.0 >> rpc.0 & 1 == 1
    }

    /// What is in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set whose members are the bits that are set in `bits`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// One bit for each member.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether everything in this set is in `other` too.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }
}

impl fmt::Debug for RpcSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("{all}");
        }
        f.debug_set().entries((0..64u16).filter(|&rpc| self.contains(RpcIndex(rpc)))).finish()
    }
}

bitflags! {
    /// What a right allows besides the choice of methods.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(try_from = "u16", into = "u16")]
    pub struct RightsFlags: u16 {
        /// Calls, which are answered.
        const CALL = 1 << 0;
        /// Oneways, which are not.
        const ONEWAY = 1 << 1;
        /// Lending buffers of a pool.
        const LEND = 1 << 2;
        /// Sending the link to somebody else in a message, as a copy or for good.
        const DELEGATE = 1 << 3;
        /// Streams: calls to which items belong, besides the arguments and the answer.
        const STREAM = 1 << 4;
    }
}

bitflags! {
    /// Classes of descriptors. Each descriptor that arrives is of exactly one.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(try_from = "u16", into = "u16")]
    pub struct DescriptorClasses: u16 {
        /// Shared memory that can neither shrink nor grow.
        const SEALED_BUFFER = 1 << 0;
        /// A regular file that can only be read.
        const READ_ONLY_FILE = 1 << 1;
        /// A regular file that can be written.
        const READ_WRITE_FILE = 1 << 2;
        /// A pipe or FIFO.
        const PIPE = 1 << 3;
        /// A socket.
        const SOCKET = 1 << 4;
        /// Whatever else: directories, path-only descriptors, devices. No right can name it.
        const OTHER = 1 << 15;
    }
}

/// Bits that no version of this crate gives a meaning.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown bits {0:#x}")]
pub struct UnknownBits(u16);

macro_rules! refuse_unknown_bits {
    ($flags:ty) => {
        impl TryFrom<u16> for $flags {
            type Error = UnknownBits;
            fn try_from(bits: u16) -> Result<Self, UnknownBits> {
                Self::from_bits(bits).ok_or(UnknownBits(bits & !Self::all().bits()))
            }
        }
        impl From<$flags> for u16 {
            fn from(flags: $flags) -> u16 {
                flags.bits()
            }
        }
    };
}
refuse_unknown_bits!(RightsFlags);
refuse_unknown_bits!(DescriptorClasses);

/// What the holder of one end of a link may do with it.
///
/// The default allows nothing. Rights are only ever made smaller, by [`Rights::attenuate`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rights {
    /// Which methods.
    pub methods: RpcSet,
    /// How, and what else.
    pub flags: RightsFlags,
    /// Which descriptors a message may carry. [`DescriptorClasses::OTHER`] is never allowed, whatever stands here.
    pub classes: DescriptorClasses,
    /// Methods that may be used once each.
    pub once: RpcSet,
    /// How many messages in all; `None` for any number.
    pub uses: Option<u32>,
    /// Until when; `None` for as long as the link lives.
    pub expires: Option<Time>,
}

/// Why a link stays relayed although its model would make it direct: a right on it protects a third party, and only the
/// broker can enforce that against two workers that collude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Relayed {
    /// Descriptors are checked by class.
    #[error("only the broker can check the classes of descriptors")]
    Descriptors,
    /// Uses are counted.
    #[error("only the broker can count uses")]
    Uses,
    /// The right ends at a moment.
    #[error("only the broker can enforce an expiry")]
    Expiry,
}

impl Rights {
    /// Calls and oneways of `methods`, with streams where they have some, nothing else.
    #[must_use]
    pub fn methods(methods: RpcSet) -> Self {
        Self { methods, flags: RightsFlags::CALL | RightsFlags::ONEWAY | RightsFlags::STREAM, ..Self::default() }
    }

    /// The same, and buffers of a pool may be lent.
    #[must_use]
    pub fn lending(mut self) -> Self {
        self.flags |= RightsFlags::LEND;
        self
    }

    /// The same, and messages may carry descriptors of these classes.
    #[must_use]
    pub fn passing(mut self, classes: DescriptorClasses) -> Self {
        self.classes |= classes;
        self
    }

    /// The same, and the link may be sent to others in a message.
    #[must_use]
    pub fn delegable(mut self) -> Self {
        self.flags |= RightsFlags::DELEGATE;
        self
    }

    /// The same, for `uses` messages in all.
    #[must_use]
    pub fn for_uses(mut self, uses: u32) -> Self {
        self.uses = least(self.uses, Some(uses));
        self
    }

    /// The same, until that moment.
    #[must_use]
    pub fn until(mut self, end: Time) -> Self {
        self.expires = least(self.expires, Some(end));
        self
    }

    /// The same, where each of `methods` may be used once only.
    #[must_use]
    pub fn once(mut self, methods: RpcSet) -> Self {
        self.once = RpcSet(self.once.0 | methods.and(self.methods).0);
        self
    }

    /// What is in both: never more than `self`, never more than `wanted`.
    #[must_use]
    pub fn attenuate(&self, wanted: &Self) -> Self {
        let methods = self.methods.and(wanted.methods);
        let once = RpcSet(self.once.0 | wanted.once.0).and(methods);
        Self {
            methods,
            flags: self.flags & wanted.flags,
            classes: self.classes & wanted.classes,
            once,
            uses: least(self.uses, wanted.uses),
            expires: least(self.expires, wanted.expires),
        }
    }

    /// What of these rights may be had once more without being more together: what is counted is left out.
    #[must_use]
    pub fn uncounted(&self) -> Self {
        let methods = self.methods.minus(self.once);
        Self { methods, once: RpcSet::NONE, uses: self.uses.map(|_| 0), ..self.clone() }
    }

    /// Whether these rights allow nothing that `other` forbids.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.attenuate(other) == *self
    }

    /// Why these rights keep a link relayed, if they do.
    #[must_use]
    pub fn relayed(&self) -> Option<Relayed> {
        if !self.classes.is_empty() {
            Some(Relayed::Descriptors)
        } else if self.uses.is_some() || !self.once.is_empty() {
            Some(Relayed::Uses)
        } else {
            self.expires.map(|_| Relayed::Expiry)
        }
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.methods.is_empty() {
            return f.write_str("nothing");
        }
        write!(f, "methods {:?}", self.methods)?;
        if !self.once.is_empty() {
            write!(f, ", of these once only {:?}", self.once)?;
        }
        let flags: Vec<String> = self.flags.iter_names().map(|(name, _)| name.to_lowercase()).collect();
        write!(f, ", {}", if flags.is_empty() { "by no kind of message".to_owned() } else { flags.join(" ") })?;
        if !self.classes.is_empty() {
            let classes: Vec<String> = self.classes.iter_names().map(|(name, _)| name.to_lowercase()).collect();
            write!(f, ", descriptors: {}", classes.join(" "))?;
        }
        self.uses.map_or(Ok(()), |uses| write!(f, ", {uses} times"))?;
        self.expires.map_or(Ok(()), |end| write!(f, ", until {:.3} s on the monotonic clock", end.seconds()))
    }
}

/// The smaller allowance, where `None` is without limit.
fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_rights() -> impl Strategy<Value = Rights> {
        (any::<u64>(), 0u16..32, 0u16..32, any::<u64>(), any::<Option<u32>>(), any::<Option<u64>>()).prop_map(
            |(methods, flags, classes, once, uses, expires)| Rights {
                methods: RpcSet(methods),
                flags: RightsFlags::from_bits_truncate(flags),
                classes: DescriptorClasses::from_bits_truncate(classes),
                once: RpcSet(once & methods),
                uses,
                expires: expires.map(Time),
            },
        )
    }

    proptest! {
        #[test]
        fn attenuation_only_shrinks(a in any_rights(), b in any_rights()) {
            let less = a.attenuate(&b);
            prop_assert!(less.is_within(&a));
            prop_assert!(less.is_within(&b));
            prop_assert_eq!(less.attenuate(&a), less);
        }

        #[test]
        fn attenuation_asks_for_no_order(a in any_rights(), b in any_rights(), c in any_rights()) {
            prop_assert_eq!(a.attenuate(&a), a.clone(), "once is enough");
            prop_assert_eq!(a.attenuate(&b), b.attenuate(&a));
            prop_assert_eq!(a.attenuate(&b).attenuate(&c), a.attenuate(&b.attenuate(&c)));
            // Monotone: who has less to begin with has no more in the end.
            prop_assert!(a.attenuate(&b).attenuate(&c).is_within(&a.attenuate(&c)));
        }

        /// What less rights allow, more rights allow too, whatever the message and whatever was used before.
        #[test]
        fn fewer_rights_never_allow_more(
            (a, b) in (any_rights(), any_rights()),
            (rpc, is_call, classes, messages, spent, now) in
                (0u16..70, any::<bool>(), 0u16..32, any::<u32>(), any::<u64>(), any::<u64>()),
        ) {
            let kind = if is_call { crate::Kind::Call } else { crate::Kind::Oneway };
            let header = crate::Header { kind, rpc: RpcIndex(rpc), ..crate::Header::default() };
            let used = crate::Use { messages, spent: RpcSet(spent), binds: 0 };
            let classes = DescriptorClasses::from_bits_truncate(classes);
            let ask = |rights: &Rights| crate::decide(rights, &used, &header, classes, Time(now));
            if ask(&a.attenuate(&b)) == crate::Verdict::Allow {
                prop_assert_eq!((ask(&a), ask(&b)), (crate::Verdict::Allow, crate::Verdict::Allow));
            }
        }
    }

    #[test]
    fn unknown_bits_are_refused() {
        assert_eq!(RightsFlags::try_from(0x8001), Err(UnknownBits(0x8000)));
        assert!(postcard::from_bytes::<RightsFlags>(&[0x80, 0x01]).is_err());
    }

    #[test]
    fn sets_know_their_members() {
        let set = RpcSet::first(2).with(RpcIndex(63)).with(RpcIndex(64));
        assert_eq!(format!("{set:?}"), "{0, 1, 63}");
        assert!(!set.contains(RpcIndex(64)) && !set.contains(RpcIndex(u16::MAX)));
        assert_eq!(RpcSet::first(64), RpcSet::ALL);
    }

    #[test]
    fn rights_that_protect_others_keep_a_link_relayed() {
        let plain = Rights::methods(RpcSet::ALL).lending();
        assert_eq!(plain.relayed(), None);
        assert_eq!(plain.clone().passing(DescriptorClasses::PIPE).relayed(), Some(Relayed::Descriptors));
        assert_eq!(Rights { uses: Some(1), ..plain.clone() }.relayed(), Some(Relayed::Uses));
        assert_eq!(Rights { expires: Some(Time(1)), ..plain }.relayed(), Some(Relayed::Expiry));
    }
}
