//! The floor of oneways: packets of 64 bytes on a blocking SEQPACKET socket, and one that answers them all.

use std::os::fd::BorrowedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

use crate::ONEWAYS;
use crate::floor::{Far, Peer, Placement, Row, Running};

pub const ROW: Row = Row { name: "1000 raw packets", against: None, start };
pub const SINK: Far = Far { role: "sink", serve };

const PACKET: usize = 64;

fn start(placement: Placement) -> Running {
    let (here, there) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).expect("a pair");
    let sink = Peer::start(SINK.role, placement.core(1), there, None);
    Running::timed(vec![sink], move || {
        for _ in 0..ONEWAYS {
            send(&here, &[1; PACKET], SendFlags::NOSIGNAL).expect("the peer is there");
        }
        let mut answer = [0; PACKET];
        assert_eq!(recv(&here, &mut answer, RecvFlags::empty()).expect("an answer").0, PACKET);
    })
}

fn serve(near: BorrowedFd<'_>, _beyond: BorrowedFd<'_>) {
    let mut packet = [0; PACKET];
    let mut count = 0;
    while recv(near, &mut packet, RecvFlags::empty()).expect("a packet, or the end").0 > 0 {
        count += 1;
        if count == ONEWAYS {
            send(near, &packet, SendFlags::NOSIGNAL).expect("the peer is there");
            count = 0;
        }
    }
}
