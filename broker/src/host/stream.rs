//! Streams of a host: what the driver and the application share of one, and both of its ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use cloison_ipc::Passed;
use cloison_msg::contract::{Fed, Feed, Flow, Intake, Output, PollFlow, Produced, ReadOne};
use cloison_msg::{
    CallError, CallFailure, CallId, Caller, Failure, Gone, Header, Name, Reader, RecvError, RpcIndex, Shape, Streams,
};

use super::{HostLink, Incoming, LinkCore};
use crate::driver::{Command, HostMessage};
use crate::wait::{wait, wait_for};

/// Most items that wait for the driver to send them: what was made ahead of the stream's credit.
const AHEAD_MAX: usize = 4;

/// How long a stream waits before it is asked again whether what its next item needs has come back.
const NOT_YET: Duration = Duration::from_millis(1);

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
    items: VecDeque<Vec<u8>>,
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes whoever waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, waker) = {
            let mut state = self.state();
            let changed = change(&mut state);
            (changed, state.waker.take())
        };
        waker.into_iter().for_each(Waker::wake);
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

    /// Whether the application waits for an item, and there is none.
    pub(crate) fn is_waiting(&self) -> bool {
        let state = self.state();
        state.is_waiting && state.items.is_empty()
    }

    /// An item has come, or the end of what its caller feeds.
    pub(crate) fn arrived(&self, header: &Header, payload: &[u8]) {
        self.change(|state| match header.streams.contains(Streams::END) {
            _ if state.is_over => {}
            false => {
                state.is_waiting = false;
                state.items.push_back(payload.to_vec());
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
        self.change(|state| state.made.pop_front())
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
    pub(super) fn new(link: &HostLink, core: Arc<StreamCore>, rpc: RpcIndex) -> Self {
        Self { link: link.clone(), core, peer: link.peer(), rpc, since: Instant::now() }
    }

    /// Of a call that could not be begun.
    pub(super) fn failed(link: &HostLink, rpc: RpcIndex, why: CallFailure) -> Self {
        let core = StreamCore::new(Caller::Own, None, Streams::empty(), Duration::ZERO);
        let flow = Self::new(link, core, rpc);
        flow.core.finish(Err(flow.error(why)));
        flow
    }

    fn error(&self, why: CallFailure) -> CallError {
        CallError { peer: Name::clone(&self.peer), rpc: self.rpc, after: self.since.elapsed(), why }
    }

    fn poll_event(&self, context: &mut Context<'_>, feeds: bool) -> Poll<Event> {
        let mut state = self.core.state();
        if self.link.core().is_revoked() {
            state.items.clear();
        }
        if let Some(item) = state.items.pop_front() {
            if let Some(call) = state.call {
                self.link.core().draw(call, Caller::Own, item.len());
            }
            return Poll::Ready(Event::Item(item));
        }
        if state.outcome.is_some() || state.is_over {
            return Poll::Ready(Event::Over);
        }
        if feeds && (state.is_unwanted || state.made.len() < AHEAD_MAX) {
            return Poll::Ready(Event::Room);
        }
        state.waker = Some(context.waker().clone());
        if !std::mem::replace(&mut state.is_waiting, true) {
            self.link.core().give(Command::AwaitItem { link: self.link.name(), stream: self.core.clone() });
        }
        Poll::Pending
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
            Fed::Item => Piece::Item(message),
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
}

impl Drop for HostFlow {
    fn drop(&mut self) {
        let is_open = {
            let mut state = self.core.state();
            state.items.clear();
            !std::mem::replace(&mut state.is_over, true)
        };
        if is_open {
            self.link.core().give(Command::Cancel { link: self.link.name(), ticket: None });
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
pub(super) fn intake(link: &Arc<LinkCore>, core: Option<&Arc<StreamCore>>, call: &Header) -> Option<Intake<HostLink>> {
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
        match (state.items.pop_front(), state.end.clone()) {
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
        Some(Err(CallError { peer: self.peer.clone(), rpc: self.call.rpc, after: self.since.elapsed(), why }))
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

/// Has all items of a stream sent with which the host answers, and says what the reply is. Waits while there is no credit.
pub(super) fn give_all(
    link: &Arc<LinkCore>,
    core: &Arc<StreamCore>,
    output: &mut Output<HostLink>,
) -> Result<HostMessage, Failure> {
    loop {
        let mut message = HostMessage::new();
        let end = match output(&mut message) {
            Produced::Item => {
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
