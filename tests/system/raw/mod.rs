//! An attacker: it is confined like any worker, and then writes what it likes on its sockets. Nothing of the worker crate
//! is in it, so nothing keeps it from breaking the protocol. Its host tells it when to do what.

mod answers;
mod asking;
mod held;
mod orders;
mod packets;
mod sockets;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use cloison_broker::msg::control::{PROTOCOL_VERSION, ToBroker};
use cloison_broker::msg::{Header, Kind, Messages, decode_whole};
use cloison_ipc::{Passed, ProcessIpc, WritablePool};

use crate::words::{ATTACK, encoded};
use answers::Behaviour;
use held::Held;
pub use held::RawLink;
pub use orders::{Loot, RawOutcome, RawStep, Via};
pub use packets::{carrying_packet, message_packet, packet, word_packet};

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
}

/// Lives on without reading anything.
fn deafen() -> ! {
    loop {
        std::thread::park();
    }
}
