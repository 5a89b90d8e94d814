//! Doing what the router says, and what the host asks.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use cloison_ipc::{NewPoolError, Passed, ProcessIpc, create_pool};
use cloison_msg::control::{PoolShape, ToWorker};
use cloison_msg::trace::TraceLevel;
use cloison_msg::{Caller, Header, Key, Kind, Name, Refusal};
use tokio::sync::oneshot;

use super::seat::{Seat, Sent};
use super::{BACKLOG_MAX, Command, Driver, HostMessage, now};
use crate::host::{Item, Question};
use crate::policy::Policy;
use crate::router::{Body, Event, LinkId, LinkView, Output, Traffic, Violation};

impl Driver {
    /// Does what the router says, until it says nothing more.
    pub(super) fn obey(&mut self) {
        while let Some(output) = self.router.poll() {
            match output {
                Output::Send { to, header, body, descriptors } if to == self.router.host() => {
                    self.host_hears(&header, body, descriptors);
                }
                Output::Send { to, header, body, descriptors } => self.speak(to, header, &body, descriptors),
                Output::Evict { port, violation } => {
                    self.seats.get_mut(&port).into_iter().for_each(Seat::discard_backlog);
                    self.notices.evict(port, violation);
                }
                Output::MakePair { link } => {
                    let pair = self.make_pair(link);
                    self.router.handle_pair(link, pair, now());
                }
                Output::Shut { link, end } => self.shut(link, end),
                Output::Unpair { link } => drop(self.pairs.remove(&link)),
                Output::Cut { link, empty } => self.cut(link, empty),
                Output::Revoked { ticket } => self.desk.revoked(ticket),
                Output::Ask { question, from, to, interface } => self.ask_host(question, from, to, interface),
                Output::MakePool(ticket) => self.router.handle_pool(ticket, make_pool(ticket.shape)),
                Output::Tell(event) => self.tell(&event),
                Output::Traced { port, records } => self.tracing.take(port, records, now()),
            }
        }
        if !self.changing.is_empty() {
            self.changing.retain(|(link, _)| self.router.is_changing(*link));
        }
    }

    fn explain(&self, link: Option<LinkId>) -> Vec<LinkView> {
        match link {
            None => self.router.explain(None, None),
            Some(link) => self.router.view_of(link).into_iter().collect(),
        }
    }

    /// Sends a message of the broker's own.
    fn speak(&mut self, to: Key, header: Header, body: &Body, mut descriptors: Vec<Passed>) {
        let mut message = encode(body);
        let header = Header { payload: message.payload_len(), ..header };
        self.send(to, message.packet(&header), &mut descriptors);
    }

    /// Tells a worker how much it is to record of itself.
    pub(super) fn say_trace_level(&mut self, to: Key, level: TraceLevel) {
        let header = Header { kind: Kind::Control, ..Header::default() };
        self.speak(to, header, &Body::Word(ToWorker::Trace { level }), Vec::new());
    }

    /// Sends a message to a worker, or keeps it until there is room.
    pub(super) fn send(&mut self, to: Key, message: &[u8], descriptors: &mut Vec<Passed>) {
        if self.gathered.to == Some(to) {
            self.send_gathered();
        }
        let Some(seat) = self.seats.get_mut(&to) else { return };
        match seat.send(message, descriptors) {
            Sent::Accepted => {
                if seat.is_crowded() {
                    self.router.handle_crowd(to, true);
                }
                self.watch(to);
            }
            Sent::Overflow => self.router.evict(to, Violation::Backlog(BACKLOG_MAX)),
        }
    }

    /// The socket of a direct link, of which the broker keeps a duplicate of both ends: a shutdown reaches both workers
    /// wherever the descriptors have gone meanwhile.
    fn make_pair(&mut self, link: Key) -> Option<[Passed; 2]> {
        let made = ProcessIpc::pair().and_then(|(a, b)| {
            // No descriptor ever passes on a direct link: rights that allow one keep a link relayed.
            for end in [&a, &b] {
                end.refuse_descriptors()?;
            }
            Ok(([a.try_clone()?, b.try_clone()?], [a, b].map(|end| Passed::new(OwnedFd::from(end)))))
        });
        let (kept, given) =
            made.inspect_err(|error| tracing::warn!(%error, "no socket pair; the link is relayed")).ok()?;
        self.pairs.insert(link, kept);
        Some(given)
    }

    /// Notes what every worker has sent so far, and asks those with direct links what the broker cannot see.
    fn count(&mut self, done: oneshot::Sender<()>) {
        for &port in self.seats.keys() {
            self.notices.relayed(port, self.router.traffic(port).unwrap_or_default());
        }
        let asked = self.router.count_direct();
        self.counting.ask(asked, done);
    }

    fn tell(&mut self, event: &Event) {
        self.audit.note(event);
        if let Event::Counted { port, messages, bytes, .. } = event {
            self.notices.counted(*port, Traffic { messages: *messages, bytes: *bytes });
            self.counting.note(*port);
        }
    }

    /// Revokes a link; `done` is told when nothing more is delivered over it.
    fn revoke(&mut self, link: Key, done: Arc<oneshot::Sender<()>>) {
        let ticket = self.desk.await_revocation(done);
        self.router.revoke(link, ticket, now());
    }

    /// Puts another policy in force; `done` is told when nothing more is delivered over the links that it does not grant.
    fn set_policy(&mut self, policy: Arc<dyn Policy>, done: oneshot::Sender<()>) {
        let done = Arc::new(done);
        for link in self.router.set_policy(policy, now()) {
            self.revoke(link, done.clone());
        }
    }

    fn ask_host(&self, question: Key, from: Name, to: Name, interface: Name) {
        let question = Question::new(question, from, to, interface, self.commands.clone());
        self.desk.mailbox.put(Item::Question(question));
    }

    fn shut(&self, link: Key, end: usize) {
        let shut = self.pairs.get(&link).and_then(|pair| pair.get(end)).map_or(Ok(()), ProcessIpc::shutdown_sending);
        if let Err(error) = shut {
            tracing::warn!(%error, "shutdown of one direction of a direct link");
        }
    }

    fn cut(&mut self, link: Key, empty: bool) {
        let Some(pair) = self.pairs.remove(&link) else { return };
        let shut = match empty {
            true => pair.iter().try_for_each(|end| end.discard_queued().map(drop)),
            false => pair[0].shutdown(),
        };
        if let Err(error) = shut {
            tracing::warn!(%error, "shutdown of a direct link");
        }
    }

    pub(super) fn handle_command(&mut self, command: Command) {
        let host = self.router.host();
        match command {
            Command::Seat { role, pid, ipc, port } => {
                if let Some(seated) = self.seat(role, pid, ipc) {
                    let _ = port.send(seated);
                }
            }
            Command::Died { port, why } => self.bury(port, &why),
            Command::LastLife { port, is_last } => self.router.handle_last_life(port, is_last),
            Command::Declare { role } => {
                self.router.declare(role.clone());
                self.router.handle_return(&role);
            }
            Command::Retire { role, why } => self.router.handle_retirement(&role, why),
            Command::Open { role, interface, within, done } => {
                let request = self.desk.ask(within, done);
                self.router.handle_open(host, request, role, interface);
            }
            Command::Offer { interface, object, done } => self.host_offers(interface, object, done),
            Command::Send(outgoing) => self.host_sends(outgoing),
            Command::Cancel { link, ticket } => self.host_cancels(link, ticket),
            Command::Detach { link, outcome } => self.desk.detach(link, outcome),
            Command::Answer { link, call, result } => self.host_answers(link, &call, result),
            Command::Credit { link, receipt } => self.host_credits(link, receipt),
            Command::Draw { link, call, caller, bytes } => self.host_draws(link, call, caller, bytes),
            Command::RefuseItems { link, call } => self.host_refuses(link, call, Caller::Peer),
            Command::SendItems { link } => self.host_feeds(link),
            Command::AwaitItem { link, stream } => self.host_awaits_item(link, &stream),
            Command::Close { link } => self.host_closes(link),
            Command::SetModel { model, done } => {
                self.router.set_model(model, now());
                self.changing.push((None, done));
            }
            Command::SetRoute { link, route, done } => {
                self.router.set_route(link.0, route, now());
                self.changing.push((Some(link.0), done));
            }
            Command::SetPolicy { policy, done } => self.set_policy(policy, done),
            Command::Revoke { link, done } => self.revoke(link.0, done),
            // Whoever dropped the question does not want to know.
            Command::Explain { link, done } => drop(done.send(self.explain(link))),
            Command::Describe { port, works, done } => {
                let _ = done.send(works.iter().map(|work| self.router.describe(port, work)).collect());
            }
            Command::Decide { question, grant } => self.router.handle_decision(question, grant),
            Command::CaughtUp => self.router.handle_crowd(host, false),
            Command::MadeUpBuffer { link, what } => self.router.handle_made_up_buffer(link, what),
            Command::Count { done } => self.count(done),
            Command::Trace(order) => {
                for (port, level) in self.tracing.order(order) {
                    self.say_trace_level(port, level);
                }
            }
            Command::Suspend { done, until } => {
                let _ = done.send(());
                // An error is what is waited for: the other end was dropped.
                let _ = until.recv();
            }
            Command::Stop => self.stop(),
        }
        self.obey();
    }
}

/// The payload of a message of the broker's own. Each is bounded (names, capped texts, numbers), so each fits.
pub(super) fn encode(body: &Body) -> HostMessage {
    let mut message = HostMessage::new();
    let appended = match body {
        Body::Word(word) => message.append(word),
        Body::Failure(failure) => message.append(failure),
        Body::Credit(credit) => message.append(credit),
    };
    debug_assert!(appended.is_ok(), "a word of the broker's own fits");
    message
}

fn make_pool(shape: PoolShape) -> Result<[Passed; 2], Refusal> {
    match create_pool(shape) {
        Ok(pool) => Ok([pool.writable, pool.read_only].map(Passed::new)),
        Err(NewPoolError::Shape(error)) => Err(Refusal::Limit(error.to_string().into())),
        Err(error) => Err(Refusal::System(error.to_string().into())),
    }
}

/// A link that nobody waits for any more was not refused by anybody: the time was up.
pub(super) fn too_late() -> Refusal {
    Refusal::Limit("nobody played the role in time".into())
}
