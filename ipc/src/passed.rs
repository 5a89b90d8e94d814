//! A descriptor, and what it is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cloison_msg::{Descriptor, DescriptorClasses};
use rustix::fs::{FileType, OFlags, SealFlags, fcntl_get_seals, fcntl_getfl, fstat};
use rustix::net::{AddressFamily, sockopt};

/// A descriptor of a known class: one that arrived with a packet, or one about to be sent.
///
/// The class is found once, by asking the kernel. Nothing the sender said enters into it.
#[derive(Debug)]
pub struct Passed {
    fd: OwnedFd,
    class: DescriptorClasses,
}

impl Passed {
    /// Takes a descriptor and finds its class.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        let class = classify(fd.as_fd()).unwrap_or(DescriptorClasses::OTHER);
        Self { fd, class }
    }

    /// The descriptor alone.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl Descriptor for Passed {
    fn class(&self) -> DescriptorClasses {
        self.class
    }
}

impl AsFd for Passed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for Passed {
    fn from(fd: OwnedFd) -> Self {
        Self::new(fd)
    }
}

impl From<Passed> for OwnedFd {
    fn from(passed: Passed) -> Self {
        passed.fd
    }
}

/// The one class of `fd`. Whatever is not plainly of a harmless class is [`DescriptorClasses::OTHER`].
fn classify(fd: BorrowedFd<'_>) -> rustix::io::Result<DescriptorClasses> {
    let flags = fcntl_getfl(fd)?;
    if flags.contains(OFlags::PATH) {
        return Ok(DescriptorClasses::OTHER);
    }
    Ok(match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::RegularFile => classify_file(fd, flags),
        FileType::Fifo => DescriptorClasses::PIPE,
        FileType::Socket => classify_socket(fd)?,
        _ => DescriptorClasses::OTHER,
    })
}

fn classify_file(fd: BorrowedFd<'_>, flags: OFlags) -> DescriptorClasses {
    // Files that cannot be sealed answer EINVAL.
    let seals = fcntl_get_seals(fd).unwrap_or(SealFlags::empty());
    if seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
        DescriptorClasses::SEALED_BUFFER
    } else if flags & OFlags::RWMODE == OFlags::RDONLY {
        DescriptorClasses::READ_ONLY_FILE
    } else {
        DescriptorClasses::READ_WRITE_FILE
    }
}

/// Sockets that talk to the kernel or to hardware (netlink, packet, alg, …) are of no harmless class.
fn classify_socket(fd: BorrowedFd<'_>) -> rustix::io::Result<DescriptorClasses> {
    Ok(match sockopt::socket_domain(fd)? {
        AddressFamily::UNIX | AddressFamily::INET | AddressFamily::INET6 => DescriptorClasses::SOCKET,
        _ => DescriptorClasses::OTHER,
    })
}
