//! Sending one packet.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

use cloison_msg::{DESCRIPTORS_MAX, PACKET_MAX};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::Wait;
use crate::recv::ControlSpace;

/// Why a packet was not sent. Nothing of it was, and the descriptors are still the caller's alone.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// An empty packet would read as the end of the link.
    #[error("an empty packet cannot be sent: it would read as the end of the link")]
    Empty,
    /// Longer than [`PACKET_MAX`].
    #[error("a packet of {len} bytes is longer than {PACKET_MAX}; move what is large by a buffer of a pool")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// More descriptors than [`DESCRIPTORS_MAX`].
    #[error("{count} descriptors are more than the {DESCRIPTORS_MAX} that one packet carries")]
    TooManyDescriptors {
        /// How many there were.
        count: usize,
    },
    /// The peer's queue is full. Only from [`try_send`](crate::ProcessIpc::try_send).
    #[error("the peer's queue is full; wait until the socket is writable")]
    WouldBlock,
    /// The peer is gone, or the link was shut down.
    #[error("the link is closed")]
    Closed,
    /// The peer's end takes no descriptors: see [`refuse_descriptors`](crate::ProcessIpc::refuse_descriptors).
    #[error("the peer's end of the link takes no descriptors")]
    DescriptorsRefused,
    /// This user has too many descriptors in flight, in all its processes together.
    #[error("too many descriptors of this user are queued in sockets; wait until receivers have taken some")]
    TooManyInFlight,
    /// The system refused for another reason.
    #[error("sending a packet failed: {0}")]
    System(#[source] io::Error),
}

/// Sends `packet` and `descriptors` on `fd`.
pub fn send(fd: BorrowedFd<'_>, packet: &[u8], descriptors: &[BorrowedFd<'_>], wait: Wait) -> Result<(), SendError> {
    check(packet, descriptors)?;
    let flags = match wait {
        Wait::Forever | Wait::Briefly => SendFlags::NOSIGNAL,
        Wait::Never => SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    };
    loop {
        let sent = match descriptors {
            [] => rustix::net::send(fd, packet, flags),
            some => send_with(fd, packet, some, flags),
        };
        match sent {
            Ok(_) => return Ok(()), // packets are sent whole or not at all
            Err(error) => wait.retry(fd, PollFlags::OUT, error).map_err(|error| explain(error, descriptors))?,
        }
    }
}

fn check(packet: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), SendError> {
    if packet.is_empty() {
        return Err(SendError::Empty);
    }
    if packet.len() > PACKET_MAX {
        return Err(SendError::TooLong { len: packet.len() });
    }
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(SendError::TooManyDescriptors { count: descriptors.len() });
    }
    Ok(())
}

fn send_with(
    fd: BorrowedFd<'_>,
    packet: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> rustix::io::Result<usize> {
    let mut space = ControlSpace::new();
    let mut control = SendAncillaryBuffer::new(&mut space.0);
    let fits = control.push(SendAncillaryMessage::ScmRights(descriptors));
    debug_assert!(fits, "the space is made for DESCRIPTORS_MAX");
    rustix::net::sendmsg(fd, &[IoSlice::new(packet)], &mut control, flags)
}

fn explain(error: Errno, descriptors: &[BorrowedFd<'_>]) -> SendError {
    match error {
        Errno::AGAIN => SendError::WouldBlock,
        // NOTCONN: adopted from somebody who never connected it. CONNRESET: a peer that died with unread packets.
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => SendError::Closed,
        Errno::PERM if !descriptors.is_empty() => SendError::DescriptorsRefused,
        Errno::TOOMANYREFS => SendError::TooManyInFlight,
        error => SendError::System(error.into()),
    }
}
