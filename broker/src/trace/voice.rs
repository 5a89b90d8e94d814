//! What the scribe keeps of one worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloison_msg::trace::{Record, SpanId};
use cloison_msg::{ChainId, Text, Time};
use tracing::Span;

use super::{TRACE_RECORDS_PER_SECOND, TraceProcess};

/// Most spans of one worker that are open at a time and shown.
const SPANS_PER_WORKER: usize = 4096;

/// Most records of one worker that wait for others, earlier ones, to come.
const RECORDS_WAITING_MAX: usize = 16 << 10;

/// How often it is told at most that records of one worker were dropped.
pub(super) const TOLD_EVERY: Duration = Duration::from_secs(1);

/// So much per second, on average.
pub(super) struct Allowance {
    per_second: u64,
    left: u64,
    since: Time,
}

/// One worker, as the scribe knows it.
pub(super) struct Voice {
    pub(super) process: Arc<TraceProcess>,
    spans: HashMap<SpanId, OpenSpan>,
    allowance: Allowance,
    /// The moment of its last record.
    last: Time,
    /// How many of its records wait for others.
    pub(super) waiting: usize,
    /// How many of its records were dropped and not told yet.
    pub(super) lost: u64,
    /// When it was told last how many.
    told: Time,
}

/// A span of a worker's, in the host's subscriber.
pub(super) struct OpenSpan {
    pub(super) span: Span,
    /// The chain of which it serves a call, if it does.
    pub(super) serves: Option<ChainId>,
}

impl Allowance {
    pub(super) const fn new(per_second: u64, now: Time) -> Self {
        Self { per_second, left: per_second / 4, since: now }
    }

    /// Whether so much may be spent now.
    pub(super) fn spend(&mut self, much: u64, now: Time) -> bool {
        let earned = now.since(self.since).as_secs_f64() * self.per_second as f64;
        // What is earned in less than a nanosecond's worth is not lost: the moment moves only when something was.
        if earned >= 1.0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is positive")]
            let earned = earned as u64;
            self.left = self.left.saturating_add(earned).min(self.per_second / 4);
            self.since = now;
        }
        let is_enough = self.left >= much;
        if is_enough {
            self.left -= much;
        }
        is_enough
    }
}

impl Voice {
    pub(super) fn new(process: Arc<TraceProcess>, now: Time) -> Self {
        let allowance = Allowance::new(TRACE_RECORDS_PER_SECOND, now);
        Self { process, spans: HashMap::new(), allowance, last: Time(0), waiting: 0, lost: 0, told: Time(0) }
    }

    /// The records of a batch that came at that moment; what makes no sense ends it.
    pub(super) fn read(&mut self, mut batch: &[u8], came: Time) -> Vec<Record<Text>> {
        let mut records = Vec::new();
        while let Some(mut record) = Record::decode(&mut batch) {
            if self.waiting >= RECORDS_WAITING_MAX || !self.allowance.spend(1, came) {
                self.lost = self.lost.saturating_add(1);
                continue;
            }
            record.at = record.at.max(self.last).min(came.max(self.last));
            self.last = record.at;
            self.waiting += 1;
            records.push(record);
        }
        self.lost = self.lost.saturating_add(u64::from(!batch.is_empty()));
        records
    }

    pub(super) fn open(&mut self, id: SpanId, span: Span, serves: Option<ChainId>) -> bool {
        let has_room = self.spans.len() < SPANS_PER_WORKER && !self.spans.contains_key(&id);
        if has_room {
            self.spans.insert(id, OpenSpan { span, serves });
        }
        has_room
    }

    pub(super) fn close(&mut self, id: SpanId) -> Option<OpenSpan> {
        self.spans.remove(&id)
    }

    pub(super) fn span(&self, id: SpanId) -> Option<&Span> {
        self.spans.get(&id).map(|open| &open.span)
    }

    /// The spans that it leaves open.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = (SpanId, OpenSpan)> {
        self.spans.drain()
    }

    /// Whether something of this worker's was dropped and not told yet.
    pub(super) fn has_untold(&self) -> bool {
        self.lost > 0 || self.process.unread.load(Ordering::Relaxed) > 0
    }

    /// Whether it was not told just now what of this worker's was dropped.
    pub(super) fn may_complain(&self, now: Time) -> bool {
        now.since(self.told) >= TOLD_EVERY
    }

    /// How much was dropped and not told yet: records, and batches of which nobody knows how many they held.
    pub(super) fn take_lost(&mut self, now: Time) -> u64 {
        let unread = self.process.unread.swap(0, Ordering::Relaxed);
        let lost = std::mem::take(&mut self.lost).saturating_add(unread);
        if lost > 0 {
            self.told = now;
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_spent_than_was_earned() {
        let mut now = Time(1_000_000_000);
        let mut allowance = Allowance::new(1000, now);
        let mut spent = 0;
        for _ in 0..4_000_000 {
            now = now.after(Duration::from_nanos(500));
            spent += u64::from(allowance.spend(1, now));
        }
        assert!((2240..=2251).contains(&spent), "two seconds, and a quarter at once: {spent}");
    }
}
