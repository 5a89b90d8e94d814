//! How often, and how soon, a worker is started again; and which input is not tried again.

use std::collections::BTreeMap;
use std::time::Duration;

/// How often a worker is started again in a row, unless its spec says otherwise. WebKit allows two; a demuxer that dies
/// three times without one picture in between will die a fourth time.
pub const RESTARTS: u32 = 3;

/// The pause before the first restart; each further one takes twice as long.
pub const RESTART_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause before a restart.
pub const RESTART_PAUSE_MAX: Duration = Duration::from_secs(2);

/// How many workers an input may kill before it is quarantined.
pub const QUARANTINE_AFTER: u32 = 2;

/// How many inputs are remembered as having killed; the oldest number is forgotten first.
const INPUTS_REMEMBERED: usize = 1024;

/// What is left of a worker's restarts.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    most: u32,
    deaths: u32,
}

impl Budget {
    pub(super) const fn new(most: u32) -> Self {
        Self { most, deaths: 0 }
    }

    pub(super) const fn most(&self) -> u32 {
        self.most
    }

    pub(super) const fn deaths(&self) -> u32 {
        self.deaths
    }

    /// Whether the next death is the last.
    pub(super) const fn is_spent(&self) -> bool {
        self.deaths >= self.most
    }

    /// The worker has done something useful: what was before does not count any more.
    pub(super) const fn reset(&mut self) {
        self.deaths = 0;
    }

    /// It died. How long to wait before it is started again; `None` if it is not.
    pub(super) fn spend(&mut self) -> Option<Duration> {
        self.deaths += 1;
        (self.deaths <= self.most).then(|| {
            let doublings = (self.deaths - 1).min(16);
            (RESTART_PAUSE * 2u32.pow(doublings)).min(RESTART_PAUSE_MAX)
        })
    }
}

/// An input that has killed too often is not to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("input {0} has killed {QUARANTINE_AFTER} workers and is not tried again")]
pub struct Quarantined(pub u64);

/// Which input killed how often.
#[derive(Debug, Default)]
pub(super) struct Killers {
    kills: BTreeMap<u64, u32>,
}

impl Killers {
    /// It killed a worker; whether it is quarantined from now on.
    pub(super) fn note(&mut self, input: u64) -> bool {
        if self.kills.len() >= INPUTS_REMEMBERED && !self.kills.contains_key(&input) {
            self.kills.pop_first();
        }
        let kills = self.kills.entry(input).or_default();
        *kills += 1;
        *kills == QUARANTINE_AFTER
    }

    pub(super) fn check(&self, input: u64) -> Result<(), Quarantined> {
        let kills = self.kills.get(&input).copied().unwrap_or_default();
        if kills < QUARANTINE_AFTER { Ok(()) } else { Err(Quarantined(input)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_the_budget_is_spent() {
        let mut budget = Budget::new(3);
        let pauses: Vec<_> = std::iter::from_fn(|| budget.spend()).collect();
        assert_eq!(pauses, [1, 2, 4].map(|times| RESTART_PAUSE * times));
        assert!(budget.is_spent());
        budget.reset();
        assert!(!budget.is_spent() && Budget::new(0).is_spent());
        assert_eq!(budget.spend(), Some(RESTART_PAUSE));
        assert_eq!(
            std::iter::from_fn({
                let mut b = Budget::new(40);
                move || b.spend()
            })
            .max(),
            Some(RESTART_PAUSE_MAX)
        );
    }

    #[test]
    fn an_input_that_kills_twice_is_quarantined_once() {
        let mut killers = Killers::default();
        assert!(!killers.note(7));
        assert_eq!(killers.check(7), Ok(()));
        assert!(killers.note(7));
        assert!(!killers.note(7));
        assert_eq!(killers.check(7), Err(Quarantined(7)));
        for input in 100..100 + INPUTS_REMEMBERED as u64 {
            killers.note(input);
        }
        assert!(killers.kills.len() <= INPUTS_REMEMBERED);
    }
}
