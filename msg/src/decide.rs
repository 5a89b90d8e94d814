//! The one decision.

use serde::{Deserialize, Serialize};

use crate::{DescriptorClasses, Header, Kind, Rights, RightsFlags, RpcIndex, RpcSet, Streams, Time};

/// How often the holder of a right whose uses are counted may ask which contract is served, which is no use of it.
pub const BINDS_MAX: u8 = 16;

/// Longest such question, in bytes: a name and a few numbers. What is longer, or carries anything, is none.
const BIND_LEN_MAX: u32 = 64;

/// What has been used of a right so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Use {
    /// How many messages were allowed, as far as they are counted: while a right has no use count, none is, so that one it
    /// gets later does not depend on what was seen by whom before.
    pub messages: u32,
    /// Which once-only methods were.
    pub spent: RpcSet,
    /// How often it was asked which contract is served.
    pub binds: u8,
}

impl Use {
    /// Notes that a message with this header was allowed. To ask which contract is served is no use of any right.
    pub fn note(&mut self, rights: &Rights, header: &Header) {
        if is_bind(header) {
            if is_counted(rights) {
                self.binds = self.binds.saturating_add(1);
            }
        } else if matches!(header.kind, Kind::Call | Kind::Oneway) {
            if rights.uses.is_some() {
                self.messages = self.messages.saturating_add(1);
            }
            if rights.once.contains(header.rpc) {
                self.spent = self.spent.with(header.rpc);
            }
        }
    }
}

/// What [`decide`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Deliver it.
    Allow,
    /// Do not, and say why.
    Deny(Denial),
}

/// Why a message was not allowed. The same in both models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Denial {
    /// The rights leave this method out.
    #[error("the method is not among those granted")]
    Method,
    /// The rights allow no calls, or no oneways.
    #[error("this kind of message is not granted")]
    Kind,
    /// A descriptor is of a class that the rights do not name.
    #[error("a descriptor is of a class that is not granted")]
    Descriptor,
    /// A once-only method was used before.
    #[error("the method was granted once, and has been used")]
    Spent,
    /// The use count is exhausted.
    #[error("the granted number of uses is exhausted")]
    Exhausted,
    /// The receiver, or the peer of a link that the message carries, has not taken what was sent to it before.
    #[error("too much waits for the receiver, or for the peer of a carried link")]
    Crowded,
    /// The right has ended.
    #[error("the grant has expired")]
    Expired,
    /// A link that the message carries may not be given to others.
    #[error("a link that the message carries may not be handed on")]
    Delegation,
    /// The receiver, the carried link's peer or the giver has as many links as it may.
    #[error("no more links can be handed on: a limit is reached")]
    Links,
    /// A link that is to be moved is not at rest, or has pools.
    #[error("a link that changes its route, or has pools, cannot be moved")]
    Moving,
    /// The message was to carry a copy of a link to an object that was just offered. There is nothing yet to be copied: the
    /// link can only be moved, once. Give it by value, `OtherClient` and not `&OtherClient`, and not
    /// [shared](crate::contract::Stub::shared); whoever has it may hand on copies.
    #[error(
        "an object that was just offered can only be given away, once: give it by value, not by reference or shared"
    )]
    Offered,
}

/// Says whether the holder of `rights`, who has made `used` of them, may send a message with this header and
/// descriptors of these classes at this moment.
///
/// Pure. In the broker model the broker asks it about every message; on a direct link the receiver's runtime asks it,
/// with the same rights. Answers and credits are not questions of right: the call that is answered was.
#[must_use]
pub fn decide(rights: &Rights, used: &Use, header: &Header, classes: DescriptorClasses, now: Time) -> Verdict {
    match denial(rights, used, header, classes, now) {
        Some(denial) => Verdict::Deny(denial),
        None => Verdict::Allow,
    }
}

/// Whether what may be done with these rights has a count.
fn is_counted(rights: &Rights) -> bool {
    rights.uses.is_some() || rights.methods.is_subset(rights.once)
}

fn denial(rights: &Rights, used: &Use, header: &Header, classes: DescriptorClasses, now: Time) -> Option<Denial> {
    if !(rights.classes - DescriptorClasses::OTHER).contains(classes) {
        return Some(Denial::Descriptor);
    }
    let needed = match header.kind {
        Kind::Call if !header.streams.is_empty() => RightsFlags::CALL | RightsFlags::STREAM,
        Kind::Call => RightsFlags::CALL,
        Kind::Oneway => RightsFlags::ONEWAY,
        // Whoever may call may give a call up or ask about it, and may still when the right has ended.
        Kind::Cancel | Kind::Probe => return (!rights.flags.contains(RightsFlags::CALL)).then_some(Denial::Kind),
        Kind::Item if header.streams.contains(Streams::FEED) => RightsFlags::STREAM,
        // Like the answer, which ends them.
        Kind::Item | Kind::Demand => return None,
        Kind::Reply | Kind::Error | Kind::Credit | Kind::Release | Kind::Control | Kind::Switch => return None,
    };
    if rights.expires.is_some_and(|end| now >= end) {
        Some(Denial::Expired)
    } else if is_bind(header) && !rights.methods.is_empty() {
        // Where uses are counted, questions without an end would be a way round the count.
        let is_spent = rights.uses.is_some_and(|most| used.messages >= most);
        (is_spent || (is_counted(rights) && used.binds >= BINDS_MAX)).then_some(Denial::Exhausted)
    } else if !rights.flags.contains(needed) {
        Some(Denial::Kind)
    } else if !rights.methods.contains(header.rpc) {
        Some(Denial::Method)
    } else if header.kind == Kind::Item {
        // The call was counted.
        None
    } else if used.spent.contains(header.rpc) {
        Some(Denial::Spent)
    } else if rights.uses.is_some_and(|most| used.messages >= most) {
        Some(Denial::Exhausted)
    } else {
        None
    }
}

/// Whether a message asks which contract is served, and nothing else.
fn is_bind(header: &Header) -> bool {
    let is_bare = header.payload <= BIND_LEN_MAX && header.descriptors == 0 && header.links == 0;
    header.kind == Kind::Call && header.rpc == RpcIndex::BIND && is_bare
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(rights: &Rights, used: &Use, kind: Kind, rpc: u16, classes: DescriptorClasses) -> Verdict {
        decide(rights, used, &Header { kind, rpc: RpcIndex(rpc), ..Header::default() }, classes, Time(100))
    }

    #[test]
    fn whoever_may_use_any_method_may_ask_what_is_served() {
        let ask = |rights: &Rights, used: &Use, kind, classes| ask(rights, used, kind, RpcIndex::BIND.0, classes);
        let none = DescriptorClasses::empty();
        let narrow = Rights { flags: RightsFlags::ONEWAY, uses: Some(1), ..Rights::methods(RpcSet::first(1)) };
        let mut used = Use::default();
        for _ in 0..3 {
            assert_eq!(ask(&narrow, &used, Kind::Call, none), Verdict::Allow);
            used.note(&narrow, &Header { kind: Kind::Call, rpc: RpcIndex::BIND, ..Header::default() });
        }
        assert_eq!(used, Use { binds: 3, ..Use::default() }, "it is no use of the right");
        assert_eq!(ask(&narrow, &used, Kind::Oneway, none), Verdict::Deny(Denial::Method));
        assert_eq!(ask(&narrow, &used, Kind::Call, DescriptorClasses::PIPE), Verdict::Deny(Denial::Descriptor));
        assert_eq!(ask(&Rights::default(), &used, Kind::Call, none), Verdict::Deny(Denial::Kind));
        let ended = Rights { expires: Some(Time(100)), ..narrow };
        assert_eq!(ask(&ended, &used, Kind::Call, none), Verdict::Deny(Denial::Expired));
    }

    /// Two workers that collude would have a link without an end to it.
    #[test]
    fn what_is_served_is_not_asked_past_a_count() {
        let bind = Header { kind: Kind::Call, rpc: RpcIndex::BIND, ..Header::default() };
        let ask = |rights: &Rights, used: &Use, header: &Header| {
            decide(rights, used, header, DescriptorClasses::empty(), Time(100))
        };
        let counted = Rights::methods(RpcSet::first(1)).for_uses(1);
        let mut used = Use::default();
        for _ in 0..BINDS_MAX {
            assert_eq!(ask(&counted, &used, &bind), Verdict::Allow);
            used.note(&counted, &bind);
        }
        assert_eq!(ask(&counted, &used, &bind), Verdict::Deny(Denial::Exhausted));
        assert_eq!(ask(&Rights { uses: None, ..counted.clone() }, &used, &bind), Verdict::Allow, "nothing is counted");
        let spent = Use { messages: 1, ..Use::default() };
        assert_eq!(ask(&counted, &spent, &bind), Verdict::Deny(Denial::Exhausted));
        let long = Header { payload: BIND_LEN_MAX + 1, ..bind };
        assert_eq!(ask(&counted, &Use::default(), &long), Verdict::Deny(Denial::Method), "that is another question");
    }

    #[test]
    fn each_denial_has_its_reason() {
        let none = DescriptorClasses::empty();
        let file = DescriptorClasses::READ_ONLY_FILE;
        let rights = Rights::methods(RpcSet::first(2)).passing(file | DescriptorClasses::OTHER);
        let mut used = Use::default();
        assert_eq!(ask(&rights, &used, Kind::Call, 1, file), Verdict::Allow);
        assert_eq!(ask(&rights, &used, Kind::Call, 2, none), Verdict::Deny(Denial::Method));
        assert_eq!(ask(&rights, &used, Kind::Call, 1, DescriptorClasses::PIPE), Verdict::Deny(Denial::Descriptor));
        assert_eq!(ask(&rights, &used, Kind::Call, 1, DescriptorClasses::OTHER), Verdict::Deny(Denial::Descriptor));
        assert_eq!(ask(&rights, &used, Kind::Reply, 9, DescriptorClasses::PIPE), Verdict::Deny(Denial::Descriptor));
        let silent = Rights { flags: RightsFlags::ONEWAY, ..rights.clone() };
        assert_eq!(ask(&silent, &used, Kind::Call, 1, none), Verdict::Deny(Denial::Kind));
        let ended = Rights { expires: Some(Time(100)), ..rights.clone() };
        assert_eq!(ask(&ended, &used, Kind::Call, 1, none), Verdict::Deny(Denial::Expired));
        let twice = Rights { uses: Some(2), once: RpcSet::NONE.with(RpcIndex(1)), ..rights };
        used.note(&twice, &Header { kind: Kind::Call, rpc: RpcIndex(1), ..Header::default() });
        assert_eq!(ask(&twice, &used, Kind::Call, 1, none), Verdict::Deny(Denial::Spent));
        assert_eq!(ask(&twice, &used, Kind::Oneway, 0, none), Verdict::Allow);
        used.note(&twice, &Header { kind: Kind::Oneway, ..Header::default() });
        assert_eq!(ask(&twice, &used, Kind::Oneway, 0, none), Verdict::Deny(Denial::Exhausted));
    }
}
