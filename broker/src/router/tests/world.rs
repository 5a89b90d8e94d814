//! A single-threaded world for the router: queues for sockets, numbers for descriptors, a counter for time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloison_msg::control::{PROTOCOL_VERSION, PoolShape, ToBroker, ToWorker};
use cloison_msg::{
    Descriptor, DescriptorClasses, Destination, Header, Interface, Key, LinkRef, Message, Name, Rights, Time,
};

use crate::policy::{Ask, Grant, Model};
use crate::router::{Body, Event, Forward, Freight, Output, Router, Violation};

pub(super) const INTERFACE: Interface = Interface::new("work", &["zero", "one", "two"]);

/// A descriptor in this world: its class, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark(pub(super) DescriptorClasses);

impl Descriptor for Mark {
    fn class(&self) -> DescriptorClasses {
        self.0
    }
}

/// What a port received.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Got {
    Word(ToWorker, usize),
    Message(Header, usize),
    Body(Header, Body),
}

pub(super) struct World {
    pub(super) router: Router<Mark>,
    pub(super) got: BTreeMap<Key, Vec<Got>>,
    pub(super) evicted: Vec<(Key, Violation)>,
    pub(super) events: Vec<Event>,
    /// Direct links whose kept duplicates were not shut down yet.
    pub(super) pairs: BTreeSet<Key>,
    requests: u32,
    pub(super) now: Time,
    /// The receiver's names for what the last message carried.
    pub(super) carried: Vec<Destination>,
    pub(super) revoked: Vec<u64>,
    pub(super) asked: Vec<Key>,
}

impl World {
    /// Everybody may reach everybody with `rights`.
    pub(super) fn new(model: Model, rights: Rights) -> Self {
        let policy = move |_: &Ask<'_>| Some(Grant { rights: rights.clone(), back: rights.clone() });
        Self {
            router: Router::new(Arc::new(policy), model),
            got: BTreeMap::new(),
            evicted: Vec::new(),
            events: Vec::new(),
            pairs: BTreeSet::new(),
            requests: 0,
            now: Time(0),
            carried: Vec::new(),
            revoked: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// A worker that has said hello.
    pub(super) fn worker(&mut self, role: &str) -> Key {
        let port = self.silent_worker(role);
        self.word(port, &ToBroker::Hello { version: PROTOCOL_VERSION });
        port
    }

    pub(super) fn silent_worker(&mut self, role: &str) -> Key {
        let role = Name::new(role).unwrap();
        self.router.declare(role.clone());
        self.router.handle_start(role)
    }

    /// A link that `from` opens to the worker of that role; both ends' names.
    pub(super) fn link(&mut self, from: Key, to: Key) -> [Destination; 2] {
        let role = self.router.role_at(to).unwrap().clone();
        self.requests += 1;
        let request = self.requests;
        self.word(from, &ToBroker::Open { request, role, interface: INTERFACE.name() });
        let opened = |got: &Got| match got {
            Got::Word(ToWorker::Opened { request: answered, link }, _) if *answered == request => Some(link.clone()),
            _ => None,
        };
        let ours = self.got[&from].iter().rev().find_map(opened).expect("answered").expect("granted");
        let granted =
            |got: &Got| if let Got::Word(ToWorker::Granted { link, .. }, _) = got { Some(*link) } else { None };
        [ours, self.got[&to].iter().rev().find_map(granted).expect("granted at the other end too")]
    }

    pub(super) fn word(&mut self, from: Key, word: &ToBroker) {
        let mut message = Message::<Mark>::new();
        message.append(word).unwrap();
        let header = Header { kind: cloison_msg::Kind::Control, payload: message.payload_len(), ..Header::default() };
        self.send(from, &header, message.payload(), Vec::new());
    }

    /// A worker sends; true if somebody received it.
    pub(super) fn send(&mut self, from: Key, header: &Header, payload: &[u8], mut marks: Vec<Mark>) -> bool {
        self.send_with(from, header, payload, &[], &mut marks)
    }

    /// A worker sends a message that carries links; true if somebody received it.
    pub(super) fn send_with(
        &mut self,
        from: Key,
        header: &Header,
        payload: &[u8],
        links: &[LinkRef],
        marks: &mut Vec<Mark>,
    ) -> bool {
        let links: Vec<u8> = links.iter().flat_map(LinkRef::encode).collect();
        let forward = self.router.handle_message(from, header, Freight { payload, links: &links }, marks, self.now);
        self.settle();
        let sent = forward.is_some();
        if let Some(Forward { to, header, links }) = forward {
            self.carried = links;
            self.got.entry(to).or_default().push(Got::Message(header, marks.len()));
        }
        sent
    }

    pub(super) fn death(&mut self, port: Key) {
        self.router.handle_death(port, &cloison_msg::Gone::Crashed("killed".into()));
        self.settle();
    }

    /// Does what the router says.
    pub(super) fn settle(&mut self) {
        while let Some(output) = self.router.poll() {
            match output {
                Output::Send { to, body: Body::Word(word), descriptors, .. } => {
                    self.got.entry(to).or_default().push(Got::Word(word, descriptors.len()));
                }
                Output::Send { to, header, body, .. } => self.got.entry(to).or_default().push(Got::Body(header, body)),
                Output::Evict { port, violation } => self.evicted.push((port, violation)),
                Output::MakePair { link } => {
                    self.pairs.insert(link);
                    let socket = Mark(DescriptorClasses::SOCKET);
                    self.router.handle_pair(link, Some([socket.clone(), socket]), self.now);
                }
                Output::Shut { link, .. } => assert!(self.pairs.contains(&link), "a pair to shut"),
                Output::Unpair { link } | Output::Cut { link, .. } => {
                    assert!(self.pairs.remove(&link), "the end of a link that was never made direct");
                }
                Output::Revoked { ticket } => self.revoked.push(ticket),
                Output::Ask { question, .. } => self.asked.push(question),
                Output::MakePool(ticket) => {
                    let memory = Mark(DescriptorClasses::SEALED_BUFFER);
                    self.router.handle_pool(ticket, Ok([memory.clone(), memory]));
                }
                Output::Tell(event) => self.events.push(event),
                Output::Traced { .. } => {}
            }
        }
    }

    /// What `port` received since it was last asked.
    pub(super) fn take(&mut self, port: Key) -> Vec<Got> {
        self.got.remove(&port).unwrap_or_default()
    }

    pub(super) fn violation_of(&self, port: Key) -> Option<&Violation> {
        self.evicted.iter().find(|(evicted, _)| *evicted == port).map(|(_, violation)| violation)
    }
}

/// A pool of four buffers of a page.
pub(super) const SHAPE: PoolShape = PoolShape { buffer_size: 4096, count: 4 };
