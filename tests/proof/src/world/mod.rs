//! A world of queues: the shipped [`Router`], workers made of shipped [`LinkEnd`](cloison_msg::LinkEnd)s, and nothing that
//! happens by itself.
//!
//! | what | how |
//! |---|---|
//! | [`broker`](self) | does what the router says, one packet or one whim of the host at a time |
//! | worker | the rules that a worker keeps: what it reads when, and what it says in which order |
//! | sockets | direct links' pairs, with shutdown and end of file |
//! | ledger | sees everything, and says what must not happen |

mod app;
mod broker;
mod diary;
mod fault;
mod ledger;
mod routes;
mod setup;
mod sockets;
mod steps;
mod worker;

use std::collections::VecDeque;
use std::sync::Arc;

use cloison_broker::Ask;
use cloison_broker::router::{Body, Router};
use cloison_msg::control::PROTOCOL_VERSION;
use cloison_msg::control::ToBroker;
use cloison_msg::{Header, Kind, LinkRef, Message, Time};
use serde::Serialize;

pub use diary::{Diary, Outcome};
pub use fault::Fault;
use ledger::Ledger;
pub use ledger::Wrong;
pub use setup::{Act, HostAct, INTERFACE, LARGE, Setup, role};
pub use sockets::Plug;
use sockets::Sockets;
pub use steps::Step;
use worker::Worker;

/// Everything that there is.
#[derive(Clone, Hash)]
pub struct World {
    router: Router<Plug>,
    workers: Vec<Worker>,
    sockets: Sockets,
    ledger: Ledger,
    host: Vec<VecDeque<HostAct>>,
    crashes: u8,
    freezes: u8,
    /// Whether the worker whose turn it is dies in the midst of it.
    fuse: Option<Fuse>,
    room: usize,
    denies: bool,
    fault: Option<Fault>,
    /// What the applications saw, if somebody wants to know.
    diary: Option<Box<Diary>>,
    tickets: u64,
    now: Time,
}

/// How far a worker gets before it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Fuse {
    /// How many packets it still sends.
    left: u8,
    /// Whether it would have sent more.
    has_blown: bool,
}

/// A message under way. The header's chain is its number among those of its side; the depth of a call is its caller's own
/// number for it, and comes back with the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Packet {
    header: Header,
    /// What is not counted only: a word or a receipt.
    payload: Vec<u8>,
    links: Vec<LinkRef>,
}

/// What a worker hears from the broker.
#[derive(Clone, Debug, Hash)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Heard {
    /// Passed on.
    Forwarded(Packet),
    /// Said by the broker itself.
    Own(Header, Body, Vec<Plug>),
}

impl World {
    /// A world in which everybody has said hello, all links are there, and nothing else has happened.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        let grant = setup.grant();
        let policy = move |_: &Ask<'_>| Some(grant.clone());
        let mut world = Self {
            router: Router::new(Arc::new(policy), setup.model),
            workers: Vec::new(),
            sockets: Sockets::default(),
            ledger: Ledger::default(),
            host: setup.host.iter().map(|acts| acts.iter().copied().collect()).collect(),
            crashes: setup.crashes,
            freezes: setup.freezes,
            fuse: None,
            room: setup.room,
            denies: setup.denies,
            fault: setup.fault,
            diary: None,
            tickets: 0,
            now: Time(0),
        };
        for (at, agenda) in setup.agendas.iter().enumerate() {
            world.router.declare(role(at));
            let port = world.router.handle_start(role(at));
            world.workers.push(Worker::new(port, agenda));
            world.router.handle_word(port, ToBroker::Hello { version: PROTOCOL_VERSION }, world.now);
        }
        for &[from, to] in &setup.links {
            world.router.handle_open(world.workers[from].port, 0, role(to), INTERFACE.name());
            world.obey();
        }
        for at in 0..world.workers.len() {
            while world.hear(at) {}
        }
        world
    }

    /// What went wrong so far.
    #[must_use]
    pub const fn wrong(&self) -> Option<&Wrong> {
        self.ledger.wrong.as_ref()
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

impl Packet {
    fn bare(header: Header) -> Self {
        Self { header, payload: Vec::new(), links: Vec::new() }
    }

    /// A word for the broker.
    fn word(word: &ToBroker) -> Self {
        let payload = encode(word);
        let header = Header { kind: Kind::Control, payload: length(&payload), ..Header::default() };
        Self { payload, ..Self::bare(header) }
    }

    /// Whether an application said it.
    const fn is_said(&self) -> bool {
        matches!(self.header.kind, Kind::Call | Kind::Oneway | Kind::Reply | Kind::Error | Kind::Cancel | Kind::Item)
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut message = Message::<()>::new();
    message.append(value).expect("words and receipts are short");
    message.payload().to_vec()
}

fn length(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).expect("words and receipts are short")
}
