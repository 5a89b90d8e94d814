//! Rules of the protocol, each of which can be broken on purpose.

/// A rule that somebody in the world does not keep. The explorer has to notice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A worker reads a socket before its peer has said that it uses it.
    ReadEarly,
    /// A worker does not drain the socket before it takes a relayed message.
    NoDrain,
    /// A survivor does not drain the socket when the broker says that its peer is dead.
    NoLastDrain,
    /// A worker uses the socket without a switch before.
    NoSwitch,
    /// A worker says its first word on the socket before the switch.
    SwitchLate,
    /// A worker goes on relayed before it has told the broker that it left.
    LeftLate,
    /// A worker says that a change is complete when it has done its own part.
    SettleEarly,
    /// What could not leave by the socket is forgotten.
    LoseOutbox,
    /// What could not leave by the socket is relayed, but counted where it was.
    OutboxUncounted,
    /// What could not leave by the socket is relayed behind the next message.
    OutboxBehind,
    /// What carries a link leaves a direct route without a switch.
    NoExcursion,
    /// The switch of an excursion waits for room, and its message does not.
    ExcursionAhead,
    /// A receipt for what was relayed goes by the socket.
    ReceiptUnseen,
    /// A worker confirms a revocation and goes on delivering.
    DeliverAfterRelease,
    /// The new holder of an end numbers its calls like the former one.
    ReuseCallIds,
    /// A worker does not hear that its peer's end was moved.
    MoveUnheard,
    /// A worker gives a link away that is not at rest.
    MoveUnrested,
    /// The broker says that a link is at rest as soon as somebody asks.
    RestEarly,
    /// A call that was given up is answered, and served as well.
    ServeCancelled,
    /// A call is given up by way of the broker, whatever way it went.
    CancelAstray,
    /// The broker does not shut the half of a socket that was left.
    NoShut,
    /// The broker changes the route of a link before both ends have settled.
    SwitchUnrested,
    /// The broker does not cut the socket of a link that has ended.
    NoCut,
    /// The broker declares a worker dead before it has handled its last words.
    DeathBeforeLastWords,
    /// The broker acknowledges a revocation before the workers have confirmed it.
    AcknowledgeEarly,
    /// The broker passes a message on before its receiver has heard of the link that it carries.
    MessageBeforeGrant,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::ReadEarly,
        Self::NoDrain,
        Self::NoLastDrain,
        Self::NoSwitch,
        Self::SwitchLate,
        Self::LeftLate,
        Self::SettleEarly,
        Self::LoseOutbox,
        Self::OutboxUncounted,
        Self::OutboxBehind,
        Self::NoExcursion,
        Self::ExcursionAhead,
        Self::ReceiptUnseen,
        Self::DeliverAfterRelease,
        Self::ReuseCallIds,
        Self::MoveUnheard,
        Self::MoveUnrested,
        Self::RestEarly,
        Self::ServeCancelled,
        Self::CancelAstray,
        Self::NoShut,
        Self::SwitchUnrested,
        Self::NoCut,
        Self::DeathBeforeLastWords,
        Self::AcknowledgeEarly,
        Self::MessageBeforeGrant,
    ];
}
