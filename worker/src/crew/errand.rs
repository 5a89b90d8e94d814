//! What threads of the crew ask the session for: calls, oneways, links. Each ends once, by its deadline at the latest.

use std::sync::Arc;
use std::time::Duration;

use cloison_msg::control::{RequestId, ToBroker};
use cloison_msg::{
    CALL_DEPTH_MAX, CallFailure, CallFrame, CallId, ChainId, Destination, Failure, Header, Kind, Streams, Text, Time,
    decode_whole,
};

use super::job;
use super::mail::{Answer, Call, Opening, Order, Outcome, Told};
use crate::cancel::cause_of;
use crate::circle::Pace;
use crate::clock::NEVER;
use crate::error::OpenFailure;
use crate::send::too_deep;
use crate::session::{self, Answered, Frame, Session};
use crate::streams::look_for_fed;
use crate::words;

/// Something that a thread has asked for.
pub(super) struct Errand {
    pub(super) thread: usize,
    pub(super) ask: u64,
    deadline: Time,
    pub(super) state: State,
}

pub(super) enum State {
    /// It waits for room.
    Waiting(Box<Waiting>),
    /// Its answer is awaited.
    Underway(Underway),
    /// The broker was asked for a link.
    Asked(Box<Asked>),
    /// An item is awaited that is fed to this call.
    Taking(Header),
    /// It is being looked at.
    Over,
}

/// A link that the broker was asked for.
pub(super) struct Asked {
    request: RequestId,
    within: Duration,
    /// For which it is wanted.
    by: Option<Arc<job::Call>>,
}

/// A message that has not left.
pub(super) struct Waiting {
    call: Call,
    frame: Frame,
    /// For which it is made.
    by: Option<Arc<job::Call>>,
}

/// A call without an answer.
pub(crate) struct Underway {
    pub(crate) link: Destination,
    pub(crate) call: CallId,
    slot: usize,
    chain: ChainId,
    /// Of the probes that are passed on after it.
    pub(crate) pace: Pace,
}

impl Errand {
    /// The chain that it belongs to, once it is under way.
    pub(super) const fn chain(&self) -> Option<ChainId> {
        match &self.state {
            State::Underway(underway) => Some(underway.chain),
            _ => None,
        }
    }
}

impl Session {
    /// A thread makes a call.
    pub(super) fn take_call(&mut self, thread: usize, ask: u64, call: Call) {
        let by = call.job.and_then(|number| self.crew.call_of(number));
        let frame = match &by {
            Some(by) => Frame { depth: by.frame.depth.saturating_add(1), deadline: by.deadline(), ..by.frame },
            None => Frame { chain: self.mint_chain(), depth: 0, deadline: NEVER },
        };
        let frame = Frame { deadline: frame.deadline.min(call.deadline), ..frame };
        let state = State::Waiting(Box::new(Waiting { call, frame, by }));
        self.crew.errands.push(Errand { thread, ask, deadline: frame.deadline, state });
    }

    /// A thread opens a link.
    pub(super) fn take_opening(&mut self, thread: usize, ask: u64, opening: Opening) {
        let Opening { role, interface, deadline, job, within } = opening;
        let by = job.and_then(|number| self.crew.call_of(number));
        let request = self.ask(Destination::BROKER, |request| ToBroker::Open { request, role, interface });
        self.crew.errands.push(Errand {
            thread,
            ask,
            deadline,
            state: State::Asked(Box::new(Asked { request, within, by })),
        });
    }

    /// A thread takes an item.
    pub(super) fn take_taking(&mut self, thread: usize, ask: u64, call: Header, deadline: Time) {
        self.crew.errands.push(Errand { thread, ask, deadline, state: State::Taking(call) });
    }

    /// Goes on with all of them, as far as that is possible now.
    pub(super) fn tend_errands(&mut self) {
        let mut at = 0;
        // What one thread says over one link stays in its order.
        let mut blocked: Vec<(usize, Destination)> = Vec::new();
        while let Some(errand) = self.crew.errands.get_mut(at) {
            let (thread, deadline) = (errand.thread, errand.deadline);
            let way = match &errand.state {
                State::Waiting(waiting) => Some((thread, waiting.call.link)),
                _ => None,
            };
            if way.is_some_and(|way| blocked.contains(&way)) && deadline > self.time {
                at += 1;
                continue;
            }
            let state = std::mem::replace(&mut errand.state, State::Over);
            match self.advance(state, deadline) {
                Ok(state) => {
                    if matches!(state, State::Waiting(_)) {
                        blocked.extend(way);
                    }
                    self.crew.errands[at].state = state;
                    at += 1;
                }
                Err(outcome) => {
                    let Errand { thread, ask, .. } = self.crew.errands.remove(at);
                    self.tell(thread, ask, outcome);
                }
            }
        }
    }

    /// Until when the session may wait.
    pub(crate) fn errands_due(&self) -> Time {
        self.crew.errands.iter().map(|errand| errand.deadline).chain(self.crew.unsent_due()).min().unwrap_or(NEVER)
    }

    /// Nobody waits for it any more.
    pub(super) fn give_up_errand(&mut self, thread: usize, ask: u64) {
        let is_it = |errand: &Errand| (errand.thread, errand.ask) == (thread, ask);
        let Some(at) = self.crew.errands.iter().position(is_it) else { return };
        self.crew.threads[thread].waits.retain(|wait| !wait.asks.contains(&ask));
        match self.crew.errands.remove(at).state {
            State::Waiting(waiting) => self.drop_unsent(&waiting),
            State::Underway(underway) => self.forget(&underway),
            State::Asked(asked) => match self.take_answer(asked.request) {
                Some(words::Answer::Opened(Ok(link))) => self.close_end(link),
                Some(_) => {}
                None => self.abandon_question(asked.request),
            },
            State::Taking(_) | State::Over => {}
        }
    }

    /// It is left to its peer, and nobody hears what becomes of it.
    pub(super) fn detach_errand(&mut self, thread: usize, ask: u64) {
        let is_it = |errand: &Errand| (errand.thread, errand.ask) == (thread, ask);
        let Some(at) = self.crew.errands.iter().position(is_it) else { return };
        match &mut self.crew.errands[at].state {
            State::Waiting(waiting) => waiting.call.is_detached = true,
            State::Underway(_) => {
                if let State::Underway(underway) = self.crew.errands.remove(at).state {
                    self.leave_to_peer(&underway);
                }
            }
            State::Asked(_) | State::Taking(_) | State::Over => {}
        }
    }

    fn leave_to_peer(&mut self, underway: &Underway) {
        if let Some(end) = self.ends.get_mut(underway.link) {
            end.link.detach(underway.call);
        }
        self.forget(underway);
    }

    /// Nobody waits for that answer any more: its peer is told, unless it was left the call.
    fn forget(&mut self, underway: &Underway) {
        self.give_up(underway.link, underway.call);
        if let Some(session::Outcome::Answered(answered)) = self.outcomes.try_remove(underway.slot) {
            self.discard_answer(answered);
        }
    }

    /// What becomes of it now; an error is its end.
    fn advance(&mut self, state: State, deadline: Time) -> Result<State, Outcome> {
        match state {
            State::Waiting(waiting) => self.send(waiting, deadline),
            State::Underway(underway) => self.look_for_answer(underway, deadline),
            State::Asked(asked) => self.look_for_link(asked, deadline),
            State::Taking(call) => self.look_for_item(call, deadline),
            State::Over => Err(Outcome::Sent),
        }
    }

    fn send(&mut self, mut waiting: Box<Waiting>, deadline: Time) -> Result<State, Outcome> {
        let outcome = match self.try_send(&mut waiting) {
            None if self.time < deadline => return Ok(State::Waiting(waiting)),
            None => Err(self.why_late(&waiting.call.message)),
            Some(outcome) => outcome,
        };
        self.drop_unsent(&waiting);
        match outcome {
            Ok(Some(underway)) if waiting.call.is_detached => {
                self.leave_to_peer(&underway);
                Err(Outcome::Sent)
            }
            Ok(Some(underway)) => Ok(State::Underway(underway)),
            Ok(None) => Err(Outcome::Sent),
            Err(why) => Err(Outcome::Failed(why)),
        }
    }

    /// Sends it if there is room: what is awaited then.
    fn try_send(&mut self, waiting: &mut Waiting) -> Option<Result<Option<Underway>, CallFailure>> {
        let Waiting { call, frame, by } = waiting;
        let Call { link, rpc, message, is_oneway, is_detached, span, .. } = call;
        let (link, rpc) = (*link, *rpc);
        if *is_oneway {
            let sent = crate::trace::within(*span, || self.try_oneway(link, rpc, message, *frame))?;
            return Some(sent.map(|_| None));
        }
        // What was left to its peer is served, whatever becomes of what it was made for.
        if !*is_detached && by.as_ref().is_some_and(|by| by.is_given_up()) {
            return Some(Err(CallFailure::Cancelled));
        }
        if frame.depth > CALL_DEPTH_MAX {
            let role = self.welcome.as_ref().map(|welcome| welcome.role.clone());
            let (role, peer) = role.zip(self.peer_of(link))?;
            return Some(Err(CallFailure::Failed(too_deep(*frame, &role, peer, ""))));
        }
        let cause = by.as_ref().map(|by| by.header).filter(crate::cancel::is_call).map(|header| cause_of(&header));
        let at = CallFrame { now: self.time, deadline: frame.deadline, chain: frame.chain, depth: frame.depth };
        let none = Streams::empty();
        let begun = crate::trace::within(*span, || self.try_call_for(cause, link, rpc, message, at, none))?;
        Some(begun.map(|(_, slot, call)| Some(Underway { link, call, slot, chain: frame.chain, pace: Pace::new() })))
    }

    /// What was not sent gives nothing away, and nobody has a handle on what it was to.
    fn drop_unsent(&mut self, waiting: &Waiting) {
        self.close_moves(&waiting.call.message);
    }

    fn look_for_answer(&mut self, underway: Underway, deadline: Time) -> Result<State, Outcome> {
        let Underway { link, call, slot, .. } = underway;
        if matches!(self.outcomes.get(slot), Some(session::Outcome::Awaited(_))) {
            if self.time < deadline {
                return Ok(State::Underway(underway));
            }
            self.give_up(link, call);
        }
        Err(match self.outcomes.try_remove(slot) {
            Some(session::Outcome::Answered(answered)) => self.open(answered),
            Some(session::Outcome::Failed(why)) => Outcome::Failed(why),
            Some(session::Outcome::Awaited(_) | session::Outcome::Told) | None => {
                Outcome::Failed(CallFailure::Deadline)
            }
        })
    }

    fn open(&mut self, answered: Answered) -> Outcome {
        let from = answered.header.destination;
        if answered.header.kind != Kind::Reply {
            let failure = decode_whole(answered.payload.as_slice());
            let failure = failure.unwrap_or_else(|_| Failure::Undecodable(Text::new("the error itself")));
            self.discard_answer(answered);
            return Outcome::Failed(CallFailure::Failed(self.understand(failure, from)));
        }
        let Answered { payload, passed, links, .. } = answered;
        Outcome::Answered(Answer { payload, passed, links: self.led(links) })
    }

    fn look_for_item(&mut self, call: Header, deadline: Time) -> Result<State, Outcome> {
        Err(match look_for_fed(self, &call) {
            Some(Ok(item)) => Outcome::Fed(item),
            Some(Err(Ok(()))) => Outcome::FedUp,
            Some(Err(Err(why))) => Outcome::Failed(why),
            None if self.time < deadline => return Ok(State::Taking(call)),
            None => Outcome::Failed(CallFailure::Deadline),
        })
    }

    fn look_for_link(&mut self, asked: Box<Asked>, deadline: Time) -> Result<State, Outcome> {
        let Asked { request, within, by } = &*asked;
        let (request, within) = (*request, *within);
        let unanswered = match self.take_answer(request) {
            Some(words::Answer::Opened(Ok(link))) => {
                let opened = self.led(vec![link]).pop().ok_or(OpenFailure::Deadline(within));
                return Err(Outcome::Opened(opened));
            }
            Some(words::Answer::Opened(Err(refusal))) => return Err(Outcome::Opened(Err(refusal.into()))),
            Some(words::Answer::Pool(_) | words::Answer::Offered(_)) => OpenFailure::Deadline(within),
            None => match &self.disconnect {
                Some(why) => why.clone().into(),
                None if by.as_ref().is_some_and(|by| by.is_given_up()) => OpenFailure::Cancelled,
                None if self.time < deadline => return Ok(State::Asked(asked)),
                None => OpenFailure::Deadline(within),
            },
        };
        self.abandon_question(request);
        Err(Outcome::Opened(Err(unanswered)))
    }

    fn tell(&mut self, thread: usize, ask: u64, outcome: Outcome) {
        let told = Order::Told(Told { ask, outcome });
        let thread = &mut self.crew.threads[thread];
        thread.waits.retain(|wait| !wait.asks.contains(&ask));
        // A thread that is gone has panicked, and its last word is about to be heard.
        let _ = thread.inbox.send(told);
    }
}
