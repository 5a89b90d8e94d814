//! The streams of calls that the host serves.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cloison_msg::contract::{Intake, Output, Produced, ReadOne};
use cloison_msg::{CallError, CallFailure, Caller, Failure, Header, Name, Streams};

use super::{AHEAD_MAX, Piece, StreamCore, read_whole};
use crate::driver::{Command, HostMessage};
use crate::host::{HostLink, LinkCore};
use crate::wait::{wait, wait_for};

/// How long a stream waits before it is asked again whether what its next item needs has come back.
const NOT_YET: Duration = Duration::from_millis(1);

/// What the caller feeds of what the host serves. Dropped, it refuses the rest.
struct Taking {
    link: Arc<LinkCore>,
    core: Arc<StreamCore>,
    peer: Name,
    call: Header,
    since: Instant,
    is_over: bool,
}

/// What the caller feeds, if it does, to be taken item by item.
pub(in crate::host) fn intake(
    link: &Arc<LinkCore>,
    core: Option<&Arc<StreamCore>>,
    call: &Header,
) -> Option<Intake<HostLink>> {
    let core = core.filter(|core| core.streams.contains(Streams::FEED))?.clone();
    let peer = Name::clone(&link.peer());
    let mut taking = Taking { link: link.clone(), core, peer, call: *call, since: Instant::now(), is_over: false };
    Some(Box::new(move |read| taking.next(read)))
}

impl Taking {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, Result<(), CallFailure>>> {
        let mut state = self.core.state();
        if self.link.is_revoked() {
            state.items.clear();
        }
        match (state.items.pop(), state.end.clone()) {
            (Some(item), _) => Poll::Ready(Ok(item)),
            (None, Some(end)) => Poll::Ready(Err(end)),
            (None, None) => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn next(&mut self, read: ReadOne<'_, HostLink>) -> Option<Result<(), CallError>> {
        if self.is_over {
            return None;
        }
        let within = self.call.time_left();
        let why = match wait_for(std::future::poll_fn(|context| self.poll(context)), Some(within)) {
            Some(Ok(item)) => {
                self.link.draw(self.call.call, Caller::Peer, item.len());
                match read_whole(&item, |reader| read(reader)) {
                    Ok(()) => return Some(Ok(())),
                    Err(error) => CallFailure::Unreadable(error.to_string().into()),
                }
            }
            Some(Err(end)) => {
                self.is_over = true;
                match end {
                    Ok(()) => return None,
                    Err(why) => why,
                }
            }
            None => CallFailure::Deadline,
        };
        self.refuse();
        Some(Err(CallError::new(self.peer.clone(), self.call.rpc, self.since.elapsed(), why)))
    }

    fn refuse(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.link.give(Command::RefuseItems { link: self.link.name, call: self.call.call });
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.refuse();
    }
}

/// Has all items of a stream sent with which the host answers, and says what the reply is. Waits while there is no credit:
/// for as long as there is somebody who may read, since a reader may be slow.
pub(in crate::host) fn give_all(
    link: &Arc<LinkCore>,
    core: &Arc<StreamCore>,
    output: &mut Output<HostLink>,
) -> Result<HostMessage, Failure> {
    loop {
        let mut message = HostMessage::new();
        let end = match output(&mut message) {
            Produced::Item(_) => {
                core.put(Piece::Item(message));
                link.give(Command::SendItems { link: link.name });
                None
            }
            Produced::NotYet => {
                if wait_for(std::future::poll_fn(|context| core.poll_unwanted(context)), Some(NOT_YET)).is_some() {
                    return Err(Failure::Cancelled);
                }
                continue;
            }
            Produced::End(end) => Some(end.map(|()| message)),
        };
        // The reply must not overtake the items.
        let most = if end.is_some() { 0 } else { AHEAD_MAX };
        let is_wanted = wait(std::future::poll_fn(|context| {
            let mut state = core.state();
            if state.is_unwanted || state.made.len() <= most {
                return Poll::Ready(!state.is_unwanted);
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        }));
        match end {
            Some(end) => return end,
            None if !is_wanted => return Err(Failure::Cancelled),
            None => {}
        }
    }
}
