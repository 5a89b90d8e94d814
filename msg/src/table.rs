//! A table whose keys are never quietly reused.

use std::hash::{Hash, Hasher};

use slab::Slab;

/// Names one entry of a [`Table`]: a slot and the generation of its tenant.
///
/// Minted by [`Table::insert`]; valid in that table until the entry is removed, and naming nothing for ever after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The slot, from 0.
    pub index: u32,
    /// Which of the slot's tenants; the first is 1.
    pub generation: u32,
}

/// What stands behind a key that somebody named.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<T> {
    /// It is there.
    Open(T),
    /// It was there once.
    Closed,
    /// It never was: the key was made up.
    Never,
}

/// A slab whose slots carry generations, for entries that strangers may name.
#[derive(Clone, Debug)]
pub struct Table<T> {
    slots: Slab<T>,
    /// How many tenants each slot has had so far.
    tenants: Vec<u64>,
}

impl<T> Table<T> {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self { slots: Slab::new(), tenants: Vec::new() }
    }

    /// Puts `value` into a free slot and mints its key.
    ///
    /// # Panics
    /// Past 2³² slots; every table here is capped far below.
    pub fn insert(&mut self, value: T) -> Key {
        let slot = self.slots.insert(value);
        if slot == self.tenants.len() {
            self.tenants.push(0);
        }
        self.tenants[slot] += 1;
        self.key(slot)
    }

    /// What `key` names now.
    #[must_use]
    pub fn entry(&self, key: Key) -> Entry<&T> {
        let tenants = self.tenants.get(key.index as usize).copied().unwrap_or_default();
        if key.generation == 0 || u64::from(key.generation) > tenants {
            Entry::Never
        } else if key.generation == generation(tenants) {
            self.slots.get(key.index as usize).map_or(Entry::Closed, Entry::Open)
        } else {
            Entry::Closed
        }
    }

    /// The entry behind `key`, if it is still there.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        if let Entry::Open(value) = self.entry(key) { Some(value) } else { None }
    }

    /// The entry behind `key`, to be changed, if it is still there.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.get(key)?;
        self.slots.get_mut(key.index as usize)
    }

    /// Takes the entry out; its key names nothing from now on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        self.slots.try_remove(key.index as usize)
    }

    /// Every entry with its key, in order of slots.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().map(|(slot, value)| (self.key(slot), value))
    }

    /// Every entry with its key, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        let tenants = &self.tenants;
        self.slots.iter_mut().map(|(slot, value)| (key_in(tenants, slot), value))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn key(&self, slot: usize) -> Key {
        key_in(&self.tenants, slot)
    }
}

fn key_in(tenants: &[u64], slot: usize) -> Key {
    Key { index: u32::try_from(slot).expect("tables are capped"), generation: generation(tenants[slot]) }
}

/// The generation of a slot's tenant of that number. It begins again at 1 after 2³² − 1 of them.
#[expect(clippy::cast_possible_truncation, reason = "a remainder of a division by such a number")]
const fn generation(tenants: u64) -> u32 {
    (tenants.saturating_sub(1) % u32::MAX as u64) as u32 + 1
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Hash> Hash for Table<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tenants.hash(state);
        self.slots.vacant_key().hash(state);
        for entry in self.slots.iter() {
            entry.hash(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_key_stays_closed_and_a_made_up_one_never_was() {
        let mut table = Table::new();
        let first = table.insert('a');
        assert_eq!(table.remove(first), Some('a'));
        let second = table.insert('b');
        assert_eq!(second.index, first.index, "the slot is used again");
        assert_eq!(table.entry(first), Entry::Closed);
        assert_eq!(table.entry(second), Entry::Open(&'b'));
        assert_eq!(table.entry(Key { generation: 3, ..second }), Entry::Never);
        assert_eq!(table.entry(Key { generation: 0, ..second }), Entry::Never);
        assert_eq!(table.entry(Key { index: 9, generation: 1 }), Entry::Never);
        assert_eq!(table.remove(first), None);
    }

    /// Who has a peer that opens and closes for days is not evicted for an old name.
    #[test]
    fn a_closed_key_stays_closed_when_generations_begin_again() {
        let mut table = Table::new();
        let first = table.insert('a');
        table.remove(first);
        table.tenants[0] = u64::from(u32::MAX) - 1;
        let last = table.insert('b');
        assert_eq!((last.generation, table.remove(last)), (u32::MAX, Some('b')));
        let again = table.insert('c');
        assert_eq!((again, table.entry(last), table.entry(again)), (first, Entry::Closed, Entry::Open(&'c')));
        assert_eq!(table.entry(Key { generation: 0, ..last }), Entry::Never);
    }
}
