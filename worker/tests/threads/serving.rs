//! What is served on threads: how many at a time, in which order, and how it ends.

use std::cell::Cell;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use cloison_msg::{CallFailure, Gone, Message, Route};
use cloison_worker::{Answer, Link, THREADS_MAX, ThreadsError, Worker, interface};

use crate::crew::*;
use crate::world::World;

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
    descriptors_and_long_payloads_arrive,
    each_thread_has_a_server_of_its_own,
    objects_are_served_beside,
];

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
