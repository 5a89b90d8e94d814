//! Streams of the host's calls, and of calls to it.

use std::sync::Arc;

use cloison_msg::{CallFailure, CallId, Caller, Destination, Drawn, Gone, Header, Room, Streams, Text, Time};

use super::host_end::HostEnd;
use super::{Done, Driver, HostMessage, now};
use crate::host::{Piece, StreamCore};
use crate::trace::Cause;

/// So late that it never comes: whoever waits for no item may wait for ever.
const NEVER: Time = Time(u64::MAX);

/// A call's deadline is that of each wait: who does not wait has time.
fn deadline_of_wait(stream: &StreamCore) -> Time {
    if stream.is_waiting() { now().after(stream.within) } else { NEVER }
}

impl Driver {
    /// An item has come for the host, or the end of what it is fed.
    pub(super) fn host_receives_item(&mut self, header: &Header, payload: &[u8]) {
        let Some(end) = self.desk.ends.get_mut(header.destination) else { return };
        // It has a credit of its own from here on.
        end.core.take(header);
        let caller = if header.streams.contains(Streams::ITEMS) { Caller::Own } else { Caller::Peer };
        if let Some(stream) = end.stream(header.call, caller).cloned() {
            stream.arrived(header, payload);
            self.host_awaits_item(header.destination, &stream);
            self.bound_hoard();
        }
    }

    /// Sends what the host has made of its streams over that link, as far as there is credit; but not before the call has
    /// left that it is of.
    pub(super) fn host_feeds(&mut self, link: Destination) {
        if self.desk.ends.get(link).is_none_or(|end| end.is_resuming) {
            return;
        }
        let mut at = 0;
        while let Some(stream) = self.desk.ends.get(link).and_then(|end| end.streams.get(at)).cloned() {
            at += 1;
            while let Some(end) = self.desk.ends.get_mut(link)
                && let Some((header, message)) = end.admit_made(&stream)
            {
                self.tracing.host_sent(&header, end.parties(), Cause::default(), now(), now());
                self.host_message(&header, message);
                // It was a wait of its own.
                self.host_awaits_item(link, &stream);
            }
        }
    }

    /// The host has taken an item of so many bytes.
    pub(super) fn host_draws(&mut self, link: Destination, call: CallId, caller: Caller, bytes: usize) {
        let due = self.desk.ends.get_mut(link).and_then(|end| end.end.draw(call, caller, bytes));
        if let Some((header, drawn)) = due {
            self.host_demands(&header, drawn);
        }
    }

    /// The host wants no more of what it is fed.
    pub(super) fn host_refuses(&mut self, link: Destination, call: CallId, caller: Caller) {
        let refusal = self.desk.ends.get_mut(link).and_then(|end| end.end.refuse(call, caller));
        if let Some((header, drawn)) = refusal {
            self.host_demands(&header, drawn);
        }
    }

    fn host_demands(&mut self, header: &Header, drawn: Drawn) {
        let mut message = HostMessage::new();
        if message.append(&drawn).is_ok() {
            self.host_message(&Header { payload: message.payload_len(), ..*header }, message);
        }
    }

    /// The host may wait for an item of a call of its own, or for room for one: as long as that call says, and no longer.
    pub(super) fn host_awaits_item(&mut self, link: Destination, stream: &StreamCore) {
        let Some((end, call)) = self.desk.ends.get_mut(link).zip(stream.call()) else { return };
        if stream.caller == Caller::Own {
            end.end.set_deadline(call, deadline_of_wait(stream));
        }
    }

    /// Whoever called the host waits for no more items, and feeds none.
    pub(super) fn host_loses_reader(&mut self, link: Destination, call: CallId) {
        if let Some(stream) = self.desk.ends.get(link).and_then(|end| end.stream(call, Caller::Peer)) {
            stream.give_up(CallFailure::Cancelled);
        }
    }

    /// The host's own end of a link says that its peer broke the protocol.
    pub(super) fn host_is_wronged(&mut self, link: Destination, what: &str) {
        self.router.handle_wrong_to_host(link, Text::new(what));
    }
}

impl HostEnd {
    pub(super) fn stream(&self, call: CallId, caller: Caller) -> Option<&Arc<StreamCore>> {
        self.streams.iter().find(|stream| stream.caller == caller && stream.call() == Some(call))
    }

    /// A call of the host's was sent.
    pub(super) fn note_begun(&mut self, header: &Header) {
        if let Some(Done::Stream(pledge)) = self.end.context(header.call) {
            let stream = pledge.0.clone();
            stream.begin(header.call);
            let deadline = deadline_of_wait(&stream);
            self.streams.retain(|stream| !stream.is_over());
            self.streams.push(stream);
            self.end.set_deadline(header.call, deadline);
        }
    }

    /// A call has come: what its streams are.
    pub(super) fn note_served(&mut self, stream: &Arc<StreamCore>) {
        self.streams.retain(|stream| !stream.is_over());
        self.streams.push(stream.clone());
    }

    /// A call that had come was answered.
    pub(super) fn note_answered(&mut self, call: CallId) {
        for stream in self.streams.extract_if(.., |other| other.caller == Caller::Peer && other.call() == Some(call)) {
            stream.give_up(CallFailure::Gone(Gone::Closed));
        }
    }

    /// Nobody waits for answers to what has come.
    pub(super) fn end_served(&mut self, why: &Gone) {
        for stream in self.streams.extract_if(.., |stream| stream.caller == Caller::Peer) {
            stream.give_up(why.clone().into());
        }
    }

    /// The next that may be sent of what the host has made of a stream.
    fn admit_made(&mut self, stream: &StreamCore) -> Option<(Header, HostMessage)> {
        let (call, next) = (stream.call()?, stream.next_made()?);
        match (self.end.room(call, stream.caller), next) {
            (Room::Over | Room::Unwanted, _) => {
                stream.refuse();
                None
            }
            (Room::Full, Some(_)) => None,
            (Room::Free, Some(shape)) => {
                let header = self.end.item(call, stream.caller, shape).ok()?;
                match stream.take_made() {
                    Some(Piece::Item(message)) => Some((header, message)),
                    _ => None,
                }
            }
            (Room::Free | Room::Full, None) => {
                let Some(Piece::End) = self.end_made(stream) else { return None };
                let header = self.end.end_feed(call).ok()??;
                Some((header, HostMessage::new()))
            }
        }
    }

    /// Takes the end of what is fed out, if the link has room for it.
    fn end_made(&mut self, stream: &StreamCore) -> Option<Piece> {
        self.end.has_room_for_item().then(|| stream.take_made()).flatten()
    }
}

/// Whoever serves a call with streams may wait for them.
impl Drop for HostEnd {
    fn drop(&mut self) {
        self.end_served(&Gone::BrokerEnded);
    }
}
