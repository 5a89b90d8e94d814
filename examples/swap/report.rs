//! What came of it, for people and for programs.

use std::fmt;

use cloison_broker::msg::Route;
use serde::Serialize;

use crate::logs::{Flip, Logs};
use crate::protocol::Tally;

/// Least share of flips with messages unread on the old route.
const SHARE_LEAST: f64 = 0.9;

/// What came of it. Times are in microseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Numbered messages that the two sent each other, and that came.
    pub sent: u64,
    pub received: u64,
    pub lost: u64,
    pub doubled: u64,
    pub reordered: u64,
    /// Calls without the answer that they should have had, and the first reason.
    pub failed_calls: u64,
    pub why: Option<String>,
    pub flips: u64,
    /// From the wish to both ends' confirmation.
    pub flip_p50_us: f64,
    pub flip_p99_us: f64,
    /// Share of flips that began while messages lay unread on the old route; how many did then, in the median.
    pub unread_share: f64,
    pub unread_p50: f64,
    /// Between two messages that were served.
    pub longest_gap_us: f64,
    pub seconds: f64,
    pub messages_per_second: f64,
    pub round_trip_relayed: Trips,
    pub round_trip_direct: Trips,
    /// Round trips of two other workers over the broker, before and meanwhile.
    pub bystanders_quiet: Trips,
    pub bystanders: Trips,
}

/// Round trips.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Trips {
    pub count: usize,
    pub p50_us: f64,
    pub p99_us: f64,
}

impl Trips {
    pub fn of(mut nanos: Vec<u64>) -> Self {
        nanos.sort_unstable();
        Self { count: nanos.len(), p50_us: micros(percentile(&nanos, 50)), p99_us: micros(percentile(&nanos, 99)) }
    }
}

impl Report {
    /// `quiet` is when the bystanders were alone, and until when.
    pub fn new(tallies: [Tally; 2], logs: &Logs, flips: &[Flip], quiet: (u64, u64), end: u64) -> Self {
        let mut took: Vec<u64> = flips.iter().map(|flip| flip.ended - flip.began).collect();
        took.sort_unstable();
        let mut unread: Vec<u64> = flips.iter().map(|flip| logs.unread_at(flip) as u64).collect();
        unread.sort_unstable();
        let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
        let (sent, received) = (sum(|tally| tally.sent), sum(|tally| tally.received));
        let seconds = logs.lasted() as f64 / 1e9;
        let trips =
            |route| Trips::of(calm(flips, route, quiet.1, end).flat_map(|(from, to)| logs.trips(from, to)).collect());
        Self {
            sent,
            received,
            lost: sent.saturating_sub(received),
            doubled: sum(|tally| tally.doubled),
            reordered: sum(|tally| tally.reordered),
            failed_calls: sum(|tally| tally.failed),
            why: tallies.iter().find_map(|tally| tally.why.clone()),
            flips: flips.len() as u64,
            flip_p50_us: micros(percentile(&took, 50)),
            flip_p99_us: micros(percentile(&took, 99)),
            unread_share: share(&unread),
            unread_p50: percentile(&unread, 50) as f64,
            longest_gap_us: micros(logs.longest_gap()),
            seconds,
            messages_per_second: if seconds > 0.0 { received as f64 / seconds } else { 0.0 },
            round_trip_relayed: trips(Route::Relayed),
            round_trip_direct: trips(Route::Direct),
            bystanders_quiet: Trips::of(logs.idle_trips(quiet.0, quiet.1)),
            bystanders: Trips::of(logs.idle_trips(quiet.1, end)),
        }
    }

    /// Whether all is as it should be.
    pub fn is_good(&self) -> bool {
        let counted = self.lost + self.doubled + self.reordered + self.failed_calls == 0 && self.received == self.sent;
        counted && (self.flips == 0 || self.unread_share >= SHARE_LEAST)
    }
}

/// The spans between flips in which the link ran by this route.
pub fn calm(flips: &[Flip], route: Route, begin: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
    let first = (begin, flips.first().map_or(end, |flip| flip.began), Route::Relayed);
    let ends = flips.iter().skip(1).map(|next| next.began).chain([end]);
    let others = flips.iter().zip(ends).map(|(flip, to)| (flip.ended, to, flip.to));
    let all: Vec<_> = std::iter::once(first).chain(others).collect();
    all.into_iter().filter(move |&(.., by)| by == route).map(|(from, to, _)| (from, to))
}

fn share(unread: &[u64]) -> f64 {
    if unread.is_empty() {
        0.0
    } else {
        unread.iter().filter(|&&unread| unread > 0).count() as f64 / unread.len() as f64
    }
}

pub fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}

pub fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sent       {:>12}", self.sent)?;
        writeln!(
            f,
            "received   {:>12}   in {:.2} s, {:.0} a second",
            self.received, self.seconds, self.messages_per_second
        )?;
        writeln!(f, "lost       {:>12}", self.lost)?;
        writeln!(f, "doubled    {:>12}", self.doubled)?;
        writeln!(f, "reordered  {:>12}", self.reordered)?;
        if self.failed_calls > 0 {
            writeln!(f, "failed     {:>12}   calls: {}", self.failed_calls, self.why.as_deref().unwrap_or_default())?;
        }
        write!(f, "flips      {:>12}", self.flips)?;
        if self.flips > 0 {
            write!(f, "   each in {:.0} µs (p50), {:.0} µs (p99)", self.flip_p50_us, self.flip_p99_us)?;
            let (share, unread) = (self.unread_share * 100.0, self.unread_p50);
            write!(
                f,
                "\nunread at  {share:>11.1}%   of the flips on the old route, {unread:.0} messages in the median"
            )?;
        }
        writeln!(f, "\nlongest gap in delivery {:.0} µs", self.longest_gap_us)?;
        writeln!(
            f,
            "round trip in the stream    relayed {}, direct {}",
            self.round_trip_relayed, self.round_trip_direct
        )?;
        write!(f, "round trip of the bystanders {} (quiet: {})", self.bystanders, self.bystanders_quiet)
    }
}

impl fmt::Display for Trips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} µs (p99 {:.0} µs)", self.p50_us, self.p99_us)
    }
}
