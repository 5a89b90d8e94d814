//! Streams: items that have arrived, and sending them.
//!
//! What arrives is taken off its link at once, into a queue of the stream's own that the stream's credit bounds: so nothing
//! else on the link waits for a consumer that is slow.

mod flow;
mod hoard;
mod intake;
mod output;
mod sink;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use cloison_msg::{
    CallFailure, CallId, Caller, Destination, Drawn, Gone, Header, Message, Name, Room, Streams, Text, Via,
};

pub use flow::LinkFlow;
pub use hoard::FED_BYTES_MAX;
pub(crate) use intake::look_for_fed;
pub(crate) use output::{Producer, TURN_MAX, room};
pub use sink::LinkSink;

use crate::buffers::{Payload, Place};
use crate::cancel::{Serving, cause_of};
use crate::session::Session;

/// What has arrived of one stream, and nobody has taken yet.
pub(crate) struct Inflow {
    link: Destination,
    call: CallId,
    caller: Caller,
    /// Who was at the other end when it began, whoever is there now: in whose name what comes is held.
    peer: Option<Rc<Name>>,
    items: VecDeque<Payload>,
    /// The memory that they take.
    held: usize,
    /// Why nothing more comes of what a caller feeds. What came before is still to be taken.
    end: Option<FeedEnd>,
    /// Nobody wants what comes.
    is_refused: bool,
}

/// How what a caller feeds has ended.
#[derive(Clone, Debug)]
enum FeedEnd {
    All,
    GivenUp,
    /// There was too much that nobody has taken.
    Overloaded,
    Gone(Gone),
}

/// What became of an item that was to be sent.
#[derive(Clone, Debug)]
pub(crate) enum ItemSent {
    Sent,
    /// Nobody wants it.
    Unwanted,
    Failed(Text),
}

impl Inflow {
    fn is_of(&self, link: Destination, call: CallId, caller: Caller) -> bool {
        (self.link, self.call, self.caller) == (link, call, caller)
    }
}

impl Session {
    /// A call was begun whose items may come, or has come that is fed.
    pub(crate) fn open_inflow(&mut self, link: Destination, call: CallId, caller: Caller) {
        let (peer, items) = (self.peer_of(link).map(Rc::clone), VecDeque::new());
        self.inflows.push(Inflow { link, call, caller, peer, items, held: 0, end: None, is_refused: false });
    }

    /// Nobody takes items of that call any more.
    pub(crate) fn close_inflow(&mut self, link: Destination, call: CallId, caller: Caller) {
        let Some(at) = self.inflows.iter().position(|inflow| inflow.is_of(link, call, caller)) else { return };
        for payload in self.inflows.swap_remove(at).items {
            self.buffers.release(payload);
        }
    }

    fn inflow(&mut self, link: Destination, call: CallId, caller: Caller) -> Option<&mut Inflow> {
        self.inflows.iter_mut().find(|inflow| inflow.is_of(link, call, caller))
    }

    /// An item has arrived.
    pub(crate) fn take_item(&mut self, via: Via, header: &Header, place: Place<'_>) {
        self.trace_item_taken(header);
        self.note_taken(via, header);
        let caller = if header.streams.contains(Streams::ITEMS) { Caller::Own } else { Caller::Peer };
        let is_end = header.streams.contains(Streams::END);
        let payload = if is_end { Payload::empty() } else { self.buffers.keep(header, place) };
        match self.inflow(header.destination, header.call, caller).filter(|inflow| !inflow.is_refused) {
            Some(inflow) if is_end => inflow.end = Some(FeedEnd::All),
            Some(inflow) => {
                inflow.held += payload.held();
                inflow.items.push_back(payload);
                if caller == Caller::Peer {
                    self.bound_hoard();
                }
            }
            None if is_end => {}
            None => self.buffers.release(payload),
        }
    }

    /// The next item that has arrived. Its sender hears of it when that is due.
    fn next_item(&mut self, link: Destination, call: CallId, caller: Caller) -> Option<Payload> {
        let inflow = self.inflow(link, call, caller)?;
        let payload = inflow.items.pop_front()?;
        inflow.held -= payload.held();
        let due = self.ends.get_mut(link).and_then(|end| end.link.draw(call, caller, payload.as_slice().len()));
        if let Some((header, drawn)) = due {
            self.send_demand(&header, drawn);
        }
        Some(payload)
    }

    /// No more items of that call are wanted: what has come is dropped, and their sender is told.
    pub(crate) fn refuse_items(&mut self, link: Destination, call: CallId, caller: Caller) {
        if let Some(inflow) = self.inflow(link, call, caller) {
            inflow.is_refused = true;
            inflow.held = 0;
            for payload in std::mem::take(&mut inflow.items) {
                self.buffers.release(payload);
            }
        }
        if let Some((header, drawn)) = self.ends.get_mut(link).and_then(|end| end.link.refuse(call, caller)) {
            self.send_demand(&header, drawn);
        }
    }

    fn send_demand(&mut self, header: &Header, drawn: Drawn) {
        let message = self.message_of(&drawn);
        self.post_own(&Header { payload: message.payload_len(), ..*header }, message);
        self.check_outbox(header.destination);
    }

    /// Sends an item, if the link has room for it; `None` if not yet.
    pub(crate) fn try_item(
        &mut self,
        link: Destination,
        call: CallId,
        caller: Caller,
        message: &mut Message<OwnedFd>,
    ) -> Option<ItemSent> {
        let Some(end) = self.ends.get_mut(link) else { return Some(ItemSent::Unwanted) };
        match end.link.room(call, caller) {
            Room::Over | Room::Unwanted => return Some(ItemSent::Unwanted),
            Room::Full => return None,
            Room::Free => {}
        }
        if message.descriptor_count() > 0 || !message.links().is_empty() {
            return Some(ItemSent::Failed(Text::new("an item carries neither descriptors nor links")));
        }
        let header = end.link.item(call, caller, message.shape()).ok()?;
        self.trace_sent(&header);
        match self.post(&header, message) {
            Ok(_) => Some(ItemSent::Sent),
            Err(error) => {
                if let Some(end) = self.ends.get_mut(link) {
                    end.link.unsend(&header);
                }
                Some(ItemSent::Failed(Text::new(&error.to_string())))
            }
        }
    }

    /// Ends what is fed to a call of this worker's, if the link has room to say so; `None` if not yet.
    fn try_end_feed(&mut self, link: Destination, call: CallId) -> Option<()> {
        let Some(end) = self.ends.get_mut(link) else { return Some(()) };
        if let Some(header) = end.link.end_feed(call).ok()? {
            let nothing = self.spare_message();
            self.trace_sent(&header);
            self.post_own(&header, nothing);
        }
        Some(())
    }

    /// Whether that call is fed, and there is nothing to be taken of it at this moment.
    pub(crate) fn is_dry(&mut self, call: &Header) -> bool {
        let inflow = self.inflow(call.destination, call.call, Caller::Peer);
        inflow.is_some_and(|inflow| inflow.items.is_empty() && inflow.end.is_none() && !inflow.is_refused)
    }

    /// An item of what a caller feeds was taken: from now on its call has as long again.
    fn renew_deadline(&mut self, call: &Header) {
        let deadline = self.time.after(call.time_left());
        let is_it = |serving: &&mut Serving| cause_of(&serving.header) == cause_of(call);
        if let Some(serving) = self.serving.iter_mut().rev().find(is_it) {
            serving.frame.deadline = deadline;
        }
    }

    /// The caller feeds no more, since it waits for no answer.
    pub(crate) fn cancel_feed(&mut self, link: Destination, call: CallId) {
        if let Some(inflow) = self.inflow(link, call, Caller::Peer) {
            inflow.end.get_or_insert(FeedEnd::GivenUp);
        }
    }

    /// The link is gone, or its peer another: what callers fed over it ends here.
    pub(crate) fn end_feeds(&mut self, link: Destination, why: &Gone) {
        for inflow in self.inflows.iter_mut().filter(|inflow| inflow.link == link && inflow.caller == Caller::Peer) {
            inflow.end.get_or_insert_with(|| FeedEnd::Gone(why.clone()));
        }
    }

    /// A link was taken back: nothing that came over it is delivered any more.
    pub(crate) fn drop_items(&mut self, link: Destination) {
        let (inflows, buffers) = (&mut self.inflows, &mut self.buffers);
        for inflow in inflows.iter_mut().filter(|inflow| inflow.link == link) {
            inflow.held = 0;
            inflow.items.drain(..).for_each(|payload| buffers.release(payload));
        }
    }
}

impl FeedEnd {
    /// What whoever takes what is fed hears at its end.
    fn outcome(self) -> Result<(), CallFailure> {
        match self {
            Self::All => Ok(()),
            Self::GivenUp => Err(CallFailure::Cancelled),
            Self::Overloaded => Err(CallFailure::Overloaded),
            Self::Gone(why) => Err(why.into()),
        }
    }
}
