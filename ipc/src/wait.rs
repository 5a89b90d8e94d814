//! How long a call on a socket may take.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Whether a call waits until the socket is ready.
///
/// Never asked of O_NONBLOCK: that flag belongs to the open file description, which another process may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// However long it takes, whatever O_NONBLOCK says.
    Forever,
    /// Until the socket's own limit, if it has one, has passed.
    Briefly,
    /// Not at all.
    Never,
}

impl Wait {
    /// What to do about `error` from a call on `fd`: `Ok` says call again, after waiting for `readiness` if that was it.
    pub fn retry(self, fd: BorrowedFd<'_>, readiness: PollFlags, error: Errno) -> Result<(), Errno> {
        match error {
            Errno::INTR => Ok(()),
            Errno::AGAIN if self == Self::Forever => match poll(&mut [PollFd::from_borrowed_fd(fd, readiness)], None) {
                Ok(_) | Err(Errno::INTR) => Ok(()),
                Err(error) => Err(error),
            },
            error => Err(error),
        }
    }
}
