//! Small messages that share a packet.

use std::fmt;
use std::os::fd::OwnedFd;

use cloison_msg::{CallFailure, Destination, Message, RpcIndex};

use crate::Link;
use crate::session::{Frame, Session};
use crate::wire::Posted;

/// While it lives, messages over one link are gathered into packets, of which each costs the system as much as a single
/// message: for many small oneways in a row, and for calls of which the answers are collected afterwards.
///
/// Order stays as it is, and so does every limit of the link. What was gathered leaves when a packet is full (64 KiB), when
/// the worker waits for anything, when something is sent that cannot share a packet (a message with descriptors or links),
/// and when the batch ends. Outside a batch nothing is ever gathered, so a lone message is never late: only who makes the
/// messages knows whether there will be another.
///
/// ```
/// # fn with(link: &cloison_worker::Link) -> Result<(), Box<dyn std::error::Error>> {
/// # use cloison_worker::msg::{Message, RpcIndex};
/// let batch = link.batch();
/// for row in 0..1080u32 {
///     let mut message = Message::new();
///     message.append(&row)?;
///     link.oneway(RpcIndex(0), &mut message)?;
/// }
/// batch.send();
/// # Ok(())
/// # }
/// ```
#[must_use = "it gathers as long as it lives"]
pub struct Batch {
    link: Link,
}

impl Batch {
    pub(crate) fn new(link: &Link) -> Self {
        link.worker().session().batched.push(link.name());
        Self { link: link.clone() }
    }

    /// Ends the batch, which sends what was gathered; as dropping it does.
    pub fn send(self) {}
}

impl Drop for Batch {
    fn drop(&mut self) {
        let mut session = self.link.worker().session();
        session.tick();
        session.send_batched();
        let batched = &mut session.batched;
        if let Some(at) = batched.iter().position(|&name| name == self.link.name()) {
            batched.swap_remove(at);
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Batch").field(&self.link).finish()
    }
}

impl Session {
    /// Sends a oneway if messages are gathered for its link and there is room for it; `None` if it must wait, or goes by
    /// itself.
    pub(crate) fn try_gather(
        &mut self,
        name: Destination,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        frame: Frame,
    ) -> Option<Result<Posted, CallFailure>> {
        let gathers = self.batched.contains(&name);
        gathers.then(|| self.try_oneway(name, rpc, message, frame)).flatten()
    }

    /// Sends what was gathered for links with a batch.
    pub(crate) fn send_batched(&mut self) {
        if self.batched.is_empty() {
            return;
        }
        let now = self.time;
        self.control.send_gathered(now);
        for name in &self.batched {
            if let Some(wire) = self.ends.get_mut(*name).and_then(|end| end.wire.as_mut()) {
                wire.send_gathered(now);
            }
        }
    }
}
