//! Streams that methods on threads give: pulled on their thread whenever there is credit and that thread has nothing to do.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use cloison_msg::{Caller, Failure, Message, Room, Streams, Text};

use super::job::Call;
use super::mail::{Order, Pulled};
use crate::session::{Queued, Session};
use crate::streams::{ItemSent, room};

/// Most items that are made in one turn.
const ITEMS_IN_A_TURN: usize = 8;

/// A call on a thread whose answer is a stream.
pub(super) struct Given {
    pub(super) number: u64,
    pub(super) thread: usize,
    pub(super) call: Arc<Call>,
    queued: Box<Queued>,
    /// Items that wait for room.
    held: VecDeque<Message<OwnedFd>>,
    /// What it ends with, once it has been pulled to its end.
    end: Option<(Result<(), Failure>, Message<OwnedFd>)>,
    /// Whether its thread makes items at this moment.
    pub(super) is_pulled: bool,
    /// How much had arrived when it was pulled last.
    pulled_at: u64,
    /// Whether what its next item needs was in use then.
    is_stalled: bool,
}

/// How a stream ends.
enum Ending {
    /// Nobody waits for it any more.
    Unheard,
    Answer(Result<(), Failure>, Message<OwnedFd>),
}

impl Given {
    pub(super) const fn new(number: u64, thread: usize, call: Arc<Call>, queued: Box<Queued>) -> Self {
        Self {
            number,
            thread,
            call,
            queued,
            held: VecDeque::new(),
            end: None,
            is_pulled: false,
            pulled_at: 0,
            is_stalled: false,
        }
    }

    pub(super) fn into_queued(self) -> Box<Queued> {
        self.queued
    }
}

impl Session {
    /// A method on a thread has given a stream.
    pub(super) fn take_given(&mut self, given: Given) {
        if given.call.header.streams.contains(Streams::ITEMS) {
            return self.crew.given.push(given);
        }
        let why = "its answer is a stream, for which nobody asked";
        self.end_given(given, Ending::Answer(Err(Failure::Undecodable(Text::new(why))), Message::new()));
    }

    /// A thread has made items. The stream's next turn is behind those of the others.
    pub(super) fn take_pulled(&mut self, thread: usize, pulled: Pulled) {
        let Pulled { number, items, unused, is_stalled, end } = pulled;
        self.crew.threads[thread].is_pulling = false;
        unused.into_iter().for_each(|message| self.return_message(message));
        let Some(at) = self.crew.given.iter().position(|given| given.number == number) else {
            items.into_iter().for_each(|message| self.return_message(message));
            return;
        };
        let mut given = self.crew.given.remove(at);
        given.held.extend(items);
        (given.end, given.is_pulled, given.is_stalled) = (end, false, is_stalled);
        self.crew.given.push(given);
        self.note_crew();
    }

    /// Sends what was made, and has more made as far as there is room; `owed` alone of those whose threads have served
    /// something else since.
    pub(super) fn tend_given(&mut self, owed: bool) {
        let mut at = 0;
        while at < self.crew.given.len() {
            if self.crew.given[at].is_pulled {
                self.note_unwanted(at);
                at += 1;
                continue;
            }
            match self.send_held(at) {
                Some(ending) => {
                    let given = self.crew.given.remove(at);
                    self.end_given(given, ending);
                }
                None => {
                    self.pull(at, owed);
                    at += 1;
                }
            }
        }
    }

    /// Its thread makes items of it at this moment. If nobody wants them, it ends when that has said what came of it: it could
    /// not drop the stream now, and what the stream itself has begun is of its call until then.
    fn note_unwanted(&self, at: usize) {
        let call = &self.crew.given[at].call;
        if matches!(room(self, &call.header), Room::Over | Room::Unwanted) {
            call.give_up();
        }
    }

    /// Sends the items of a stream that wait, as far as there is room; how it ends, if it does.
    fn send_held(&mut self, at: usize) -> Option<Ending> {
        let header = self.crew.given[at].call.header;
        loop {
            match room(self, &header) {
                Room::Over => return Some(Ending::Unheard),
                Room::Unwanted => return Some(Ending::Answer(Err(Failure::Cancelled), Message::new())),
                Room::Free | Room::Full => {}
            }
            let Some(mut item) = self.crew.given[at].held.pop_front() else { break };
            match self.try_item(header.destination, header.call, Caller::Peer, &mut item) {
                None => {
                    self.crew.given[at].held.push_front(item);
                    return None;
                }
                Some(ItemSent::Sent | ItemSent::Unwanted) => self.return_message(item),
                Some(ItemSent::Failed(why)) => return Some(Ending::Answer(Err(Failure::Unanswerable(why)), item)),
            }
        }
        self.crew.given[at].end.take().map(|(result, message)| Ending::Answer(result, message))
    }

    /// Has its thread make items, if there is room for them.
    fn pull(&mut self, at: usize, owed: bool) {
        let Given { number, thread, call, held, is_pulled, .. } = &self.crew.given[at];
        let (number, thread, header) = (*number, *thread, call.header);
        if *is_pulled || !held.is_empty() || self.crew.depth(thread) > 0 || (owed && !self.crew.threads[thread].owes) {
            return;
        }
        let is_stalled = self.crew.given[at].is_stalled && self.crew.given[at].pulled_at == self.arrived;
        if is_stalled || room(self, &header) != Room::Free || self.is_dry(&header) {
            return;
        }
        // What is made of what is fed may have to wait for that, and is sent before.
        let many = if header.streams.contains(Streams::FEED) { 1 } else { ITEMS_IN_A_TURN };
        let messages = (0..many).map(|_| self.spare_message()).collect();
        (self.crew.given[at].is_pulled, self.crew.given[at].pulled_at) = (true, self.arrived);
        let thread = &mut self.crew.threads[thread];
        (thread.is_pulling, thread.owes) = (true, false);
        // A thread that is gone has panicked, and its last word is about to be heard.
        let _ = thread.inbox.send(Order::Pull(number, messages));
        self.note_crew();
    }

    fn end_given(&mut self, given: Given, ending: Ending) {
        let Given { number, thread, call, queued, held, .. } = given;
        let _ = self.crew.threads[thread].inbox.send(Order::Drop(number));
        if let Ending::Answer(result, mut message) = ending {
            let result = if call.is_given_up() { Err(Failure::Cancelled) } else { result };
            self.close_moves(&message);
            self.answer(&call.header, result, &mut message);
            self.return_message(message);
        }
        held.into_iter().for_each(|message| self.return_message(message));
        self.discard(queued);
        self.drop_unneeded_pools();
    }
}
