//! A hostile worker with nothing but its sockets, against the shipped driver; beside it, two shipped workers that trust it in
//! nothing and want to get on with their work.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use cloison_broker::harness::Harness;
use cloison_broker::ipc::{Passed, ProcessIpc};
use cloison_broker::{Ask, Grant, HOST, Model};
use cloison_msg::control::{PROTOCOL_VERSION, ToBroker, ToWorker};
use cloison_msg::{
    DescriptorClasses, Destination, Failure, Header, Interface, Kind, Message, Messages, Name, PACKET_MAX, Rights,
    RpcIndex, RpcSet, decode_whole,
};
use cloison_worker::{Link, Request, Worker};

use super::blow::{Bag, Blow, padded, word};
use super::written;

/// What everybody speaks: the hostile worker may use the first method, and pass pipes over a link that it asks for under
/// another name.
const WORK: Interface = Interface::new("work", &["echo", "note"]);
const ECHO: RpcIndex = WORK.method("echo");
const NOTE: RpcIndex = WORK.method("note");

/// The hostile worker's role.
const RAW: &str = "raw";

/// Most blows of one input.
const BLOWS: usize = 100;

/// After how many blows the others are asked whether they are well.
const LOOK_EVERY: usize = 8;

/// How often everybody has a turn until what was begun must be over.
const ROUNDS: usize = 100;

/// Whatever bytes and descriptors a hostile worker puts on its sockets: it reaches nobody whom it may not reach, only it is
/// evicted, the others go on, and nothing of it is left.
///
/// # Panics
/// If that is not so; it counts the descriptors of the process, so nobody else may open or close any meanwhile.
pub fn broker_socket(bytes: &[u8]) {
    let before = descriptors();
    let mut bytes = Unstructured::new(bytes);
    let mut scene = Scene::new(if bytes.arbitrary().unwrap_or(false) { Model::Orchestrator } else { Model::Broker });
    for number in 1..=BLOWS {
        let Ok(blow) = Blow::arbitrary(&mut bytes) else { break };
        scene.strike(&blow);
        if number % LOOK_EVERY == 0 {
            scene.others_work();
        }
        if bytes.is_empty() {
            break;
        }
    }
    scene.end();
    assert_eq!(descriptors(), before, "descriptors that nobody needs any more");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// The hostile worker reaches `a` and the host, and never `b`.
fn policy(ask: &Ask<'_>) -> Option<Grant> {
    let all = Rights::methods(WORK.all()).delegable().lending();
    match (ask.from.as_str(), ask.to.as_str()) {
        ("b", "a") => Some(Grant { rights: all.clone(), back: all }),
        (RAW, "a" | HOST) => {
            let one = Rights::methods(RpcSet::NONE.with(ECHO)).delegable().lending();
            let pipes = one.clone().passing(DescriptorClasses::PIPE);
            let rights = if ask.interface.as_str() == "pipes" { pipes } else { one };
            Some(Grant { rights, back: all })
        }
        _ => None,
    }
}

/// Serves whoever may ask, and notices who may not.
fn serve(worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
    let is_raw = request.peer().as_str() == RAW;
    assert!(!is_raw || (worker.role().as_str() == "a" && request.rpc() == ECHO), "it reaches whom it may not");
    // Whatever comes along is dropped.
    if !is_raw && request.rpc() == ECHO {
        let number: u64 = request.recv()?;
        reply.append(&number)?;
    }
    Ok(())
}

struct Scene {
    harness: Harness,
    /// Those who are honest, and a link from one to the other.
    honest: [Worker; 2],
    link: Link,
    exchanges: u64,
    raw: Option<Raw>,
}

/// The hostile worker.
struct Raw {
    control: ProcessIpc,
    /// What the broker told it its links are called.
    names: Vec<Destination>,
    /// How many calls it made.
    calls: u64,
    /// Sockets of direct links, and whatever else came.
    came: Vec<ProcessIpc>,
}

impl Scene {
    fn new(model: Model) -> Self {
        let mut harness = Harness::new(policy, model).expect("a driver");
        let [a, b] = ["a", "b"].map(|role| harness.seat(role).expect("a seat"));
        let (honest, link) = harness.during(|| {
            let [a, b] = [a, b].map(|control| Worker::over(control).expect("a welcome"));
            let link = b.open("a", &WORK).expect("the policy grants it");
            ([a, b], link)
        });
        honest.iter().for_each(|worker| worker.provide(serve));
        let mut scene = Self { harness, honest, link, exchanges: 0, raw: None };
        scene.others_work();
        scene.rise();
        scene
    }

    /// The hostile worker, or its successor, begins like any other.
    fn rise(&mut self) {
        let control = self.harness.seat(RAW).expect("a seat");
        let mut raw = Raw { control, names: Vec::new(), calls: 0, came: Vec::new() };
        let open = |interface: &str| {
            let [role, interface] = ["a", interface].map(|name| Name::new(name).expect("a name"));
            ToBroker::Open { request: 1, role, interface }
        };
        for word in [ToBroker::Hello { version: PROTOCOL_VERSION }, open("work"), open("pipes")] {
            raw.send(&word_packet(&word), Bag::EMPTY);
        }
        self.harness.settle();
        raw.read();
        self.raw = Some(raw);
    }

    fn strike(&mut self, blow: &Blow<'_>) {
        let Some(raw) = &mut self.raw else { return self.rise() };
        match blow {
            Blow::Raw { bytes, zeros, bag } => raw.send(&padded(bytes, *zeros), *bag),
            Blow::Message { message, twist, bag, direct, times } => {
                for _ in 0..1 + times % 80 {
                    let mut packet = message.encode(&raw.names, &mut raw.calls, bag.len());
                    twist.apply(&mut packet);
                    if *direct { raw.send_directly(&packet) } else { raw.send(&packet, *bag) }
                }
            }
            Blow::Twins { messages, twist, bag } => {
                let mut packet = messages.map(|message| message.encode(&raw.names, &mut raw.calls, 0)).concat();
                twist.apply(&mut packet);
                raw.send(&packet, *bag);
            }
            Blow::Word { word: which, link, number, twist, bag, times } => {
                let mut packet = word(*which, link.of(&raw.names), *number);
                twist.apply(&mut packet);
                (0..1 + times % 20).for_each(|_| raw.send(&packet, *bag));
            }
            Blow::Read => raw.read(),
            Blow::HangUp => self.raw = None,
            Blow::Model { direct } => {
                self.harness.set_model(if *direct { Model::Orchestrator } else { Model::Broker });
            }
            Blow::Revoke { at } => self.revoke(usize::from(*at)),
        }
        self.all_act();
        if self.raw.is_none() || self.harness.evicted(RAW).is_some() {
            self.raw = None;
            self.harness.bury(RAW);
        }
    }

    /// Takes one of the hostile worker's links back.
    fn revoke(&mut self, at: usize) {
        let views = self.harness.explain();
        let mine: Vec<_> =
            views.iter().filter(|view| [&view.from, &view.to].iter().any(|role| role.as_str() == RAW)).collect();
        if !mine.is_empty() {
            self.harness.revoke(mine[at % mine.len()].id);
        }
    }

    /// Everybody does what there is to do now.
    fn all_act(&mut self) {
        self.harness.settle();
        for worker in &self.honest {
            while worker.serve_once(Duration::ZERO).expect("nobody cuts an honest worker off") {}
        }
        while self.harness.heard().is_some() {}
    }

    /// The honest ones work together, whatever the other does.
    fn others_work(&mut self) {
        self.exchanges += 1;
        let mut message = Message::new();
        message.append(&self.exchanges).expect("a number");
        self.link.oneway(NOTE, &mut message).expect("an honest message is sent");
        message.append(&self.exchanges).expect("a number");
        let call = self.link.start(ECHO, &mut message).expect("an honest call is made");
        let mut rounds = 0;
        while !call.is_done() {
            rounds += 1;
            assert!(rounds < ROUNDS, "an honest call is not answered");
            self.all_act();
        }
        let reply = call.wait().expect("an honest call is answered");
        assert_eq!(reply.value::<u64>(), Ok(self.exchanges));
        for honest in ["a", "b"] {
            assert_eq!(self.harness.evicted(honest), None, "an honest worker is evicted");
        }
    }

    /// The hostile worker is dead: nothing is left of it.
    fn end(mut self) {
        self.raw = None;
        self.harness.bury(RAW);
        for _ in 0..4 {
            self.all_act();
            self.others_work();
        }
        let views = self.harness.explain();
        assert_eq!(views.len(), 1, "only the honest ones' link is left: {views:?}");
        assert!(!views[0].changing, "a link does not come to rest: {}", views[0]);
    }
}

impl Raw {
    fn send(&self, packet: &[u8], bag: Bag) {
        let opened = bag.open(&self.control).expect("descriptors");
        let borrowed: Vec<BorrowedFd<'_>> = opened.iter().map(AsFd::as_fd).collect();
        // A socket that is full, or closed, is no news.
        drop(self.control.try_send(packet, &borrowed));
    }

    fn send_directly(&self, packet: &[u8]) {
        if let Some(socket) = self.came.last() {
            drop(socket.try_send(packet, &[]));
        }
    }

    /// Reads all there is, and remembers what it is given.
    fn read(&mut self) {
        let (mut packet, mut passed) = (vec![0; PACKET_MAX], Vec::new());
        while let Ok(len) = self.control.try_recv(&mut packet, &mut passed) {
            self.note(&packet[..len]);
            let sockets = passed.drain(..).map(Passed::into_fd).filter_map(|fd| ProcessIpc::from_fd(fd).ok());
            self.came.extend(sockets);
        }
        for socket in &self.came {
            while socket.try_recv(&mut packet, &mut passed).is_ok_and(|len| len > 0) {}
        }
    }

    fn note(&mut self, packet: &[u8]) {
        let words = Messages::new(packet).flatten().filter(|(_, header)| header.kind == Kind::Control);
        for (start, header) in words {
            let payload = &packet[start..start + header.message_len()][cloison_msg::HEADER_LEN..];
            if let Ok(ToWorker::Granted { link, .. }) = decode_whole(payload) {
                self.names.push(link);
            }
        }
    }
}

fn word_packet(word: &ToBroker) -> Vec<u8> {
    let payload = written(word);
    let length = u32::try_from(payload.len()).expect("words are short");
    let header = Header { kind: Kind::Control, payload: length, ..Header::default() };
    [header.encode().to_vec(), payload].concat()
}
