//! What a fuzzer throws bytes at. Each of these panics if, and only if, something is wrong.

mod blow;
mod socket;

use std::collections::BTreeSet;
use std::sync::Arc;

use arbitrary::{Arbitrary, Unstructured};
use cloison_broker::router::{Event, Freight, Output, Router};
use cloison_broker::{Ask, Grant, Model};
use cloison_msg::control::{PROTOCOL_VERSION, PoolShape, ToBroker, ToWorker};
use cloison_msg::{
    CallId, DescriptorClasses, Destination, Gone, HEADER_LEN, Header, Key, Kind, LINK_REF_LEN, LinkRef, Message,
    Messages, Receipt, Rights, RpcIndex, Streams, Time, Transfer, decode_whole,
};

use crate::world::{INTERFACE, Plug, role};
pub use socket::broker_socket;

/// How many workers there are, all of them hostile.
const WORKERS: usize = 3;

/// Most operations of one input.
const OPERATIONS: usize = 200;

/// What a hostile worker, an accident or the host does.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operation {
    Send { from: u8, kind: u8, link: Name, rpc: u8, payload: u16, call: u8, holder: u8, descriptors: u8 },
    Receipt { from: u8, link: Name, direct: bool, messages: u8, bytes: u16 },
    Carry { from: u8, by: Name, first: Name, second: Option<Name>, moves: bool, methods: u8 },
    Open { from: u8, to: u8 },
    Left { from: u8, link: Name, calls: u8 },
    Settled { from: u8, link: Name },
    Rest { from: u8, link: Name },
    Released { from: u8, link: Name },
    Offer { from: u8 },
    Close { from: u8, link: Name },
    Accuse { from: u8, link: Name },
    MakePool { from: u8, link: Name, size: u32, count: u16 },
    DropPool { from: u8, link: Name, pool: u8 },
    Crowd { at: u8, crowded: bool },
    Model { direct: bool },
    Revoke { link: u8 },
    Time { seconds: u8 },
    Die { at: u8 },
}

/// A name that may or may not have been granted.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Name {
    index: u8,
    generation: u8,
}

impl From<Name> for Destination {
    fn from(name: Name) -> Self {
        Self { index: u32::from(name.index % 8), generation: u32::from(name.generation % 4) }
    }
}

/// Whatever hostile workers do, only they are evicted, and nothing of them is left when they are dead.
///
/// # Panics
/// If that is not so.
pub fn router(bytes: &[u8]) {
    let mut broker = Broker::new();
    let mut bytes = Unstructured::new(bytes);
    for _ in 0..OPERATIONS {
        let Ok(operation) = Operation::arbitrary(&mut bytes) else { break };
        broker.operate(operation);
    }
    broker.end();
}

/// The router and what it has said that must be true.
struct Broker {
    router: Router<Plug>,
    ports: [Key; WORKERS],
    pairs: BTreeSet<Key>,
    links: Vec<Key>,
    tickets: u64,
    open_tickets: BTreeSet<u64>,
    now: Time,
    /// Who may be evicted by what happens now.
    suspects: BTreeSet<Key>,
    condemned: BTreeSet<Key>,
}

impl Broker {
    fn new() -> Self {
        let rights = Rights::methods(INTERFACE.all()).delegable().lending();
        let policy = move |_: &Ask<'_>| Some(Grant { rights: rights.clone(), back: rights.clone() });
        let mut router = Router::new(Arc::new(policy), Model::Broker);
        let ports = [0, 1, 2].map(|at| router.handle_start(role(at)));
        let (pairs, links, now) = (BTreeSet::new(), Vec::new(), Time(0));
        let (open_tickets, suspects, condemned) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut broker = Self { router, ports, pairs, links, tickets: 0, open_tickets, now, suspects, condemned };
        for at in 0..WORKERS {
            broker.say(at, ToBroker::Hello { version: PROTOCOL_VERSION });
            broker.say(at, ToBroker::Open { request: 0, role: role((at + 1) % WORKERS), interface: INTERFACE.name() });
        }
        broker
    }

    fn say(&mut self, at: usize, word: ToBroker) {
        self.suspects = BTreeSet::from([self.ports[at]]);
        self.router.handle_word(self.ports[at], word, self.now);
        self.obey();
    }

    fn send(&mut self, from: u8, header: Header, payload: &[u8], links: &[LinkRef]) {
        let port = self.ports[place(from)];
        self.suspects = BTreeSet::from([port]);
        let links: Vec<u8> = links.iter().flat_map(LinkRef::encode).collect();
        let mut plugs = vec![Plug::PIPE; usize::from(header.descriptors)];
        let freight = Freight { payload, links: &links };
        let forward = self.router.handle_message(port, &header, freight, &mut plugs, self.now);
        assert!(forward.is_some() || plugs.is_empty(), "what is not passed on is closed");
        if let Some(forward) = forward {
            assert!(!self.condemned.contains(&port), "nobody listens to the condemned");
            assert_eq!(forward.links.len(), usize::from(header.links), "all of the links, or none of the message");
            assert!(plugs.iter().all(|_| forward.header.descriptors > 0));
        }
        self.obey();
    }

    fn obey(&mut self) {
        while let Some(output) = self.router.poll() {
            match output {
                Output::Evict { port, violation } => {
                    assert!(self.suspects.contains(&port), "evicted for what it did not do: {violation}");
                    self.condemned.insert(port);
                }
                Output::MakePair { link } => {
                    assert!(self.pairs.insert(link), "a second pair for a link");
                    self.router.handle_pair(link, Some([Plug::PIPE; 2]), self.now);
                }
                Output::Shut { link, .. } => assert!(self.pairs.contains(&link), "there is no pair to shut"),
                Output::Unpair { link } | Output::Cut { link, .. } => {
                    assert!(self.pairs.remove(&link), "there is no pair to drop");
                }
                Output::Revoked { ticket } => assert!(self.open_tickets.remove(&ticket), "acknowledged twice"),
                Output::MakePool(ticket) => self.router.handle_pool(ticket, Ok([Plug::PIPE; 2])),
                Output::Tell(Event::Granted { link, .. } | Event::Copied { link, .. }) => self.links.push(link),
                Output::Tell(_) | Output::Send { .. } | Output::Traced { .. } | Output::Ask { .. } => {}
            }
        }
    }

    fn operate(&mut self, operation: Operation) {
        use Operation as O;
        match operation {
            O::Send { from, kind, link, rpc, payload, call, holder, descriptors } => {
                let kinds = [
                    Kind::Call,
                    Kind::Reply,
                    Kind::Error,
                    Kind::Oneway,
                    Kind::Release,
                    Kind::Switch,
                    Kind::Cancel,
                    Kind::Probe,
                    Kind::Item,
                    Kind::Demand,
                ];
                let kind = kinds[usize::from(kind) % kinds.len()];
                let call = CallId(u64::from(holder % 3) << 48 | u64::from(call));
                let header = Header {
                    destination: link.into(),
                    rpc: RpcIndex(u16::from(rpc % 4)),
                    kind,
                    call,
                    payload: u32::from(payload),
                    descriptors: descriptors % 3,
                    streams: if call.0.is_multiple_of(2) { Streams::FEED } else { Streams::ITEMS },
                    ..Header::default()
                };
                self.send(from, header, &[], &[]);
            }
            O::Receipt { from, link, direct, messages, bytes } => self.receipt(from, link, direct, messages, bytes),
            O::Carry { from, by, first, second, moves, methods } => {
                let transfer = if moves { Transfer::Move } else { Transfer::Copy };
                let rights = Rights::methods(cloison_msg::RpcSet::first(usize::from(methods % 4))).delegable();
                let carry = |link: Name| LinkRef { link: link.into(), transfer, rights: rights.clone() };
                let links: Vec<LinkRef> = [Some(first), second].into_iter().flatten().map(carry).collect();
                let count = if links.len() == 2 { 2 } else { 1 };
                self.send(from, Header { destination: by.into(), links: count, ..Header::default() }, &[], &links);
            }
            O::Crowd { at, crowded } => self.router.handle_crowd(self.ports[place(at)], crowded),
            O::Model { direct } => {
                self.router.set_model(if direct { Model::Orchestrator } else { Model::Broker }, self.now);
            }
            O::Revoke { link } => self.revoke(usize::from(link)),
            O::Time { seconds } => self.pass_time(seconds),
            O::Die { at } => self.die(place(at)),
            word => self.speak(word),
        }
        self.obey();
    }

    fn speak(&mut self, operation: Operation) {
        use Operation as O;
        let link = |link: Name| Destination::from(link);
        let (from, word) = match operation {
            O::Open { from, to } => {
                (from, ToBroker::Open { request: 1, role: role(place(to)), interface: INTERFACE.name() })
            }
            O::Left { from, link: name, calls } => {
                (from, ToBroker::Left { link: link(name), calls: CallId(u64::from(calls)) })
            }
            O::Settled { from, link: name } => (from, ToBroker::Settled { link: link(name) }),
            O::Rest { from, link: name } => (from, ToBroker::Rest { link: link(name) }),
            O::Released { from, link: name } => (from, ToBroker::Released { link: link(name) }),
            O::Offer { from } => (from, ToBroker::Offer { request: 3, interface: INTERFACE.name() }),
            O::Close { from, link: name } => (from, ToBroker::Close { link: link(name) }),
            O::Accuse { from, link: name } => (from, ToBroker::Accuse { link: link(name), what: "x".into() }),
            O::MakePool { from, link: name, size, count } => {
                let shape = PoolShape { buffer_size: size, count };
                (from, ToBroker::MakePool { request: 2, link: link(name), shape })
            }
            O::DropPool { from, link: name, pool } => {
                (from, ToBroker::DropPool { link: link(name), pool: u32::from(pool) })
            }
            _ => return,
        };
        if !self.condemned.contains(&self.ports[place(from)]) {
            self.say(place(from), word);
        }
    }

    fn receipt(&mut self, from: u8, link: Name, direct: bool, messages: u8, bytes: u16) {
        use cloison_msg::{Credit, Route};
        let route = if direct { Route::Direct } else { Route::Relayed };
        let taken = Credit { messages: u64::from(messages), bytes: u64::from(bytes), descriptors: 0 };
        let mut message = Message::<()>::new();
        message.append(&Receipt { route, taken }).expect("it is short");
        let payload = message.payload_len();
        let header = Header { destination: link.into(), kind: Kind::Credit, payload, ..Header::default() };
        self.send(from, header, message.payload(), &[]);
    }

    fn revoke(&mut self, link: usize) {
        let Some(&link) = self.links.get(link % self.links.len().max(1)) else { return };
        self.tickets += 1;
        self.open_tickets.insert(self.tickets);
        self.router.revoke(link, self.tickets, self.now);
    }

    /// All of them may be late: none of them has promised anything.
    fn pass_time(&mut self, seconds: u8) {
        self.now = Time(self.now.0 + u64::from(seconds) * 1_000_000_000);
        self.suspects = self.ports.into();
        self.router.handle_time(self.now);
    }

    fn die(&mut self, at: usize) {
        self.suspects.clear();
        self.router.handle_death(self.ports[at], &Gone::Crashed("killed".into()));
        self.obey();
        self.ports[at] = self.router.handle_start(role(at));
        self.say(at, ToBroker::Hello { version: PROTOCOL_VERSION });
    }

    fn end(mut self) {
        for at in 0..WORKERS {
            self.die(at);
        }
        assert_eq!(self.router.next_deadline(), None, "something is waited for that nobody will do");
        assert!(self.pairs.is_empty(), "pairs are kept for links that are gone");
        assert!(self.open_tickets.is_empty(), "a revocation is never acknowledged");
        assert!(self.router.explain(None, None).is_empty(), "a link outlives its holders");
    }
}

fn place(at: u8) -> usize {
    usize::from(at) % WORKERS
}

/// What can be read can be written, and comes out the same.
///
/// # Panics
/// If it does not.
pub fn wire(bytes: &[u8]) {
    if let Ok(header) = Header::decode(bytes) {
        assert_eq!(header.encode()[..], bytes[..HEADER_LEN]);
    }
    if let Ok(link) = LinkRef::decode(bytes) {
        assert_eq!(link.encode()[..], bytes[..LINK_REF_LEN]);
    }
    for message in Messages::new(bytes) {
        let Ok((start, header)) = message else { break };
        assert!(start + header.message_len() <= bytes.len(), "a message is within its packet");
    }
    let _ = LinkRef::decode_all(bytes);
    let _ = decode_whole::<Receipt>(bytes);
    let _ = decode_whole::<DescriptorClasses>(bytes);
    let _ = decode_whole::<(Rights, Vec<String>)>(bytes);
    if let Ok(word) = decode_whole::<ToBroker>(bytes) {
        assert_eq!(decode_whole::<ToBroker>(&written(&word)), Ok(word));
    }
    if let Ok(word) = decode_whole::<ToWorker>(bytes) {
        assert_eq!(decode_whole::<ToWorker>(&written(&word)), Ok(word));
    }
}

fn written(word: &impl serde::Serialize) -> Vec<u8> {
    let mut message = Message::<()>::new();
    message.append(word).expect("what was read is short enough to be written");
    message.payload().to_vec()
}
