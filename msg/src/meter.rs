//! How much one direction of a link has in flight, and how much more it may send.

use serde::{Deserialize, Serialize};

use crate::Kind;

/// How many messages of one direction of a link may be on their way or unread.
pub const WINDOW_MESSAGES: u64 = 64;

/// How many bytes of payload of one direction of a link may be on their way or unread. Two of the largest messages.
pub const WINDOW_BYTES: u64 = 128 * 1024;

/// How many calls of one direction of a link may be unanswered. Each of them holds the place of its answer, so that
/// answers need no credit and back-pressure never blocks one.
pub const CALLS_IN_FLIGHT: u16 = 32;

/// Totals since the link was made, of what was sent or of what was taken.
///
/// Totals rather than differences: a credit that comes twice, or is dropped before a later one, does no harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credit {
    /// Messages.
    pub messages: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Credit {
    /// Both totals together; saturates, so that a made-up total stays out of bounds.
    #[must_use]
    pub const fn plus(self, more: Self) -> Self {
        Self { messages: self.messages.saturating_add(more.messages), bytes: self.bytes.saturating_add(more.bytes) }
    }

    fn add(&mut self, payload: u32) {
        *self = self.plus(Self { messages: 1, bytes: u64::from(payload) });
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

/// One direction of a link, as its sender, its receiver and the broker between them each count it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Meter {
    sent: Credit,
    taken: Credit,
    calls: u16,
}

impl Meter {
    /// Counts a message in this direction. Answers and credits cost nothing here: see [`Meter::answer`] and
    /// [`Meter::credit`], which the *other* direction's are counted by.
    ///
    /// # Errors
    /// [`Overdraft`] if the window is full; nothing is counted then.
    pub fn send(&mut self, kind: Kind, payload: u32) -> Result<(), Overdraft> {
        if !matches!(kind, Kind::Call | Kind::Oneway | Kind::Release) {
            return Ok(());
        }
        if self.sent.messages - self.taken.messages >= WINDOW_MESSAGES {
            return Err(Overdraft::Messages);
        }
        if self.sent.bytes - self.taken.bytes + u64::from(payload) > WINDOW_BYTES {
            return Err(Overdraft::Bytes);
        }
        if kind == Kind::Call {
            if self.calls >= CALLS_IN_FLIGHT {
                return Err(Overdraft::Calls);
            }
            self.calls += 1;
        }
        self.sent.add(payload);
        Ok(())
    }

    /// Takes back what [`send`](Self::send) counted for a message that did not leave after all.
    pub(crate) fn unsend(&mut self, kind: Kind, payload: u32) {
        self.sent.messages -= 1;
        self.sent.bytes -= u64::from(payload);
        if kind == Kind::Call {
            self.calls -= 1;
        }
    }

    /// The other side answered one of this direction's calls.
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
    /// [`Overdraft::Credit`] unless the totals grow, and stay within what was sent.
    pub fn credit(&mut self, taken: Credit) -> Result<(), Overdraft> {
        let grows = taken.messages > self.taken.messages && taken.bytes >= self.taken.bytes;
        if !grows || taken.messages > self.sent.messages || taken.bytes > self.sent.bytes {
            return Err(Overdraft::Credit);
        }
        self.taken = taken;
        Ok(())
    }

    /// How much of this direction the other side has taken in all.
    #[must_use]
    pub const fn taken(&self) -> Credit {
        self.taken
    }

    /// How many calls of this direction are unanswered.
    #[must_use]
    pub const fn calls(&self) -> u16 {
        self.calls
    }
}

/// The receiver's half of the account: what it took, and what of that it has said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Taken {
    total: Credit,
    said: Credit,
}

impl Taken {
    /// Notes that a message was taken out of the window; gives the credit to announce once half a window has come
    /// together.
    pub fn take(&mut self, kind: Kind, payload: u32) -> Option<Credit> {
        if !matches!(kind, Kind::Call | Kind::Oneway | Kind::Release) {
            return None;
        }
        self.total.add(payload);
        let half = self.total.messages - self.said.messages >= WINDOW_MESSAGES / 2
            || self.total.bytes - self.said.bytes >= WINDOW_BYTES / 2;
        half.then(|| {
            self.said = self.total;
            self.total
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_window_refuses_and_a_credit_opens_it() {
        let mut meter = Meter::default();
        for _ in 0..WINDOW_MESSAGES {
            meter.send(Kind::Oneway, 8).unwrap();
        }
        assert_eq!(meter.send(Kind::Oneway, 8), Err(Overdraft::Messages));
        assert_eq!(meter.send(Kind::Reply, 8), Ok(()), "answers need no credit");
        assert_eq!(meter.credit(Credit { messages: 65, bytes: 8 }), Err(Overdraft::Credit));
        meter.credit(Credit { messages: 1, bytes: 8 }).unwrap();
        assert_eq!(meter.credit(Credit { messages: 1, bytes: 8 }), Err(Overdraft::Credit), "no credit without news");
        assert_eq!(meter.send(Kind::Oneway, u32::try_from(WINDOW_BYTES).unwrap()), Err(Overdraft::Bytes));
        meter.send(Kind::Oneway, 8).unwrap();
    }

    #[test]
    fn answers_match_calls() {
        let mut meter = Meter::default();
        assert_eq!(meter.answer(), Err(Overdraft::Answer));
        for _ in 0..CALLS_IN_FLIGHT {
            meter.send(Kind::Call, 0).unwrap();
        }
        assert_eq!(meter.send(Kind::Call, 0), Err(Overdraft::Calls));
        meter.answer().unwrap();
        meter.send(Kind::Call, 0).unwrap();
    }

    proptest! {
        /// Whatever is sent and taken, in whatever order, an honest pair never overdraws and never stalls for ever.
        #[test]
        fn honest_pairs_never_overdraw(steps in prop::collection::vec((any::<bool>(), 0u32..65_000), 1..400)) {
            let (mut sender, mut receiver, mut taken) = (Meter::default(), Meter::default(), Taken::default());
            let mut queue = std::collections::VecDeque::new();
            for (send, payload) in steps {
                if send && sender.send(Kind::Oneway, payload).is_ok() {
                    prop_assert_eq!(receiver.send(Kind::Oneway, payload), Ok(()));
                    queue.push_back(payload);
                } else if let Some(payload) = queue.pop_front()
                    && let Some(credit) = taken.take(Kind::Oneway, payload)
                {
                    prop_assert_eq!(receiver.credit(credit), Ok(()));
                    prop_assert_eq!(sender.credit(credit), Ok(()));
                }
            }
            while let Some(payload) = queue.pop_front() {
                if let Some(credit) = taken.take(Kind::Oneway, payload) {
                    sender.credit(credit).unwrap();
                }
            }
            prop_assert_eq!(sender.send(Kind::Oneway, 60_000), Ok(()));
        }
    }
}
