//! One end of a link.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::sockopt::{GetStruct, SetBool};
use nix::sys::socket::{getsockopt, setsockopt};
use rustix::io::Errno;
use rustix::net::sockopt::Timeout;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, socketpair, sockopt};

use crate::recv::{self, RecvError};
use crate::send::{self, SendError};
use crate::{Passed, Wait};

/// The limit of a brief wait, as the kernel is told: one tick of most kernels' clock, and never less than one.
const BRIEFLY: Duration = Duration::from_millis(4);

/// The longest that a brief wait takes, but for the time until the thread has a core again. The kernel counts it in
/// ticks, of 10 ms where the clock is slowest, and may add one for that which has begun.
pub const BRIEF_WAIT_MAX: Duration = Duration::from_millis(20);

/// One end of a link: an `AF_UNIX` `SOCK_SEQPACKET` socket.
///
/// It carries packets, whole or not at all, and descriptors with the packet they were sent with. Sending and receiving
/// take `&self` and may happen on several threads at once; each packet goes to one receiver.
///
/// ```
/// # use cloison_ipc::ProcessIpc;
/// let (here, there) = ProcessIpc::pair()?;
/// here.send(b"hello", &[])?;
///
/// let mut packet = [0; 64];
/// let mut descriptors = Vec::new();
/// let len = there.recv(&mut packet, &mut descriptors)?;
/// assert_eq!(&packet[..len], b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ProcessIpc(OwnedFd);

/// Why a descriptor cannot be an end of a link. It is closed.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It is not a socket, or the system would not say.
    #[error("cannot adopt a descriptor as a link's end: {0}")]
    Unknown(#[source] io::Error),
    /// A socket of another family, or of a type that does not keep packets apart.
    #[error("cannot adopt a socket as a link's end: it is not AF_UNIX and SOCK_SEQPACKET")]
    WrongKind,
}

impl ProcessIpc {
    /// A new link's two ends. Both are closed on exec, so a process that is started later inherits neither.
    ///
    /// # Errors
    /// The system's, when descriptors or memory run out.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        for end in [&a, &b] {
            sockopt::set_socket_timeout(end, Timeout::Recv, Some(BRIEFLY))?;
        }
        Ok((Self(a), Self(b)))
    }

    /// Adopts a socket that another process made.
    ///
    /// Never adopt one that an untrusted process has held: whoever holds a duplicate reads your packets, and may set
    /// options that install descriptors you never asked for. Link ends come fresh from the broker.
    ///
    /// # Errors
    /// [`AdoptError`]. The check needs `getsockopt` for `SO_DOMAIN` and `SO_TYPE`.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, AdoptError> {
        let unknown = |error: Errno| AdoptError::Unknown(error.into());
        let family = sockopt::socket_domain(&fd).map_err(unknown)?;
        let kind = sockopt::socket_type(&fd).map_err(unknown)?;
        if (family, kind) != (AddressFamily::UNIX, SocketType::SEQPACKET) {
            return Err(AdoptError::WrongKind);
        }
        Ok(Self(fd))
    }

    /// Sends one packet, and duplicates of `descriptors` with it. Waits while the peer's queue is full, for as long as
    /// that takes: nothing for a thread that serves more than one peer.
    ///
    /// # Errors
    /// [`SendError`], except `WouldBlock`. Nothing was sent then.
    pub fn send(&self, packet: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        send::send(self.as_fd(), packet, descriptors, Wait::Forever)
    }

    /// Sends one packet, and duplicates of `descriptors` with it, if the peer's queue has room.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::WouldBlock`] if there is no room. Nothing was sent then.
    pub fn try_send(&self, packet: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        send::send(self.as_fd(), packet, descriptors, Wait::Never)
    }

    /// Receives one packet into `buffer`, appends the descriptors that came with it, and returns the packet's length,
    /// which is never 0. Waits until there is a packet or there will never be one.
    ///
    /// A peer that was killed with unread packets in its queue makes the system report ECONNRESET *before* what the
    /// peer had still sent; that report is skipped here, so last words are always read.
    ///
    /// # Errors
    /// [`RecvError`], except `WouldBlock`. `descriptors` is as before then, and what came with the packet is closed.
    pub fn recv(&self, buffer: &mut [u8], descriptors: &mut Vec<Passed>) -> Result<usize, RecvError> {
        recv::recv(self.as_fd(), buffer, descriptors, Wait::Forever)
    }

    /// Receives one packet, as [`recv`](Self::recv) does, if there is one.
    ///
    /// # Errors
    /// [`RecvError`]; [`RecvError::WouldBlock`] if there is no packet yet.
    pub fn try_recv(&self, buffer: &mut [u8], descriptors: &mut Vec<Passed>) -> Result<usize, RecvError> {
        recv::recv(self.as_fd(), buffer, descriptors, Wait::Never)
    }

    /// Receives one packet, as [`recv`](Self::recv) does, and waits for it no longer than [`BRIEF_WAIT_MAX`].
    ///
    /// Where there is but one socket to wait for, this is what costs least: no second system call, as polling before
    /// receiving needs, and no timer of high resolution. The limit belongs to the socket, set by [`pair`](Self::pair);
    /// an end that was made otherwise has none.
    ///
    /// # Errors
    /// [`RecvError`]; [`RecvError::WouldBlock`] if there is no packet yet.
    pub fn recv_briefly(&self, buffer: &mut [u8], descriptors: &mut Vec<Passed>) -> Result<usize, RecvError> {
        recv::recv(self.as_fd(), buffer, descriptors, Wait::Briefly)
    }

    /// Receives one packet, as [`try_recv`](Self::try_recv) does, from a peer that never sends descriptors: the kernel
    /// closes those that come all the same, unseen. It costs less.
    ///
    /// # Errors
    /// [`RecvError`]; [`RecvError::WouldBlock`] if there is no packet yet.
    pub fn try_recv_bytes(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        recv::recv_bytes(self.as_fd(), buffer, Wait::Never)
    }

    /// Receives one packet, as [`try_recv_bytes`](Self::try_recv_bytes) does, and waits for it no longer than
    /// [`BRIEF_WAIT_MAX`], as [`recv_briefly`](Self::recv_briefly) does.
    ///
    /// # Errors
    /// [`RecvError`]; [`RecvError::WouldBlock`] if there is no packet yet.
    pub fn recv_bytes_briefly(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        recv::recv_bytes(self.as_fd(), buffer, Wait::Briefly)
    }

    /// Lets nothing more be sent by this end, wherever its descriptor has gone. What was sent can still be received, and
    /// behind it the other end finds the end.
    ///
    /// # Errors
    /// The system's; never because the end was shut down before.
    pub fn shutdown_sending(&self) -> io::Result<()> {
        match rustix::net::shutdown(&self.0, Shutdown::Write) {
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the link in both directions, for every process that holds a duplicate of either end. What is queued stays
    /// readable; after it, readers get [`RecvError::Closed`], and senders get [`SendError::Closed`] at once.
    ///
    /// # Errors
    /// The system's; a link whose peer is gone already is not an error.
    pub fn shutdown(&self) -> io::Result<()> {
        match rustix::net::shutdown(&self.0, Shutdown::Both) {
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Shuts the link down and throws away what is queued at this end. Returns how many packets that was.
    ///
    /// Descriptors in them are closed by the kernel and never enter this process: safe on an end that an untrusted
    /// process shares, unlike [`try_recv`](Self::try_recv).
    ///
    /// # Errors
    /// The system's.
    pub fn discard_queued(&self) -> io::Result<usize> {
        self.shutdown()?;
        recv::discard(self.as_fd())
    }

    /// From now on nobody can send descriptors *to* this end: a peer that tries gets
    /// [`SendError::DescriptorsRefused`]. It holds wherever the end is handed on to, and keeps a peer from charging
    /// descriptors in flight to the user. Returns whether the kernel can do that (6.16 and later); where it cannot,
    /// nothing changes.
    ///
    /// # Errors
    /// The system's.
    pub fn refuse_descriptors(&self) -> io::Result<bool> {
        match setsockopt(&self.0, PassRights, &false) {
            Ok(()) => Ok(true),
            Err(nix::Error::ENOPROTOOPT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the peer has read all that was ever sent from this end, by whichever handle.
    ///
    /// # Errors
    /// The system's.
    pub fn is_all_read(&self) -> io::Result<bool> {
        let memory = getsockopt(&self.0, MemoryInfo)?;
        Ok(memory[SK_MEMINFO_WMEM_ALLOC] == 0)
    }

    /// Another handle on the same end. What is set on one holds for both; the end closes with its last handle.
    ///
    /// # Errors
    /// The system's, when descriptors run out.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl AsFd for ProcessIpc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<ProcessIpc> for OwnedFd {
    fn from(ipc: ProcessIpc) -> Self {
        ipc.0
    }
}

/// `SO_PASSRIGHTS` (Linux 6.16), which libc does not name yet.
const SO_PASSRIGHTS: libc::c_int = 83;

#[derive(Clone)]
struct PassRights;

/// How many counters `SO_MEMINFO` tells, and which is the one of what was sent and not read.
const SK_MEMINFO_VARS: usize = 9;
const SK_MEMINFO_WMEM_ALLOC: usize = 2;

#[derive(Clone, Copy)]
struct MemoryInfo;

nix::getsockopt_impl!(MemoryInfo, libc::SOL_SOCKET, libc::SO_MEMINFO, MemoryCounters, GetStruct<MemoryCounters>);

type MemoryCounters = [u32; SK_MEMINFO_VARS];

nix::setsockopt_impl!(PassRights, libc::SOL_SOCKET, SO_PASSRIGHTS, bool, SetBool);
