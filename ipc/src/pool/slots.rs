//! Which buffers of a pool are where: pure state, no memory.

use super::BUFFERS_MAX;

/// Why the return of a buffer was refused. From another process it is a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReturnError {
    /// There is no such buffer.
    #[error("buffer {index} was returned to a pool of {count}")]
    NoSuchBuffer {
        /// The buffer's number.
        index: u16,
        /// How many buffers there are.
        count: u16,
    },
    /// The buffer is not lent: returned twice, or never lent at all.
    #[error("buffer {index} was returned, but is not lent")]
    NotLent {
        /// The buffer's number.
        index: u16,
    },
}

/// Each buffer is free, lent, or held by this process, which is filling it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slots {
    count: u16,
    free: Set,
    lent: Set,
}

impl Slots {
    /// `count` free buffers, at most [`BUFFERS_MAX`].
    pub fn new(count: u16) -> Self {
        Self { count, free: Set::first(count), lent: Set::default() }
    }

    /// Takes a free buffer: the first, so that the memory in use is as little, and as warm, as can be.
    pub fn acquire(&mut self) -> Option<u16> {
        let index = self.free.lowest()?;
        self.free.remove(index);
        Some(index)
    }

    /// A held buffer is free again.
    pub fn abandon(&mut self, index: u16) {
        debug_assert!(self.is_held(index), "only a held buffer can be given up: {index} in {self:?}");
        self.free.insert(index);
    }

    /// A held buffer is lent.
    pub fn lend(&mut self, index: u16) {
        debug_assert!(self.is_held(index), "only a held buffer can be lent: {index} in {self:?}");
        self.lent.insert(index);
    }

    /// A lent buffer came back.
    pub fn take_back(&mut self, index: u16) -> Result<(), ReturnError> {
        if index >= self.count {
            return Err(ReturnError::NoSuchBuffer { index, count: self.count });
        }
        if !self.lent.contains(index) {
            return Err(ReturnError::NotLent { index });
        }
        self.lent.remove(index);
        self.free.insert(index);
        Ok(())
    }

    /// Every lent buffer is free again. Returns how many there were.
    pub fn take_back_all(&mut self) -> u16 {
        let count = self.lent.len();
        self.free = self.free.union(self.lent);
        self.lent = Set::default();
        count
    }

    /// How many buffers are lent.
    pub fn lent(&self) -> u16 {
        self.lent.len()
    }

    /// Whether every buffer is free.
    pub fn is_idle(&self) -> bool {
        self.free == Set::first(self.count)
    }

    fn is_held(&self, index: u16) -> bool {
        index < self.count && !self.free.contains(index) && !self.lent.contains(index)
    }
}

/// A set of buffer numbers below [`BUFFERS_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Set(u64);

const _: () = assert!(BUFFERS_MAX as u32 == u64::BITS, "one bit a buffer");

impl Set {
    fn first(count: u16) -> Self {
        Self((0..count).fold(0, |bits, index| bits | 1 << index))
    }

    fn lowest(self) -> Option<u16> {
        u16::try_from(self.0.trailing_zeros()).ok().filter(|&index| index < BUFFERS_MAX)
    }

    fn contains(self, index: u16) -> bool {
        self.0 >> index & 1 == 1
    }

    fn insert(&mut self, index: u16) {
        self.0 |= 1 << index;
    }

    fn remove(&mut self, index: u16) {
        self.0 &= !(1 << index);
    }

    fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn len(self) -> u16 {
        (0..BUFFERS_MAX).map(|index| u16::from(self.contains(index))).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Where {
        Free,
        Held,
        Lent,
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Acquire,
        Abandon(u16),
        Lend(u16),
        TakeBack(u16),
        TakeBackAll,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Acquire),
            1 => (0..BUFFERS_MAX).prop_map(Step::Abandon),
            4 => (0..BUFFERS_MAX).prop_map(Step::Lend),
            4 => (0..BUFFERS_MAX + 2).prop_map(Step::TakeBack),
            1 => Just(Step::TakeBackAll),
        ]
    }

    /// What each buffer's state ought to be, said as plainly as possible.
    struct Model(BTreeMap<u16, Where>);

    impl Model {
        fn size(&self) -> u16 {
            u16::try_from(self.0.len()).unwrap()
        }

        fn count(&self, which: Where) -> usize {
            self.0.values().filter(|&&state| state == which).count()
        }

        fn first(&self, which: Where, at_or_after: u16) -> Option<u16> {
            self.0.iter().find(|&(&index, &state)| state == which && index >= at_or_after).map(|(&index, _)| index)
        }

        fn check(&mut self, slots: &mut Slots, step: Step) {
            match step {
                Step::Acquire => {
                    let expected = self.first(Where::Free, 0);
                    assert_eq!(slots.acquire(), expected);
                    expected.map(|index| self.0.insert(index, Where::Held));
                }
                Step::Abandon(at) => {
                    let Some(index) = self.first(Where::Held, at) else { return };
                    slots.abandon(index);
                    self.0.insert(index, Where::Free);
                }
                Step::Lend(at) => {
                    let Some(index) = self.first(Where::Held, at) else { return };
                    slots.lend(index);
                    self.0.insert(index, Where::Lent);
                }
                Step::TakeBack(index) => {
                    let expected = match self.0.get(&index) {
                        None => Err(ReturnError::NoSuchBuffer { index, count: self.size() }),
                        Some(Where::Lent) => Ok(()),
                        Some(_) => Err(ReturnError::NotLent { index }),
                    };
                    assert_eq!(slots.take_back(index), expected);
                    expected.ok().map(|()| self.0.insert(index, Where::Free));
                }
                Step::TakeBackAll => {
                    assert_eq!(usize::from(slots.take_back_all()), self.count(Where::Lent));
                    self.0.values_mut().filter(|state| **state == Where::Lent).for_each(|state| *state = Where::Free);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn slots_behave_as_the_model_says(
            count in 1..=BUFFERS_MAX,
            steps in prop::collection::vec(step(), 0..300),
        ) {
            let mut slots = Slots::new(count);
            let mut model = Model((0..count).map(|index| (index, Where::Free)).collect());
            for step in steps {
                model.check(&mut slots, step);
                prop_assert_eq!(usize::from(slots.lent()), model.count(Where::Lent));
                prop_assert_eq!(slots.is_idle(), model.count(Where::Free) == model.0.len());
            }
        }
    }

    #[test]
    fn a_used_up_pool_gives_nothing() {
        let mut slots = Slots::new(BUFFERS_MAX);
        assert_eq!((0..BUFFERS_MAX).filter_map(|_| slots.acquire()).count(), 64);
        assert_eq!(slots.acquire(), None);
    }

    #[test]
    fn a_buffer_returned_twice_is_refused() {
        let mut slots = Slots::new(2);
        let index = slots.acquire().unwrap();
        slots.lend(index);
        assert_eq!(slots.take_back(index), Ok(()));
        assert_eq!(slots.take_back(index), Err(ReturnError::NotLent { index }));
    }
}
