//! The host's own end of one link.

use std::collections::VecDeque;
use std::sync::Arc;

use cloison_ipc::BUFFERS_MAX;
use cloison_msg::{CallFrame, ChainId, Header, LinkEnd, Name, Time};

use super::desk::Waiting;
use super::given_up::Open;
use super::{Awaiting, Done, HostMessage, Outgoing, Purpose};
use crate::host::{Held, HostLink, LinkCore, StreamCore, Unclaimed};
use crate::router::POOLS_PER_LINK;

/// Most returned buffers that wait on one link: every buffer of every pool it can have. A peer that has more to get back
/// has lent some again without waiting for their return, and takes no returns; those it need not have.
const RETURNS_WAITING: usize = POOLS_PER_LINK * BUFFERS_MAX as usize;

/// What the driver keeps of one link of the host's.
pub(super) struct HostEnd {
    pub(super) end: LinkEnd<Done>,
    /// For which the link was granted.
    interface: Name,
    pub(super) core: Arc<LinkCore>,
    /// What waits for credit, in order.
    pub(super) waiting: VecDeque<Waiting>,
    /// Whether that is being sent at this moment.
    pub(super) is_resuming: bool,
    /// The calls that came and were not answered: as many as may be under way.
    pub(super) open: Vec<Open>,
    /// Of calls of the host's that it has left to the peer, else they would be taken for given up.
    pub(super) detached: Vec<Awaiting>,
    /// Of calls in either direction that have streams.
    pub(super) streams: Vec<Arc<StreamCore>>,
    /// The object that it leads to, if the host has made it to give the other end away.
    pub(super) object: Option<Arc<Held>>,
}

impl HostEnd {
    pub(super) fn new(end: LinkEnd<Done>, interface: Name, core: Arc<LinkCore>) -> Self {
        let (open, detached, streams) = (Vec::new(), Vec::new(), Vec::new());
        let waiting = VecDeque::new();
        Self { end, interface, core, waiting, is_resuming: false, open, detached, streams, object: None }
    }

    /// Who is at the other end, and what the numbers of methods mean.
    pub(super) fn parties(&self) -> (&Name, &Name) {
        (self.end.peer(), &self.interface)
    }

    pub(super) fn unclaimed(&self) -> Unclaimed {
        Unclaimed::new(HostLink::new(self.core.clone()))
    }

    /// Whether this is one return too many that waits.
    pub(super) fn hoards_returns(&self, next: &Waiting) -> bool {
        let is_return = |waiting: &&Waiting| matches!(waiting.outgoing.purpose, Purpose::Release);
        is_return(&next) && self.waiting.iter().filter(is_return).count() >= RETURNS_WAITING
    }

    /// The header under which `outgoing` may go now; it comes back if there is no room yet.
    #[expect(clippy::result_large_err, reason = "what has no room yet goes back to where it was moved from")]
    pub(super) fn admit(
        &mut self,
        waiting: Waiting,
        chain: ChainId,
        now: Time,
    ) -> Result<(Header, HostMessage), Waiting> {
        let Waiting { outgoing: Outgoing { link, peer, rpc, message, within, purpose, cause }, since, until } = waiting;
        let shape = message.shape();
        let again = |message, purpose| Waiting {
            outgoing: Outgoing { link, peer, rpc, message, within, purpose, cause },
            since,
            until,
        };
        match purpose {
            Purpose::Call(done) => {
                let frame = CallFrame { now, deadline: until, chain, depth: 0 };
                let streams = done.streams();
                match self.end.call_streaming(rpc, shape, frame, streams, done) {
                    Ok(header) => {
                        let header = Header { is_retry: message.is_retry(), ..header };
                        self.note_begun(&header);
                        Ok((header, message))
                    }
                    Err((_, done)) => Err(again(message, Purpose::Call(done))),
                }
            }
            Purpose::Oneway(sent) => match self.end.oneway(rpc, shape, chain) {
                Ok(header) => {
                    let _ = sent.send(Ok(()));
                    Ok((header, message))
                }
                Err(_) => Err(again(message, Purpose::Oneway(sent))),
            },
            Purpose::Release => match self.end.release(shape) {
                Ok(header) => Ok((header, message)),
                Err(_) => Err(again(message, Purpose::Release)),
            },
        }
    }
}
