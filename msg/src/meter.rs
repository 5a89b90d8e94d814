//! How much one direction of a link has in flight, and how much more it may send.

use serde::{Deserialize, Serialize};

use crate::{Kind, Shape};

/// How many messages of one direction of a link may be on their way or unread.
pub const WINDOW_MESSAGES: u64 = 64;

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
    /// What one message takes of the window. Answers have their place already, but for what they carry; the broker's
    /// own words and credits take nothing.
    #[must_use]
    pub fn of(kind: Kind, shape: Shape) -> Self {
        let descriptors = u64::from(shape.descriptors);
        match kind {
            Kind::Call | Kind::Oneway | Kind::Release => {
                Self { messages: 1, bytes: u64::from(shape.payload), descriptors }
            }
            Kind::Reply | Kind::Error => Self { descriptors, ..Self::default() },
            Kind::Credit | Kind::Control => Self::default(),
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
    const fn minus(self, less: Self) -> Self {
        Self {
            messages: self.messages - less.messages,
            bytes: self.bytes - less.bytes,
            descriptors: self.descriptors - less.descriptors,
        }
    }

    const fn is_within(self, other: Self) -> bool {
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

/// One direction of a link, as its sender, its receiver and the broker between them each count it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Meter {
    sent: Credit,
    taken: Credit,
    calls: u16,
}

impl Meter {
    /// Counts a message in this direction. That an answer answers is counted by [`Meter::answer`] of the *other*
    /// direction.
    ///
    /// # Errors
    /// [`Overdraft`] if the window is full; nothing is counted then.
    pub fn send(&mut self, kind: Kind, shape: Shape) -> Result<(), Overdraft> {
        let message = Credit::of(kind, shape);
        let unread = self.sent.minus(self.taken).plus(message);
        if message.messages > 0 && unread.messages > WINDOW_MESSAGES {
            return Err(Overdraft::Messages);
        }
        if message.bytes > 0 && unread.bytes > WINDOW_BYTES {
            return Err(Overdraft::Bytes);
        }
        if message.descriptors > 0 && unread.descriptors > WINDOW_DESCRIPTORS {
            return Err(Overdraft::Descriptors);
        }
        if kind == Kind::Call {
            if self.calls >= CALLS_IN_FLIGHT {
                return Err(Overdraft::Calls);
            }
            self.calls += 1;
        }
        self.sent = self.sent.plus(message);
        Ok(())
    }

    /// Takes back what [`send`](Self::send) counted for a message that did not leave after all.
    pub(crate) fn unsend(&mut self, kind: Kind, shape: Shape) {
        self.sent = self.sent.minus(Credit::of(kind, shape));
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
    /// [`Overdraft::Credit`] unless the totals grow, and stay within what was sent. Bytes alone cannot grow: they would
    /// make a great many credits of one message.
    pub fn credit(&mut self, taken: Credit) -> Result<(), Overdraft> {
        let grows = taken.messages > self.taken.messages
            || (taken.bytes == self.taken.bytes && taken.descriptors > self.taken.descriptors);
        if !grows || !self.taken.is_within(taken) || !taken.is_within(self.sent) {
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
    /// together, and for descriptors at once.
    pub fn take(&mut self, kind: Kind, shape: Shape) -> Option<Credit> {
        self.total = self.total.plus(Credit::of(kind, shape));
        let unsaid = self.total.minus(self.said);
        let due = unsaid.messages >= WINDOW_MESSAGES / 2 || unsaid.bytes >= WINDOW_BYTES / 2 || unsaid.descriptors > 0;
        due.then(|| {
            self.said = self.total;
            self.total
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn bytes(payload: u32) -> Shape {
        Shape { payload, descriptors: 0 }
    }

    const fn credit(messages: u64, bytes: u64, descriptors: u64) -> Credit {
        Credit { messages, bytes, descriptors }
    }

    #[test]
    fn a_full_window_refuses_and_a_credit_opens_it() {
        let mut meter = Meter::default();
        for _ in 0..WINDOW_MESSAGES {
            meter.send(Kind::Oneway, bytes(8)).unwrap();
        }
        assert_eq!(meter.send(Kind::Oneway, bytes(8)), Err(Overdraft::Messages));
        assert_eq!(meter.send(Kind::Reply, bytes(8)), Ok(()), "answers need no credit");
        assert_eq!(meter.credit(credit(65, 8, 0)), Err(Overdraft::Credit));
        meter.credit(credit(1, 8, 0)).unwrap();
        assert_eq!(meter.credit(credit(1, 8, 0)), Err(Overdraft::Credit), "no credit without news");
        assert_eq!(meter.send(Kind::Oneway, bytes(u32::try_from(WINDOW_BYTES).unwrap())), Err(Overdraft::Bytes));
        meter.send(Kind::Oneway, bytes(8)).unwrap();
    }

    #[test]
    fn descriptors_have_a_window_of_their_own() {
        let mut meter = Meter::default();
        let carrying = |descriptors| Shape { payload: 4, descriptors };
        meter.send(Kind::Oneway, carrying(16)).unwrap();
        meter.send(Kind::Reply, carrying(15)).unwrap();
        for kind in [Kind::Call, Kind::Oneway, Kind::Reply, Kind::Error] {
            assert_eq!(meter.send(kind, carrying(2)), Err(Overdraft::Descriptors), "{kind:?}");
        }
        meter.send(Kind::Oneway, carrying(0)).unwrap();
        // The answer is taken first: it gives its descriptors back, and nothing else.
        meter.credit(credit(0, 0, 15)).unwrap();
        assert_eq!(meter.credit(credit(0, 0, 15)), Err(Overdraft::Credit), "no credit without news");
        assert_eq!(meter.credit(credit(0, 1, 15)), Err(Overdraft::Credit), "bytes come with messages");
        assert_eq!(meter.credit(credit(0, 0, 14)), Err(Overdraft::Credit), "totals do not shrink");
        assert_eq!(meter.credit(credit(2, 8, 32)), Err(Overdraft::Credit), "more than was sent");
        meter.send(Kind::Call, carrying(16)).unwrap();
        meter.credit(credit(3, 12, 47)).unwrap();
    }

    #[test]
    fn descriptors_are_announced_at_once() {
        let mut taken = Taken::default();
        assert_eq!(taken.take(Kind::Oneway, bytes(3)), None);
        assert_eq!(taken.take(Kind::Reply, bytes(3)), None);
        assert_eq!(taken.take(Kind::Reply, Shape { payload: 3, descriptors: 1 }), Some(credit(1, 3, 1)));
    }

    #[test]
    fn answers_match_calls() {
        let mut meter = Meter::default();
        assert_eq!(meter.answer(), Err(Overdraft::Answer));
        for _ in 0..CALLS_IN_FLIGHT {
            meter.send(Kind::Call, bytes(0)).unwrap();
        }
        assert_eq!(meter.send(Kind::Call, bytes(0)), Err(Overdraft::Calls));
        meter.answer().unwrap();
        meter.send(Kind::Call, bytes(0)).unwrap();
    }

    proptest! {
        /// Whatever is sent and taken, in whatever order, an honest pair never overdraws and never stalls for ever.
        #[test]
        fn honest_pairs_never_overdraw(
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0u32..65_000, 0u8..=16), 1..400),
        ) {
            let (mut sender, mut receiver, mut taken) = (Meter::default(), Meter::default(), Taken::default());
            let mut queue = std::collections::VecDeque::new();
            for (send, answer, payload, descriptors) in steps {
                let (kind, shape) = (if answer { Kind::Reply } else { Kind::Oneway }, Shape { payload, descriptors });
                if send && sender.send(kind, shape).is_ok() {
                    prop_assert_eq!(receiver.send(kind, shape), Ok(()));
                    queue.push_back((kind, shape));
                } else if let Some((kind, shape)) = queue.pop_front()
                    && let Some(credit) = taken.take(kind, shape)
                {
                    prop_assert_eq!(receiver.credit(credit), Ok(()));
                    prop_assert_eq!(sender.credit(credit), Ok(()));
                }
            }
            while let Some((kind, shape)) = queue.pop_front() {
                if let Some(credit) = taken.take(kind, shape) {
                    sender.credit(credit).unwrap();
                }
            }
            prop_assert_eq!(sender.send(Kind::Oneway, Shape { payload: 60_000, descriptors: 16 }), Ok(()));
        }
    }
}
