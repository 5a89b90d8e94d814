//! The worker that serves on several threads.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cloison_broker::msg::contract::serving;
use cloison_broker::{Answer, interface};
use cloison_worker::{Stream, Thread, ThreadLink};

use super::foreman::{Foreman, ForemanClient};
use crate::host::AMPLE;

/// How many threads the crew has.
pub const THREADS: u32 = 4;

#[interface]
pub trait Crew {
    /// Waits until so many are in here at a time: whether they came to be.
    fn meet(&self, many: u32) -> Answer<bool>;
    /// Waits until nobody waits for it.
    fn linger(&self) -> Answer<()>;
    /// How many linger, and how many have.
    fn lingering(&self) -> Answer<(u32, u32)>;
    #[oneway]
    fn note(&self, number: u32) -> Answer<()>;
    fn noted(&self) -> Answer<Vec<u32>>;
    /// The number, a little later.
    fn echo(&self, number: u32, micros: u64) -> Answer<u32>;
    /// Which numbers were echoed.
    fn echoed(&self) -> Answer<Vec<u32>>;
    /// Has the foreman call back, so many times.
    fn relay(&self, deep: u32) -> Answer<u32>;
    /// Calls the foreman, who dies of it the first time: whether it was a retry then.
    fn outlive(&self) -> Answer<bool>;
    /// Twice each.
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32>;
    fn panic(&self) -> Answer<()>;
}

#[derive(Default)]
pub struct Shared {
    inside: Mutex<u32>,
    came: Condvar,
    linger: AtomicU32,
    lingered: AtomicU32,
    noted: Mutex<Vec<u32>>,
    echoed: Mutex<Vec<u32>>,
}

pub struct Member {
    shared: Arc<Shared>,
    thread: Thread,
    foreman: OnceCell<ForemanClient<ThreadLink>>,
}

impl Member {
    pub fn new(shared: Arc<Shared>, thread: &Thread) -> Self {
        Self { shared, thread: thread.clone(), foreman: OnceCell::new() }
    }

    fn foreman(&self) -> &ForemanClient<ThreadLink> {
        self.foreman.get_or_init(|| ForemanClient::bind(&self.thread, "foreman").unwrap().within(AMPLE))
    }
}

impl Crew for Member {
    fn meet(&self, many: u32) -> Answer<bool> {
        let Shared { inside, came, .. } = &*self.shared;
        let mut inside = inside.lock().unwrap();
        *inside += 1;
        came.notify_all();
        let within = serving::time_left().unwrap() / 2;
        let (inside, timeout) = came.wait_timeout_while(inside, within, |inside| *inside % many != 0).unwrap();
        drop(inside);
        Ok(!timeout.timed_out())
    }

    fn linger(&self) -> Answer<()> {
        self.shared.linger.fetch_add(1, Ordering::SeqCst);
        while !serving::is_cancelled() {
            std::thread::sleep(Duration::from_micros(500));
        }
        self.shared.lingered.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn lingering(&self) -> Answer<(u32, u32)> {
        Ok((self.shared.linger.load(Ordering::SeqCst), self.shared.lingered.load(Ordering::SeqCst)))
    }

    fn note(&self, number: u32) -> Answer<()> {
        self.shared.noted.lock().unwrap().push(number);
        Ok(())
    }

    fn noted(&self) -> Answer<Vec<u32>> {
        Ok(self.shared.noted.lock().unwrap().clone())
    }

    fn echo(&self, number: u32, micros: u64) -> Answer<u32> {
        self.shared.echoed.lock().unwrap().push(number);
        std::thread::sleep(Duration::from_micros(micros));
        Ok(number)
    }

    fn echoed(&self) -> Answer<Vec<u32>> {
        Ok(self.shared.echoed.lock().unwrap().clone())
    }

    fn relay(&self, deep: u32) -> Answer<u32> {
        if deep == 0 { Ok(0) } else { Ok(self.foreman().relay(deep - 1)? + 1) }
    }

    fn outlive(&self) -> Answer<bool> {
        self.foreman().die_first()
    }

    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32> {
        Stream::new(numbers.map(|number| Ok(2 * number?)))
    }

    fn panic(&self) -> Answer<()> {
        panic!("as it was told to");
    }
}
