//! Streams of a host: what the driver and the application share of one.
//!
//! `flow` is the application's end of calls that the host makes, `serving` of calls that it serves.

mod flow;
mod queue;
mod serving;
mod sink;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cloison_ipc::Passed;
use cloison_msg::{CallError, CallFailure, CallId, Caller, Header, Reader, RecvError, Shape, Streams};

use super::{HostLink, Incoming};
use crate::driver::HostMessage;

pub use flow::HostFlow;
pub use queue::HOST_FED_BYTES_MAX;
pub(crate) use queue::Hoard;
use queue::Queue;
pub(super) use serving::{give_all, intake};
pub use sink::HostSink;

/// Most items that wait for the driver to send them: what was made ahead of the stream's credit.
const AHEAD_MAX: usize = 4;

/// What the driver and the application share of the streams of one call.
#[derive(Debug)]
pub(crate) struct StreamCore {
    pub(crate) caller: Caller,
    pub(crate) streams: Streams,
    pub(crate) within: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Once it was sent, or when it has come.
    call: Option<CallId>,
    /// What has come and was not taken.
    items: Queue,
    /// What was made and not sent yet.
    made: VecDeque<Piece>,
    /// Nobody wants what is made any more.
    is_unwanted: bool,
    /// How the call ended that the host made.
    outcome: Option<Result<Incoming, CallError>>,
    /// How that ended which its caller feeds.
    end: Option<Result<(), CallFailure>>,
    /// The call is over, or given up.
    is_over: bool,
    /// The application waits for an item.
    is_waiting: bool,
    waker: Option<Waker>,
    /// Whoever feeds the call waits for room.
    awaits_room: bool,
    feeder: Option<Waker>,
}

/// A call's streams, as the driver holds them until the call has its outcome. Dropped before, it says that none will come.
#[derive(Debug)]
pub(crate) struct Pledge(pub(crate) Arc<StreamCore>);

impl Drop for Pledge {
    fn drop(&mut self) {
        self.0.change(|state| state.is_over = true);
    }
}

/// Something of a stream that is to be sent.
#[derive(Debug)]
pub(crate) enum Piece {
    Item(HostMessage),
    /// All of what the host feeds was made.
    End,
}

impl StreamCore {
    pub(crate) fn new(caller: Caller, call: Option<CallId>, streams: Streams, within: Duration) -> Arc<Self> {
        let state = Mutex::new(State { call, ..State::default() });
        Arc::new(Self { caller, streams, within, state })
    }

    /// Of a call to the host: what it is fed counts there.
    pub(crate) fn served(header: &Header, hoard: &Hoard) -> Arc<Self> {
        let (call, within) = (Some(header.call), header.time_left());
        let state = Mutex::new(State { call, items: Queue::counted(hoard), ..State::default() });
        Arc::new(Self { caller: Caller::Peer, streams: header.streams, within, state })
    }

    /// How many bytes of items nobody has taken.
    pub(crate) fn held(&self) -> usize {
        self.state().items.held()
    }

    /// So much is unread that this is given up.
    pub(crate) fn overload(&self) {
        self.change(|state| {
            state.items.clear();
            state.end = Some(Err(CallFailure::Overloaded));
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes whoever waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, wakers) = {
            let mut state = self.state();
            let changed = change(&mut state);
            (changed, [state.waker.take(), state.feeder.take()])
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
        changed
    }

    pub(crate) fn begin(&self, call: CallId) {
        self.state().call = Some(call);
    }

    pub(crate) fn call(&self) -> Option<CallId> {
        self.state().call
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state().is_over
    }

    /// Whether the application waits for an item, and there is none; or for room for one that it feeds.
    pub(crate) fn is_waiting(&self) -> bool {
        let state = self.state();
        state.awaits_room || (state.is_waiting && state.items.is_empty())
    }

    /// An item has come, or the end of what its caller feeds.
    pub(crate) fn arrived(&self, header: &Header, payload: &[u8]) {
        self.change(|state| match header.streams.contains(Streams::END) {
            _ if state.is_over || matches!(state.end, Some(Err(_))) => {}
            false => {
                state.is_waiting = false;
                state.items.push(payload.to_vec());
            }
            true => drop(state.end.get_or_insert(Ok(()))),
        });
    }

    /// A call of the host's has its outcome.
    pub(crate) fn finish(&self, outcome: Result<Incoming, CallError>) {
        let late = self.change(|state| {
            if state.is_over && state.outcome.is_none() {
                return Some(outcome);
            }
            state.is_over = true;
            state.outcome.replace(outcome)
        });
        drop(late);
    }

    /// Nobody waits for the answer to a call that has come, or it was answered.
    pub(crate) fn give_up(&self, why: CallFailure) {
        self.change(|state| {
            state.is_over = true;
            state.is_unwanted = true;
            state.made.clear();
            state.end.get_or_insert(Err(why));
        });
    }

    /// Nobody wants what is made any more.
    pub(crate) fn refuse(&self) {
        self.change(|state| {
            state.is_unwanted = true;
            state.made.clear();
        });
    }

    /// The shape of what is to be sent next; `None` of an end.
    pub(crate) fn next_made(&self) -> Option<Option<Shape>> {
        self.state().made.front().map(|piece| match piece {
            Piece::Item(message) => Some(message.shape()),
            Piece::End => None,
        })
    }

    pub(crate) fn take_made(&self) -> Option<Piece> {
        self.change(|state| {
            state.awaits_room = false;
            state.made.pop_front()
        })
    }

    /// Is ready when nobody wants what is made any more.
    fn poll_unwanted(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.is_unwanted {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn put(&self, piece: Piece) {
        let mut state = self.state();
        if !state.is_unwanted {
            state.made.push_back(piece);
        }
    }
}

fn read_whole<T>(
    item: &[u8],
    read: impl FnOnce(&mut Reader<'_, Passed, HostLink>) -> Result<T, RecvError>,
) -> Result<T, RecvError> {
    let mut reader = Reader::new(item, Vec::new()).with_links(Vec::new());
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}
