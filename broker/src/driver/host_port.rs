//! The host's port: what the router says to the host, and what the host sends into the router.

use cloison_ipc::Passed;
use cloison_msg::control::{ToBroker, ToWorker};
use cloison_msg::{
    Arrival, Descriptor, DescriptorClasses, Destination, Failure, Gone, Header, LinkEnd, LinkRef, Receipt, Route,
    Transfer,
};

use super::desk::Waiting;
use super::host_end::HostEnd;
use super::obey::encode;
use super::{Driver, HostMessage, Outgoing, now};
use crate::host::{HostLink, Incoming, Item};
use crate::router::{Body, Freight};
use crate::trace::Cause;

impl Driver {
    /// The broker itself says something to the host.
    pub(super) fn host_hears(&mut self, header: &Header, body: Body, descriptors: Vec<Passed>) {
        if let Body::Word(word) = body {
            return self.host_word(word, descriptors);
        }
        let message = encode(&body);
        let header = Header { payload: message.payload_len(), ..*header };
        self.host_receives(&header, message.payload(), &[], Vec::new());
    }

    fn host_word(&mut self, word: ToWorker, mut descriptors: Vec<Passed>) {
        match word {
            ToWorker::Granted { link, peer, interface, route, peer_rights, balance, copy_of, .. } => {
                self.desk.granted(link, interface, LinkEnd::new(link, peer, route, peer_rights), balance);
                copy_of.iter().for_each(|&original| self.desk.share(original, link));
            }
            ToWorker::Offered { request, ends } => self.host_is_offered(request, ends),
            ToWorker::Moved { link, peer, own } => {
                self.desk.moved(link, peer, own);
                self.host_resumes(link);
            }
            ToWorker::Opened { request, link } => {
                if let Some(unwanted) = self.desk.opened(request, link) {
                    self.host_closes(unwanted);
                }
            }
            ToWorker::Closed { link, why } => {
                self.desk.gone(link, &why, true);
                self.note_crowd();
            }
            ToWorker::PeerPool { link, pool, shape } => {
                let mapped = self
                    .desk
                    .ends
                    .get(link)
                    .zip(descriptors.pop())
                    .map(|(end, memory)| end.core.pools.add(pool, memory.into_fd(), shape));
                if let Some(Err(error)) = mapped {
                    tracing::warn!(%error, "a pool could not be mapped; its pictures will be refused");
                }
            }
            ToWorker::PoolDropped { link, pool } => {
                if let Some(end) = self.desk.ends.get(link) {
                    end.core.pools.remove(pool);
                }
            }
            // The host makes no pools, is asked nothing, and its links are relayed, where the broker alone judges.
            ToWorker::Welcome { .. }
            | ToWorker::Pool { .. }
            | ToWorker::Count
            | ToWorker::Trace { .. }
            | ToWorker::Reroute { .. }
            | ToWorker::AtRest { .. }
            | ToWorker::Attenuated { .. } => {}
        }
    }

    fn note_crowd(&mut self) {
        if self.desk.mailbox.is_crowded() {
            self.router.handle_crowd(self.router.host(), true);
        }
    }

    /// A message for the host, which the router has let pass.
    pub(super) fn host_receives(
        &mut self,
        header: &Header,
        payload: &[u8],
        links: &[Destination],
        descriptors: Vec<Passed>,
    ) {
        let link = header.destination;
        let Some(end) = self.desk.ends.get_mut(link) else { return };
        let classes = descriptors.iter().map(Descriptor::class).fold(DescriptorClasses::empty(), |a, b| a | b);
        let arrival = end.end.handle(Route::Relayed, header, payload, classes, now());
        if matches!(arrival, Ok(Arrival::Request | Arrival::Outcome(_) | Arrival::Item)) {
            self.tracing.host_taken(header, end.parties(), now());
        }
        let core = end.core.clone();
        let links =
            links.iter().filter_map(|&link| self.desk.ends.get(link)).map(|end| HostLink::new(end.core.clone()));
        let links = links.collect();
        let incoming = || Incoming::new(core.clone(), *header, payload.to_vec(), descriptors, links);
        match arrival {
            Ok(Arrival::Request) => {
                let (end, feeds) = (self.desk.ends.get_mut(link), &mut self.desk.feeds);
                let (standing, stream, object) = end
                    .map_or((None, None, None), |end| (end.open(header), feeds.open(header, end), end.object.clone()));
                let incoming = incoming().standing(standing).streaming(stream).for_object(object);
                self.desk.mailbox.put(Item::Message(incoming));
                self.note_crowd();
            }
            Ok(Arrival::Outcome(pending)) => {
                self.desk.outcome(pending, incoming());
                self.desk.ends.get_mut(link).into_iter().for_each(HostEnd::forget_detached);
                self.host_resumes(link);
            }
            Ok(Arrival::Credit) => {
                self.host_resumes(link);
                self.host_feeds(link);
            }
            Ok(Arrival::Item) => self.host_receives_item(header, payload),
            Ok(Arrival::Demand) => self.host_feeds(link),
            // An answer that nobody waits for, or a buffer the host never lent: taken by being dropped, and what links it
            // carries are closed.
            Ok(Arrival::Late) => {
                core.note_late();
                drop(incoming());
                self.host_resumes(link);
            }
            Ok(Arrival::Cancel) => {
                drop(incoming());
                self.host_loses_reader(link, header.call);
                self.host_hears_cancel(link, header.call);
            }
            // Nor does a host say for whom it waits.
            Ok(Arrival::Probe | Arrival::Stray | Arrival::Release | Arrival::Denied(_) | Arrival::Switched) => {
                drop(incoming());
            }
            // Of streams only the ends know enough to see one.
            Err(breach) => self.host_is_wronged(link, &breach.to_string()),
        }
    }

    /// The host sends something, as soon as there is room for it.
    pub(super) fn host_sends(&mut self, outgoing: Outgoing) {
        let link = outgoing.link;
        let waiting = Waiting::new(outgoing, now());
        match self.desk.ends.get_mut(link) {
            None => self.desk.fail_unknown(waiting),
            Some(end) if end.hoards_returns(&waiting) => {}
            Some(end) => {
                end.waiting.push_back(waiting);
                self.host_resumes(link);
            }
        }
    }

    /// Sends what waits for room, in order: whenever there may be more of it, also because a call was answered. What the
    /// router says meanwhile may be a reason to do so, too, and must not have anything overtake what is just being sent.
    pub(super) fn host_resumes(&mut self, link: Destination) {
        let Some(end) = self.desk.ends.get_mut(link).filter(|end| !end.waiting.is_empty()) else { return };
        if std::mem::replace(&mut end.is_resuming, true) {
            return;
        }
        while self.host_sends_next(link) {}
        if let Some(end) = self.desk.ends.get_mut(link) {
            end.is_resuming = false;
        }
        // Items of a call that waited may have been made already.
        self.host_feeds(link);
    }

    /// Sends the first of what waits; false if there is none, or no room for it.
    fn host_sends_next(&mut self, link: Destination) -> bool {
        let chain = self.desk.chain();
        let Some(end) = self.desk.ends.get_mut(link) else { return false };
        let Some(mut waiting) = end.waiting.pop_front() else { return false };
        let (cause, until) = waiting.take_cause();
        match end.admit(waiting, chain, now()) {
            Ok((header, message)) => {
                self.tracing.host_sent(&header, end.parties(), cause, until, now());
                self.host_message(&header, message);
                true
            }
            Err(mut waiting) => {
                waiting.give_back_cause(cause);
                end.waiting.push_front(waiting);
                false
            }
        }
    }

    /// Hands a message of the host's to the router, as if it had come by a socket.
    pub(super) fn host_message(&mut self, header: &Header, mut message: HostMessage) {
        let host = self.router.host();
        let mut descriptors = message.take_descriptors();
        let mut links = message.encoded_links();
        let freight = Freight { payload: message.payload(), links: &links };
        let Some(forward) = self.router.handle_message(host, header, freight, &mut descriptors, now()) else { return };
        // The host has given those away.
        for link in message.links().iter().filter(|link| link.transfer == Transfer::Move) {
            self.desk.gone(link.link, &Gone::Moved, false);
        }
        if !forward.links.is_empty() {
            self.obey();
        }
        for (at, &name) in forward.links.iter().enumerate() {
            LinkRef::rename(&mut links, at, name);
        }
        self.gather(forward.to, message.packet_with(&forward.header, &links), &mut descriptors);
    }

    pub(super) fn host_answers(&mut self, link: Destination, call: &Header, result: Result<HostMessage, Failure>) {
        let failed = result.is_err();
        let mut message = result.unwrap_or_else(|failure| encode(&Body::Failure(failure)));
        let Some(end) = self.desk.ends.get_mut(link) else { return };
        if !end.close(call.call) {
            // It is answered already, since nobody waits: what the answer would have given away nobody holds any more.
            for link in message.links().iter().filter(|link| link.transfer == Transfer::Move) {
                self.host_closes(link.link);
            }
            return;
        }
        let header = end.end.answer(call, failed, message.shape()).or_else(|full| {
            message = encode(&Body::Failure(Failure::Unanswerable(full.to_string().into())));
            end.end.answer(call, true, message.shape())
        });
        end.note_answered(call.call);
        // An error carries no descriptor, so there is room for it.
        if let Ok(header) = header {
            self.tracing.host_sent(&header, end.parties(), Cause::default(), now(), now());
            self.host_message(&header, message);
        }
    }

    pub(super) fn host_credits(&mut self, link: Destination, receipt: Receipt) {
        let message = encode(&Body::Credit(receipt));
        let Some(end) = self.desk.ends.get_mut(link) else { return };
        let (header, _) = end.end.credit(receipt, message.shape());
        self.host_message(&header, message);
    }

    pub(super) fn host_closes(&mut self, link: Destination) {
        self.desk.gone(link, &Gone::Closed, false);
        self.router.handle_word(self.router.host(), ToBroker::Close { link }, now());
    }

    /// Ends what has waited long enough.
    pub(super) fn tick(&mut self) {
        let now = now();
        let is_late = |end: &HostEnd| end.waiting.front().is_some_and(|waiting| waiting.until <= now);
        let held_up: Vec<_> = self.desk.ends.iter().filter(|(_, end)| is_late(end)).map(|(link, _)| link).collect();
        let (late, cancels) = self.desk.expire(now);
        for cancel in cancels {
            self.host_message(&cancel, HostMessage::new());
        }
        for request in late {
            self.router.handle_open_cancelled(self.router.host(), request);
        }
        // There may be room for what was behind it.
        held_up.into_iter().for_each(|link| self.host_resumes(link));
        self.obey();
    }
}
