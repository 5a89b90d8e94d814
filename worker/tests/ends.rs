//! How links begin and end, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
mod world;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cloison_ipc::ProcessIpc;
use cloison_msg::control::{ToBroker, ToWorker};
use cloison_msg::{
    CallFailure, Denial, Destination, Failure, Gone, Header, Interface, Kind, Message, Refusal, Rights, Route,
    RpcIndex, RpcSet, decode_whole,
};
use cloison_worker::{Disconnect, Link, OpenFailure, Request, ServeError, StartError, Worker};
use world::World;
use world::raw::{self, Raw};

const TEST: Interface = Interface::new("test", &["note", "ask"]);
const NOTE: RpcIndex = TEST.method("note");
const ASK: RpcIndex = TEST.method("ask");

over_both_routes![
    a_link_is_waited_for_or_refused,
    a_link_that_comes_too_late_is_closed,
    a_dead_peer_ends_every_call_with_its_reason,
    what_a_dead_peer_had_told_is_served_and_its_calls_are_not,
    what_was_revoked_is_not_served,
    a_closed_link_is_closed_for_both,
    the_end_of_the_broker_ends_everything,
    a_peer_that_overdraws_is_accused,
    only_direct_messages_are_counted,
];

type Reply = Message<OwnedFd>;

/// A worker with a link to a raw peer.
fn pair(world: &mut World) -> (Worker, Link, Raw) {
    let mut raw = Raw::new(world, "peer");
    let worker = world.here("worker");
    let link = worker.open("peer", &TEST).unwrap();
    raw.granted();
    (worker, link, raw)
}

/// Lets `worker` note what it is sent.
fn taking_notes(worker: &Worker) -> Rc<RefCell<Vec<u8>>> {
    let notes = Rc::new(RefCell::new(Vec::new()));
    let taken = Rc::clone(&notes);
    worker.provide(move |_: &Worker, request: &mut Request<'_>, _: &mut Reply| {
        taken.borrow_mut().push(request.recv::<u8>()?);
        Ok(())
    });
    notes
}

fn crashed() -> Gone {
    Gone::Crashed("forbidden system call: execve".into())
}

fn call(link: &Link) -> CallFailure {
    link.call(ASK, &mut Message::new()).unwrap_err().why
}

fn a_link_is_waited_for_or_refused(route: Route) {
    let mut world = World::new(route);
    let worker = world.here("worker");
    let open = |role: &str| worker.open_within(role, &TEST, Duration::from_millis(20)).unwrap_err();
    assert!(matches!(open("nobody").why, OpenFailure::Refused(Refusal::NotFound)));
    assert!(matches!(open("No Name").why, OpenFailure::Role(_)));
    assert!(matches!(open("later").why, OpenFailure::Deadline(_)));
    assert_eq!(open("nobody").to_string(), "link to \"nobody\" by test: no such peer, or none that the policy grants");
    let control = world.port("late");
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        Worker::over(control).unwrap().serve(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()))
    });
    worker.open("late", &TEST).unwrap().call(ASK, &mut Message::new()).unwrap();
    drop(world);
    late.join().unwrap().unwrap();
}

fn a_link_that_comes_too_late_is_closed(route: Route) {
    let mut world = World::new(route);
    let worker = world.here("worker");
    let error = worker.open_within("peer", &TEST, Duration::ZERO).unwrap_err();
    assert!(matches!(error.why, OpenFailure::Deadline(_)));
    let mut raw = Raw::new(&mut world, "peer");
    raw.granted();
    worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
    assert_eq!(worker.serve_once(Duration::from_millis(50)), Ok(false));
    assert_eq!(raw.word().0, ToWorker::Closed { link: raw.link, why: Gone::Closed });
}

fn a_dead_peer_ends_every_call_with_its_reason(route: Route) {
    let mut world = World::new(route);
    let (worker, link, _raw) = pair(&mut world);
    let calls: Vec<_> = (0..3).map(|_| link.start(ASK, &mut Message::new()).unwrap()).collect();
    assert_eq!(link.gone(), None);
    let begun = Instant::now();
    world.bury("peer", &crashed());
    for call in calls {
        assert_eq!(call.wait().unwrap_err().why, CallFailure::from(crashed()));
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "no deadline was needed");
    assert_eq!(call(&link), CallFailure::from(crashed()), "later ones hear the same");
    let note = link.oneway(NOTE, &mut Message::new()).unwrap_err();
    assert_eq!(note.to_string().split(": ").nth(1), Some("peer crashed"));
    assert_eq!(link.gone(), Some(crashed()));
    assert_eq!(worker.disconnected(), None);
}

/// Nobody waits for the answer to its call.
fn what_a_dead_peer_had_told_is_served_and_its_calls_are_not(route: Route) {
    let mut world = World::new(route);
    let (worker, link, raw) = pair(&mut world);
    let notes = taking_notes(&worker);
    let asked = link.start(ASK, &mut Message::new()).unwrap();
    for i in 0..10 {
        raw.send(raw::oneway(NOTE.0), &[i]);
    }
    raw.send(raw::call(NOTE.0, 1), &[10]);
    let relayed = route == Route::Relayed;
    drop(raw);
    if !relayed {
        world.bury("peer", &crashed());
    }
    let outcome = asked.wait().unwrap_err().why;
    assert!(matches!(outcome, CallFailure::PeerRestarted(Gone::Crashed(_))), "{outcome}");
    while worker.serve_once(Duration::from_millis(5)).unwrap() {}
    assert_eq!(*notes.borrow(), (0..10).collect::<Vec<_>>());
}

fn what_was_revoked_is_not_served(route: Route) {
    let mut world = World::new(route);
    let (worker, link, raw) = pair(&mut world);
    let notes = taking_notes(&worker);
    let asked = link.start(ASK, &mut Message::new()).unwrap();
    raw.send(raw::oneway(NOTE.0), &[1]);
    assert_eq!(worker.serve_once(Duration::from_secs(60)), Ok(true));
    raw.send(raw::oneway(NOTE.0), &[2]);
    world.revoke_all();
    assert_eq!(asked.wait().unwrap_err().why, CallFailure::Gone(Gone::Revoked));
    assert_eq!(worker.serve_once(Duration::from_millis(30)), Ok(false));
    assert_eq!(*notes.borrow(), [1]);
}

fn a_closed_link_is_closed_for_both(route: Route) {
    let mut world = World::new(route);
    let (_worker, link, mut raw) = pair(&mut world);
    let asked = link.start(ASK, &mut Message::new()).unwrap();
    link.oneway(NOTE, &mut Message::new()).unwrap();
    link.clone().close();
    assert_eq!(asked.wait().unwrap_err().why, CallFailure::Gone(Gone::Closed));
    assert_eq!((raw.recv().0.rpc, raw.recv().0.rpc), (ASK, NOTE), "what was sent before still arrives");
    assert_eq!(raw.word().0, ToWorker::Closed { link: raw.link, why: Gone::Closed });
    assert_eq!(call(&link), CallFailure::Gone(Gone::Closed));
    link.close();
}

fn the_end_of_the_broker_ends_everything(route: Route) {
    let mut world = World::new(route);
    let (worker, link, raw) = pair(&mut world);
    let serving =
        world.worker("serving", |worker| worker.serve(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(())));
    worker.open("serving", &TEST).unwrap().call(ASK, &mut Message::new()).unwrap();
    let asked = link.start(ASK, &mut Message::new()).unwrap();
    drop((world, raw));
    assert_eq!(serving.join().unwrap(), Ok(()), "the end of a broker is the good end of a worker");
    assert_eq!(asked.wait().unwrap_err().why, CallFailure::Gone(Gone::BrokerEnded));
    assert_eq!(call(&link), CallFailure::Gone(Gone::BrokerEnded));
    assert_eq!(worker.disconnected(), Some(Disconnect::Ended));
    worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
    assert_eq!(worker.serve_once(Duration::ZERO), Err(ServeError::Disconnected(Disconnect::Ended)));
    let open = worker.open("serving", &TEST).unwrap_err();
    assert!(matches!(open.why, OpenFailure::Disconnected(Disconnect::Ended)));
}

fn a_peer_that_overdraws_is_accused(route: Route) {
    let mut world = World::new(route);
    let (worker, link, raw) = pair(&mut world);
    for _ in 0..=cloison_msg::WINDOW_MESSAGES {
        raw.send(raw::oneway(NOTE.0), &[0]);
    }
    worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Reply| Ok(()));
    let waited = loop {
        // Only waiting takes in what arrives; nothing is taken out of the window.
        if let Err(error) = link.call_within(ASK, &mut Message::new(), Duration::from_millis(500)) {
            break error.why;
        }
    };
    let CallFailure::Gone(Gone::CutOff(what)) = waited else { panic!("{waited}") };
    assert_eq!(what.as_str(), format!("more than {} messages unread", cloison_msg::WINDOW_MESSAGES));
    let accused = world.heard(|word| match word {
        ToBroker::Accuse { what, .. } => Some(what.clone()),
        _ => None,
    });
    assert_eq!(accused, what);
    // A peer can make the broker's account differ from the worker's own, so that is no proof against the broker.
    assert_eq!(worker.disconnected(), None);
}

fn only_direct_messages_are_counted(route: Route) {
    let mut world = World::new(route);
    let (_worker, link, mut raw) = pair(&mut world);
    let mut message = Message::new();
    message.append_bytes(&[0; 99]).unwrap();
    link.oneway(NOTE, &mut message).unwrap();
    let asked = link.start(ASK, &mut Message::new()).unwrap();
    raw.recv();
    let asks = raw.recv().0;
    world.say("worker", &ToWorker::Count);
    std::thread::sleep(Duration::from_millis(10));
    raw.reply(&asks, &[]);
    // Looks at every socket, which waiting for an answer need not.
    while !asked.is_done() {}
    asked.wait().unwrap();
    link.close();
    let counted = world.heard(|word| match word {
        ToBroker::Counted { messages, bytes } => Some((*messages, *bytes)),
        _ => None,
    });
    assert_eq!(counted, if route == Route::Direct { (2, 48 + 100 + 48) } else { (0, 0) });
}

/// The receiving end of a direct link asks the question that the broker asks on a relayed one.
#[test]
fn a_direct_request_without_right_is_denied() {
    let mut world = World::new(Route::Direct);
    world.allow("peer", "worker", Rights::methods(RpcSet::NONE.with(ASK)));
    let (worker, _link, mut raw) = pair(&mut world);
    let notes = taking_notes(&worker);
    for i in 0..100 {
        raw.send(raw::oneway(NOTE.0), &[i]);
        raw.send(raw::call(NOTE.0, 2 * u64::from(i) + 1), &[i]);
        raw.send(raw::call(ASK.0, 2 * u64::from(i) + 2), &[i]);
        assert_eq!(worker.serve_once(Duration::from_secs(60)), Ok(true));
        let mut answers = [(raw.recv()), raw.recv()];
        while let Some(at) = answers.iter().position(|(header, _)| header.kind == Kind::Credit) {
            answers[at] = raw.recv();
        }
        answers.sort_by_key(|(header, _)| header.call);
        let [denied, served] = &answers;
        assert_eq!((denied.0.kind, served.0.kind), (Kind::Error, Kind::Reply));
        assert_eq!(decode_whole(&denied.1), Ok(Failure::Denied(Denial::Method)));
    }
    assert_eq!(*notes.borrow(), (0..100).collect::<Vec<_>>());
}

/// The end of a socket alone says nothing: the broker will say why. But if it does not, the peer has done it.
#[test]
fn a_peer_that_hangs_up_and_lives_on_is_accused() {
    let mut world = World::new(Route::Direct);
    let (worker, link, raw) = pair(&mut world);
    let asked = link.start_within(ASK, &mut Message::new(), Duration::from_millis(50)).unwrap();
    raw.hang_up();
    assert_eq!(asked.wait().unwrap_err().why, CallFailure::Deadline);
    let cut_off = CallFailure::Gone(Gone::CutOff("it shut the link's socket down".into()));
    assert_eq!(call(&link), cut_off);
    assert_eq!(link.oneway(NOTE, &mut Message::new()).unwrap_err().why, cut_off);
    world.heard(|word| matches!(word, ToBroker::Accuse { .. }).then_some(()));
    assert_eq!(worker.disconnected(), None);
}

#[test]
fn what_is_no_protocol_cuts_a_direct_link() {
    let link = Destination { index: 1, generation: 1 };
    let answer = Header { destination: link, kind: Kind::Reply, call: cloison_msg::CallId(77), ..Header::default() };
    let two = [raw::oneway(NOTE.0), Header { payload: 1000, ..raw::oneway(NOTE.0) }]
        .map(|header| Header { destination: link, ..header }.encode());
    let packets: [(&[u8], &str); 4] = [
        (b"nonsense", "8 bytes are no header, which has 48"),
        (&Header { kind: Kind::Control, ..Header::default() }.encode(), "a control word on a link"),
        (&answer.encode(), "an answer without a call"),
        (&two.concat(), "48 bytes of a message that announces 1048"),
    ];
    for (packet, what) in packets {
        let mut world = World::new(Route::Direct);
        let (worker, link, raw) = pair(&mut world);
        taking_notes(&worker);
        raw.send_bytes(packet);
        while link.gone().is_none() {
            let _ = worker.serve_once(Duration::from_millis(1));
        }
        assert_eq!(link.gone(), Some(Gone::CutOff(what.into())));
        assert_eq!(call(&link), CallFailure::Gone(Gone::CutOff(what.into())));
        assert_eq!(worker.disconnected(), None);
        world.heard(|word| matches!(word, ToBroker::Accuse { .. }).then_some(()));
    }
}

#[test]
fn a_worker_is_welcomed_in_its_own_version_or_not_at_all() {
    let welcome = |word: Option<ToWorker>| {
        let (broker, control) = ProcessIpc::pair().unwrap();
        if let Some(word) = &word {
            let mut message = Message::<()>::new();
            message.append(word).unwrap();
            let header = Header { kind: Kind::Control, payload: message.payload_len(), ..Header::default() };
            broker.send(message.packet(&header), &[]).unwrap();
        } else {
            broker.shutdown().unwrap();
        }
        Worker::over(control).map(drop)
    };
    let role = || cloison_msg::Name::new("r").unwrap();
    assert!(welcome(Some(ToWorker::Welcome { version: 1, role: role(), origin: 1 })).is_ok());
    let other = welcome(Some(ToWorker::Welcome { version: 9, role: role(), origin: 1 }));
    assert!(matches!(other, Err(StartError::Version { broker: 9, worker: 1 })));
    assert!(matches!(welcome(None), Err(StartError::Disconnected(Disconnect::Ended))));
}
