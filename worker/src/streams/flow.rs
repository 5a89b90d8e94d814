//! Calls with streams that this worker makes.

use std::os::fd::OwnedFd;
use std::time::Duration;

use cloison_ipc::Passed;
use cloison_msg::contract::{Carrier, Fed, Feed, Flow, Packet};
use cloison_msg::{CallError, CallFailure, Caller, Gone, Message, Reader, RecvError, Room, RpcIndex, Streams, Time};

use super::{ItemSent, LinkSink, TURN_MAX, sink};
use crate::buffers::Payload;
use crate::clock::NEVER;
use crate::pending::PendingCall;
use crate::session::Session;
use crate::worker::{Awaited, Interrupted};
use crate::{Batch, Link, Worker};

/// A call with streams that was begun: [`Link::stream`]. Dropped before its end, it is given up.
#[must_use = "a stream that is dropped is given up"]
#[derive(Debug)]
pub struct LinkFlow(Result<Open, CallError>);

#[derive(Debug)]
struct Open {
    call: PendingCall,
    within: Duration,
}

/// The packet in which what is fed is gathered.
struct Shared {
    since: Time,
    _batch: Batch,
}

/// What a call with streams waits for.
enum Event {
    Item(Payload),
    /// An item can be fed.
    Room,
    /// Nothing more is to be fed.
    Unwanted,
    Over,
}

impl Link {
    /// Begins a call with streams: items follow it, or come before its reply, or both. Each wait for one takes at most
    /// `within`, and no longer than the request that is being served leaves time for.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn stream(
        &self,
        rpc: RpcIndex,
        message: &mut Message<OwnedFd>,
        within: Duration,
        streams: Streams,
    ) -> Result<LinkFlow, CallError> {
        let call = self.start_streaming(rpc, message, within, streams)?;
        Ok(LinkFlow(Ok(Open { call, within })))
    }
}

impl LinkFlow {
    pub(crate) const fn failed(error: CallError) -> Self {
        Self(Err(error))
    }
}

impl Open {
    fn worker(&self) -> &Worker {
        self.call.link().worker()
    }

    /// When whatever waits now waits no more.
    fn deadline(&self) -> Time {
        self.worker().tick();
        self.worker().session().deadline_of_wait(self.within)
    }

    fn look(&self, session: &mut Session, feeds: bool) -> Option<Event> {
        let (link, call) = (self.call.link().name(), self.call.id());
        if let Some(item) = session.next_item(link, call, Caller::Own) {
            return Some(Event::Item(item));
        }
        if self.call.has_outcome(session) {
            return Some(Event::Over);
        }
        match session.ends.get(link)?.link.room(call, Caller::Own) {
            Room::Free if feeds => Some(Event::Room),
            Room::Unwanted if feeds => Some(Event::Unwanted),
            _ => None,
        }
    }

    fn wait<T>(&self, look: impl FnMut(&mut Session) -> Option<T>) -> Result<T, CallError> {
        let awaited = Awaited::Answer(self.call.as_wait());
        self.worker().wait_for(self.deadline(), awaited, look).map_err(|why| {
            self.call.fail(match why {
                Interrupted::Deadline => CallFailure::Deadline,
                Interrupted::Disconnected(_) => CallFailure::Gone(Gone::BrokerEnded),
            })
        })
    }

    fn next<T>(
        &self,
        feed: &mut Option<Feed<Link>>,
        read: impl FnOnce(&mut Reader<'_, Passed, Link>) -> Result<T, RecvError>,
    ) -> Option<Result<T, CallError>> {
        // What may share packets has left when this returns.
        let mut shared = None;
        loop {
            match self.wait(|session| self.look(session, feed.is_some())) {
                Ok(Event::Item(item)) => return Some(self.read(item, read)),
                Ok(Event::Over) => return None,
                Ok(Event::Unwanted) => *feed = None,
                Ok(Event::Room) => {
                    if let Err(error) = self.feed_one(feed, &mut shared) {
                        return Some(Err(error));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn read<T>(
        &self,
        item: Payload,
        read: impl FnOnce(&mut Reader<'_, Passed, Link>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        let mut reader = Reader::new(item.as_slice(), Vec::new()).with_links(Vec::new());
        let value = read(&mut reader).and_then(|value| reader.finish().map(|()| value));
        self.worker().session().buffers.release(item);
        value.map_err(|error| self.call.fail(CallFailure::Unreadable(error.to_string().into())))
    }

    /// Pulls one item and sends it.
    fn feed_one(&self, feed: &mut Option<Feed<Link>>, shared: &mut Option<Shared>) -> Result<(), CallError> {
        let Some(next) = feed else { return Ok(()) };
        let mut message = self.worker().session().spare_message();
        let fed = next(&mut message);
        let fed = match fed {
            Fed::Item(Packet::Own) => self.send(&mut message),
            Fed::Item(Packet::Shared) => self.send_shared(&mut message, shared),
            Fed::End => {
                *feed = None;
                let (link, call) = (self.call.link().name(), self.call.id());
                self.wait(|session| session.try_end_feed(link, call))
            }
            Fed::Broken(error) => Err(error),
            Fed::Unsendable(error) => Err(self.call.fail(CallFailure::Unsendable(error.to_string().into()))),
        };
        self.worker().session().return_message(message);
        fed
    }

    /// Sends an item in a packet that it may share, and that packet if it has waited for long enough.
    fn send_shared(&self, message: &mut Message<OwnedFd>, shared: &mut Option<Shared>) -> Result<(), CallError> {
        let now = self.worker().tick();
        let since = shared.get_or_insert_with(|| Shared { since: now, _batch: self.call.link().batch() }).since;
        let sent = self.send(message);
        if now.since(since) >= TURN_MAX {
            *shared = None;
        }
        sent
    }

    fn send(&self, message: &mut Message<OwnedFd>) -> Result<(), CallError> {
        let (link, call) = (self.call.link().name(), self.call.id());
        match self.wait(|session| session.try_item(link, call, Caller::Own, message))? {
            ItemSent::Failed(why) => Err(self.call.fail(CallFailure::Unsendable(why))),
            ItemSent::Sent | ItemSent::Unwanted => Ok(()),
        }
    }
}

impl Session {
    /// When a wait ends that begins now, may take so long, and no longer than the request that is being served leaves time for.
    pub(super) fn deadline_of_wait(&self, within: Duration) -> Time {
        let most = self.time.after(within);
        self.serving.last().map_or(NEVER, |serving| serving.frame.deadline).min(most)
    }
}

impl Flow for LinkFlow {
    type Carrier = Link;
    type Sink = LinkSink;

    fn sink(&mut self) -> LinkSink {
        LinkSink::new(self.0.as_ref().ok().map(|open| sink::Open {
            link: open.call.link().clone(),
            call: open.call.id(),
            chain: open.call.chain(),
            within: open.within,
        }))
    }

    fn next<T>(
        &mut self,
        feed: &mut Option<Feed<Link>>,
        read: impl FnOnce(&mut Reader<'_, <Link as Carrier>::Passed, Link>) -> Result<T, RecvError>,
    ) -> Option<Result<T, CallError>> {
        self.0.as_ref().ok()?.next(feed, read)
    }

    fn reply<T>(
        self,
        read: impl FnOnce(&mut Reader<'_, <Link as Carrier>::Passed, Link>) -> Result<T, RecvError>,
    ) -> Result<T, CallError> {
        self.0?.call.reply(read)
    }
}

/// What has come is dropped. One that is not over is given up with its call.
impl Drop for Open {
    fn drop(&mut self) {
        let (link, call) = (self.call.link().name(), self.call.id());
        let mut session = self.call.link().worker().session();
        session.close_inflow(link, call, Caller::Own);
    }
}
