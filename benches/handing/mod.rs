//! A confined worker that lends pictures to another, or to the host.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::time::Duration;

use cloison_broker::msg::{Failure, Interface, Message, Rights, RpcIndex};
use cloison_broker::{HOST, Inbox, Item, Model, Rules};
use cloison_worker::{BufferRef, PoolShape, Request, Role, ServeError, Worker};
use serde::{Deserialize, Serialize};

use crate::floor::{Placement, RAW_PAIR, RAW_RELAY, Row, Running};
use crate::picture::{BUFFERS, P720, P2160, at_home};
use crate::scene::{self, MEASURER, Scene};

/// Nobody looks at the bytes: what is left is lending, a call, and giving back.
pub const UNTOUCHED: [Row; 8] = [
    RAW_PAIR,
    row("720p, direct", "raw pair", |at| direct(at, P720, false)),
    row("2160p, direct", "raw pair", |at| direct(at, P2160, false)),
    RAW_RELAY,
    row("720p, through the broker", "raw relay", |at| relayed(at, P720, false)),
    row("2160p, through the broker", "raw relay", |at| relayed(at, P2160, false)),
    row("720p, to the host", "raw relay", |at| to_host(at, P720, false)),
    row("2160p, to the host", "raw relay", |at| to_host(at, P2160, false)),
];

/// Every byte is written and copied out, beside the same work done by one thread in memory of its own.
pub const TOUCHED: [Row; 8] = [
    Row { name: "720p at home", against: None, start: |_| at_home(P720) },
    row("720p, direct", "720p at home", |at| direct(at, P720, true)),
    row("720p, through the broker", "720p at home", |at| relayed(at, P720, true)),
    row("720p, to the host", "720p at home", |at| to_host(at, P720, true)),
    Row { name: "2160p at home", against: None, start: |_| at_home(P2160) },
    row("2160p, direct", "2160p at home", |at| direct(at, P2160, true)),
    row("2160p, through the broker", "2160p at home", |at| relayed(at, P2160, true)),
    row("2160p, to the host", "2160p at home", |at| to_host(at, P2160, true)),
];

/// What this executable can be as a worker.
pub const ROLES: [Role<'static, ServeError>; 2] = [("producer", produce), ("consumer", consume)];

const SCREEN: Interface = Interface::new("screen", &["show"]);
const SHOW: RpcIndex = SCREEN.method("show");

/// What the producer is to do.
#[derive(Clone, Serialize, Deserialize)]
struct Order {
    /// The role it lends to.
    to: String,
    /// Length of a picture.
    len: u32,
    touch: bool,
}

/// What comes along with each picture, and whether it is to be copied out.
type Shown = (BufferRef, bool);

const fn row(name: &'static str, against: &'static str, start: fn(Placement) -> Running) -> Row {
    Row { name, against: Some(against), start }
}

fn direct(placement: Placement, len: u32, touch: bool) -> Running {
    to_worker(placement, Model::Orchestrator, &[("producer", 0), ("consumer", 1)], len, touch)
}

fn relayed(placement: Placement, len: u32, touch: bool) -> Running {
    to_worker(placement, Model::Broker, &[("producer", 0), ("consumer", 2)], len, touch)
}

fn to_worker(
    placement: Placement,
    model: Model,
    roles: &'static [(&'static str, usize)],
    len: u32,
    touch: bool,
) -> Running {
    let policy = policy("consumer");
    let order = Order { to: "consumer".to_owned(), len, touch };
    scene::start(placement, Scene { policy, model, roles, host: scene::idle, beside: None }, order)
}

fn to_host(placement: Placement, len: u32, touch: bool) -> Running {
    let (policy, model) = (policy(HOST), Model::Broker);
    let order = Order { to: HOST.to_owned(), len, touch };
    scene::start(placement, Scene { policy, model, roles: &[("producer", 0)], host: show_as_host, beside: None }, order)
}

fn policy(consumer: &str) -> Rules {
    let rights = Rights::methods(SCREEN.all()).lending();
    Rules::new().allow(HOST, "producer", &MEASURER).allow_with("producer", consumer, &SCREEN, rights)
}

fn produce(worker: &Worker) -> Result<(), ServeError> {
    scene::measure(worker, |worker, order: Order| {
        let link = worker.open(&order.to, &SCREEN).expect("the policy allows it");
        let shape = PoolShape { buffer_size: order.len, count: BUFFERS };
        let pool = link.pool(shape).expect("the rights allow it");
        let mut message = Message::new();
        let mut pixel = 0u8;
        move || {
            let mut buffer = pool.acquire().map_err(|error| failure(&error))?;
            if order.touch {
                pixel = pixel.wrapping_add(1);
                buffer.fill(pixel);
            }
            let shown: Shown = (buffer.lend(order.len as usize), order.touch);
            message.append(&shown)?;
            link.call(SHOW, &mut message).map_err(|error| failure(&error))?;
            Ok(())
        }
    })
}

fn consume(worker: &Worker) -> Result<(), ServeError> {
    let picture = RefCell::new(Vec::new());
    worker.serve(move |_: &Worker, request: &mut Request<'_>, _: &mut Message<OwnedFd>| {
        let (reference, touch): Shown = request.recv()?;
        let borrowed = request.borrow(reference).map_err(|error| failure(&error))?;
        if touch {
            let mut picture = picture.borrow_mut();
            picture.resize(borrowed.len(), 0);
            borrowed.copy_to(&mut picture).map_err(|error| failure(&error))?;
            std::hint::black_box(&mut picture);
        }
        Ok(())
    })
}

fn show_as_host(mut inbox: Inbox) {
    let mut picture = Vec::new();
    while let Some(item) = inbox.next_within(Duration::from_secs(3600)) {
        let Item::Message(mut incoming) = item else { continue };
        let (reference, touch): Shown = incoming.reader().recv().expect("a picture's name");
        let borrowed = incoming.borrow(reference).expect("an honest reference");
        if touch {
            picture.resize(borrowed.len(), 0);
            borrowed.copy_to(&mut picture).expect("it is as long");
            std::hint::black_box(&mut picture);
        }
        drop(borrowed);
        incoming.reply(Message::new());
    }
}

fn failure(error: &dyn std::fmt::Display) -> Failure {
    Failure::remote(0, error.to_string())
}
