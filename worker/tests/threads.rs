//! Serving on several threads, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::{Cell, OnceCell};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cloison_msg::contract::{bind, serving};
use cloison_msg::{CALL_DEPTH_MAX, CallFailure, Gone, Kind, Message, Reader, Route, STREAM_ITEMS};
use cloison_worker::{
    Answer, Answers, Link, MethodError, OpenFailure, ServeError, Stream, THREADS_MAX, Thread, ThreadLink, Threads,
    ThreadsError, Worker, interface,
};
use world::World;
use world::raw::{self, Raw};

over_both_routes![
    as_many_calls_run_at_a_time_as_there_are_threads,
    what_is_beyond_waits_and_is_answered_in_its_turn,
    oneways_come_in_order_and_before_what_is_asked_later,
    a_oneway_holds_up_its_own_link_only,
    a_call_that_is_given_up_hears_of_it_on_its_thread,
    a_call_that_waits_for_a_thread_is_given_up_at_once,
    a_deadline_is_seen_on_a_thread,
    what_a_call_is_can_be_asked_on_its_thread,
    the_answer_to_a_link_that_is_gone_is_dropped_and_counted,
    nothing_is_begun_that_was_taken_back,
    a_panic_on_a_thread_is_the_workers,
    a_method_that_hangs_does_not_hold_up_the_end,
    whether_the_contract_is_the_same_is_answered_when_all_are_busy,
    streams_are_given_and_fed,
    a_slow_reader_holds_up_nobody_else,
    a_stream_that_is_dropped_ends_on_its_thread,
    a_stream_that_is_dropped_while_it_is_pulled_ends_too,
    what_a_stream_does_at_its_end_is_heard,
    streams_and_calls_take_turns,
    links_are_taken_and_given,
    a_chain_goes_on_on_the_thread_that_waits_for_it,
    a_chain_is_no_deeper_than_the_crew_can_count,
    a_thread_has_many_calls_in_flight,
    what_a_thread_tells_stays_in_its_order,
    what_a_thread_calls_has_no_streams,
    what_a_thread_leaves_to_its_peer_is_served,
    a_link_is_waited_for_no_longer_than_its_call,
    what_a_thread_calls_is_given_up_with_its_call,
    what_a_thread_calls_inherits_the_deadline,
    a_dead_peer_ends_what_a_thread_waits_for,
    a_circle_through_a_thread_is_found,
    descriptors_and_long_payloads_arrive,
    each_thread_has_a_server_of_its_own,
    objects_are_served_beside,
];

/// Long enough for anything that comes, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

#[interface]
trait Counter {
    fn add(&self, by: u32) -> Answer<u32>;
}

/// Whom the crew calls.
#[interface]
trait Peer {
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
trait Work<L> {
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
struct Shared {
    inside: Mutex<u32>,
    came: Condvar,
    most: AtomicU32,
    noted: Mutex<Vec<u32>>,
    made: AtomicU32,
    gate: Gate,
    begun: Gate,
}

/// Lets so many through as it was told.
#[derive(Default)]
struct Gate(Mutex<u32>, Condvar);

impl Gate {
    fn open(&self, many: u32) {
        *self.0.lock().unwrap() += many;
        self.1.notify_all();
    }

    fn pass(&self) {
        let (mut open, timeout) = self.1.wait_timeout_while(self.0.lock().unwrap(), SOON, |open| *open == 0).unwrap();
        assert!(!timeout.timed_out(), "nobody came to open the gate");
        *open -= 1;
    }
}

/// Notes that it is dropped.
struct Notes(u32, Arc<Shared>);

impl Drop for Notes {
    fn drop(&mut self) {
        self.1.noted.lock().unwrap().push(self.0);
        self.1.begun.open(1);
    }
}

/// Calls the peer when it is dropped, and notes that it has.
struct CallsAtTheEnd(PeerClient<ThreadLink>, Arc<Shared>);

impl Drop for CallsAtTheEnd {
    fn drop(&mut self) {
        let answer = self.0.plain(1).unwrap_or(0);
        self.1.noted.lock().unwrap().push(answer);
        self.1.begun.open(1);
    }
}

struct Hand {
    shared: Arc<Shared>,
    /// Not to be shared by threads: each has its own.
    served: Cell<u32>,
    thread: Thread,
    /// Whom it calls itself.
    peer: OnceCell<PeerClient<ThreadLink>>,
}

impl Hand {
    fn peer(&self) -> &PeerClient<ThreadLink> {
        self.peer.get_or_init(|| PeerClient::bind(&self.thread, "peer").unwrap())
    }

    fn enter(&self) {
        let mut inside = self.shared.inside.lock().unwrap();
        *inside += 1;
        self.shared.most.fetch_max(*inside, Ordering::Relaxed);
        self.shared.came.notify_all();
    }

    fn leave(&self) {
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

fn threads(
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

type Ended = (Result<(), ServeError>, u64);

/// A worker `crew` with so many threads. It says at the end how that came, and how many answers nobody heard.
fn crew(world: &mut World, count: usize) -> (Arc<Shared>, JoinHandle<Ended>) {
    let shared = Arc::<Shared>::default();
    let threads = threads(&shared, count);
    let served = world.worker("crew", move |worker| (worker.serve_on(threads), worker.unheard_answers()));
    (shared, served)
}

fn client(world: &mut World) -> (Worker, WorkClient<Link>) {
    let worker = world.here("client");
    let client = WorkClient::bind(&worker, "crew").unwrap().within(SOON);
    (worker, client)
}

fn why<T: std::fmt::Debug, E: std::fmt::Debug>(answer: Answer<T, E>) -> CallFailure {
    match answer.unwrap_err() {
        MethodError::Call(error) => error.why,
        MethodError::Own(error) => panic!("{error:?}"),
    }
}

fn as_many_calls_run_at_a_time_as_there_are_threads(route: Route) {
    let mut world = World::new(route);
    let (_, _served) = crew(&mut world, 4);
    let (_worker, client) = client(&mut world);
    let calls = [(); 4].map(|()| client.start().meet(4));
    assert_eq!(calls.map(|call| call.wait()), [(); 4].map(|()| Ok(true)), "each met the three others");
}

fn what_is_beyond_waits_and_is_answered_in_its_turn(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 2);
    let (_worker, client) = client(&mut world);
    let calls: Vec<_> = (0..7).map(|number| client.start().hold(number)).collect();
    shared.begun.pass();
    shared.begun.pass();
    assert!(calls.iter().all(|call| !format!("{call:?}").is_empty()));
    shared.gate.open(7);
    let answers: Vec<_> = calls.into_iter().map(|call| call.wait().unwrap()).collect();
    assert_eq!(answers, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(shared.most.load(Ordering::Relaxed), 2, "never more than there are threads");
}

fn oneways_come_in_order_and_before_what_is_asked_later(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 4);
    let (_worker, client) = client(&mut world);
    for round in 0..50 {
        (0..5).for_each(|number| client.note(round * 5 + number).unwrap());
        assert_eq!(client.noted().unwrap(), (0..=round * 5 + 4).collect::<Vec<_>>());
    }
    client.note_late(250).unwrap();
    let asked = client.start().noted();
    client.note(251).unwrap();
    shared.begun.pass();
    // Three threads are free, and none may begin anything of this link.
    shared.gate.open(1);
    let noted = asked.wait().unwrap();
    assert_eq!(noted[..251], (0..251).collect::<Vec<_>>(), "the call saw all that was told before it");
    assert_eq!(client.noted().unwrap()[250..], [250, 251]);
}

fn a_oneway_holds_up_its_own_link_only(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 2);
    let (worker, client) = client(&mut world);
    let other = WorkClient::bind(&worker, "crew").unwrap().within(SOON);
    client.note_late(1).unwrap();
    shared.begun.pass();
    assert_eq!(other.noted().unwrap(), [] as [u32; 0], "another link waits for nothing");
    shared.gate.open(1);
    assert_eq!(client.noted().unwrap(), [1]);
}

fn a_call_that_is_given_up_hears_of_it_on_its_thread(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 2);
    let (worker, client) = client(&mut world);
    let (first, second) = (client.start().linger(), client.start().hold(7));
    shared.begun.pass();
    shared.begun.pass();
    drop(first);
    shared.begun.pass();
    assert_eq!(*shared.noted.lock().unwrap(), [1], "it saw that nobody waits");
    shared.gate.open(1);
    assert_eq!(second.wait(), Ok(7), "and the other noticed nothing");
    while worker.late_answers() < 1 {
        client.noted().unwrap();
    }
}

fn a_call_that_waits_for_a_thread_is_given_up_at_once(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 1);
    let (worker, client) = client(&mut world);
    let (first, second) = (client.start().hold(1), client.start().hold(2));
    shared.begun.pass();
    drop(second);
    while worker.late_answers() < 1 {
        worker.provide(|_: &Worker, _: &mut cloison_worker::Request<'_>, _: &mut Message<OwnedFd>| Ok(()));
        worker.serve_once(Duration::from_millis(5)).unwrap();
    }
    shared.gate.open(1);
    assert_eq!(first.wait(), Ok(1));
    assert_eq!(*shared.begun.0.lock().unwrap(), 0, "the second was never begun");
}

fn a_deadline_is_seen_on_a_thread(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 2);
    let (_worker, client) = client(&mut world);
    let brief = client.clone().within(Duration::from_millis(40));
    // Both ends see the same moment pass; what is answered then may be just in time.
    if let Err(error) = brief.linger() {
        assert_eq!(why::<(), _>(Err(error)), CallFailure::Deadline);
    }
    shared.begun.pass();
    shared.begun.pass();
    assert_eq!(client.noted().unwrap(), [1]);
}

fn what_a_call_is_can_be_asked_on_its_thread(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 2);
    let (_worker, client) = client(&mut world);
    assert_eq!(client.who().unwrap(), ("client".to_owned(), false, true));
    let mut again = Message::new();
    again.mark_retry();
    let mut reply = client.link().call(WORK.method("who"), &mut again).unwrap();
    let mut values = reply.reader();
    let (who, is_retry): (String, bool) = (values.recv().unwrap(), values.recv().unwrap());
    assert_eq!((who.as_str(), is_retry), ("client", true));
}

fn the_answer_to_a_link_that_is_gone_is_dropped_and_counted(route: Route) {
    let mut world = World::new(route);
    let (shared, served) = crew(&mut world, 2);
    let (worker, client) = client(&mut world);
    let other = WorkClient::bind(&worker, "crew").unwrap().within(SOON);
    let lingers = client.start().linger();
    shared.begun.pass();
    client.link().close();
    assert!(matches!(why(lingers.wait()), CallFailure::Gone(_)));
    shared.begun.pass();
    assert_eq!(other.noted().unwrap(), [1], "it saw that nobody waits");
    // Both threads are free again when this is answered.
    assert_eq!([(); 2].map(|()| other.start().meet(2)).map(|call| call.wait()), [Ok(true), Ok(true)]);
    drop(world);
    assert_eq!(served.join().unwrap(), (Ok(()), 1));
}

fn nothing_is_begun_that_was_taken_back(route: Route) {
    let mut world = World::new(route);
    let (shared, served) = crew(&mut world, 1);
    let (_worker, client) = client(&mut world);
    let first = client.start().hold(1);
    shared.begun.pass();
    let rest: Vec<_> = (2..6).map(|number| client.start().hold(number)).collect();
    client.note(9).unwrap();
    world.revoke_all();
    assert_eq!(why(first.wait()), CallFailure::Gone(Gone::Revoked));
    for call in rest {
        assert_eq!(why(call.wait()), CallFailure::Gone(Gone::Revoked));
    }
    world.heard(|word| matches!(word, cloison_msg::control::ToBroker::Released { .. }).then_some(()));
    shared.gate.open(10);
    drop(world);
    served.join().unwrap().0.unwrap();
    assert_eq!(*shared.begun.0.lock().unwrap(), 0);
    assert_eq!(*shared.noted.lock().unwrap(), [] as [u32; 0]);
}

fn a_panic_on_a_thread_is_the_workers(route: Route) {
    let mut world = World::new(route);
    let (shared, served) = crew(&mut world, 2);
    let (_worker, client) = client(&mut world);
    let (held, panics) = (client.start().hold(1), client.start().panic());
    shared.begun.pass();
    for failure in [why(panics.wait()), why(held.wait())] {
        assert!(matches!(failure, CallFailure::PeerRestarted(Gone::Crashed(_))), "{failure:?}");
    }
    let said = served.join().unwrap_err();
    assert_eq!(said.downcast_ref::<&str>(), Some(&"as it was told to"));
    shared.gate.open(1);
}

fn a_method_that_hangs_does_not_hold_up_the_end(route: Route) {
    let mut world = World::new(route);
    let (shared, served) = crew(&mut world, 2);
    let (_worker, client) = client(&mut world);
    let held = client.start().hold(1);
    shared.begun.pass();
    drop(world);
    assert_eq!(served.join().unwrap().0, Ok(()));
    assert!(matches!(why(held.wait()), CallFailure::Gone(_)));
    shared.gate.open(1);
}

fn whether_the_contract_is_the_same_is_answered_when_all_are_busy(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 1);
    let (worker, client) = client(&mut world);
    let held = client.start().hold(1);
    shared.begun.pass();
    let other = WorkClient::bind(&worker, "crew").unwrap();
    assert!(CounterClient::bind(&worker, "crew").is_err());
    shared.gate.open(1);
    assert_eq!(held.wait(), Ok(1));
    other.noted().unwrap();
}

struct Count(Cell<u32>);

impl Counter for Count {
    fn add(&self, by: u32) -> Answer<u32> {
        self.0.set(self.0.get() + by);
        Ok(self.0.get())
    }
}

fn streams_are_given_and_fed(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 2);
    let (_worker, client) = client(&mut world);
    for _ in 0..5 {
        assert_eq!(client.numbers().collect::<Result<Vec<_>, _>>().unwrap(), [1, 2, 3]);
        assert_eq!(client.sum(Stream::of(1..=1000)).unwrap(), 500_500);
        let doubled: Vec<_> = client.doubled(Stream::of(100..600)).map(Result::unwrap).collect();
        assert_eq!(doubled, (100..600).map(|number| 2 * number).collect::<Vec<_>>());
        let failed: Vec<_> = client.doubled(Stream::of(11..20)).collect();
        assert_eq!(failed, [Ok(22), Ok(24), Err(MethodError::Own("thirteen".to_owned()))]);
        let many: Vec<u32> = client.count_up(7).take(3000).map(Result::unwrap).collect();
        assert_eq!(many, (7..3007).collect::<Vec<_>>());
    }
}

fn a_slow_reader_holds_up_nobody_else(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 1);
    let (_worker, client) = client(&mut world);
    let mut slow: Vec<_> = (0..4).map(|from| client.count_up(from * 1_000_000)).collect();
    let first: Vec<u32> = slow.iter_mut().map(|stream| stream.next().unwrap().unwrap()).collect();
    assert_eq!(first, [0, 1_000_000, 2_000_000, 3_000_000]);
    for _ in 0..100 {
        assert_eq!(client.who().unwrap().0, "client");
    }
    for stream in &mut slow {
        let next: Vec<u32> = stream.take(200).map(Result::unwrap).collect();
        assert!(next.windows(2).all(|two| two[0] + 1 == two[1]));
    }
}

fn a_stream_that_is_dropped_ends_on_its_thread(route: Route) {
    let mut world = World::new(route);
    let (shared, served) = crew(&mut world, 2);
    let (worker, client) = client(&mut world);
    let mut streams: Vec<_> = (1..=3).map(|from| client.count_up(from)).collect();
    streams.iter_mut().for_each(|stream| assert!(stream.next().unwrap().is_ok()));
    let kept = streams.pop().unwrap();
    drop(streams);
    shared.begun.pass();
    shared.begun.pass();
    let mut ended = shared.noted.lock().unwrap().clone();
    ended.sort_unstable();
    assert_eq!(ended, [1, 2]);
    // With its link the third ends, too.
    let other = WorkClient::bind(&worker, "crew").unwrap().within(SOON);
    client.link().close();
    shared.begun.pass();
    other.note(4).unwrap();
    assert!(other.noted().unwrap().ends_with(&[3, 4]));
    drop(kept);
    drop(world);
    assert_eq!(served.join().unwrap().0, Ok(()));
}

/// It waits for room on a link of its own when its reader goes. So does a stream for room that nobody makes.
fn a_stream_that_is_dropped_while_it_is_pulled_ends_too(route: Route) {
    let mut world = World::new(route);
    let heard = peer(&mut world);
    let (shared, _served) = crew(&mut world, 2);
    let (worker, client) = client(&mut world);
    let busy = PeerClient::bind(&worker, "peer").unwrap().within(SOON);
    let mut stream = client.tell_up(0);
    assert_eq!(stream.next(), Some(Ok(0)));
    while (busy.noted().unwrap().len() as u64) < 3 * STREAM_ITEMS {}
    let lingering = busy.start().linger();
    heard.begun.pass();
    // From now on what is told fills the window, and the stream's credit is for more than that.
    assert_eq!(stream.by_ref().take(39).last(), Some(Ok(39)));
    while u64::from(shared.most.load(Ordering::Relaxed)) < STREAM_ITEMS {
        client.who().unwrap();
    }
    (0..100).for_each(|_| drop(client.who().unwrap()));
    drop(stream);
    assert_eq!(client.who().unwrap().0, "client", "by the other thread, and the crew has heard that it was dropped");
    drop(lingering);
    shared.begun.pass();
    assert_eq!(*shared.noted.lock().unwrap(), [0]);
}

/// When nothing is on any thread, and nobody else says anything.
fn what_a_stream_does_at_its_end_is_heard(route: Route) {
    let mut world = World::new(route);
    let _heard = peer(&mut world);
    let (shared, _served) = crew(&mut world, 1);
    let (_worker, client) = client(&mut world);
    let mut stream = client.call_at_the_end(0);
    assert_eq!(stream.next(), Some(Ok(0)));
    drop(stream);
    shared.begun.pass();
    assert_eq!(*shared.noted.lock().unwrap(), [2]);
}

fn streams_and_calls_take_turns(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 1);
    let (worker, client) = client(&mut world);
    let other = WorkClient::bind(&worker, "crew").unwrap().within(SOON);
    let mut streams: Vec<_> = (0..3).map(|from| client.count_up(from)).collect();
    for round in 0..200 {
        let calls = [(); 4].map(|()| other.start().who());
        for (at, stream) in (0..).zip(&mut streams) {
            assert_eq!(stream.next().unwrap().unwrap(), at + round);
        }
        calls.into_iter().for_each(|call| assert!(call.wait().is_ok()));
    }
}

fn links_are_taken_and_given(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 1);
    let (worker, client) = client(&mut world);
    let counter = CounterClient::offer(&worker, Count(Cell::new(0))).unwrap();
    let counter = client.keep(counter).unwrap();
    assert_eq!(counter.add(1), Ok(11), "it is the same, and came back");
    let counter = client.keep(counter).unwrap();
    assert_eq!(client.count(&counter), Ok(22));
    assert_eq!(counter.add(1), Ok(23));
}

/// Whom the crew calls: calls it back.
struct Echo {
    crew: OnceCell<WorkClient<Link>>,
    worker: Worker,
    shared: Arc<Shared>,
}

impl Echo {
    fn crew(&self) -> &WorkClient<Link> {
        self.crew.get_or_init(|| WorkClient::bind(&self.worker, "crew").unwrap().within(SOON))
    }
}

impl Peer for Echo {
    fn relay(&self, deep: u32) -> Answer<u32> {
        if deep == 0 { Ok(100) } else { Ok(self.crew().relay(deep - 1)? + 1) }
    }

    fn plain(&self, number: u32) -> Answer<u32> {
        Ok(number + 1)
    }

    fn note(&self, number: u32) -> Answer<()> {
        self.shared.noted.lock().unwrap().push(number);
        Ok(())
    }

    fn noted(&self) -> Answer<Vec<u32>> {
        Ok(self.shared.noted.lock().unwrap().clone())
    }

    fn mark(&self, number: u32) -> Answer<()> {
        self.shared.noted.lock().unwrap().push(number);
        Ok(())
    }

    fn numbers(&self) -> Stream<u32> {
        Stream::of([1, 2, 3])
    }

    fn linger(&self) -> Answer<bool> {
        self.shared.begun.open(1);
        while !serving::is_cancelled() {
            std::thread::sleep(Duration::from_micros(200));
        }
        self.shared.begun.open(1);
        Ok(true)
    }
}

fn peer(world: &mut World) -> Arc<Shared> {
    let shared = Arc::<Shared>::default();
    let its = Arc::clone(&shared);
    world.worker("peer", move |worker| {
        worker.serve(PeerServer::new(Echo { crew: OnceCell::new(), worker: worker.clone(), shared: its }))
    });
    shared
}

/// With fewer threads than the chain is deep, and others besides.
fn a_chain_goes_on_on_the_thread_that_waits_for_it(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 2);
    peer(&mut world);
    let (_worker, client) = client(&mut world);
    assert_eq!(client.relay(4), Ok(104));
    assert_eq!(shared.most.load(Ordering::Relaxed), 5, "all of it at a time");
    let held = client.start().hold(1);
    shared.begun.pass();
    assert_eq!(client.relay(5), Ok(105), "with one thread busy");
    shared.gate.open(1);
    assert_eq!(held.wait(), Ok(1));
    for _ in 0..20 {
        let both = [1, 2].map(|deep| client.start().relay_many(deep * 10));
        assert_eq!(both.map(|call| call.wait()), [Ok(55), Ok(210)]);
    }
    assert_eq!(client.relay(20).map_err(|error| matches!(error, MethodError::Call(_))), Err(true), "that is too deep");
    assert_eq!(client.relay(1), Ok(101));
}

/// A peer that says of each call that it is the first: a stack has an end all the same, and this one is small.
fn a_chain_is_no_deeper_than_the_crew_can_count(route: Route) {
    let mut world = World::new(route);
    let mut peer = Raw::new(&mut world, "peer");
    let shared = Arc::<Shared>::default();
    let (threads, relay) = (threads(&shared, 1), WORK.method("relay"));
    world.worker("crew", move |worker| worker.serve_on(threads));
    let (_worker, client) = client(&mut world);
    let call = client.start().relay(1);
    peer.granted();
    let (bind, asked) = peer.recv();
    let mut bound = Message::<()>::new();
    bind::answer(&PEER, &mut Reader::new(&asked, Vec::<()>::new()), &mut bound).unwrap();
    peer.reply(&bind, bound.payload());
    let payload = |value: u32| {
        let mut message = Message::<()>::new();
        message.append(&value).unwrap();
        message.payload().to_vec()
    };
    let deepest = u64::from(CALL_DEPTH_MAX) + 1;
    let (mut nested, _) = peer.recv();
    for call in 2..=deepest + 1 {
        peer.send(cloison_msg::Header { chain: nested.chain, ..raw::call(relay.0, call) }, &payload(1));
        if call <= deepest {
            (nested, _) = peer.recv();
        }
    }
    peer.reply(&nested, &payload(0));
    let (answer, _) = peer.recv();
    assert_eq!((answer.kind, answer.call.0), (Kind::Reply, deepest), "before anything is begun that is deeper");
    assert_eq!(shared.most.load(Ordering::Relaxed), u32::from(CALL_DEPTH_MAX) + 1);
    drop(call);
}

fn a_thread_has_many_calls_in_flight(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 2);
    peer(&mut world);
    let (_worker, client) = client(&mut world);
    // More than a link has places, and more than a thread may have asked for.
    let calls = [300, 200, 100].map(|many| client.start().relay_many(many));
    assert_eq!(calls.map(|call| call.wait()), [Ok(45_150), Ok(20_100), Ok(5050)]);
}

fn what_a_thread_tells_stays_in_its_order(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 2);
    let heard = peer(&mut world);
    let (worker, client) = client(&mut world);
    (0..40).for_each(|round| client.tell_on(round * 5).unwrap());
    let peer = PeerClient::bind(&worker, "peer").unwrap();
    let start = Instant::now();
    while peer.noted().unwrap().len() < 200 {
        assert!(start.elapsed() < SOON);
    }
    // Each round was told by one of two threads, each over a link of its own, and was sent when it returned.
    let noted = heard.noted.lock().unwrap().clone();
    for round in noted.chunks(5) {
        let rounds: Vec<u32> = round.iter().map(|number| number / 5).collect();
        assert!(rounds.is_sorted() || noted.len() == 200, "{noted:?}");
    }
    let of = |round: u32| noted.iter().copied().filter(move |number| number / 5 == round).collect::<Vec<_>>();
    (0..40).for_each(|round| assert_eq!(of(round), (round * 5..round * 5 + 5).collect::<Vec<_>>()));
}

/// More than there are places for at a time.
fn what_a_thread_leaves_to_its_peer_is_served(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 1);
    let heard = peer(&mut world);
    let (_worker, client) = client(&mut world);
    client.leave(60).unwrap();
    let start = Instant::now();
    while heard.noted.lock().unwrap().len() < 60 {
        assert!(start.elapsed() < SOON, "{:?}", heard.noted);
        assert_eq!(client.who().unwrap().0, "client");
    }
    assert_eq!(*heard.noted.lock().unwrap(), (0..60).collect::<Vec<_>>());
}

fn a_link_is_waited_for_no_longer_than_its_call(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 1);
    let (_worker, client) = client(&mut world);
    let call = client.start().wait_for_nobody();
    shared.begun.pass();
    drop(call);
    shared.begun.pass();
    assert_eq!(client.noted().unwrap(), [1]);
}

fn what_a_thread_calls_has_no_streams(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 1);
    peer(&mut world);
    let (_worker, client) = client(&mut world);
    let said = format!("{:?}", client.first_of_peer());
    assert!(said.contains("there are no streams here"), "{said}");
    assert_eq!(client.relay(0), Ok(100));
}

fn what_a_thread_calls_is_given_up_with_its_call(route: Route) {
    let mut world = World::new(route);
    let heard = peer(&mut world);
    let (_shared, _served) = crew(&mut world, 2);
    let (_worker, client) = client(&mut world);
    let call = client.start().pass_on_lingering();
    heard.begun.pass();
    drop(call);
    heard.begun.pass();
    assert_eq!(client.relay(0), Ok(100), "and all are well");
}

fn what_a_thread_calls_inherits_the_deadline(route: Route) {
    let mut world = World::new(route);
    let heard = peer(&mut world);
    let (_shared, _served) = crew(&mut world, 1);
    let (_worker, client) = client(&mut world);
    let brief = client.clone().within(Duration::from_millis(50));
    client.relay(0).unwrap();
    let start = Instant::now();
    // Both ends see the same moment pass; what is answered then may be just in time.
    let _ = brief.pass_on_lingering();
    heard.begun.pass();
    heard.begun.pass();
    assert!(start.elapsed() < SOON / 2);
    assert_eq!(client.relay(0), Ok(100));
}

fn a_dead_peer_ends_what_a_thread_waits_for(route: Route) {
    let mut world = World::new(route);
    let heard = peer(&mut world);
    let (_shared, _served) = crew(&mut world, 1);
    let (_worker, client) = client(&mut world);
    client.relay(0).unwrap();
    let call = client.start().pass_on_lingering();
    heard.begun.pass();
    world.bury("peer", &Gone::Crashed("signal 9".into()));
    let failure = why(call.wait());
    assert!(format!("{failure:?}").contains("signal 9"), "{failure:?}");
}

/// The client waits for a thread, which waits for the peer, which is busy and waits for the client.
fn a_circle_through_a_thread_is_found(route: Route) {
    let mut world = World::new(route);
    let (meet, is_warm, done) =
        (Arc::new(Barrier::new(2)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (met, warm, finished) = (Arc::clone(&meet), Arc::clone(&is_warm), Arc::clone(&done));
    let serve_until = |worker: &Worker, is_over: &dyn Fn() -> bool| {
        while !is_over() {
            worker.serve_once(Duration::from_millis(1)).unwrap();
        }
    };
    let peer = world.worker("peer", move |worker| {
        worker.provide(PeerServer::new(Echo { crew: OnceCell::new(), worker: worker.clone(), shared: Arc::default() }));
        let client = CounterClient::bind(worker, "client").unwrap();
        serve_until(worker, &|| warm.load(Ordering::SeqCst));
        met.wait();
        let answer = client.add(1);
        finished.fetch_add(1, Ordering::SeqCst);
        serve_until(worker, &|| finished.load(Ordering::SeqCst) == 2);
        format!("{answer:?}")
    });
    let (_shared, _served) = crew(&mut world, 1);
    let worker = world.here("client");
    worker.provide(CounterServer::new(Count(Cell::new(0))));
    while !worker.serve_once(SOON).unwrap() {}
    let client = WorkClient::bind(&worker, "crew").unwrap();
    client.relay(0).unwrap();
    is_warm.store(true, Ordering::SeqCst);
    meet.wait();
    let answer = format!("{:?}", client.relay(0));
    done.fetch_add(1, Ordering::SeqCst);
    serve_until(&worker, &|| done.load(Ordering::SeqCst) == 2);
    let answers = [answer, peer.join().unwrap()];
    // Whose call was refused hears it as such, and whose call needed that one as the failure of a nested call.
    let is_refused = |answer: &&String| answer.contains("WouldDeadlock") || answer.contains("wait for itself");
    assert_eq!(answers.iter().filter(is_refused).count(), 1, "{answers:?}");
}

fn descriptors_and_long_payloads_arrive(route: Route) {
    let mut world = World::new(route);
    let (_shared, _served) = crew(&mut world, 3);
    let (_worker, client) = client(&mut world);
    if route == Route::Relayed {
        let (read, mut write) = std::io::pipe().unwrap();
        write.write_all(b"through a pipe").unwrap();
        drop(write);
        assert_eq!(client.read(read.into()).unwrap(), "through a pipe");
    }
    for length in [0, 1, 10_000, 60_000, 100] {
        let bytes: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
        let calls = [(); 3].map(|()| client.start().reversed(&bytes[..bytes.len().min(20_000)]));
        for call in calls {
            let mut reversed = call.wait().unwrap();
            reversed.reverse();
            assert_eq!(reversed, bytes[..bytes.len().min(20_000)]);
        }
        let mut reversed = client.reversed(&bytes).unwrap();
        reversed.reverse();
        assert_eq!(reversed, bytes);
    }
}

fn each_thread_has_a_server_of_its_own(route: Route) {
    let mut world = World::new(route);
    let (shared, _served) = crew(&mut world, 3);
    let (_worker, client) = client(&mut world);
    // They wait for each other, so each is on a thread of its own.
    let calls = [(); 3].map(|()| client.start().own());
    assert_eq!(calls.map(|call| call.wait()), [Ok(1), Ok(1), Ok(1)]);
    assert_eq!(shared.made.load(Ordering::Relaxed), 3);
}

fn objects_are_served_beside(route: Route) {
    let mut world = World::new(route);
    let shared = Arc::<Shared>::default();
    let on = threads(&shared, 1);
    let (worker, _) = (world.here("client"), ());
    let (tell, told) = mpsc::channel();
    world.worker("crew", move |worker| {
        let shop = GiveClient::bind(worker, "client").unwrap();
        tell.send(()).unwrap();
        shop.take(CounterClient::offer(worker, Count(Cell::new(10))).unwrap()).unwrap();
        worker.serve_on(on)
    });
    let taken = Taken::default();
    worker.provide(GiveServer::new(taken.clone()));
    while taken.0.lock().unwrap().is_none() {
        worker.serve_once(SOON).unwrap();
    }
    told.recv().unwrap();
    let counter = taken.0.lock().unwrap().take().unwrap().0;
    let client = WorkClient::bind(&worker, "crew").unwrap().within(SOON);
    let held = client.start().hold(5);
    shared.begun.pass();
    assert_eq!(counter.add(1), Ok(11), "the only thread is busy");
    shared.gate.open(1);
    assert_eq!(held.wait(), Ok(5));
}

#[interface]
trait Give<L> {
    fn take(&self, counter: CounterClient<L>) -> Answer<()>;
}

#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Option<Here>>>);

struct Here(CounterClient<Link>);

impl Give<Link> for Taken {
    fn take(&self, counter: CounterClient<Link>) -> Answer<()> {
        *self.0.lock().unwrap() = Some(Here(counter));
        Ok(())
    }
}

#[test]
fn too_many_threads_and_none_are_errors_at_the_start() {
    let mut world = World::new(Route::Relayed);
    let worker = world.here("crew");
    let shared = Arc::<Shared>::default();
    for count in [0, THREADS_MAX + 1] {
        assert_eq!(worker.serve_on(threads(&shared, count)), Err(ThreadsError::Count(count).into()));
    }
    assert_eq!(shared.made.load(Ordering::Relaxed), 0);
}
