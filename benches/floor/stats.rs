//! A few figures out of many.

use std::time::Duration;

/// What one round of calls took.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Half of the calls took no longer.
    pub p50: Duration,
    /// 99 in 100 calls took no longer.
    pub p99: Duration,
    /// Page faults per call, in all processes that take part.
    pub faults: f64,
}

impl Round {
    /// Sums up the calls of one round, of which there must be some.
    pub fn of(calls: &mut [Duration], faults: u64) -> Self {
        calls.sort_unstable();
        let at = |percent: usize| calls[(calls.len() - 1) * percent / 100];
        #[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let faults = faults as f64 / calls.len() as f64;
        Self { p50: at(50), p99: at(99), faults }
    }
}

/// The middle one of some figures.
pub fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
