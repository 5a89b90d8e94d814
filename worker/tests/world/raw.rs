//! A peer that writes its messages by hand, for what no honest worker does.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Duration;

use cloison_ipc::{ProcessIpc, RecvError};
use cloison_msg::control::{PROTOCOL_VERSION, ToBroker, ToWorker};
use cloison_msg::{
    CallId, ChainId, Destination, HEADER_LEN, Header, Kind, Message, Messages, PACKET_MAX, Route, RpcIndex,
    decode_whole,
};

use super::World;

/// A peer with one link, which somebody else opens.
pub struct Raw {
    control: ProcessIpc,
    socket: Option<ProcessIpc>,
    pub link: Destination,
    /// How many packets have come by the link's own socket.
    pub packets: usize,
    /// Whether it hears probes, which come whenever a worker waits for long.
    pub hears_probes: bool,
    words: VecDeque<(ToWorker, Vec<OwnedFd>)>,
    relayed: VecDeque<(Header, Vec<u8>)>,
    direct: VecDeque<(Header, Vec<u8>)>,
}

impl Raw {
    /// A peer that has been welcomed.
    pub fn new(world: &mut World, role: &str) -> Self {
        let control = world.port(role);
        let (words, relayed, direct) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        let (link, packets, hears_probes) = (Destination::BROKER, 0, false);
        let mut raw = Self { control, socket: None, link, packets, hears_probes, words, relayed, direct };
        raw.say(&ToBroker::Hello { version: PROTOCOL_VERSION });
        assert!(matches!(raw.word().0, ToWorker::Welcome { .. }));
        raw
    }

    /// Waits for the link that somebody opens.
    pub fn granted(&mut self) {
        let (ToWorker::Granted { link, route, .. }, mut fds) = self.word() else { panic!("not granted") };
        self.link = link;
        if route == Route::Direct {
            self.socket = Some(ProcessIpc::from_fd(fds.remove(0)).unwrap());
        }
    }

    /// The next word of the broker.
    pub fn word(&mut self) -> (ToWorker, Vec<OwnedFd>) {
        while self.words.is_empty() {
            self.receive(true);
        }
        self.words.pop_front().unwrap()
    }

    /// Hears that the link is to change its route.
    pub fn rerouted(&mut self) {
        let (ToWorker::Reroute { link, route }, mut fds) = self.word() else { panic!("not rerouted") };
        assert_eq!(link, self.link);
        if route == Route::Direct {
            self.socket = Some(ProcessIpc::from_fd(fds.remove(0)).unwrap());
        }
    }

    /// The next message on the link.
    pub fn recv(&mut self) -> (Header, Vec<u8>) {
        self.recv_by(if self.socket.is_some() { Route::Direct } else { Route::Relayed })
    }

    /// The next message that comes by this route.
    pub fn recv_by(&mut self, route: Route) -> (Header, Vec<u8>) {
        loop {
            let arrived = if route == Route::Relayed { &mut self.relayed } else { &mut self.direct };
            if let Some(message) = arrived.pop_front() {
                return message;
            }
            self.receive(route == Route::Relayed);
        }
    }

    /// The next message that comes by the socket, unless nothing more will.
    pub fn recv_to_end(&mut self) -> Option<(Header, Vec<u8>)> {
        loop {
            if let Some(message) = self.direct.pop_front() {
                return Some(message);
            }
            let mut packet = vec![0; PACKET_MAX];
            let len = match self.socket.as_ref().unwrap().recv(&mut packet, &mut Vec::new()) {
                Err(RecvError::Closed) => return None,
                received => received.unwrap(),
            };
            self.take(false, &packet[..len], Vec::new());
        }
    }

    /// Whether all that came by the socket was read, and nothing more will come.
    pub fn is_at_end(&mut self) -> bool {
        let socket = self.socket.as_ref().unwrap();
        self.direct.is_empty() && matches!(socket.recv(&mut [0; 16], &mut Vec::new()), Err(RecvError::Closed))
    }

    pub fn say(&self, word: &ToBroker) {
        let mut message = Message::<()>::new();
        message.append(word).unwrap();
        let header = Header { kind: Kind::Control, payload: message.payload_len(), ..Header::default() };
        self.control.send(message.packet(&header), &[]).unwrap();
    }

    /// Sends a message of this payload on the link.
    pub fn send(&self, header: Header, payload: &[u8]) {
        let header = Header { destination: self.link, payload: u32::try_from(payload.len()).unwrap(), ..header };
        self.send_bytes(&[&header.encode(), payload].concat());
    }

    /// Sends a message of this payload on the link, over the broker.
    pub fn send_relayed(&self, header: Header, payload: &[u8]) {
        let header = Header { destination: self.link, payload: u32::try_from(payload.len()).unwrap(), ..header };
        self.control.send(&[&header.encode(), payload].concat(), &[]).unwrap();
    }

    /// Sends bytes over the link's route.
    pub fn send_bytes(&self, packet: &[u8]) {
        self.socket.as_ref().unwrap_or(&self.control).send(packet, &[]).unwrap();
    }

    /// Shuts the link's own socket down, and stays.
    pub fn hang_up(&self) {
        self.socket.as_ref().unwrap().shutdown().unwrap();
    }

    pub fn reply(&self, call: &Header, payload: &[u8]) {
        self.send(Header { kind: Kind::Reply, remaining: 0, ..*call }, payload);
    }

    fn receive(&mut self, control: bool) {
        let from = if control { &self.control } else { self.socket.as_ref().unwrap() };
        let mut packet = vec![0; PACKET_MAX];
        let mut passed = Vec::new();
        let len = from.recv(&mut packet, &mut passed).unwrap();
        self.take(control, &packet[..len], passed.into_iter().map(OwnedFd::from).collect());
    }

    fn take(&mut self, control: bool, packet: &[u8], mut fds: Vec<OwnedFd>) {
        self.packets += usize::from(!control);
        for message in Messages::new(packet) {
            let (start, header) = message.unwrap();
            let payload = &packet[start + HEADER_LEN..start + header.message_len()];
            if header.kind == Kind::Control {
                self.words.push_back((decode_whole(payload).unwrap(), std::mem::take(&mut fds)));
            } else if header.kind != Kind::Probe || self.hears_probes {
                let arrived = if control { &mut self.relayed } else { &mut self.direct };
                arrived.push_back((header, payload.to_vec()));
            }
        }
    }
}

/// A call's header.
pub fn call(rpc: u16, id: u64) -> Header {
    let remaining = u32::try_from(Duration::from_secs(5).as_micros()).unwrap();
    let chain = ChainId::new(99, u32::try_from(id).unwrap());
    Header { kind: Kind::Call, rpc: RpcIndex(rpc), call: CallId(id), chain, remaining, ..Header::default() }
}

/// A switch's header.
pub fn switch() -> Header {
    Header { kind: Kind::Switch, ..Header::default() }
}

/// A oneway's header.
pub fn oneway(rpc: u16) -> Header {
    Header { kind: Kind::Oneway, rpc: RpcIndex(rpc), ..Header::default() }
}
