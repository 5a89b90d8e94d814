//! How workers that wait for each other in a circle find out.
//!
//! A worker that waits serves calls of its own chain only. So two workers, each of which waits for the other on behalf of
//! somebody else, would wait until a deadline passes. Neither can know: each sees its own wait, and a call that it holds back.
//!
//! So a worker that has waited for a while, and holds calls back, sends a *probe* after the call whose answer it waits for.
//! Whoever gets one and cannot answer that call before another call of its own is answered passes it on after that one. A
//! probe that comes home, after a call that its sender holds back, has gone round a circle: each of its calls is answered
//! after the next. One of those that are held back must fail, and the youngest does: the one that closed the circle. Its
//! holder refuses it with [`Failure::Circle`](crate::Failure::Circle).
//!
//! Nothing that a probe says is believed further than that: a worker that lies about one makes calls fail that were made to
//! it, or that wait for it, and those it could leave unanswered as well.

use serde::{Deserialize, Serialize};

use crate::link_end::CALL_DEPTH_MAX;
use crate::{ChainId, Time, decode_whole};

/// Longest probe, in bytes.
pub const PROBE_LEN_MAX: u32 = 128;

/// What travels after a call to find out whether it waits for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The sender's mark for the wait that it asks about.
    pub wait: u32,
    /// The youngest of the calls on its way that are held back.
    pub youngest: Age,
    /// The workers on its way, by the numbers under which the broker knows them, the sender first.
    pub path: Vec<u32>,
}

/// How old a call is that is held back, and which of two as old ones comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Age {
    /// When it came.
    pub since: Time,
    /// Its chain.
    pub chain: u64,
}

impl Age {
    /// Of a call of this chain that came then.
    #[must_use]
    pub const fn new(since: Time, chain: ChainId) -> Self {
        Self { since, chain: chain.0 }
    }
}

impl Probe {
    /// A probe of the worker with this number.
    #[must_use]
    pub fn new(wait: u32, worker: u32) -> Self {
        Self { wait, youngest: Age::default(), path: vec![worker] }
    }

    /// What `payload` says, if it is a probe.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let probe: Self = decode_whole(payload).ok()?;
        (1..=usize::from(CALL_DEPTH_MAX)).contains(&probe.path.len()).then_some(probe)
    }

    /// The probe as it goes on from the worker with this number, which holds the call back that it came after if that has
    /// an age here. `None` if it goes no further: it has been there, or has come too far.
    #[must_use]
    pub fn pass_on(mut self, worker: u32, held: Option<Age>) -> Option<Self> {
        if self.path.len() >= usize::from(CALL_DEPTH_MAX) || self.path.contains(&worker) {
            return None;
        }
        self.youngest = self.youngest.max(held.unwrap_or_default());
        self.path.push(worker);
        Some(self)
    }
}

/// Workers that wait for each other in a circle, each for the next and the last for the first, by the numbers under which
/// the broker knows them. Who they are each worker knows only of those that it may see.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Circle(Vec<u32>);

impl Circle {
    /// The circle that a probe has gone round.
    #[must_use]
    pub fn of(probe: Probe) -> Self {
        Self(probe.path)
    }

    /// The worker that has refused a call because of it.
    #[must_use]
    pub fn refused_by(&self) -> Option<u32> {
        self.0.first().copied()
    }

    /// For people, as the worker with the number `own` sees it: `audio → video → … → audio`. `name` knows whom it may see.
    #[must_use]
    pub fn seen_by<'a>(&self, own: u32, name: impl Fn(u32) -> Option<&'a str>) -> String {
        let start = self.0.iter().position(|&number| number == own).unwrap_or(0);
        let (before, from) = self.0.split_at(start);
        let round = from.iter().chain(before).chain(from.first());
        let mut text = String::new();
        let mut last = "";
        for name in round.map(|&number| name(number).unwrap_or(UNSEEN)) {
            if name == UNSEEN && last == UNSEEN {
                continue;
            }
            if !text.is_empty() {
                text.push_str(" → ");
            }
            text.push_str(name);
            last = name;
        }
        text
    }
}

/// A worker that another one may not see.
const UNSEEN: &str = "…";

/// More numbers than a probe ever collects.
#[derive(Debug, thiserror::Error)]
#[error("a circle of {0} workers")]
pub struct TooLong(usize);

impl TryFrom<Vec<u32>> for Circle {
    type Error = TooLong;

    fn try_from(path: Vec<u32>) -> Result<Self, TooLong> {
        if path.len() > usize::from(CALL_DEPTH_MAX) { Err(TooLong(path.len())) } else { Ok(Self(path)) }
    }
}

impl From<Circle> for Vec<u32> {
    fn from(circle: Circle) -> Self {
        circle.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;

    fn encoded(probe: &Probe) -> Vec<u8> {
        Message::<()>::new().append(probe).unwrap().payload().to_vec()
    }

    #[test]
    fn the_longest_probe_fits() {
        let youngest = Age { since: Time(u64::MAX), chain: u64::MAX };
        let mut probe = Probe { youngest, ..Probe::new(u32::MAX, u32::MAX) };
        for worker in 0..u32::from(CALL_DEPTH_MAX) - 1 {
            probe = probe.pass_on(u32::MAX - 1 - worker, None).unwrap();
        }
        assert!(encoded(&probe).len() <= PROBE_LEN_MAX as usize);
        assert_eq!(Probe::read(&encoded(&probe)).as_ref(), Some(&probe));
        assert_eq!(probe.clone().pass_on(7, None), None, "it has come far enough");
        probe.path.push(7);
        assert_eq!(Probe::read(&encoded(&probe)), None);
        probe.path.clear();
        assert_eq!(Probe::read(&encoded(&probe)), None);
    }

    #[test]
    fn nobody_passes_a_probe_on_twice() {
        let (old, young) = (Age::new(Time(1), ChainId(9)), Age::new(Time(2), ChainId(1)));
        let probe = Probe::new(1, 5).pass_on(6, Some(young)).unwrap();
        assert_eq!(probe.clone().pass_on(6, None), None);
        assert_eq!(probe.pass_on(7, Some(old)).unwrap().youngest, young);
    }

    #[test]
    fn a_circle_is_told_as_far_as_it_is_seen() {
        let circle = Circle(vec![1, 2, 3, 4]);
        let all = |number| Some(["", "demux", "audio", "video", "sink"][number as usize]);
        assert_eq!(circle.seen_by(3, all), "video → sink → demux → audio → video");
        let few = |number| all(number).filter(|_| number == 3 || number == 4);
        assert_eq!(circle.seen_by(3, few), "video → sink → … → video");
        assert_eq!(circle.seen_by(9, few), "… → video → sink → …");
        assert!(Circle::try_from(vec![0; 17]).is_err());
    }
}
