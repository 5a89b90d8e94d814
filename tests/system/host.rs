//! A host as these tests need it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cloison_broker::msg::{CallFailure, Message, RecvError, Rights, RpcIndex};
use cloison_broker::{
    Ask, Broker, Death, Grant, HostLink, HostMessage, Inbox, Incoming, Item, LinkView, Model, PendingCall, Policy,
    WorkerEvent, WorkerSpec,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::case::is_switching;
use crate::raw::{RawOutcome, RawStep};
use crate::watch::{SOON, Witness, eventually};
use crate::words::{DO, Outcome, PEER, RAW, ROUND, Step, Verbatim, monotonic};

/// Time enough for what has no deadline of interest.
pub const AMPLE: Duration = Duration::from_secs(30);

/// A host with a broker, its inbox, and helpers that fail the test when something fails.
pub struct Host {
    // It goes first: it uses the broker.
    pub flipper: Option<Flipper>,
    pub broker: Arc<Broker>,
    pub inbox: Inbox,
}

/// Changes the model again and again, at random moments, as long as this lives.
pub struct Flipper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flipper {
    pub fn new(broker: &Arc<Broker>) -> Self {
        let (stop, broker) = (Arc::new(AtomicBool::new(false)), broker.clone());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut random = Random(monotonic() | 1);
            while !stopped.load(Ordering::Relaxed) {
                for model in [Model::Orchestrator, Model::Broker] {
                    drop(broker.set_model(model));
                    std::thread::sleep(Duration::from_micros(random.below(4000)));
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Flipper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The generator of Marsaglia with 64 bits.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Everybody may do everything with everybody, short of passing descriptors.
pub fn anything_goes(ask: &Ask<'_>) -> Option<Grant> {
    let methods = match ask.interface.as_str() {
        "peer" => PEER.all(),
        "raw" => RAW.all(),
        _ => return None,
    };
    let back = Rights::methods(PEER.all()).lending();
    Some(Grant { rights: Rights::methods(methods).lending(), back })
}

/// The same, and links may be handed on.
pub fn delegable(ask: &Ask<'_>) -> Option<Grant> {
    let Grant { rights, back } = anything_goes(ask)?;
    Some(Grant { rights: rights.delegable(), back: back.delegable() })
}

impl Host {
    pub fn new(model: Model, policy: impl Policy + 'static) -> Self {
        let (broker, inbox) = Broker::start(policy, model).unwrap();
        let broker = Arc::new(broker);
        let flipper = is_switching().then(|| Flipper::new(&broker));
        Self { flipper, broker, inbox }
    }

    /// The one link that `from` has asked of `to`, as the broker sees it.
    pub fn view(&self, from: &str, to: &str) -> LinkView {
        let mut views = self.broker.explain(from, to);
        views.retain(|view| view.from.as_str() == from);
        assert_eq!(views.len(), 1, "{views:?}");
        views.remove(0)
    }

    /// A host where [`anything_goes`], with these workers.
    pub fn with(model: Model, roles: &[&str]) -> Self {
        let host = Self::new(model, anything_goes);
        for role in roles {
            host.spawn(role);
        }
        host
    }

    pub fn spawn(&self, role: &str) {
        self.broker.spawn(WorkerSpec::own(role).unwrap()).unwrap();
    }

    /// The reins of the puppet that plays `role`.
    pub fn puppet(&self, role: &str) -> Puppet {
        Puppet(self.broker.open(role, &PEER).unwrap())
    }

    /// The reins of the attacker that plays `role`.
    pub fn attacker(&self, role: &str) -> Attacker {
        Attacker(self.broker.open(role, &RAW).unwrap())
    }

    /// Lets the worker that plays `role` stand still, and returns when it does.
    pub fn freeze(&self, role: &str) {
        assert!(self.broker.freeze(role));
        let frozen = self.witness(role);
        eventually("it stands still", || (frozen.state() == Some('T')).then_some(()));
    }

    /// Takes items out of the inbox until `pick` finds what it looks for.
    pub fn hear<T>(&mut self, what: &str, mut pick: impl FnMut(Item) -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let item = self.inbox.next_within(left).unwrap_or_else(|| panic!("nothing was heard of {what}"));
            if let Some(found) = pick(item) {
                return found;
            }
        }
    }

    /// The next death of `role`, and its last words.
    pub fn death(&mut self, role: &str) -> (Death, Vec<String>) {
        self.hear(&format!("the death of {role}"), |item| match item {
            Item::Worker(WorkerEvent::Died { role: its, death, last_words, .. }) if its.as_str() == role => {
                Some((death, last_words.iter().map(ToString::to_string).collect()))
            }
            _ => None,
        })
    }

    /// Waits until `role` is started (again).
    pub fn started(&mut self, role: &str) -> u32 {
        self.hear(&format!("the start of {role}"), |item| match item {
            Item::Worker(WorkerEvent::Started { role: its, pid }) if its.as_str() == role => Some(pid),
            _ => None,
        })
    }

    /// Waits until `role` is started again, and lets that death not count.
    pub fn restarted(&mut self, role: &str) {
        self.started(role);
        self.broker.progress(role);
    }

    /// The next message that came to the host.
    pub fn message(&mut self) -> Incoming {
        self.hear("a message", |item| match item {
            Item::Message(message) => Some(message),
            _ => None,
        })
    }

    /// Handles on all processes that run now.
    pub fn witnesses(&self) -> Vec<Witness> {
        self.broker.workers().iter().filter_map(|worker| worker.pid).map(Witness::of).collect()
    }

    pub fn witness(&self, role: &str) -> Witness {
        Witness::of(self.pid(role))
    }

    pub fn pid(&self, role: &str) -> u32 {
        let workers = self.broker.workers();
        workers.iter().find(|worker| worker.role.as_str() == role).and_then(|worker| worker.pid).unwrap()
    }
}

/// A message with this payload.
pub fn message(payload: &[u8]) -> HostMessage {
    let mut message = Message::new();
    message.append(&Verbatim(payload)).unwrap();
    message
}

/// A message that consists of this value.
pub fn saying(value: &impl Serialize) -> HostMessage {
    let mut message = Message::new();
    message.append(value).unwrap();
    message
}

/// The reins of a puppet.
#[derive(Clone)]
pub struct Puppet(pub HostLink);

/// The reins of an attacker.
#[derive(Clone)]
pub struct Attacker(pub HostLink);

/// An answer that is awaited.
pub struct Awaited(PendingCall);

impl Awaited {
    pub fn wait<T: DeserializeOwned>(self) -> Result<T, CallFailure> {
        let mut reply = self.0.wait().map_err(|error| error.why)?;
        let mut reader = reply.reader();
        let unreadable = |error: RecvError| CallFailure::Unreadable(error.to_string().into());
        let value = reader.recv().map_err(unreadable)?;
        reader.finish().map_err(unreadable)?;
        Ok(value)
    }
}

impl Puppet {
    pub fn start(&self, step: &Step) -> Awaited {
        Awaited(self.0.start(DO, saying(step), AMPLE))
    }

    pub fn tell(&self, step: &Step) -> Outcome {
        self.start(step).wait().unwrap_or_else(|error| panic!("{}: {step:?}: {error}", self.0.peer()))
    }

    /// Has it open a link.
    pub fn open(&self, role: &str) -> usize {
        self.try_open(role, "peer").unwrap_or_else(|why| panic!("{} to {role}: {why}", self.0.peer()))
    }

    pub fn try_open(&self, role: &str, interface: &str) -> Result<usize, String> {
        let (role, interface) = (role.to_owned(), interface.to_owned());
        match self.tell(&Step::Open { role, interface, within: Duration::from_secs(20) }) {
            Outcome::Got(got) => got,
            other => panic!("{other:?}"),
        }
    }

    /// Has it make one call.
    pub fn call(&self, link: usize, rpc: RpcIndex, payload: Vec<u8>) -> Result<Vec<u8>, String> {
        self.calls(link, rpc, vec![payload], Duration::from_secs(20)).remove(0)
    }

    pub fn calls(
        &self,
        link: usize,
        rpc: RpcIndex,
        payloads: Vec<Vec<u8>>,
        within: Duration,
    ) -> Vec<Result<Vec<u8>, String>> {
        match self.tell(&Step::Call { link, rpc: rpc.0, payloads, within }) {
            Outcome::Replies(replies) => replies,
            other => panic!("{other:?}"),
        }
    }

    /// Has it send notes; how many went, and what stopped them.
    pub fn notes(&self, link: usize, from: u32, count: u32) -> (u32, Option<String>) {
        self.sent(&Step::Notes { link, from, count, bytes: 0, within: Duration::from_secs(20) })
    }

    pub fn sent(&self, step: &Step) -> (u32, Option<String>) {
        match self.tell(step) {
            Outcome::Sent(count, stop) => (count, stop),
            other => panic!("{other:?}"),
        }
    }

    /// Has it give the peer on one link another link.
    pub fn hand(&self, by: usize, link: usize, moves: bool, rights: Rights) -> Result<(), String> {
        match self.tell(&Step::Hand { by, link, moves, calls: true, rights }) {
            Outcome::Replies(mut replies) => replies.remove(0).map(drop),
            other => panic!("{other:?}"),
        }
    }

    /// The place of the next link that somebody gave it.
    pub fn adopt(&self) -> usize {
        eventually("a link has come", || match self.tell(&Step::Adopt) {
            Outcome::Got(got) => got.ok(),
            other => panic!("{other:?}"),
        })
    }

    pub fn gone(&self, link: usize) -> Option<String> {
        match self.tell(&Step::Gone(link)) {
            Outcome::Gone(gone) => gone,
            other => panic!("{other:?}"),
        }
    }

    /// What it has noted of one stream: the first number of each run, and how many there are.
    pub fn runs(&self, stream: u32) -> Vec<(u32, u32)> {
        match self.tell(&Step::Runs) {
            Outcome::Runs(runs) => runs.into_iter().filter(|(first, _)| first / ROUND == stream).collect(),
            other => panic!("{other:?}"),
        }
    }

    pub fn served(&self) -> u64 {
        match self.tell(&Step::Served) {
            Outcome::Served(served) => served,
            other => panic!("{other:?}"),
        }
    }

    pub fn noted(&self) -> Vec<u32> {
        match self.tell(&Step::Noted) {
            Outcome::Noted(noted) => noted,
            other => panic!("{other:?}"),
        }
    }
}

impl Attacker {
    pub fn start(&self, step: &RawStep) -> Awaited {
        Awaited(self.0.start(crate::words::ATTACK, saying(step), AMPLE))
    }

    /// What comes of a step that it survives.
    pub fn tell(&self, step: &RawStep) -> RawOutcome {
        self.try_tell(step).unwrap_or_else(|error| panic!("{}: {step:?}: {error}", self.0.peer()))
    }

    pub fn try_tell(&self, step: &RawStep) -> Result<RawOutcome, CallFailure> {
        self.start(step).wait()
    }
}
