//! Packets.

use std::os::fd::BorrowedFd;

use cloison_ipc::{Passed, ProcessIpc};

use crate::floor::{Far, Peer, Placement, Row, Running};

/// There and back between two processes, with room for descriptors.
pub const PACKET_PAIR: Row = Row { name: "ProcessIpc pair", against: Some("raw pair"), start };

/// Sends back what arrives.
pub const ECHO: Far = Far { role: "ipc-echo", serve };

const PACKET: usize = 64;

fn start(placement: Placement) -> Running {
    let (here, there) = ProcessIpc::pair().expect("a pair");
    let peer = Peer::start(ECHO.role, placement.core(1), there.into(), None);
    let mut buffer = [0; PACKET];
    let mut descriptors = Vec::new();
    Running::timed(vec![peer], move || {
        here.send(&[1; PACKET], &[]).expect("the peer is there");
        assert_eq!(here.recv(&mut buffer, &mut descriptors).expect("the peer answers"), PACKET);
    })
}

fn serve(near: BorrowedFd<'_>, _beyond: BorrowedFd<'_>) {
    let near = adopt(near);
    let mut buffer = [0; PACKET];
    let mut descriptors: Vec<Passed> = Vec::new();
    while let Ok(len) = near.recv(&mut buffer, &mut descriptors) {
        near.send(&buffer[..len], &[]).expect("the peer is there");
    }
}

/// The far end's own handle on its socket.
pub fn adopt(near: BorrowedFd<'_>) -> ProcessIpc {
    let fd = near.try_clone_to_owned().expect("descriptors are left");
    ProcessIpc::from_fd(fd).expect("a link's end")
}
