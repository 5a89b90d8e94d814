//! The sockets of an attacker: what it puts on them, and what comes.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use cloison_broker::msg::{HEADER_LEN, Kind, Messages, PACKET_MAX};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::{Heard, Loot, Raw, RawOutcome, Via};

/// How long to wait before trying again what too many descriptors of this user's under way have kept from leaving.
const RETRY_AFTER: Duration = Duration::from_millis(5);

impl Raw {
    /// Sends one packet of any length with any descriptors, and waits for room: in the socket, and in what the system lets
    /// all processes of this user have under way, which is not for one test to have to itself.
    pub fn send(&self, via: Via, bytes: &[u8], loot: &[Loot]) -> rustix::io::Result<usize> {
        let socket = match via {
            Via::Control => self.control.as_fd(),
            Via::Direct(at) => self.links[at].socket.as_ref().ok_or(Errno::BADF)?.as_fd(),
            Via::Stolen(at) => self.stolen.get(at).ok_or(Errno::BADF)?.as_fd(),
        };
        let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
        let descriptors: Vec<BorrowedFd<'_>> = loot
            .iter()
            .map(|loot| match loot {
                Loot::Pipe => stderr.as_fd(),
                Loot::Device => stdin.as_fd(),
                Loot::Control => self.control.as_fd(),
                Loot::Pool(at) => self.pools[*at].as_fd(),
            })
            .collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        loop {
            match rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
                Err(Errno::TOOMANYREFS) => std::thread::sleep(RETRY_AFTER),
                sent => return sent,
            }
        }
    }

    pub fn send_many(&self, via: Via, bytes: &[u8], loot: &[Loot], times: u32) -> RawOutcome {
        for sent in 0..times {
            if let Err(error) = self.send(via, bytes, loot) {
                return RawOutcome::Sent(sent, Some(error.to_string()));
            }
        }
        RawOutcome::Sent(times, None)
    }

    /// The next message, by whichever socket; `None` once the broker is gone.
    pub fn next(&mut self) -> Option<Heard> {
        while self.queue.is_empty() {
            let direct: Vec<usize> = (0..self.links.len()).filter(|&at| self.links[at].reads()).collect();
            let sockets = direct.iter().filter_map(|&at| self.links[at].socket.as_ref());
            let mut polled: Vec<_> =
                std::iter::once(&self.control).chain(sockets).map(|ipc| PollFd::new(ipc, PollFlags::IN)).collect();
            poll(&mut polled, None).ok()?;
            let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
            drop(polled);
            if ready[0] {
                self.receive(None)?;
            }
            for (&at, &is_ready) in direct.iter().zip(&ready[1..]) {
                if is_ready && self.receive(Some(at)).is_none() {
                    self.hear_end(at);
                }
            }
        }
        self.queue.pop_front()
    }

    fn receive(&mut self, direct: Option<usize>) -> Option<()> {
        let mut bytes = vec![0; PACKET_MAX];
        let mut passed = Vec::new();
        let socket = match direct {
            None => &self.control,
            Some(at) => self.links[at].socket.as_ref()?,
        };
        let len = socket.recv(&mut bytes, &mut passed).ok()?;
        let mut has_oneways = false;
        for message in Messages::new(&bytes[..len]) {
            let (start, header) = message.ok()?;
            has_oneways |= header.kind == Kind::Oneway;
            let payload = bytes[start + HEADER_LEN..start + header.links_at()].to_vec();
            self.queue.push_back(Heard { header, payload, passed: std::mem::take(&mut passed), direct });
        }
        self.packets += u64::from(has_oneways);
        Some(())
    }
}
