//! The streams of calls that are unanswered.
//!
//! The receiving runtime takes items off the link at once, into a queue of the stream's own. So what bounds that queue is no
//! window of the link but the stream's credit: running totals, as everywhere. A consumer that is slow holds up its producer
//! and nobody else.

use serde::{Deserialize, Serialize};

use super::{Breach, LinkEnd};
use crate::{CallId, Header, Kind, Overdraft, RpcIndex, Shape, Streams, Time};

/// How many items of one stream may have been sent that its reader has not taken.
pub const STREAM_ITEMS: u64 = 64;

/// One more item of a stream may be sent while the reader has less than so many bytes of it to take.
pub const STREAM_BYTES: u64 = 128 * 1024;

/// What the reader of a stream has taken in all. It travels as the payload of a demand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Drawn {
    /// Items.
    pub items: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Who made the call to which a stream belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// This end.
    Own,
    /// The other end.
    Peer,
}

/// Whether an item can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It can, if the link has room for it.
    Free,
    /// Not before the reader has taken some.
    Full,
    /// The reader wants no more of them.
    Unwanted,
    /// The call is over, or never had such a stream.
    Over,
}

/// One direction of a call's streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Lane {
    /// What has passed.
    passed: Drawn,
    /// What of it was taken, as far as that was said.
    drawn: Drawn,
    /// What of it was taken; at the reader only.
    taken: Drawn,
    /// Nothing more passes.
    ended: bool,
}

impl Lane {
    const fn has_room(&self) -> bool {
        self.passed.items - self.drawn.items < STREAM_ITEMS && self.passed.bytes - self.drawn.bytes < STREAM_BYTES
    }

    const fn pass(&mut self, bytes: u32) {
        self.passed.items += 1;
        self.passed.bytes += bytes as u64;
    }

    /// Half the credit has come together.
    const fn is_due(&self) -> bool {
        self.taken.items - self.drawn.items >= STREAM_ITEMS / 2
            || self.taken.bytes - self.drawn.bytes >= STREAM_BYTES / 2
    }

    fn draw(&mut self, drawn: Drawn) -> Result<(), Breach> {
        let is_within = drawn.items <= self.passed.items && drawn.bytes <= self.passed.bytes;
        let goes_back = drawn.items < self.drawn.items || drawn.bytes < self.drawn.bytes;
        if !is_within || goes_back {
            return Err(Breach::Demand);
        }
        self.drawn = drawn;
        Ok(())
    }
}

/// The streams of one call.
#[derive(Clone, Debug, Hash)]
struct OfCall {
    call: CallId,
    caller: Caller,
    rpc: RpcIndex,
    outbound: Option<Lane>,
    inbound: Option<Lane>,
}

/// All streams of one end: at most two for each call that is unanswered.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct OfEnd(Vec<OfCall>);

impl OfEnd {
    pub(super) fn open(&mut self, header: &Header, caller: Caller) {
        let lane = |flag| header.streams.contains(flag).then(Lane::default);
        let (feed, items) = (lane(Streams::FEED), lane(Streams::ITEMS));
        let (outbound, inbound) = if caller == Caller::Own { (feed, items) } else { (items, feed) };
        if outbound.is_some() || inbound.is_some() {
            self.0.push(OfCall { call: header.call, caller, rpc: header.rpc, outbound, inbound });
        }
    }

    pub(super) fn close(&mut self, call: CallId, caller: Caller) {
        self.close_all(|its, of| its == call && of == caller);
    }

    pub(super) fn close_all(&mut self, is_meant: impl Fn(CallId, Caller) -> bool) {
        self.0.retain(|of| !is_meant(of.call, of.caller));
    }

    fn get(&self, call: CallId, caller: Caller) -> Option<&OfCall> {
        self.0.iter().find(|of| of.call == call && of.caller == caller)
    }

    fn get_mut(&mut self, call: CallId, caller: Caller) -> Option<&mut OfCall> {
        self.0.iter_mut().find(|of| of.call == call && of.caller == caller)
    }

    /// An item has come; whether it is of a stream that there is. Others are of calls that are over.
    pub(super) fn receive(&mut self, header: &Header) -> Result<bool, Breach> {
        let caller = if header.streams.contains(Streams::ITEMS) { Caller::Own } else { Caller::Peer };
        let Some(of) = self.get_mut(header.call, caller) else { return Ok(false) };
        let lane = of.inbound.as_mut().filter(|lane| !lane.ended).ok_or(Breach::Item)?;
        if header.streams.contains(Streams::END) {
            lane.ended = true;
        } else if lane.has_room() {
            lane.pass(header.payload);
        } else {
            return Err(Breach::Item);
        }
        Ok(true)
    }

    /// The peer waits no more for the answer to a call of its own.
    pub(super) fn cancel(&mut self, call: CallId) {
        if let Some(lane) = self.get_mut(call, Caller::Peer).and_then(|of| of.outbound.as_mut()) {
            lane.ended = true;
        }
    }

    /// A demand has come.
    pub(super) fn demand(&mut self, header: &Header, drawn: Drawn) -> Result<(), Breach> {
        let caller = if header.streams.contains(Streams::FEED) { Caller::Own } else { Caller::Peer };
        let Some(of) = self.get_mut(header.call, caller) else { return Ok(()) };
        let lane = of.outbound.as_mut().ok_or(Breach::Demand)?;
        lane.draw(drawn)?;
        lane.ended |= header.streams.contains(Streams::END);
        Ok(())
    }
}

impl<C> LinkEnd<C> {
    /// The header of a call that has streams, as [`call`](Self::call) makes it.
    ///
    /// # Errors
    /// [`Overdraft`] if there is no room for it yet; the context comes back.
    pub fn call_streaming(
        &mut self,
        rpc: RpcIndex,
        shape: Shape,
        frame: super::CallFrame,
        streams: Streams,
        context: C,
    ) -> Result<Header, (Overdraft, C)> {
        let header = Header { streams: streams.direction(), ..self.call(rpc, shape, frame, context)? };
        self.streams.open(&header, Caller::Own);
        Ok(header)
    }

    /// Whether an item of that call can be sent.
    #[must_use]
    pub fn room(&self, call: CallId, caller: Caller) -> Room {
        match self.streams.get(call, caller).and_then(|of| of.outbound) {
            None => Room::Over,
            Some(lane) if lane.ended => Room::Unwanted,
            Some(lane) if lane.has_room() => Room::Free,
            Some(_) => Room::Full,
        }
    }

    /// The header of an item, for which [`room`](Self::room) is.
    ///
    /// # Errors
    /// [`Overdraft`] if the link has no room for it yet.
    pub fn item(&mut self, call: CallId, caller: Caller, shape: Shape) -> Result<Header, Overdraft> {
        self.count(Kind::Item, shape)?;
        let header = self.header_of(Kind::Item, call, caller, true, shape);
        if let Some(lane) = self.streams.get_mut(call, caller).and_then(|of| of.outbound.as_mut()) {
            lane.pass(shape.payload);
        }
        Ok(header)
    }

    /// The header that ends what this end feeds to a call of its own: all of it was sent. `None` if the call is over, or
    /// nothing more was wanted.
    ///
    /// # Errors
    /// [`Overdraft`] if the link has no room for it yet.
    pub fn end_feed(&mut self, call: CallId) -> Result<Option<Header>, Overdraft> {
        if matches!(self.room(call, Caller::Own), Room::Over | Room::Unwanted) {
            return Ok(None);
        }
        self.count(Kind::Item, Shape::default())?;
        let header = self.header_of(Kind::Item, call, Caller::Own, true, Shape::default());
        if let Some(lane) = self.streams.get_mut(call, Caller::Own).and_then(|of| of.outbound.as_mut()) {
            lane.ended = true;
        }
        Ok(Some(Header { streams: header.streams | Streams::END, ..header }))
    }

    /// The application has taken an item of so many bytes: what to say to its sender, if that is due.
    pub fn draw(&mut self, call: CallId, caller: Caller, bytes: usize) -> Option<(Header, Drawn)> {
        let lane = self.streams.get_mut(call, caller)?.inbound.as_mut()?;
        lane.taken.items += 1;
        lane.taken.bytes += bytes as u64;
        if lane.ended || !lane.is_due() {
            return None;
        }
        lane.drawn = lane.taken;
        let drawn = lane.drawn;
        Some((self.header_of(Kind::Demand, call, caller, false, Shape::default()), drawn))
    }

    /// The application wants no more items: what to say to their sender, if it has not ended them.
    pub fn refuse(&mut self, call: CallId, caller: Caller) -> Option<(Header, Drawn)> {
        let lane = self.streams.get_mut(call, caller)?.inbound.as_mut().filter(|lane| !lane.ended)?;
        let drawn = lane.drawn;
        let header = self.header_of(Kind::Demand, call, caller, false, Shape::default());
        Some((Header { streams: header.streams | Streams::END, ..header }, drawn))
    }

    /// Whether the link has room for a short item.
    #[must_use]
    pub fn has_room_for_item(&self) -> bool {
        self.sent.clone().send(self.outbound, Kind::Item, Shape::default()).is_ok()
    }

    /// The call ends at that moment, if it waits then.
    pub fn set_deadline(&mut self, call: CallId, deadline: Time) {
        self.calls.set_deadline(call, deadline);
    }

    /// What the context is of a call that waits.
    #[must_use]
    pub fn context(&self, call: CallId) -> Option<&C> {
        self.calls.get(call).map(|pending| &pending.context)
    }

    fn header_of(&self, kind: Kind, call: CallId, caller: Caller, is_outbound: bool, shape: Shape) -> Header {
        let is_feed = (caller == Caller::Own) == is_outbound;
        let streams = if is_feed { Streams::FEED } else { Streams::ITEMS };
        let rpc = self.streams.get(call, caller).map_or(RpcIndex::default(), |of| of.rpc);
        Header { call, streams, ..self.header(kind, rpc, shape) }
    }
}
