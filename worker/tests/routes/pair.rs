//! A worker that notes numbers, and a peer by hand.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use cloison_msg::control::ToBroker;
use cloison_msg::{Interface, Kind, Message, Route, RpcIndex};
use cloison_worker::{Link, Request, Worker};

use crate::world::World;
use crate::world::raw::{self, Raw};

pub const TEST: Interface = Interface::new("test", &["note", "ask"]);
pub const NOTE: RpcIndex = TEST.method("note");
pub const ASK: RpcIndex = TEST.method("ask");

pub type Reply = Message<OwnedFd>;
type Notes = Rc<RefCell<Vec<u32>>>;

/// A worker that notes the numbers it is sent, and a link to a raw peer.
pub fn pair(world: &mut World) -> (Worker, Link, Raw, Notes) {
    let mut raw = Raw::new(world, "peer");
    let worker = world.here("worker");
    let link = worker.open("peer", &TEST).unwrap();
    raw.granted();
    let notes = Notes::default();
    let taken = Rc::clone(&notes);
    worker.provide(move |_: &Worker, request: &mut Request<'_>, _: &mut Reply| {
        taken.borrow_mut().push(request.recv()?);
        Ok(request.finish()?)
    });
    (worker, link, raw, notes)
}

pub fn number(number: u32) -> Reply {
    let mut message = Message::new();
    message.append(&number).unwrap();
    message
}

/// Serves until nothing more comes.
pub fn serve_all(worker: &Worker) {
    while worker.serve_once(Duration::from_millis(30)).unwrap() {}
}

/// Brings the link between a worker and its raw peer on the direct route.
pub fn go_direct(world: &World, worker: &Worker, raw: &mut Raw) {
    world.reroute("worker", "peer", Route::Direct);
    raw.rerouted();
    raw.send_relayed(raw::switch(), &[]);
    raw.say(&ToBroker::Settled { link: raw.link });
    serve_all(worker);
    while raw.recv_by(Route::Relayed).0.kind != Kind::Switch {}
    world.settled("worker", "peer");
}
