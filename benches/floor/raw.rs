//! The floors themselves: blocking calls on SEQPACKET sockets, and nothing else.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

use super::{Far, Peer, Placement, Row, Running};

/// Length of a floor's packet, in bytes: a header and a few small values.
const PACKET: usize = 64;

/// There and back between two processes.
pub const RAW_PAIR: Row = Row { name: "raw pair", against: None, start: start_pair };

/// There and back through a third process.
pub const RAW_RELAY: Row = Row { name: "raw relay", against: None, start: start_relay };

/// What the far ends of these rows are called.
pub const FAR_ENDS: [Far; 2] = [Far { role: "echo", serve: echo }, Far { role: "relay", serve: relay }];

fn start_pair(placement: Placement) -> Running {
    let (here, there) = pair();
    let echo = Peer::start("echo", placement.core(1), there, None);
    round_trips(here, vec![echo])
}

fn start_relay(placement: Placement) -> Running {
    let (here, near) = pair();
    let (beyond, there) = pair();
    let relay = Peer::start("relay", placement.core(1), near, Some(beyond));
    let echo = Peer::start("echo", placement.core(2), there, None);
    round_trips(here, vec![relay, echo])
}

fn round_trips(here: OwnedFd, peers: Vec<Peer>) -> Running {
    let mut buffer = [0; PACKET];
    Running::timed(peers, move || {
        put(&here, &[1; PACKET]);
        assert_eq!(take(&here, &mut buffer), PACKET);
    })
}

fn echo(near: BorrowedFd<'_>, _beyond: BorrowedFd<'_>) {
    let mut buffer = [0; PACKET];
    while take(near, &mut buffer) > 0 {
        put(near, &buffer);
    }
}

fn relay(near: BorrowedFd<'_>, beyond: BorrowedFd<'_>) {
    let mut buffer = [0; PACKET];
    while take(near, &mut buffer) > 0 {
        put(beyond, &buffer);
        assert_eq!(take(beyond, &mut buffer), PACKET);
        put(near, &buffer);
    }
}

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a pair")
}

fn put(fd: impl std::os::fd::AsFd, packet: &[u8]) {
    send(fd, packet, SendFlags::NOSIGNAL).expect("the peer is there");
}

fn take(fd: impl std::os::fd::AsFd, buffer: &mut [u8]) -> usize {
    recv(fd, buffer, RecvFlags::empty()).expect("a packet, or the end").0
}
