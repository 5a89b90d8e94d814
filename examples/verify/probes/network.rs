//! Sockets of every family, and what they could reach.

use super::Row;
use crate::probe::Outcome;
use crate::probe::Wanted::{Kills, Reported};
use crate::raw::{call, space, text};

const GROUP: &str = "network";
/// An address of 127.0.0.1, port 9.
const LOOPBACK: &[u8] = &[2, 0, 0, 9, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];

fn socket(family: libc::c_int, kind: libc::c_int) -> Outcome {
    call(libc::SYS_socket, &[family as u64, kind as u64, 0])
}

/// The socket, or a number that is none: what follows is tried all the same.
fn any(socket: Outcome) -> u64 {
    if let Outcome::Succeeded(fd) = socket { fd } else { u64::MAX }
}

fn connect_unix(address: &[u8]) -> Outcome {
    let bytes = [&[1u8, 0][..], address].concat();
    let length = bytes.len() as u64;
    call(libc::SYS_connect, &[any(socket(libc::AF_UNIX, libc::SOCK_STREAM)), space(&bytes), length])
}

pub fn probes() -> Vec<Row> {
    vec![
        (GROUP, "socket_inet", Kills, |_| socket(libc::AF_INET, libc::SOCK_STREAM)),
        (GROUP, "socket_inet6", Kills, |_| socket(libc::AF_INET6, libc::SOCK_STREAM)),
        (GROUP, "socket_netlink", Kills, |_| socket(libc::AF_NETLINK, libc::SOCK_RAW)),
        (GROUP, "socket_packet", Kills, |_| socket(libc::AF_PACKET, libc::SOCK_RAW)),
        (GROUP, "socket_vsock", Kills, |_| socket(libc::AF_VSOCK, libc::SOCK_STREAM)),
        (GROUP, "socket_alg", Kills, |_| socket(libc::AF_ALG, libc::SOCK_SEQPACKET)),
        (GROUP, "socket_unix", Reported, |_| socket(libc::AF_UNIX, libc::SOCK_STREAM)),
        (GROUP, "connect_abstract", Kills, |_| connect_unix(b"\0cloison-verify")),
        (GROUP, "connect_pathname", Kills, |w| connect_unix(format!("{}/socket", w.directory).as_bytes())),
        (GROUP, "connect_tcp_lo", Kills, |_| {
            let fd = any(socket(libc::AF_INET, libc::SOCK_STREAM));
            call(libc::SYS_connect, &[fd, space(LOOPBACK), 16])
        }),
        (GROUP, "bind_tcp", Kills, |_| {
            let fd = any(socket(libc::AF_INET, libc::SOCK_STREAM));
            call(libc::SYS_bind, &[fd, space(LOOPBACK), 16])
        }),
        (GROUP, "udp_sendto_lo", Kills, |_| {
            let fd = any(socket(libc::AF_INET, libc::SOCK_DGRAM));
            call(libc::SYS_sendto, &[fd, text(c"x"), 1, 0, space(LOOPBACK), 16])
        }),
        (GROUP, "socketpair_unix", Reported, |_| call(libc::SYS_socketpair, &[1, 1, 0, space(&[])])),
        (GROUP, "scm_forged_creds", Reported, |_| {
            call(libc::SYS_socketpair, &[1, 2, 0, space(&[])]).then(|_| Outcome::Succeeded(0))
        }),
    ]
}
