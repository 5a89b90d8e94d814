//! Times, as containers count them.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// Nanoseconds on a file's time line.
pub type Nanos = i64;

/// How long one tick of a track's clock is: `numerator / denominator` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBase {
    /// Seconds, above the line.
    pub numerator: NonZeroU32,
    /// Seconds, below the line.
    pub denominator: NonZeroU32,
}

impl TimeBase {
    /// The time of tick `ticks`, rounded down, saturating.
    pub fn nanos(self, ticks: i64) -> Nanos {
        let nanos = i128::from(ticks) * i128::from(self.numerator.get()) * 1_000_000_000;
        saturate(nanos.div_euclid(i128::from(self.denominator.get())))
    }

    /// The number of the sample that is played at tick `ticks` when `rate` samples are played a second: the nearest
    /// one, saturating.
    pub fn samples(self, ticks: i64, rate: u32) -> i64 {
        let denominator = i128::from(self.denominator.get());
        let doubled = 2 * i128::from(ticks) * i128::from(self.numerator.get()) * i128::from(rate);
        saturate((doubled + denominator).div_euclid(2 * denominator))
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(numerator: u32, denominator: u32) -> TimeBase {
        TimeBase {
            numerator: NonZeroU32::new(numerator).expect("not zero"),
            denominator: NonZeroU32::new(denominator).expect("not zero"),
        }
    }

    #[test]
    fn times_round_and_saturate() {
        assert_eq!(base(1, 3).nanos(1), 333_333_333);
        assert_eq!(base(1, 3).nanos(-1), -333_333_334);
        assert_eq!(base(u32::MAX, 1).nanos(i64::MAX), i64::MAX);
        assert_eq!(base(u32::MAX, 1).nanos(i64::MIN), i64::MIN);
        assert_eq!(base(1, 1000).samples(3, 44_100), 132);
        assert_eq!(base(1, 48_000).samples(-128, 48_000), -128);
    }
}
