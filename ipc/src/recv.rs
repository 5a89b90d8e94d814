//! Receiving one packet.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use cloison_msg::DESCRIPTORS_MAX;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags};

use crate::{Passed, Wait};

/// Why no packet was received. Descriptors that came with a refused one are closed.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    /// There is no packet yet. Only where the wait was limited.
    #[error("no packet is queued; wait until the socket is readable")]
    WouldBlock,
    /// Nothing more will come: the peer is gone, the link was shut down, or the peer sent an empty packet, which no
    /// honest one does. It does not say that the peer is dead; only its pidfd does.
    #[error("the link is closed")]
    Closed,
    /// The packet was longer than the buffer. No honest peer sends more than [`PACKET_MAX`](cloison_msg::PACKET_MAX).
    #[error("a packet was longer than the {room} bytes of room for it")]
    TooLong {
        /// Length of the buffer, in bytes.
        room: usize,
    },
    /// Descriptors of the packet were lost: it carried more than [`DESCRIPTORS_MAX`], or this process is at its limit
    /// of open descriptors.
    #[error("a packet carried more than {DESCRIPTORS_MAX} descriptors, or this process cannot open that many more")]
    DescriptorsLost,
    /// The system refused for another reason.
    #[error("receiving a packet failed: {0}")]
    System(#[source] io::Error),
}

/// Receives one packet from `fd`.
pub fn recv(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut Vec<Passed>,
    wait: Wait,
) -> Result<usize, RecvError> {
    let flags = RecvFlags::CMSG_CLOEXEC | waiting(wait);
    loop {
        let mut space = ControlSpace::new();
        // Owns the descriptors that arrive, and closes those that are not taken out of it.
        let mut control = RecvAncillaryBuffer::new(&mut space.0);
        match rustix::net::recvmsg(fd, &mut [IoSliceMut::new(buffer)], &mut control, flags) {
            Ok(received) => {
                check(received.bytes, received.flags, buffer.len())?;
                take_descriptors(&mut control, descriptors);
                return Ok(received.bytes);
            }
            Err(error) => retry(fd, error, wait)?,
        }
    }
}

/// Receives one packet from `fd` without looking at descriptors: the kernel closes those that come with it.
pub fn recv_bytes(fd: BorrowedFd<'_>, buffer: &mut [u8], wait: Wait) -> Result<usize, RecvError> {
    // With TRUNC the length is the packet's, also where the buffer is shorter.
    let flags = RecvFlags::TRUNC | waiting(wait);
    let room = buffer.len();
    loop {
        match rustix::net::recv(fd, &mut *buffer, flags) {
            Ok((_, 0)) => return Err(RecvError::Closed),
            Ok((_, len)) if len > room => return Err(RecvError::TooLong { room }),
            Ok((_, len)) => return Ok(len),
            Err(error) => retry(fd, error, wait)?,
        }
    }
}

/// Throws away what is queued on `fd`, and counts the packets. Ends only if nobody can send any more.
pub fn discard(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut packets = 0;
    loop {
        // Without room for control data the kernel installs no descriptor.
        match rustix::net::recv(fd, &mut [0; 1][..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
            Ok((_, 0)) | Err(Errno::AGAIN) => return Ok(packets),
            Ok(_) => packets += 1,
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn waiting(wait: Wait) -> RecvFlags {
    match wait {
        Wait::Forever | Wait::Briefly => RecvFlags::empty(),
        Wait::Never => RecvFlags::DONTWAIT,
    }
}

/// `Ok` says to receive again.
fn retry(fd: BorrowedFd<'_>, error: Errno, wait: Wait) -> Result<(), RecvError> {
    match error {
        // Said once when the peer died with unread packets; what it had sent comes after it.
        Errno::CONNRESET => Ok(()),
        error => wait.retry(fd, PollFlags::IN, error).map_err(explain),
    }
}

fn check(len: usize, flags: ReturnFlags, room: usize) -> Result<(), RecvError> {
    if flags.contains(ReturnFlags::CTRUNC) {
        return Err(RecvError::DescriptorsLost);
    }
    if flags.contains(ReturnFlags::TRUNC) {
        return Err(RecvError::TooLong { room });
    }
    if len == 0 {
        return Err(RecvError::Closed);
    }
    Ok(())
}

fn take_descriptors(control: &mut RecvAncillaryBuffer<'_>, descriptors: &mut Vec<Passed>) {
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds.map(Passed::new));
        }
    }
}

fn explain(error: Errno) -> RecvError {
    match error {
        Errno::AGAIN => RecvError::WouldBlock,
        Errno::NOTCONN => RecvError::Closed,
        error => RecvError::System(error.into()),
    }
}

/// Room on the stack for the control data of one packet: [`DESCRIPTORS_MAX`] descriptors, and not one more.
#[repr(align(8))]
pub struct ControlSpace(pub [MaybeUninit<u8>; CONTROL_LEN]);

/// Aligned as it is, the space needs none of the slack that the macro adds for alignment.
const CONTROL_LEN: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX)) - CONTROL_ALIGN;
const CONTROL_ALIGN: usize = align_of::<libc::cmsghdr>();

const _: () = assert!(align_of::<ControlSpace>() == CONTROL_ALIGN, "the system aligns control data otherwise");
const _: () = assert!(DESCRIPTORS_MAX.is_multiple_of(2), "padding behind an odd number is room for one more");

impl ControlSpace {
    /// Uninitialised: nothing is cleared for a packet without descriptors.
    pub const fn new() -> Self {
        Self([MaybeUninit::uninit(); CONTROL_LEN])
    }
}
