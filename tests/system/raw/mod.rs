//! An attacker: it is confined like any worker, and then writes what it likes on its sockets. Nothing of the worker crate
//! is in it, so nothing keeps it from breaking the protocol. Its host tells it when to do what.

mod held;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloison_broker::msg::control::{PROTOCOL_VERSION, PoolShape, ToBroker, ToWorker};
use cloison_broker::msg::{
    CallId, Destination, HEADER_LEN, Header, Kind, LinkRef, Messages, Name, PACKET_MAX, decode_whole,
};
use cloison_ipc::{Passed, ProcessIpc, WritablePool};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::{Deserialize, Serialize};

use crate::words::{ATTACK, ECHO, encoded};
use held::Held;
pub use held::RawLink;

/// By which socket.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Via {
    /// The one to the broker.
    Control,
    /// The one of a direct link, by its place among the attacker's links.
    Direct(usize),
    /// One that a peer handed over.
    Stolen(usize),
}

/// A descriptor that the attacker can lay its hands on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Loot {
    /// Its standard error.
    Pipe,
    /// Its standard input, a device.
    Device,
    /// Its own socket to the broker.
    Control,
    /// The memory of a pool that it was given.
    Pool(usize),
}

/// How long to wait before trying again what too many descriptors of this user's under way have kept from leaving.
const RETRY_AFTER: Duration = Duration::from_millis(5);

/// What an attacker is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RawStep {
    /// Tell which links there are.
    Links,
    /// Ask for a link and wait for the answer.
    Open { role: String, interface: String },
    /// Send a packet, so many times.
    Send { via: Via, packet: Vec<u8>, loot: Vec<Loot>, times: u32 },
    /// Ask for a pool and keep its memory.
    MakePool { link: usize, shape: PoolShape },
    /// Have the memory of the newest pool filled in by the kernel, page by page, and let go of it.
    UsePool { pool: u32, shape: PoolShape },
    /// Tell every word that the broker said.
    Words,
    /// Go along with changes of routes, as long as nothing else is said; or do nothing about them.
    Cooperate(bool),
    /// Shut down the sending half of a link's own socket.
    Shut(usize),
    /// How many messages came, but for words and what the host has said.
    Heard,
    /// How many packets brought oneways.
    Packets,
    /// Hold back the answers to the next so many calls of peers, then give them, the last one first.
    Reverse(usize),
    /// Answer this to the next so many calls of peers: packets behind a header of this kind, each so many times.
    Answer { kind: u8, call_offset: i64, payload: Vec<u8>, times: u32 },
    /// Never read anything again.
    Deafen,
    /// Send a packet, and never read anything again.
    SendAndDeafen(Vec<u8>),
    /// Close the socket to the broker and live on.
    HangUp,
    /// End.
    Exit,
}

/// Lives on without reading anything.
fn deafen() -> ! {
    loop {
        std::thread::park();
    }
}

/// What came of a [`RawStep`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RawOutcome {
    Done,
    Links(Vec<RawLink>),
    /// The place of the link, or why there is none.
    Opened(Result<usize, String>),
    /// How many packets went, and the error that stopped them.
    Sent(u32, Option<String>),
    /// The pool's number, or why there is none.
    Pool(Result<u32, String>),
    Words(Vec<String>),
    /// Of [`RawStep::Heard`] and [`RawStep::Packets`].
    Heard(u64),
}

/// The whole life of an attacker.
pub fn main() -> ExitCode {
    let Ok(channel) = cloison_sandbox::enter() else { return ExitCode::FAILURE };
    let Ok(control) = ProcessIpc::from_fd(channel) else { return ExitCode::FAILURE };
    let mut raw = Raw::new(control);
    raw.say(&ToBroker::Hello { version: PROTOCOL_VERSION });
    while raw.live().is_some() {
        match raw.last_step {
            None => continue,
            Some(LastStep::Deafen) => {}
            Some(LastStep::HangUp) => drop(raw),
        }
        loop {
            std::thread::park();
        }
    }
    ExitCode::SUCCESS
}

struct Raw {
    control: ProcessIpc,
    links: Vec<Held>,
    pools: Vec<OwnedFd>,
    /// Sockets that peers handed over.
    stolen: Vec<OwnedFd>,
    words: Vec<String>,
    queue: VecDeque<Heard>,
    behaviour: Behaviour,
    cooperates: bool,
    /// The largest call id in anything that was sent.
    last_call: u64,
    heard: u64,
    /// Packets with oneways in them.
    packets: u64,
    last_step: Option<LastStep>,
}

/// What is done once that was answered, and nothing after it.
enum LastStep {
    Deafen,
    HangUp,
}

/// How calls of peers are answered.
enum Behaviour {
    /// As an honest peer would.
    Honest,
    /// Not before there are so many.
    Reverse(usize, Vec<(Header, Vec<u8>)>),
    /// With something made up.
    Made { kind: u8, call_offset: i64, payload: Vec<u8>, times: u32 },
}

/// A message that arrived.
struct Heard {
    header: Header,
    payload: Vec<u8>,
    passed: Vec<Passed>,
    /// Over a direct link rather than the control socket.
    direct: Option<usize>,
}

impl Raw {
    fn new(control: ProcessIpc) -> Self {
        Self {
            control,
            links: Vec::new(),
            pools: Vec::new(),
            stolen: Vec::new(),
            words: Vec::new(),
            queue: VecDeque::new(),
            behaviour: Behaviour::Honest,
            cooperates: true,
            last_call: 0,
            heard: 0,
            packets: 0,
            last_step: None,
        }
    }

    /// Handles one message; `None` once the broker is gone.
    fn live(&mut self) -> Option<()> {
        let heard = self.next()?;
        if heard.header.kind == Kind::Control {
            self.hear_word(heard);
            return Some(());
        }
        let at = match heard.direct {
            Some(at) => at,
            // What comes for a link that it gave away is nothing to it.
            None => match self.place_of(heard.header.destination) {
                Some(at) => at,
                None => return Some(()),
            },
        };
        let is_order = self.links[at].shown.peer == "host" && heard.header.rpc == ATTACK;
        let is_told = !matches!(heard.header.kind, Kind::Credit | Kind::Switch | Kind::Cancel | Kind::Probe);
        self.heard += u64::from(!is_order && is_told);
        match heard.header.kind {
            Kind::Call if is_order => {
                let step = decode_whole(&heard.payload).ok()?;
                let outcome = self.act(step);
                self.reply(at, &heard.header, &encoded(&outcome));
            }
            Kind::Call => self.answer(at, heard.header, heard.payload.clone()),
            Kind::Switch => self.hear_switch(at, &heard),
            _ => {}
        }
        if matches!(heard.header.kind, Kind::Call | Kind::Oneway | Kind::Release | Kind::Cancel | Kind::Probe) {
            self.credit(at, &heard);
        }
        if heard.header.kind == Kind::Oneway {
            self.stolen.extend(heard.passed.into_iter().map(Passed::into_fd));
        }
        Some(())
    }

    fn act(&mut self, step: RawStep) -> RawOutcome {
        if let RawStep::Send { packet, .. } = &step {
            let calls = Messages::new(packet).filter_map(|message| message.ok().map(|(_, header)| header.call.0));
            self.last_call = calls.max().unwrap_or(0).max(self.last_call);
        }
        match step {
            RawStep::Links => RawOutcome::Links(self.links.iter().map(|held| held.shown.clone()).collect()),
            RawStep::Open { role, interface } => RawOutcome::Opened(self.open(&role, &interface)),
            RawStep::Send { via, packet, loot, times } => self.send_many(via, &packet, &loot, times),
            RawStep::MakePool { link, shape } => RawOutcome::Pool(self.make_pool(link, shape)),
            RawStep::UsePool { pool, shape } => {
                drop(self.pools.pop().map(|memory| WritablePool::map(memory, pool, shape)));
                RawOutcome::Done
            }
            RawStep::Words => RawOutcome::Words(self.words.clone()),
            RawStep::Heard => RawOutcome::Heard(self.heard),
            RawStep::Packets => RawOutcome::Heard(self.packets),
            RawStep::Cooperate(cooperates) => {
                self.cooperates = cooperates;
                RawOutcome::Done
            }
            RawStep::Shut(at) => {
                let _ = self.links[at].socket.as_ref().map(ProcessIpc::shutdown_sending);
                RawOutcome::Done
            }
            RawStep::Reverse(count) => {
                self.behaviour = Behaviour::Reverse(count, Vec::new());
                RawOutcome::Done
            }
            RawStep::Answer { kind, call_offset, payload, times } => {
                self.behaviour = Behaviour::Made { kind, call_offset, payload, times };
                RawOutcome::Done
            }
            RawStep::SendAndDeafen(packet) => {
                self.send_many(Via::Control, &packet, &[], 1);
                deafen()
            }
            RawStep::Deafen => {
                self.last_step = Some(LastStep::Deafen);
                RawOutcome::Done
            }
            RawStep::HangUp => {
                self.last_step = Some(LastStep::HangUp);
                RawOutcome::Done
            }
            RawStep::Exit => std::process::exit(0),
        }
    }

    /// Answers a call of a peer.
    fn answer(&mut self, at: usize, call: Header, payload: Vec<u8>) {
        match std::mem::replace(&mut self.behaviour, Behaviour::Honest) {
            Behaviour::Honest => self.reply_honestly(at, &call, &payload),
            Behaviour::Reverse(count, mut held) => {
                held.push((call, payload));
                if held.len() < count {
                    self.behaviour = Behaviour::Reverse(count, held);
                    return;
                }
                for (call, payload) in held.into_iter().rev() {
                    self.reply_honestly(at, &call, &payload);
                }
            }
            Behaviour::Made { kind, call_offset, payload, times } => {
                let mut header = self.reply_header(at, &call, payload.len());
                header.call.0 = header.call.0.wrapping_add_signed(call_offset);
                let mut packet = header.encode().to_vec();
                packet[10] = kind;
                packet.extend(payload);
                for _ in 0..times {
                    let _ = self.send(self.via(at), &packet, &[]);
                }
            }
        }
    }

    fn reply_honestly(&self, at: usize, call: &Header, payload: &[u8]) {
        if call.rpc == ECHO {
            self.reply(at, call, payload);
        } else {
            self.reply(at, call, &[]);
        }
    }

    fn reply(&self, at: usize, call: &Header, payload: &[u8]) {
        let header = self.reply_header(at, call, payload.len());
        let _ = self.send(self.via(at), &packet(&header, payload), &[]);
    }

    fn reply_header(&self, at: usize, call: &Header, len: usize) -> Header {
        let payload = u32::try_from(len).expect("short");
        Header {
            destination: self.links[at].shown.name,
            kind: Kind::Reply,
            remaining: 0,
            descriptors: 0,
            payload,
            ..*call
        }
    }

    fn say(&self, word: &ToBroker) {
        let _ = self.send(Via::Control, &word_packet(word), &[]);
    }

    /// Sends one packet of any length with any descriptors, and waits for room: in the socket, and in what the system lets
    /// all processes of this user have under way, which is not for one test to have to itself.
    fn send(&self, via: Via, bytes: &[u8], loot: &[Loot]) -> rustix::io::Result<usize> {
        let socket = match via {
            Via::Control => self.control.as_fd(),
            Via::Direct(at) => self.links[at].socket.as_ref().ok_or(Errno::BADF)?.as_fd(),
            Via::Stolen(at) => self.stolen.get(at).ok_or(Errno::BADF)?.as_fd(),
        };
        let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
        let descriptors: Vec<BorrowedFd<'_>> = loot
            .iter()
            .map(|loot| match loot {
                Loot::Pipe => stderr.as_fd(),
                Loot::Device => stdin.as_fd(),
                Loot::Control => self.control.as_fd(),
                Loot::Pool(at) => self.pools[*at].as_fd(),
            })
            .collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        loop {
            match rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
                Err(Errno::TOOMANYREFS) => std::thread::sleep(RETRY_AFTER),
                sent => return sent,
            }
        }
    }

    fn send_many(&self, via: Via, bytes: &[u8], loot: &[Loot], times: u32) -> RawOutcome {
        for sent in 0..times {
            if let Err(error) = self.send(via, bytes, loot) {
                return RawOutcome::Sent(sent, Some(error.to_string()));
            }
        }
        RawOutcome::Sent(times, None)
    }

    fn open(&mut self, role: &str, interface: &str) -> Result<usize, String> {
        let name = |name: &str| Name::new(name).map_err(|error| error.to_string());
        self.say(&ToBroker::Open { request: 1, role: name(role)?, interface: name(interface)? });
        let opened = self.await_word(|word| match word {
            ToWorker::Opened { link, .. } => Some(link),
            _ => None,
        });
        let link = opened.ok_or("the broker has ended")?.map_err(|refusal| format!("{refusal:?}"))?;
        self.links.iter().rposition(|held| held.shown.name == link).ok_or_else(|| "no such link".to_owned())
    }

    fn make_pool(&mut self, link: usize, shape: PoolShape) -> Result<u32, String> {
        self.say(&ToBroker::MakePool { request: 2, link: self.links[link].shown.name, shape });
        let made = self.await_word(|word| match word {
            ToWorker::Pool { pool, .. } => Some(pool),
            _ => None,
        });
        made.ok_or("the broker has ended")?.map_err(|refusal| format!("{refusal:?}"))
    }

    /// Waits for a word; what else comes meanwhile waits in the queue.
    fn await_word<T>(&mut self, pick: impl Fn(ToWorker) -> Option<T>) -> Option<T> {
        let mut others = std::mem::take(&mut self.queue);
        loop {
            let heard = self.next()?;
            if heard.header.kind != Kind::Control {
                others.push_back(heard);
                continue;
            }
            let picked = decode_whole(&heard.payload).ok().and_then(&pick);
            self.hear_word(heard);
            if picked.is_some() {
                others.append(&mut self.queue);
                self.queue = others;
                return picked;
            }
        }
    }

    fn hear_word(&mut self, heard: Heard) {
        let Ok(word) = decode_whole::<ToWorker>(&heard.payload) else { return };
        self.words.push(format!("{word:?}"));
        let passed = heard.passed.into_iter().next();
        match word {
            ToWorker::Pool { pool: Ok(_), .. } => self.pools.extend(passed.map(Passed::into_fd)),
            word => self.hear_of_links(word, passed),
        }
    }

    /// The next message, by whichever socket; `None` once the broker is gone.
    fn next(&mut self) -> Option<Heard> {
        while self.queue.is_empty() {
            let direct: Vec<usize> = (0..self.links.len()).filter(|&at| self.links[at].reads()).collect();
            let sockets = direct.iter().filter_map(|&at| self.links[at].socket.as_ref());
            let mut polled: Vec<_> =
                std::iter::once(&self.control).chain(sockets).map(|ipc| PollFd::new(ipc, PollFlags::IN)).collect();
            poll(&mut polled, None).ok()?;
            let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(polled);
            if ready[0] {
                self.receive(None)?;
            }
            for (&at, &is_ready) in direct.iter().zip(&ready[1..]) {
                if is_ready && self.receive(Some(at)).is_none() {
                    self.hear_end(at);
                }
            }
        }
        self.queue.pop_front()
    }

    fn receive(&mut self, direct: Option<usize>) -> Option<()> {
        let mut bytes = vec![0; PACKET_MAX];
        let mut passed = Vec::new();
        let socket = match direct {
            None => &self.control,
            Some(at) => self.links[at].socket.as_ref()?,
        };
        let len = socket.recv(&mut bytes, &mut passed).ok()?;
        let mut has_oneways = false;
        for message in Messages::new(&bytes[..len]) {
            let (start, header) = message.ok()?;
            has_oneways |= header.kind == Kind::Oneway;
            let payload = bytes[start + HEADER_LEN..start + header.links_at()].to_vec();
            self.queue.push_back(Heard { header, payload, passed: std::mem::take(&mut passed), direct });
        }
        self.packets += u64::from(has_oneways);
        Some(())
    }
}

/// A message as it travels.
pub fn packet(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header.encode().to_vec();
    bytes.extend(payload);
    bytes
}

/// Calls of one end are numbered in growing order, and so are all of these tests.
static CALLS: AtomicU64 = AtomicU64::new(1);

/// A message of this kind and method, with whatever else its header needs to be sound.
pub fn message_packet(to: Destination, kind: Kind, rpc: cloison_broker::msg::RpcIndex, payload: &[u8]) -> Vec<u8> {
    use cloison_broker::msg::ChainId;
    let called = matches!(kind, Kind::Call | Kind::Reply | Kind::Error | Kind::Cancel | Kind::Probe);
    let header = Header {
        destination: to,
        rpc,
        kind,
        payload: u32::try_from(payload.len()).expect("short"),
        call: CallId(if kind == Kind::Call { CALLS.fetch_add(1, Ordering::Relaxed) } else { u64::from(called) }),
        chain: ChainId(77),
        remaining: if kind == Kind::Call { 5_000_000 } else { 0 },
        ..Header::default()
    };
    packet(&header, payload)
}

/// A message that carries these links.
pub fn carrying_packet(to: Destination, kind: Kind, rpc: cloison_broker::msg::RpcIndex, links: &[LinkRef]) -> Vec<u8> {
    let mut bytes = message_packet(to, kind, rpc, &[]);
    bytes[37] = u8::try_from(links.len()).expect("few");
    bytes.extend(links.iter().flat_map(LinkRef::encode));
    bytes
}

/// A control word as it travels.
pub fn word_packet(word: &ToBroker) -> Vec<u8> {
    let payload = encoded(word);
    let len = u32::try_from(payload.len()).expect("short");
    packet(&Header { kind: Kind::Control, payload: len, ..Header::default() }, &payload)
}
