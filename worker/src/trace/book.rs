//! The records that wait to leave.

use std::collections::{BTreeMap, VecDeque};

use cloison_msg::Time;
use cloison_msg::trace::{Record, SpanId, What};
use tracing::Metadata;

use super::SPANS_OPEN_MAX;

/// Most batches that wait, each of [`TRACE_BATCH_MAX`](cloison_msg::trace::TRACE_BATCH_MAX) bytes. What has no room is
/// counted.
const BATCHES_WAITING_MAX: usize = 8;

/// The records that wait to leave, in batches.
#[derive(Default)]
pub(super) struct Book {
    /// The last one is being filled.
    batches: VecDeque<Vec<u8>>,
    spares: Vec<Vec<u8>>,
    /// When the oldest of the records that wait was written.
    oldest: Option<Time>,
    /// The last moment that was written, so that the next is later.
    last: Time,
    /// Of the spans up to this one none has its beginning among those that wait.
    told: SpanId,
    lost: u64,
    spans: u64,
    /// The author's spans that are open: how many handles there are on each, and how `tracing` knows it.
    open: BTreeMap<SpanId, (usize, &'static Metadata<'static>)>,
}

impl Book {
    pub(super) fn write(&mut self, at: Time, thread: u32, what: What<&str>) {
        let at = Time(at.0.max(self.last.0 + 1));
        self.tell_lost(at, thread);
        if self.lost == 0 && self.put(&Record { at, thread, what }) {
            self.last = at;
            self.oldest.get_or_insert(at);
        } else {
            self.lost += 1;
        }
    }

    fn put(&mut self, record: &Record<&str>) -> bool {
        if self.batches.back_mut().is_some_and(|batch| record.encode(batch)) {
            return true;
        }
        if self.batches.len() >= BATCHES_WAITING_MAX {
            return false;
        }
        let mut batch = self.spares.pop().unwrap_or_default();
        let is_in = record.encode(&mut batch);
        self.batches.push_back(batch);
        is_in
    }

    /// Takes the oldest batch out; an empty one may come, and [`give_back`](Self::give_back) takes its memory.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let batch = self.batches.pop_front()?;
        self.tell_lost(self.last, 0);
        if self.batches.is_empty() {
            (self.oldest, self.told) = (None, SpanId(self.spans));
        }
        Some(batch)
    }

    /// Writes down how much was lost, if there is room for it now.
    fn tell_lost(&mut self, at: Time, thread: u32) {
        if self.lost > 0 && self.put(&Record { at, thread, what: What::Lost(self.lost) }) {
            self.lost = 0;
        }
    }

    pub(super) fn give_back(&mut self, mut batch: Vec<u8>) {
        batch.clear();
        if self.spares.len() < BATCHES_WAITING_MAX {
            self.spares.push(batch);
        }
    }

    pub(super) const fn oldest(&self) -> Option<Time> {
        self.oldest
    }

    /// Whether a batch waits to which nothing will be added.
    pub(super) fn has_full(&self) -> bool {
        self.batches.len() > 1
    }

    /// Whether the broker was told of the beginning of a span.
    pub(super) fn has_told(&self, span: SpanId) -> bool {
        span <= self.told
    }

    pub(super) const fn mint_span(&mut self) -> SpanId {
        self.spans += 1;
        SpanId(self.spans)
    }

    /// Notes a new span of the author's; false if there are too many.
    pub(super) fn open(&mut self, span: SpanId, metadata: &'static Metadata<'static>) -> bool {
        let has_room = self.open.len() < SPANS_OPEN_MAX;
        if has_room {
            self.open.insert(span, (1, metadata));
        }
        has_room
    }

    pub(super) fn metadata(&self, span: SpanId) -> Option<&'static Metadata<'static>> {
        self.open.get(&span).map(|(_, metadata)| *metadata)
    }

    pub(super) fn add_handle(&mut self, span: SpanId) {
        self.open.entry(span).and_modify(|(handles, _)| *handles += 1);
    }

    /// Whether that was the last handle on a span.
    pub(super) fn drop_handle(&mut self, span: SpanId) -> bool {
        let Some((handles, _)) = self.open.get_mut(&span) else { return false };
        *handles -= 1;
        let is_last = *handles == 0;
        if is_last {
            self.open.remove(&span);
        }
        is_last
    }
}

#[cfg(test)]
mod tests {
    use cloison_msg::Text;
    use cloison_msg::trace::TRACE_BATCH_MAX;

    use super::*;

    fn fill(book: &mut Book, records: u64) {
        (0..records).for_each(|span| book.write(Time(0), 1, What::Entered { span: SpanId(span) }));
    }

    fn drain(book: &mut Book) -> Vec<Record<Text>> {
        let mut records = Vec::new();
        while let Some(batch) = book.take() {
            assert!(batch.len() <= TRACE_BATCH_MAX);
            let mut rest = &batch[..];
            records.extend(std::iter::from_fn(|| Record::decode(&mut rest)));
            assert!(rest.is_empty());
            book.give_back(batch);
        }
        records
    }

    #[test]
    fn what_has_no_room_is_counted_and_told() {
        let mut book = Book::default();
        fill(&mut book, 200_000);
        let mut told = drain(&mut book);
        let last = told.pop().map(|record| record.what);
        assert!((10_000..200_000).contains(&told.len()), "{}", told.len());
        assert_eq!(last, Some(What::Lost(200_000 - told.len() as u64)));
        assert!(book.oldest().is_none() && book.spares.len() <= BATCHES_WAITING_MAX);
    }

    #[test]
    fn moments_grow_whatever_the_clock_says() {
        let mut book = Book::default();
        fill(&mut book, 100);
        let moments: Vec<_> = drain(&mut book).into_iter().map(|record| record.at).collect();
        assert!(moments.is_sorted_by(|a, b| a < b), "{moments:?}");
    }
}
