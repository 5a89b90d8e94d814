//! Who gives streams and is fed: a worker, or the host.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use cloison_broker::{Answer, Stream, interface};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Enough(pub u32);

#[interface]
pub trait Source {
    /// Fails behind 5000.
    fn up_to(&self, last: u32) -> Stream<u32, Enough>;
    fn sum(&self, numbers: Stream<u32>) -> Answer<u64>;
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32>;
    fn blocks(&self, count: u32) -> Stream<Vec<u8>>;
    /// How many streams there are that were not given up.
    fn alive(&self) -> Answer<u32>;
    /// Aborts behind so many.
    fn until_death(&self, items: u32) -> Stream<u32>;
    /// The second comes late.
    fn slow(&self, ms: u64) -> Stream<u32>;
}

#[derive(Default)]
pub struct Numbers(Rc<Cell<u32>>);

/// One stream that there is.
struct Alive(Rc<Cell<u32>>);

impl Alive {
    fn new(count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }

    fn is_there(&self) -> bool {
        self.0.get() > 0
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Source for Numbers {
    fn up_to(&self, last: u32) -> Stream<u32, Enough> {
        let alive = Alive::new(&self.0);
        Stream::new((1..=last).map(move |number| {
            assert!(alive.is_there());
            if number > 5000 { Err(Enough(number).into()) } else { Ok(number) }
        }))
    }

    fn sum(&self, mut numbers: Stream<u32>) -> Answer<u64> {
        numbers.try_fold(0, |sum, number| Ok(sum + u64::from(number?)))
    }

    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
        let alive = Alive::new(&self.0);
        Stream::new(numbers.map(move |number| {
            assert!(alive.is_there());
            Ok(number? * 2)
        }))
    }

    fn blocks(&self, count: u32) -> Stream<Vec<u8>> {
        Stream::of((0..count).map(|at| vec![at.to_le_bytes()[0]; 4096]))
    }

    fn alive(&self) -> Answer<u32> {
        Ok(self.0.get())
    }

    fn until_death(&self, items: u32) -> Stream<u32> {
        Stream::of((1..).inspect(move |&number| {
            if number > items {
                std::process::abort();
            }
        }))
    }

    fn slow(&self, ms: u64) -> Stream<u32> {
        Stream::of((1..3).inspect(move |&number| std::thread::sleep(Duration::from_millis(ms * u64::from(number - 1)))))
    }
}

/// A host's numbers: they may be made on any thread.
pub struct OfHost;

impl Source for OfHost {
    fn up_to(&self, last: u32) -> Stream<u32, Enough> {
        Stream::of(1..=last)
    }
    fn sum(&self, mut numbers: Stream<u32>) -> Answer<u64> {
        numbers.try_fold(0, |sum, number| Ok(sum + u64::from(number?)))
    }
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
        // Now and then it is asked too early.
        let asked = Cell::new(0);
        let is_ready = move || {
            asked.set(asked.get() + 1);
            asked.get() % 100 > 0
        };
        Stream::new(numbers.map(|number| Ok(number? * 2))).ready_when(is_ready)
    }
    fn blocks(&self, _: u32) -> Stream<Vec<u8>> {
        Stream::of([])
    }
    fn alive(&self) -> Answer<u32> {
        Ok(0)
    }
    fn until_death(&self, _: u32) -> Stream<u32> {
        Stream::of([])
    }
    fn slow(&self, _: u64) -> Stream<u32> {
        Stream::of([])
    }
}
