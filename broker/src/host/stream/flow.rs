//! Calls with streams that the host has begun.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cloison_ipc::Passed;
use cloison_msg::contract::{Fed, Feed, Flow, PollFlow};
use cloison_msg::{CallError, CallFailure, Caller, Gone, Name, Reader, RecvError, RpcIndex, Streams};

use super::{AHEAD_MAX, HostSink, Piece, State, StreamCore, read_whole};
use crate::driver::{Command, HostMessage};
use crate::host::HostLink;
use crate::wait::wait;

/// A call with streams that the host has begun. Dropped before its end, it is given up.
#[must_use = "a stream that is dropped is given up"]
#[derive(Debug)]
pub struct HostFlow {
    link: HostLink,
    core: Arc<StreamCore>,
    peer: Arc<Name>,
    rpc: RpcIndex,
    since: Instant,
}

/// What a call with streams waits for.
enum Event {
    Item(Vec<u8>),
    /// An item can be fed.
    Room,
    Over,
}

impl HostFlow {
    pub(in crate::host) fn new(link: &HostLink, core: Arc<StreamCore>, rpc: RpcIndex) -> Self {
        Self { link: link.clone(), core, peer: link.peer(), rpc, since: Instant::now() }
    }

    /// Of a call that could not be begun.
    pub(in crate::host) fn failed(link: &HostLink, rpc: RpcIndex, why: CallFailure) -> Self {
        let core = StreamCore::new(Caller::Own, None, Streams::empty(), Duration::ZERO);
        let flow = Self::new(link, core, rpc);
        flow.core.finish(Err(flow.error(why)));
        flow
    }

    fn error(&self, why: CallFailure) -> CallError {
        CallError::new(Name::clone(&self.peer), self.rpc, self.since.elapsed(), why)
    }

    fn poll_event(&self, context: &mut Context<'_>, feeds: bool) -> Poll<Event> {
        let mut state = self.core.state();
        if self.link.core().is_revoked() {
            state.items.clear();
        }
        if let Some(item) = state.items.pop() {
            if let Some(call) = state.call {
                self.link.core().draw(call, Caller::Own, item.len());
            }
            return Poll::Ready(Event::Item(item));
        }
        if state.outcome.is_some() || state.is_over {
            return Poll::Ready(Event::Over);
        }
        if feeds && (state.is_unwanted || state.made.len() < AHEAD_MAX) {
            // What is fed next may take long to be made.
            self.note_waiting(&mut state, false);
            return Poll::Ready(Event::Room);
        }
        state.waker = Some(context.waker().clone());
        self.note_waiting(&mut state, true);
        Poll::Pending
    }

    /// Whether anybody waits for an item, or for room for one: then the call has a deadline.
    fn note_waiting(&self, state: &mut State, waits: bool) {
        if std::mem::replace(&mut state.is_waiting, waits) != waits {
            self.link.core().give(Command::AwaitItem { link: self.link.name(), stream: self.core.clone() });
        }
    }

    fn read<T>(
        &self,
        item: &[u8],
        read: impl FnOnce(&mut Reader<'_, Passed, HostLink>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        read_whole(item, read).map_err(|error| self.error(CallFailure::Unreadable(error.to_string().into())))
    }

    /// Pulls one item, and has it sent as soon as there is credit.
    fn feed_one(&self, feed: &mut Option<Feed<HostLink>>) -> Result<(), CallError> {
        let Some(next) = feed.as_mut().filter(|_| !self.core.state().is_unwanted) else {
            *feed = None;
            return Ok(());
        };
        let mut message = HostMessage::new();
        let piece = match next(&mut message) {
            Fed::Item(_) => Piece::Item(message),
            Fed::End => {
                *feed = None;
                Piece::End
            }
            Fed::Broken(error) => return Err(error),
            Fed::Unsendable(error) => return Err(self.error(CallFailure::Unsendable(error.to_string().into()))),
        };
        self.core.put(piece);
        self.link.core().give(Command::SendItems { link: self.link.name() });
        Ok(())
    }
}

impl Flow for HostFlow {
    type Carrier = HostLink;
    type Sink = HostSink;

    fn sink(&mut self) -> HostSink {
        HostSink::new(self.link.clone(), self.core.clone(), self.error(CallFailure::Cancelled), self.since)
    }

    fn next<T>(
        &mut self,
        feed: &mut Option<Feed<HostLink>>,
        read: impl FnOnce(&mut Reader<'_, Passed, HostLink>) -> Result<T, RecvError>,
    ) -> Option<Result<T, CallError>> {
        loop {
            match wait(std::future::poll_fn(|context| self.poll_event(context, feed.is_some()))) {
                Event::Item(item) => return Some(self.read(&item, read)),
                Event::Over => return None,
                Event::Room => {
                    if let Err(error) = self.feed_one(feed) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    fn reply<T>(
        self,
        read: impl FnOnce(&mut Reader<'_, Passed, HostLink>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        let outcome = self.core.state().outcome.take();
        let mut reply = outcome.unwrap_or_else(|| Err(self.error(CallFailure::Gone(Gone::BrokerEnded))))?.deliver()?;
        let mut reader = reply.reader();
        let value = read(&mut reader).and_then(|value| reader.finish().map(|()| value));
        value.map_err(|error| self.error(CallFailure::Unreadable(error.to_string().into())))
    }
}

impl PollFlow for HostFlow {
    fn poll_next<T>(
        &mut self,
        context: &mut Context<'_>,
        read: impl FnOnce(&mut Reader<'_, Passed, HostLink>) -> Result<T, RecvError>,
    ) -> Poll<Option<Result<T, CallError>>> {
        self.poll_event(context, false).map(|event| match event {
            Event::Item(item) => Some(self.read(&item, read)),
            Event::Room | Event::Over => None,
        })
    }

    fn stop_waiting(&mut self) {
        self.note_waiting(&mut self.core.state(), false);
    }
}

impl Drop for HostFlow {
    fn drop(&mut self) {
        let is_open = self.core.change(|state| {
            state.items.clear();
            !std::mem::replace(&mut state.is_over, true)
        });
        if is_open {
            self.link.core().give(Command::Cancel { link: self.link.name(), ticket: None });
        }
    }
}
