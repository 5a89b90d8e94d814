//! How many pictures a second: found from the pictures' times, since containers round them.

use std::collections::BTreeMap;

use crate::protocol::TimeBase;

/// Watches the times of pictures go by.
#[derive(Clone, Debug)]
pub struct Cadence {
    time_base: TimeBase,
    last: Option<i64>,
    duration: u64,
    /// How often each distance between two pictures occurred, in ticks.
    distances: BTreeMap<u64, u64>,
    irregular: bool,
}

/// Pictures a second, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Pictures, above the line.
    pub pictures: u64,
    /// Seconds, below the line.
    pub seconds: u64,
}

impl Rate {
    /// The number of the picture that is shown at tick `ticks`: the nearest one.
    pub fn number(self, ticks: i64, time_base: TimeBase) -> i64 {
        let above = i128::from(ticks) * i128::from(time_base.numerator.get()) * i128::from(self.pictures);
        let below = i128::from(time_base.denominator.get()) * i128::from(self.seconds);
        i64::try_from((2 * above + below).div_euclid(2 * below)).unwrap_or(i64::MAX)
    }

    fn per_second(self) -> f64 {
        self.pictures as f64 / self.seconds as f64
    }
}

impl Cadence {
    /// More different distances than a regular series rounded to any clock has.
    const MAX_DISTANCES: usize = 64;

    /// For pictures with this clock.
    pub fn new(time_base: TimeBase) -> Self {
        Self { time_base, last: None, duration: 0, distances: BTreeMap::new(), irregular: false }
    }

    /// A picture is shown at tick `pts` for `duration` ticks.
    pub fn see(&mut self, pts: i64, duration: u64) {
        if let Some(last) = self.last.filter(|last| *last < pts) {
            *self.distances.entry(pts.abs_diff(last)).or_default() += 1;
        }
        self.last = Some(pts);
        self.duration = duration;
        self.irregular |= self.distances.len() > Self::MAX_DISTANCES;
        if self.irregular {
            self.distances.clear();
        }
    }

    /// The rate, if the pictures are regular; pictures may be missing among them.
    pub fn rate(&self) -> Option<Rate> {
        let ticks = self.distance()?;
        // A clock's rounding, and that of a clock of milliseconds on the way here.
        let tick = self.seconds(1.0);
        let rounding = tick.max(0.001) * 1.01;
        let regular = |distance: &u64| {
            let count = (*distance as f64 / ticks).round().max(1.0);
            self.seconds((*distance as f64 - count * ticks).abs()) <= rounding
        };
        if !self.distances.keys().all(regular) {
            return None;
        }
        let rate = 1.0 / self.seconds(ticks);
        let common = nearest_common(rate);
        let fits = (common.per_second() / rate - 1.0).abs() <= self.uncertainty(rounding);
        fits.then_some(common).or_else(|| self.exact())
    }

    /// By what part of itself the rate may be wrong if the first and the last time are wrong by `rounding` seconds.
    fn uncertainty(&self, rounding: f64) -> f64 {
        const EXACT: f64 = 1e-9;
        let span: f64 = self.distances.iter().map(|(distance, count)| *distance as f64 * *count as f64).sum();
        match self.distances.len() {
            0 => rounding / self.seconds(self.duration as f64),
            1 => EXACT,
            _ => rounding / self.seconds(span),
        }
    }

    /// The average distance from one picture to the next, in ticks, not counting pictures that are missing.
    fn distance(&self) -> Option<f64> {
        if self.irregular {
            return None;
        }
        if self.distances.is_empty() {
            return (self.duration > 0).then_some(self.duration as f64);
        }
        let total: u64 = self.distances.values().sum();
        let mut seen = 0;
        let (median, _) = self.distances.iter().find(|(_, count)| {
            seen += **count;
            2 * seen >= total
        })?;
        let (mut ticks, mut pictures) = (0.0, 0.0);
        for (distance, count) in &self.distances {
            ticks += *distance as f64 * *count as f64;
            pictures += (*distance as f64 / *median as f64).round().max(1.0) * *count as f64;
        }
        Some(ticks / pictures)
    }

    /// The rate as the clock itself gives it, if every distance is the same.
    fn exact(&self) -> Option<Rate> {
        let mut distances = self.distances.keys();
        let (Some(distance), None) = (distances.next(), distances.next()) else { return None };
        let seconds = distance.checked_mul(self.time_base.numerator.get().into())?;
        let pictures = u64::from(self.time_base.denominator.get());
        let divisor = gcd(pictures, seconds);
        Some(Rate { pictures: pictures / divisor, seconds: seconds / divisor })
    }

    fn seconds(&self, ticks: f64) -> f64 {
        ticks * f64::from(self.time_base.numerator.get()) / f64::from(self.time_base.denominator.get())
    }
}

/// The whole number, or the thousand-and-first of television's rates, that is nearest.
fn nearest_common(rate: f64) -> Rate {
    const MAX_WHOLE: f64 = 1000.0;
    const TELEVISION: [u64; 5] = [24, 30, 48, 60, 120];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 1000")]
    let whole = Rate { pictures: rate.round().clamp(1.0, MAX_WHOLE) as u64, seconds: 1 };
    let television = TELEVISION.map(|pictures| Rate { pictures: pictures * 1000, seconds: 1001 });
    let distance = |candidate: &Rate| (candidate.per_second() - rate).abs();
    television.into_iter().chain([whole]).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(whole)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn rate(denominator: u32, times: impl IntoIterator<Item = i64>, duration: u64) -> Option<(u64, u64)> {
        let denominator = NonZeroU32::new(denominator).expect("not zero");
        let mut cadence = Cadence::new(TimeBase { numerator: NonZeroU32::MIN, denominator });
        for time in times {
            cadence.see(time, duration);
        }
        cadence.rate().map(|rate| (rate.pictures, rate.seconds))
    }

    /// Times of `count` pictures in milliseconds, rounded.
    fn milliseconds(count: i64, pictures: i64, seconds: i64) -> impl Iterator<Item = i64> {
        (0..count).map(move |number| (2000 * number * seconds + pictures) / (2 * pictures))
    }

    #[test]
    fn rounded_times_give_their_rate() {
        assert_eq!(rate(1000, milliseconds(96, 24, 1), 41), Some((24, 1)));
        assert_eq!(rate(1000, milliseconds(96, 24_000, 1001), 41), Some((24_000, 1001)));
        assert_eq!(rate(1000, milliseconds(200, 30_000, 1001), 33), Some((30_000, 1001)));
        assert_eq!(rate(1000, milliseconds(8, 25, 1), 40), Some((25, 1)));
        assert_eq!(rate(16_000, [0, 672, 1328, 2000, 2672, 3328, 4000], 672), Some((24, 1)));
    }

    #[test]
    fn exact_clocks_give_any_rate() {
        assert_eq!(rate(15_360, (0..60).map(|n| n * 512), 512), Some((30, 1)));
        assert_eq!(rate(30_000, (0..60).map(|n| n * 1001), 1001), Some((30_000, 1001)));
        assert_eq!(rate(100, (0..60).map(|n| n * 8), 8), Some((25, 2)));
        assert_eq!(rate(3, (0..60).map(|n| n * 2), 8), Some((3, 2)));
    }

    #[test]
    fn missing_pictures_do_not_matter() {
        assert_eq!(rate(1000, milliseconds(96, 24, 1).filter(|time| time % 5 != 0), 41), Some((24, 1)));
    }

    #[test]
    fn a_single_picture_gives_its_duration() {
        assert_eq!(rate(12_800, [0], 512), Some((25, 1)));
        assert_eq!(rate(1000, [0], 41), Some((24, 1)));
        assert_eq!(rate(1000, [0], 0), None);
    }

    #[test]
    fn irregular_times_have_no_rate() {
        assert_eq!(rate(1000, [0, 40, 95, 130, 300, 317], 40), None);
        assert_eq!(rate(1_000_000, (0..200).map(|n| n * n * 1000), 40), None);
        assert_eq!(rate(1000, [0, 0, 0], 0), None);
    }

    #[test]
    fn pictures_are_numbered_by_the_nearest() {
        let milliseconds =
            TimeBase { numerator: NonZeroU32::MIN, denominator: NonZeroU32::new(1000).expect("not zero") };
        let rate = Rate { pictures: 24, seconds: 1 };
        assert_eq!([3, 45, 86, 128].map(|time| rate.number(time, milliseconds)), [0, 1, 2, 3]);
    }
}
