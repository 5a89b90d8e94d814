//! Sending calls and oneways, as far as there is room for them.

use std::io;
use std::os::fd::OwnedFd;

use cloison_msg::{
    CALL_DEPTH_MAX, CallFailure, CallFrame, CallId, Caller, Denial, Destination, Failure, Header, Message, Name,
    RpcIndex, Streams, Text,
};

use crate::cancel::{Cause, Underway};
use crate::session::{Frame, Outcome, Session};
use crate::wire::Posted;

impl Session {
    /// Sends a call if there is room for it: what became of it, its place among the outcomes, and its id.
    pub(crate) fn try_call(
        &mut self,
        name: Destination,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        frame: CallFrame,
        streams: Streams,
    ) -> Option<Result<(Posted, usize, CallId), CallFailure>> {
        if self.is_cancelled() {
            return Some(Err(CallFailure::Cancelled));
        }
        self.try_call_for(self.cause(), name, rpc, message, frame, streams)
    }

    /// The same, of a call that is made to answer this one.
    pub(crate) fn try_call_for(
        &mut self,
        cause: Option<Cause>,
        name: Destination,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        frame: CallFrame,
        streams: Streams,
    ) -> Option<Result<(Posted, usize, CallId), CallFailure>> {
        if let Err(why) = self.prepare(name, message)? {
            return Some(Err(why));
        }
        let end = self.ends.get_mut(name)?;
        let slot = self.outcomes.vacant_entry();
        let header = end.link.call_streaming(rpc, message.shape(), frame, streams, slot.key()).ok()?;
        let header = Header { is_retry: message.is_retry(), ..header };
        let slot = {
            let key = slot.key();
            slot.insert(Outcome::Awaited(Underway { link: name, call: header.call, cause }));
            key
        };
        self.flush_trace_before_call();
        self.trace_sent(&header);
        if streams.contains(Streams::ITEMS) {
            self.open_inflow(name, header.call, Caller::Own);
        }
        match self.post(&header, message) {
            Ok(posted) => Some(Ok((posted, slot, header.call))),
            Err(error) => {
                if let Some(end) = self.ends.get_mut(name) {
                    end.link.unsend(&header);
                }
                self.outcomes.remove(slot);
                self.close_inflow(name, header.call, Caller::Own);
                Some(Err(unsendable(&error)))
            }
        }
    }

    /// Sends a oneway if there is room for it.
    pub(crate) fn try_oneway(
        &mut self,
        name: Destination,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        frame: Frame,
    ) -> Option<Result<Posted, CallFailure>> {
        if let Err(why) = self.prepare(name, message)? {
            return Some(Err(why));
        }
        let end = self.ends.get_mut(name)?;
        let header = end.link.oneway(rpc, message.shape(), frame.chain).ok()?;
        self.flush_trace_before_call();
        self.trace_sent(&header);
        match self.post(&header, message) {
            Ok(posted) => Some(Ok(posted)),
            Err(error) => {
                if let Some(end) = self.ends.get_mut(name) {
                    end.link.unsend(&header);
                }
                Some(Err(unsendable(&error)))
            }
        }
    }

    /// What can be said about a message before there is room for it; `None` if it must wait.
    fn prepare(&mut self, name: Destination, message: &Message<OwnedFd>) -> Option<Result<(), CallFailure>> {
        let Some(end) = self.ends.get(name) else { return Some(Err(self.why_gone(name).into())) };
        if message.descriptor_count() > 0 && end.rights.classes.is_empty() {
            return Some(Err(CallFailure::Failed(Failure::Denied(Denial::Descriptor))));
        }
        self.prepare_links(name, message)
    }
}

fn unsendable(error: &io::Error) -> CallFailure {
    CallFailure::Unsendable(Text::new(&error.to_string()))
}

/// The refusal of a call that would be nested too deep.
pub(crate) fn too_deep(frame: Frame, from: &Name, to: &Name, way: &str) -> Failure {
    let so_many = format!("{CALL_DEPTH_MAX} nested calls in chain {:?} already", frame.chain);
    let text = format!("{so_many}, the last from {from} to {to}{way}");
    Failure::WouldDeadlock(Text::new(&text))
}
