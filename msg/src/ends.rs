//! All the link ends of one holder.

use crate::{Destination, LinkEnd};

/// The link ends of one holder, by the names that the broker gave them.
///
/// The broker mints the names; here they are only looked up. A name whose end was removed finds nothing, also when the
/// place has a new tenant.
#[derive(Clone, Debug, Hash)]
pub struct Ends<E> {
    slots: Vec<Option<(u32, E)>>,
}

impl<E> Ends<E> {
    /// No ends.
    #[must_use]
    pub const fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// Puts an end under its name. What stood in the same place before is returned; the broker never lets that happen.
    pub fn insert(&mut self, name: Destination, end: E) -> Option<E> {
        let slot = slot(name)?;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot].replace((name.generation, end)).map(|(_, end)| end)
    }

    /// The end with this name.
    #[must_use]
    pub fn get(&self, name: Destination) -> Option<&E> {
        let (generation, end) = self.slots.get(slot(name)?)?.as_ref()?;
        (*generation == name.generation).then_some(end)
    }

    /// The end with this name, to be changed.
    pub fn get_mut(&mut self, name: Destination) -> Option<&mut E> {
        let (generation, end) = self.slots.get_mut(slot(name)?)?.as_mut()?;
        (*generation == name.generation).then_some(end)
    }

    /// Takes out the end with this name.
    pub fn remove(&mut self, name: Destination) -> Option<E> {
        self.get(name)?;
        self.slots[slot(name)?].take().map(|(_, end)| end)
    }

    /// Every end with its name.
    pub fn iter(&self) -> impl Iterator<Item = (Destination, &E)> {
        self.slots.iter().zip(1..).filter_map(|(slot, index)| {
            slot.as_ref().map(|(generation, end)| (Destination { index, generation: *generation }, end))
        })
    }

    /// Every end with its name, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Destination, &mut E)> {
        self.slots.iter_mut().zip(1..).filter_map(|(slot, index)| {
            slot.as_mut().map(|(generation, end)| (Destination { index, generation: *generation }, end))
        })
    }
}

fn slot(name: Destination) -> Option<usize> {
    (name.index as usize).checked_sub(1)
}

impl<E> Default for Ends<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Ends<LinkEnd<C>> {
    /// The earliest deadline of any call that waits on any end.
    #[must_use]
    pub fn next_deadline(&self) -> Option<crate::Time> {
        self.iter().filter_map(|(_, end)| end.next_deadline()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_name_does_not_find_the_new_tenant() {
        let old = Destination { index: 2, generation: 1 };
        let new = Destination { index: 2, generation: 2 };
        let mut ends = Ends::new();
        ends.insert(old, 'a');
        assert_eq!(ends.remove(old), Some('a'));
        ends.insert(new, 'b');
        assert_eq!((ends.get(old), ends.get(new)), (None, Some(&'b')));
        assert_eq!(ends.remove(old), None);
        assert_eq!(ends.insert(Destination::BROKER, 'c'), None);
        assert_eq!(ends.iter().count(), 1);
    }
}
