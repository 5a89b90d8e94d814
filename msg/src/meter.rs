//! How much one direction of a link has in flight, and how much more it may send.

use serde::{Deserialize, Serialize};

use crate::{Kind, Route, Shape};

/// How many messages of one direction of a link may be on their way or unread.
pub const WINDOW_MESSAGES: u64 = 128;

/// How many bytes of payload of one direction of a link may be on their way or unread. Two of the largest messages.
pub const WINDOW_BYTES: u64 = 128 * 1024;

/// How many calls of one direction of a link may be unanswered. Each of them holds the place of its answer, so that
/// answers need no credit and back-pressure never blocks one.
pub const CALLS_IN_FLIGHT: u16 = 32;

/// How many descriptors of one direction of a link may be on their way or unread, answers' included: one for each answer
/// that can be under way, or two of the fullest messages. Descriptors under way are charged to the user, not to the
/// process that sends them, so that one worker which hoards them harms all others.
pub const WINDOW_DESCRIPTORS: u64 = 32;

/// Totals since the link was made, of what was sent or of what was taken.
///
/// Totals rather than differences: a credit that comes twice, or is dropped before a later one, does no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credit {
    /// Messages.
    pub messages: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Descriptors.
    pub descriptors: u64,
}

impl Credit {
    /// What one message takes of the window. Answers have their place already, but for what they carry: one that carries
    /// links takes the place of a message. The broker's own words and credits take nothing.
    #[must_use]
    pub fn of(kind: Kind, shape: Shape) -> Self {
        let descriptors = u64::from(shape.descriptors);
        match kind {
            Kind::Call | Kind::Oneway | Kind::Release | Kind::Switch | Kind::Cancel | Kind::Probe | Kind::Item => {
                Self { messages: 1, bytes: u64::from(shape.payload), descriptors }
            }
            Kind::Reply | Kind::Error => Self { messages: u64::from(shape.links > 0), bytes: 0, descriptors },
            Kind::Credit | Kind::Control | Kind::Demand => Self::default(),
        }
    }

    /// Both totals together; saturates, so that a made-up total stays out of bounds.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(more.messages),
            bytes: self.bytes.saturating_add(more.bytes),
            descriptors: self.descriptors.saturating_add(more.descriptors),
        }
    }

    /// What is left of this total without `less`, which is part of it.
    ///
    /// # Panics
    /// If it is not.
    #[must_use]
    pub const fn minus(self, less: Self) -> Self {
        Self {
            messages: self.messages - less.messages,
            bytes: self.bytes - less.bytes,
            descriptors: self.descriptors - less.descriptors,
        }
    }

    fn at_most(self, most: Self) -> Self {
        Self {
            messages: self.messages.min(most.messages),
            bytes: self.bytes.min(most.bytes),
            descriptors: self.descriptors.min(most.descriptors),
        }
    }

    pub(crate) const fn is_within(self, other: Self) -> bool {
        self.messages <= other.messages && self.bytes <= other.bytes && self.descriptors <= other.descriptors
    }
}

/// A sender has sent, or a receiver has returned, what it had no right to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Overdraft {
    /// More than [`WINDOW_MESSAGES`] unread messages.
    #[error("more than {WINDOW_MESSAGES} messages unread")]
    Messages,
    /// More than [`WINDOW_BYTES`] unread.
    #[error("more than {WINDOW_BYTES} bytes unread")]
    Bytes,
    /// More than [`WINDOW_DESCRIPTORS`] unread.
    #[error("more than {WINDOW_DESCRIPTORS} descriptors unread")]
    Descriptors,
    /// More than [`CALLS_IN_FLIGHT`] calls unanswered.
    #[error("more than {CALLS_IN_FLIGHT} calls unanswered")]
    Calls,
    /// An answer to which there is no call.
    #[error("an answer without a call")]
    Answer,
    /// A credit that goes backwards, or beyond what was sent.
    #[error("a credit for what was never sent")]
    Credit,
}

/// What a receiver has taken in all of what came by one route. It travels as the payload of a credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Receipt {
    /// By which route it came. Each route has an account of its own, kept by those who see its messages.
    pub route: Route,
    /// Totals since the link was made.
    pub taken: Credit,
}

/// What was sent by one route, and what the other side has taken of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Account {
    /// What was sent.
    pub sent: Credit,
    /// What of it was taken.
    pub taken: Credit,
}

impl Account {
    const fn unread(&self) -> Credit {
        self.sent.minus(self.taken)
    }
}

/// One direction of a link, as its sender, its receiver and the broker between them each count it.
///
/// The window is one; but each route has an account of its own, since the broker counts what it relays and sees nothing
/// of the rest. So every claim is checked by somebody who has seen for himself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Meter {
    relayed: Account,
    direct: Account,
    calls: u16,
}

impl Meter {
    /// The meter of a direction whose relayed account stands like this.
    #[must_use]
    pub fn resume(relayed: Account) -> Self {
        Self { relayed, ..Self::default() }
    }

    /// Counts a message in this direction; not that it is a call, which is [`Meter::open`]'s, or answers one, which is
    /// [`Meter::answer`]'s, of the *other* direction.
    ///
    /// # Errors
    /// [`Overdraft`] if the window is full; nothing is counted then.
    pub fn send(&mut self, route: Route, kind: Kind, shape: Shape) -> Result<(), Overdraft> {
        let message = Credit::of(kind, shape);
        let unread = self.relayed.unread().plus(self.direct.unread()).plus(message);
        if message.messages > 0 && unread.messages > window_of(kind) {
            return Err(Overdraft::Messages);
        }
        if message.bytes > 0 && unread.bytes > WINDOW_BYTES {
            return Err(Overdraft::Bytes);
        }
        if message.descriptors > 0 && unread.descriptors > WINDOW_DESCRIPTORS {
            return Err(Overdraft::Descriptors);
        }
        let account = self.account_mut(route);
        account.sent = account.sent.plus(message);
        Ok(())
    }

    /// Counts a call.
    ///
    /// # Errors
    /// [`Overdraft::Calls`] if [`CALLS_IN_FLIGHT`] are open; nothing is counted then.
    pub fn open(&mut self) -> Result<(), Overdraft> {
        if self.calls >= CALLS_IN_FLIGHT {
            return Err(Overdraft::Calls);
        }
        self.calls += 1;
        Ok(())
    }

    /// Takes back what [`send`](Self::send) counted for a message that did not leave after all. A peer that says it has taken
    /// such a one has taken less.
    pub(crate) fn unsend(&mut self, route: Route, kind: Kind, shape: Shape) {
        let account = self.account_mut(route);
        account.sent = account.sent.minus(Credit::of(kind, shape));
        account.taken = account.taken.at_most(account.sent);
    }

    /// What [`send`](Self::send) counted for the direct route leaves by the relayed one: its place in the one window stays.
    pub(crate) fn divert(&mut self, kind: Kind, shape: Shape) {
        self.unsend(Route::Direct, kind, shape);
        self.relayed.sent = self.relayed.sent.plus(Credit::of(kind, shape));
    }

    /// The other side answered one of this direction's calls, or it was never made.
    ///
    /// # Errors
    /// [`Overdraft::Answer`] if none was open.
    pub fn answer(&mut self) -> Result<(), Overdraft> {
        self.calls = self.calls.checked_sub(1).ok_or(Overdraft::Answer)?;
        Ok(())
    }

    /// The other side says how much it has taken in all.
    ///
    /// # Errors
    /// [`Overdraft::Credit`] unless the totals grow, and stay within what was sent. Bytes alone cannot grow: they would
    /// make a great many credits of one message.
    pub fn credit(&mut self, receipt: Receipt) -> Result<(), Overdraft> {
        let Receipt { route, taken } = receipt;
        let account = self.account_mut(route);
        let grows = taken.messages > account.taken.messages
            || (taken.bytes == account.taken.bytes && taken.descriptors > account.taken.descriptors);
        if !grows || !account.taken.is_within(taken) || !taken.is_within(account.sent) {
            return Err(Overdraft::Credit);
        }
        account.taken = taken;
        Ok(())
    }

    /// How one route's account stands.
    #[must_use]
    pub const fn account(&self, route: Route) -> Account {
        match route {
            Route::Relayed => self.relayed,
            Route::Direct => self.direct,
        }
    }

    /// How many calls of this direction are unanswered.
    #[must_use]
    pub const fn calls(&self) -> u16 {
        self.calls
    }

    /// One end has another holder: the account of the direct route begins anew.
    pub fn hand_over(&mut self) {
        self.direct = Account::default();
    }

    /// From now on so many calls of this direction are unanswered.
    pub fn set_calls(&mut self, calls: u16) {
        self.calls = calls;
    }

    const fn account_mut(&mut self, route: Route) -> &mut Account {
        match route {
            Route::Relayed => &mut self.relayed,
            Route::Direct => &mut self.direct,
        }
    }
}

/// How many messages may be unread once one of this kind is sent. A call may be given up whenever it is, once: so those
/// that can be under way when a window is full have places of their own.
const fn window_of(kind: Kind) -> u64 {
    match kind {
        Kind::Cancel => WINDOW_MESSAGES + CALLS_IN_FLIGHT as u64,
        _ => WINDOW_MESSAGES,
    }
}

/// The receiver's half of the account: what it took, and what of that it has said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Taken {
    relayed: Tally,
    direct: Tally,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Tally {
    total: Credit,
    said: Credit,
}

impl Tally {
    const fn unsaid(&self) -> Credit {
        self.total.minus(self.said)
    }
}

impl Taken {
    /// Of a direction whose relayed account stands at this, all of it taken and said.
    #[must_use]
    pub fn resume(relayed: Credit) -> Self {
        Self { relayed: Tally { total: relayed, said: relayed }, direct: Tally::default() }
    }

    /// The other end has another holder: the account of the direct route begins anew.
    pub fn hand_over(&mut self) {
        self.direct = Tally::default();
    }

    /// Notes that a message was taken out of the window.
    pub fn take(&mut self, route: Route, kind: Kind, shape: Shape) {
        let tally = self.tally_mut(route);
        tally.total = tally.total.plus(Credit::of(kind, shape));
    }

    /// What is to be said now, if anything: once half a window has come together over both routes, the account in which
    /// there is more of it; descriptors at once. What came by a direct route is kept back while `hold`.
    pub fn due(&mut self, hold: bool) -> Option<Receipt> {
        let (relayed, direct) = (self.relayed.unsaid(), self.direct.unsaid());
        let unsaid = relayed.plus(direct);
        let is_due = unsaid.messages >= WINDOW_MESSAGES / 2 || unsaid.bytes >= WINDOW_BYTES / 2;
        let more_relayed = relayed.messages + relayed.bytes / (WINDOW_BYTES / WINDOW_MESSAGES)
            >= direct.messages + direct.bytes / (WINDOW_BYTES / WINDOW_MESSAGES);
        let route = match (is_due, more_relayed) {
            _ if relayed.descriptors > 0 => Route::Relayed,
            (true, false) if !hold => Route::Direct,
            (true, _) if relayed != Credit::default() => Route::Relayed,
            _ => return None,
        };
        let tally = self.tally_mut(route);
        tally.said = tally.total;
        Some(Receipt { route, taken: tally.total })
    }

    const fn tally_mut(&mut self, route: Route) -> &mut Tally {
        match route {
            Route::Relayed => &mut self.relayed,
            Route::Direct => &mut self.direct,
        }
    }
}

#[cfg(test)]
mod tests;
