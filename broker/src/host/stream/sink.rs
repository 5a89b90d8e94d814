//! Feeding a call that the host has begun, item by item.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use cloison_msg::contract::{FeedError, PollSink, Sink};
use cloison_msg::{AppendError, CallError};

use super::{AHEAD_MAX, Piece, StreamCore};
use crate::driver::{Command, HostMessage};
use crate::host::HostLink;
use crate::wait::wait;

/// Where the items go that a call of the host's is fed. Dropped before it has finished, it gives the call up.
#[derive(Debug)]
pub struct HostSink {
    link: HostLink,
    core: Arc<StreamCore>,
    /// What the call comes to if it is given up, and since when it runs; `None` once all was fed.
    given_up: Option<(CallError, Instant)>,
}

impl HostSink {
    pub(super) const fn new(link: HostLink, core: Arc<StreamCore>, given_up: CallError, since: Instant) -> Self {
        Self { link, core, given_up: Some((given_up, since)) }
    }

    fn put(&self, piece: Piece) {
        self.core.put(piece);
        self.link.core().give(Command::SendItems { link: self.link.name() });
    }
}

impl Sink for HostSink {
    type Carrier = HostLink;

    fn push(&mut self, build: impl FnOnce(&mut HostMessage) -> Result<(), AppendError>) -> Result<(), FeedError> {
        let mut message = HostMessage::new();
        build(&mut message)?;
        wait(std::future::poll_fn(|context| self.poll_room(context)))?;
        self.put(Piece::Item(message));
        Ok(())
    }

    fn finish(mut self) {
        self.given_up = None;
        self.put(Piece::End);
    }
}

impl PollSink for HostSink {
    /// Each wait takes as long as the call has for one.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<(), FeedError>> {
        let mut state = self.core.state();
        if state.is_over || state.is_unwanted {
            self.given_up = None;
            return Poll::Ready(Err(FeedError::Unwanted));
        }
        if state.made.len() < AHEAD_MAX {
            return Poll::Ready(Ok(()));
        }
        state.feeder = Some(context.waker().clone());
        if !std::mem::replace(&mut state.awaits_room, true) {
            self.link.core().give(Command::AwaitItem { link: self.link.name(), stream: self.core.clone() });
        }
        Poll::Pending
    }

    fn stop_waiting(&mut self) {
        let mut state = self.core.state();
        state.feeder = None;
        let has_waited = std::mem::take(&mut state.awaits_room);
        drop(state);
        if has_waited {
            self.link.core().give(Command::AwaitItem { link: self.link.name(), stream: self.core.clone() });
        }
    }
}

impl Drop for HostSink {
    fn drop(&mut self) {
        let Some((given_up, since)) = self.given_up.take() else { return };
        let is_open = self.core.change(|state| {
            let is_open = !std::mem::replace(&mut state.is_over, true);
            if is_open {
                state.outcome = Some(Err(CallError { after: since.elapsed(), ..given_up }));
            }
            is_open
        });
        if is_open {
            self.link.core().give(Command::Cancel { link: self.link.name(), ticket: None });
        }
    }
}
