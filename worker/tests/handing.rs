//! Links that travel in messages.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use cloison_msg::control::ToBroker;
use cloison_msg::{CallFailure, Denial, Failure, Gone, Interface, Message, RecvError, Rights, Route, RpcIndex, RpcSet};
use cloison_worker::{Link, PoolShape, Request, Worker};
use world::World;

const TEST: Interface = Interface::new("test", &["note", "who", "take", "ignore", "give", "slow"]);
const NOTE: RpcIndex = TEST.method("note");
const WHO: RpcIndex = TEST.method("who");
const TAKE: RpcIndex = TEST.method("take");
const IGNORE: RpcIndex = TEST.method("ignore");
const GIVE: RpcIndex = TEST.method("give");
const SLOW: RpcIndex = TEST.method("slow");

type Reply = Message<OwnedFd>;

over_both_routes![
    a_copy_leads_to_the_same_peer,
    what_carries_a_link_keeps_its_place,
    a_moved_link_is_another_workers,
    a_reply_gives_links_too,
    nothing_said_while_a_link_moves_is_lost,
    links_that_nobody_takes_are_closed,
    what_the_broker_would_deny_is_not_sent,
];

fn rights() -> Rights {
    Rights::methods(RpcSet::ALL).delegable()
}

fn number(number: u32) -> Reply {
    let mut message = Message::new();
    message.append(&number).unwrap();
    message
}

/// A worker that serves every method of the interface until the end of the world.
fn server(world: &mut World, role: &str) {
    world.worker(role, |worker| {
        let (notes, held) = (RefCell::new(Vec::<u32>::new()), RefCell::new(None::<Link>));
        worker.serve(move |worker: &Worker, request: &mut Request<'_>, reply: &mut Reply| {
            match request.rpc() {
                NOTE => notes.borrow_mut().push(request.recv()?),
                WHO => {
                    reply.append(worker.role().as_str())?.append(request.peer().as_str())?.append(&*notes.borrow())?;
                }
                TAKE => {
                    let link = request.recv_link()?;
                    if !request.is_oneway() {
                        let answer = link.call(WHO, &mut Message::new())?;
                        reply.append_bytes(answer.payload())?;
                    } else if let Ok(number) = request.recv() {
                        notes.borrow_mut().push(number);
                    }
                    if let Some(before) = held.replace(Some(link)) {
                        before.close();
                    }
                }
                IGNORE => {}
                GIVE => {
                    let link = worker.open("c", &TEST).map_err(|error| Failure::remote(1, error.to_string()))?;
                    let moves: bool = request.recv()?;
                    if moves {
                        reply.move_link(&link, &rights())?
                    } else {
                        reply.append_link(&link, &rights())?
                    };
                }
                SLOW => std::thread::sleep(Duration::from_millis(100)),
                _ => return Err(Failure::NoSuchMethod),
            }
            Ok(request.finish()?)
        })
    });
}

/// Two servers, and a worker here with a link to each.
fn triangle(world: &mut World) -> (Worker, Link, Link) {
    server(world, "b");
    server(world, "c");
    let worker = world.here("a");
    let (b, c) = (worker.open("b", &TEST).unwrap(), worker.open("c", &TEST).unwrap());
    (worker, b, c)
}

fn who(link: &Link) -> (String, String, Vec<u32>) {
    let mut reply = link.call(WHO, &mut Message::new()).unwrap();
    let mut values = reply.reader();
    (values.recv().unwrap(), values.recv().unwrap(), values.recv().unwrap())
}

fn why(outcome: Result<cloison_worker::Incoming, cloison_msg::CallError>) -> CallFailure {
    outcome.unwrap_err().why
}

fn a_copy_leads_to_the_same_peer(route: Route) {
    let mut world = World::new(route);
    let (_worker, b, c) = triangle(&mut world);
    let mut message = Message::new();
    message.append_link(&c, &rights()).unwrap();
    let in_flight = c.start(WHO, &mut Message::new()).unwrap();
    let answer = b.call(TAKE, &mut message).unwrap();
    let seen: (&str, &str, Vec<u32>) = cloison_msg::decode_whole(answer.value().unwrap()).unwrap();
    assert_eq!((seen.0, seen.1), ("c", "b"), "the copy is b's own, and leads to c");
    assert_eq!(who(&c).1, "a", "the original is still here");
    in_flight.wait().unwrap();
}

fn what_carries_a_link_keeps_its_place(route: Route) {
    let mut world = World::new(route);
    let (_worker, b, c) = triangle(&mut world);
    for i in 0..90 {
        if i % 3 == 1 {
            let mut message = number(i);
            message.append_link(&c, &rights()).unwrap();
            b.oneway(TAKE, &mut message).unwrap();
        } else {
            b.oneway(NOTE, &mut number(i)).unwrap();
        }
    }
    assert_eq!(who(&b).2, (0..90).collect::<Vec<_>>());
}

fn a_moved_link_is_another_workers(route: Route) {
    let mut world = World::new(route);
    let (worker, b, c) = triangle(&mut world);
    let in_flight = c.start(SLOW, &mut Message::new()).unwrap();
    let mut message = Message::new();
    message.move_link(&c, &rights()).unwrap();
    let answer = b.call(TAKE, &mut message).unwrap();
    let seen: (&str, &str, Vec<u32>) = cloison_msg::decode_whole(answer.value().unwrap()).unwrap();
    assert_eq!((seen.0, seen.1), ("c", "b"));
    // On a direct link it may have been answered while the link came to rest.
    match in_flight.wait() {
        Err(error) => assert_eq!(error.why, CallFailure::Gone(Gone::Moved)),
        Ok(_) => assert_eq!(route, Route::Direct),
    }
    assert_eq!(c.gone(), Some(Gone::Moved));
    // Whoever asks the broker something hears what it has said meanwhile.
    worker.open("b", &TEST).unwrap();
    world.heard(|word| matches!(word, ToBroker::Released { .. }).then_some(()));
    assert_eq!(why(c.call(WHO, &mut Message::new())), CallFailure::Gone(Gone::Moved));
    message.move_link(&c, &rights()).unwrap();
    assert!(matches!(why(b.call(TAKE, &mut message)), CallFailure::Unsendable(_)));
    assert_eq!(worker.disconnected(), None);
}

fn a_reply_gives_links_too(route: Route) {
    let mut world = World::new(route);
    let (_worker, b, _c) = triangle(&mut world);
    for moves in [false, true] {
        let mut message = Message::new();
        message.append(&moves).unwrap();
        let mut reply = b.call(GIVE, &mut message).unwrap();
        assert_eq!(reply.value::<u8>(), Err(RecvError::LeftOverLinks(1)));
        let link = reply.recv_link().unwrap();
        assert_eq!(reply.recv_link().unwrap_err(), RecvError::NoLink);
        assert_eq!(link.peer().as_str(), "c");
        assert_eq!((who(&link).0.as_str(), who(&link).1.as_str()), ("c", "a"));
    }
}

/// A peer tells numbers to whoever holds the other end: the first holder sees those before the move, the next the rest.
fn nothing_said_while_a_link_moves_is_lost(route: Route) {
    let mut world = World::new(route);
    server(&mut world, "b");
    let teller = world.worker("teller", |worker| {
        worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
        let link = worker.open("a", &TEST).unwrap();
        let mut pending = None;
        for i in 0..300 {
            if i == 100 {
                pending = Some(link.start_within(GIVE, &mut Message::new(), Duration::from_secs(60)).unwrap());
            }
            link.oneway_within(NOTE, &mut number(i), Duration::from_secs(60)).unwrap();
        }
        assert_eq!(why(pending.unwrap().wait()), CallFailure::Gone(Gone::Moved));
        while link.peer().as_str() != "b" {
            worker.serve_once(Duration::from_millis(1)).unwrap();
        }
        who(&link).2
    });
    let worker = world.here("a");
    let notes = Rc::new(RefCell::new(Vec::new()));
    let taken = Rc::clone(&notes);
    let b = worker.open("b", &TEST).unwrap();
    worker.provide(move |_: &Worker, request: &mut Request<'_>, _: &mut Reply| {
        if request.rpc() == NOTE {
            taken.borrow_mut().push(request.recv::<u32>()?);
        } else {
            // The very call that is being served is in flight, and will not be answered.
            let mut message = number(1000);
            message.move_link(&request.link(), &rights()).unwrap();
            b.oneway(TAKE, &mut message).unwrap();
        }
        Ok(request.finish()?)
    });
    while notes.borrow().len() < 100 {
        worker.serve_once(Duration::from_secs(60)).unwrap();
    }
    while worker.serve_once(Duration::from_millis(100)).unwrap() {}
    let theirs = teller.join().unwrap();
    let all: Vec<u32> = notes.borrow().iter().chain(&theirs).copied().filter(|&number| number != 1000).collect();
    assert_eq!(all, (0..300).collect::<Vec<_>>());
    assert!(notes.borrow().len() >= 100 && theirs.len() > 1, "both have some");
}

fn links_that_nobody_takes_are_closed(route: Route) {
    let mut world = World::new(route);
    let (_worker, b, c) = triangle(&mut world);
    let mut message = Message::new();
    message.append_link(&c, &rights()).unwrap();
    let failure = why(b.call(IGNORE, &mut message));
    assert_eq!(failure, CallFailure::Failed(RecvError::LeftOverLinks(1).into()));
    // The answer may come by the socket, and so before the word to the broker.
    while world.open_links("b", "c") > 0 {
        std::thread::yield_now();
    }
    message.append(&false).unwrap();
    drop(b.call(GIVE, &mut message).unwrap());
    while world.open_links("a", "c") > 1 {
        std::thread::yield_now();
    }
    assert_eq!(who(&c).0, "c");
}

fn what_the_broker_would_deny_is_not_sent(route: Route) {
    let mut world = World::new(route);
    world.allow("a", "b", Rights::methods(RpcSet::ALL).lending());
    let (_worker, b, c) = triangle(&mut world);
    let mut message = Message::new();
    message.append_link(&b, &rights()).unwrap();
    let denied = |why: Denial| CallFailure::Failed(Failure::Denied(why));
    assert_eq!(why(c.call(TAKE, &mut message)), denied(Denial::Delegation));
    assert_eq!(message.links().len(), 1, "a message that was not sent stays as it is");
    message.clear().move_link(&c, &rights()).unwrap();
    assert!(matches!(why(c.call(TAKE, &mut message)), CallFailure::Unsendable(_)), "a link cannot give itself away");
    message.append_link(&c, &rights()).unwrap();
    assert!(matches!(why(b.call(TAKE, &mut message)), CallFailure::Unsendable(_)), "nor be given twice");
    let pool = c.pool(PoolShape { buffer_size: 64, count: 1 }).unwrap();
    message.clear().move_link(&c, &rights()).unwrap();
    assert_eq!(why(b.call(TAKE, &mut message)), denied(Denial::Moving));
    drop(pool);
    assert_eq!(who(&c).1, "a", "nothing has happened to it");
}
