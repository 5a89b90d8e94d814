//! Items that have come to the host and were not taken, and how many there are of them in all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes of unread items of all streams that the host is fed: of some 170 of them, each as full as its credit allows.
pub const HOST_FED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many bytes of what the host is fed nobody has taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hoard(Arc<AtomicUsize>);

impl Hoard {
    pub(crate) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) > HOST_FED_BYTES_MAX
    }
}

/// The items of one stream.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: VecDeque<Vec<u8>>,
    held: usize,
    /// Where they count.
    hoard: Hoard,
}

impl Queue {
    pub(super) fn counted(hoard: &Hoard) -> Self {
        Self { items: VecDeque::new(), held: 0, hoard: hoard.clone() }
    }

    pub(super) const fn held(&self) -> usize {
        self.held
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn push(&mut self, item: Vec<u8>) {
        self.held += item.len();
        self.hoard.0.fetch_add(item.len(), Ordering::Relaxed);
        self.items.push_back(item);
    }

    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let item = self.items.pop_front()?;
        self.held -= item.len();
        self.hoard.0.fetch_sub(item.len(), Ordering::Relaxed);
        Some(item)
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.hoard.0.fetch_sub(std::mem::take(&mut self.held), Ordering::Relaxed);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.clear();
    }
}
