//! A worker whose methods run on threads, and what the tests can have them do.

use std::cell::{Cell, OnceCell};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cloison_msg::CallFailure;
use cloison_msg::contract::serving;
use cloison_worker::{
    Answer, Answers, Link, MethodError, OpenFailure, ServeError, Stream, Thread, ThreadLink, Threads, Worker, interface,
};

use crate::world::World;

/// Long enough for anything that comes, on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

#[interface]
pub trait Counter {
    fn add(&self, by: u32) -> Answer<u32>;
}

/// Whom the crew calls.
#[interface]
pub trait Peer {
    /// Calls the crew back, unless that is enough.
    fn relay(&self, deep: u32) -> Answer<u32>;
    fn plain(&self, number: u32) -> Answer<u32>;
    #[oneway]
    fn note(&self, number: u32) -> Answer<()>;
    fn noted(&self) -> Answer<Vec<u32>>;
    fn linger(&self) -> Answer<bool>;
    fn numbers(&self) -> Stream<u32>;
    /// Notes the number, and answers.
    fn mark(&self, number: u32) -> Answer<()>;
}

#[interface]
pub trait Work<L> {
    /// Waits until so many are in here at a time: whether they came to be.
    fn meet(&self, many: u32) -> Answer<bool>;
    /// Tells that it has begun, and waits until the test lets it go.
    fn hold(&self, number: u32) -> Answer<u32>;
    /// Tells that it has begun, and waits until nobody waits for it: whether that came to be.
    fn linger(&self) -> Answer<bool>;
    /// Waits until the test lets it go, and notes the number.
    #[oneway]
    fn note_late(&self, number: u32) -> Answer<()>;
    #[oneway]
    fn note(&self, number: u32) -> Answer<()>;
    fn noted(&self) -> Answer<Vec<u32>>;
    /// Who calls, whether again, and whether there is time left.
    fn who(&self) -> Answer<(String, bool, bool)>;
    fn panic(&self) -> Answer<()>;
    fn numbers(&self) -> Stream<u32>;
    fn sum(&self, numbers: Stream<u32>) -> Answer<u32>;
    /// Twice each, as the peer has it.
    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32, String>;
    /// The numbers from that one on. At its end, and only then, it notes that.
    fn count_up(&self, from: u32) -> Stream<u32>;
    /// The same, and tells the peer each of them, three times.
    fn tell_up(&self, from: u32) -> Stream<u32>;
    /// The same, and calls the peer at its end.
    fn call_at_the_end(&self, from: u32) -> Stream<u32>;
    fn count(&self, counter: &CounterClient<L>) -> Answer<u32>;
    /// Takes a counter, and gives it back.
    fn keep(&self, counter: CounterClient<L>) -> Answer<CounterClient<L>>;
    /// Calls the peer, which calls back so many times.
    fn relay(&self, deep: u32) -> Answer<u32>;
    /// Leaves the peer so many calls.
    fn leave(&self, many: u32) -> Answer<()>;
    /// Opens a link to a role that nobody plays yet: notes whether that was given up.
    fn wait_for_nobody(&self) -> Answer<()>;
    /// The first number of the peer's.
    fn first_of_peer(&self) -> Answer<u32>;
    /// Has so many calls in flight at a time.
    fn relay_many(&self, many: u32) -> Answer<u32>;
    /// Calls the peer, which lingers.
    fn pass_on_lingering(&self) -> Answer<bool>;
    /// Tells the peer five numbers.
    fn tell_on(&self, from: u32) -> Answer<()>;
    #[descriptors(PIPE)]
    fn read(&self, pipe: OwnedFd) -> Answer<String>;
    fn reversed(&self, bytes: &[u8]) -> Answer<Vec<u8>>;
    /// How many calls this thread has served of this method.
    fn own(&self) -> Answer<u32>;
}

/// What the test and all threads share.
#[derive(Default)]
pub struct Shared {
    pub inside: Mutex<u32>,
    pub came: Condvar,
    pub most: AtomicU32,
    pub noted: Mutex<Vec<u32>>,
    pub made: AtomicU32,
    pub gate: Gate,
    pub begun: Gate,
}

/// Lets so many through as it was told.
#[derive(Default)]
pub struct Gate(pub Mutex<u32>, pub Condvar);

impl Gate {
    pub fn open(&self, many: u32) {
        *self.0.lock().unwrap() += many;
        self.1.notify_all();
    }

    pub fn pass(&self) {
        let (mut open, timeout) = self.1.wait_timeout_while(self.0.lock().unwrap(), SOON, |open| *open == 0).unwrap();
        assert!(!timeout.timed_out(), "nobody came to open the gate");
        *open -= 1;
    }
}

/// Notes that it is dropped.
pub struct Notes(pub u32, pub Arc<Shared>);

impl Drop for Notes {
    fn drop(&mut self) {
        self.1.noted.lock().unwrap().push(self.0);
        self.1.begun.open(1);
    }
}

/// Calls the peer when it is dropped, and notes that it has.
pub struct CallsAtTheEnd(pub PeerClient<ThreadLink>, pub Arc<Shared>);

impl Drop for CallsAtTheEnd {
    fn drop(&mut self) {
        let answer = self.0.plain(1).unwrap_or(0);
        self.1.noted.lock().unwrap().push(answer);
        self.1.begun.open(1);
    }
}

pub struct Hand {
    pub shared: Arc<Shared>,
    /// Not to be shared by threads: each has its own.
    pub served: Cell<u32>,
    pub thread: Thread,
    /// Whom it calls itself.
    pub peer: OnceCell<PeerClient<ThreadLink>>,
}

impl Hand {
    pub fn peer(&self) -> &PeerClient<ThreadLink> {
        self.peer.get_or_init(|| PeerClient::bind(&self.thread, "peer").unwrap())
    }

    pub fn enter(&self) {
        let mut inside = self.shared.inside.lock().unwrap();
        *inside += 1;
        self.shared.most.fetch_max(*inside, Ordering::Relaxed);
        self.shared.came.notify_all();
    }

    pub fn leave(&self) {
        *self.shared.inside.lock().unwrap() -= 1;
    }
}

impl Work<ThreadLink> for Hand {
    fn meet(&self, many: u32) -> Answer<bool> {
        self.enter();
        let Shared { inside, came, .. } = &*self.shared;
        let within = serving::time_left().unwrap() / 2;
        let (_guard, timeout) =
            came.wait_timeout_while(inside.lock().unwrap(), within, |inside| *inside < many).unwrap();
        Ok(!timeout.timed_out())
    }

    fn hold(&self, number: u32) -> Answer<u32> {
        self.enter();
        self.shared.begun.open(1);
        self.shared.gate.pass();
        self.leave();
        Ok(number)
    }

    fn linger(&self) -> Answer<bool> {
        self.shared.begun.open(1);
        let start = Instant::now();
        while !serving::is_cancelled() && start.elapsed() < SOON {
            std::thread::sleep(Duration::from_micros(200));
        }
        self.shared.noted.lock().unwrap().push(u32::from(serving::is_cancelled()));
        self.shared.begun.open(1);
        Ok(serving::is_cancelled())
    }

    fn note_late(&self, number: u32) -> Answer<()> {
        self.shared.begun.open(1);
        self.shared.gate.pass();
        self.shared.noted.lock().unwrap().push(number);
        Ok(())
    }

    fn note(&self, number: u32) -> Answer<()> {
        self.shared.noted.lock().unwrap().push(number);
        Ok(())
    }

    fn noted(&self) -> Answer<Vec<u32>> {
        Ok(self.shared.noted.lock().unwrap().clone())
    }

    fn who(&self) -> Answer<(String, bool, bool)> {
        Ok((serving::caller().unwrap().to_string(), serving::is_retry(), serving::time_left().is_some()))
    }

    fn panic(&self) -> Answer<()> {
        panic!("as it was told to");
    }

    fn doubled(&self, numbers: Stream<u32>) -> Stream<u32, String> {
        Stream::new(numbers.map(|number| match number {
            Ok(13) => Err(MethodError::Own("thirteen".to_owned())),
            Ok(number) => Ok(2 * number),
            Err(error) => Err(MethodError::Call(error.into())),
        }))
    }

    fn count_up(&self, from: u32) -> Stream<u32> {
        let notes = Notes(from, Arc::clone(&self.shared));
        Stream::of((from..).inspect(move |_| {
            let _ = &notes;
        }))
    }

    fn tell_up(&self, from: u32) -> Stream<u32> {
        let (peer, notes) = (self.peer().clone().within(SOON), Notes(from, Arc::clone(&self.shared)));
        Stream::of((from..).inspect(move |&number| {
            notes.1.most.store(number, Ordering::Relaxed);
            let _ = [(); 3].map(|()| peer.note(number));
        }))
    }

    fn call_at_the_end(&self, from: u32) -> Stream<u32> {
        let calls = CallsAtTheEnd(self.peer().clone(), Arc::clone(&self.shared));
        Stream::of((from..).inspect(move |_| {
            let _ = &calls;
        }))
    }

    fn numbers(&self) -> Stream<u32> {
        Stream::of([1, 2, 3])
    }

    fn sum(&self, mut numbers: Stream<u32>) -> Answer<u32> {
        numbers.try_fold(0, |sum, number| Ok(sum + number?))
    }

    fn count(&self, counter: &CounterClient<ThreadLink>) -> Answer<u32> {
        counter.add(1)
    }

    fn keep(&self, counter: CounterClient<ThreadLink>) -> Answer<CounterClient<ThreadLink>> {
        counter.add(10)?;
        Ok(counter)
    }

    fn relay(&self, deep: u32) -> Answer<u32> {
        self.enter();
        let relayed = self.peer().relay(deep);
        self.leave();
        relayed
    }

    fn leave(&self, many: u32) -> Answer<()> {
        (0..many).for_each(|number| self.peer().start().mark(number).detach());
        Ok(())
    }

    fn wait_for_nobody(&self) -> Answer<()> {
        self.shared.begun.open(1);
        let why = self.thread.open_within("nobody-yet", &COUNTER, SOON).unwrap_err().why;
        self.shared.noted.lock().unwrap().push(u32::from(matches!(why, OpenFailure::Cancelled)));
        self.shared.begun.open(1);
        Ok(())
    }

    fn first_of_peer(&self) -> Answer<u32> {
        self.peer().numbers().next().unwrap_or(Ok(0))
    }

    fn relay_many(&self, many: u32) -> Answer<u32> {
        let mut answers = Answers::new();
        (0..many).for_each(|number| answers.add(number, self.peer().start().plain(number)));
        let mut sum = 0;
        while let Some((number, answer)) = answers.next() {
            let answer = answer?;
            assert_eq!(answer, number + 1);
            sum += answer;
        }
        Ok(sum)
    }

    fn pass_on_lingering(&self) -> Answer<bool> {
        self.peer().clone().within(SOON).linger()
    }

    fn tell_on(&self, from: u32) -> Answer<()> {
        let peer = self.peer();
        (from..from + 5).try_for_each(|number| peer.note(number))
    }

    fn read(&self, pipe: OwnedFd) -> Answer<String> {
        let mut text = String::new();
        std::fs::File::from(pipe).read_to_string(&mut text).unwrap();
        Ok(text)
    }

    fn reversed(&self, bytes: &[u8]) -> Answer<Vec<u8>> {
        Ok(bytes.iter().rev().copied().collect())
    }

    fn own(&self) -> Answer<u32> {
        self.enter();
        let Shared { inside, came, .. } = &*self.shared;
        let inside = came.wait_timeout_while(inside.lock().unwrap(), SOON, |inside| *inside < 3).unwrap();
        drop(inside);
        self.served.set(self.served.get() + 1);
        Ok(self.served.get())
    }
}

pub fn threads(
    shared: &Arc<Shared>,
    count: usize,
) -> Threads<impl Fn(&Thread) -> WorkServer<Hand> + Send + Sync + 'static> {
    let shared = Arc::clone(shared);
    Threads::new(count, move |thread| {
        shared.made.fetch_add(1, Ordering::Relaxed);
        WorkServer::new(Hand {
            shared: Arc::clone(&shared),
            served: Cell::new(0),
            thread: thread.clone(),
            peer: OnceCell::new(),
        })
    })
}

pub type Ended = (Result<(), ServeError>, u64);

/// A worker `crew` with so many threads. It says at the end how that came, and how many answers nobody heard.
pub fn crew(world: &mut World, count: usize) -> (Arc<Shared>, JoinHandle<Ended>) {
    let shared = Arc::<Shared>::default();
    let threads = threads(&shared, count);
    let served = world.worker("crew", move |worker| (worker.serve_on(threads), worker.unheard_answers()));
    (shared, served)
}

pub fn client(world: &mut World) -> (Worker, WorkClient<Link>) {
    let worker = world.here("client");
    let client = WorkClient::bind(&worker, "crew").unwrap().within(SOON);
    (worker, client)
}

pub fn why<T: std::fmt::Debug, E: std::fmt::Debug>(answer: Answer<T, E>) -> CallFailure {
    match answer.unwrap_err() {
        MethodError::Call(error) => error.why,
        MethodError::Own(error) => panic!("{error:?}"),
    }
}

/// Counts.
pub struct Count(pub Cell<u32>);

impl Counter for Count {
    fn add(&self, by: u32) -> Answer<u32> {
        self.0.set(self.0.get() + by);
        Ok(self.0.get())
    }
}
