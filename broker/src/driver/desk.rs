//! The host's own ends of links. A host is a port of the router like any worker, but its messages need no socket.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cloison_msg::control::RequestId;
use cloison_msg::{
    Balance, CallError, CallFailure, CallId, ChainId, Destination, Ends, Gone, Header, LinkEnd, Name, Pending, Refusal,
    Taken, Time,
};
use tokio::sync::oneshot;

use super::hoard::Feeds;
use super::host_end::HostEnd;
use super::obey::too_late;
use super::offers::Offering;
use super::{Commands, Done, Outgoing, Purpose, now};
use crate::host::{Incoming, Item, LinkCore, Mailbox, Ticket, Unclaimed};

use crate::trace::Cause;

/// The host's number in the ids of chains: its port is the router's first.
const HOST_ORIGIN: u32 = 0;

/// Most links of which it is remembered that their peers died. Calls over one that is forgotten fail as over a closed one.
const BEREAVED_MAX: usize = 256;

/// Everything the driver keeps for the host.
pub(super) struct Desk {
    pub(super) ends: Ends<HostEnd>,
    /// What the host has given away, as long as anything that came over it before is unread.
    given: Vec<(Destination, Weak<LinkCore>)>,
    /// The newest of those whose peers died, and of what.
    bereaved: VecDeque<(Destination, Gone)>,
    asked: Vec<Asked>,
    /// Objects whose links the router is about to make.
    pub(super) offering: Vec<Offering>,
    /// What the host is fed.
    pub(super) feeds: Feeds,
    requests: RequestId,
    chains: u32,
    pub(super) mailbox: Mailbox,
    commands: Commands,
    /// Who waits for which revocation.
    revocations: Vec<(u64, Arc<oneshot::Sender<()>>)>,
    tickets: u64,
}

pub(super) struct Waiting {
    pub(super) outgoing: Outgoing,
    pub(super) since: Time,
    pub(super) until: Time,
}

/// A link the host asked for.
struct Asked {
    request: RequestId,
    until: Time,
    done: oneshot::Sender<Result<Unclaimed, Refusal>>,
}

impl Desk {
    pub(super) fn new(mailbox: Mailbox, commands: Commands) -> Self {
        let (ends, asked, revocations) = (Ends::new(), Vec::new(), Vec::new());
        Self {
            ends,
            given: Vec::new(),
            bereaved: VecDeque::new(),
            asked,
            offering: Vec::new(),
            feeds: Feeds::default(),
            requests: 0,
            chains: 0,
            mailbox,
            commands,
            revocations,
            tickets: 0,
        }
    }

    /// A new chain of calls, which the host begins.
    pub(super) const fn chain(&mut self) -> ChainId {
        self.chains = self.chains.wrapping_add(1);
        ChainId::new(HOST_ORIGIN, self.chains)
    }

    /// Notes that the host waits for a link.
    pub(super) fn ask(&mut self, within: Duration, done: oneshot::Sender<Result<Unclaimed, Refusal>>) -> RequestId {
        let request = self.number();
        self.asked.push(Asked { request, until: now().after(within), done });
        request
    }

    /// A number for something that the host asks of the router.
    pub(super) const fn number(&mut self) -> RequestId {
        self.requests = self.requests.wrapping_add(1);
        self.requests
    }

    /// Notes that the host waits for a revocation: its ticket.
    pub(super) fn await_revocation(&mut self, done: Arc<oneshot::Sender<()>>) -> u64 {
        self.tickets += 1;
        self.revocations.push((self.tickets, done));
        self.tickets
    }

    /// A revocation is complete: whoever waits for it and no other is told by the drop of the sender.
    pub(super) fn revoked(&mut self, ticket: u64) {
        self.revocations.retain(|(waiting, _)| *waiting != ticket);
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let calls = self.ends.iter().filter_map(|(_, end)| end.end.next_deadline());
        let waiting = self.ends.iter().flat_map(|(_, end)| end.waiting.iter().map(|waiting| waiting.until));
        calls.chain(waiting).chain(self.asked.iter().map(|asked| asked.until)).min()
    }

    /// The peer's end of a link has another holder; calls that the former one had are failed.
    pub(super) fn moved(&mut self, link: Destination, peer: Name, own: CallId) {
        let Some(moved) = self.ends.get_mut(link) else { return };
        let former = moved.end.peer().clone();
        moved.core.set_peer(peer.clone());
        moved.end_served(&Gone::Moved);
        let failed = moved.end.handle_move(peer, own);
        moved.orphan(moved.end.last_orphan());
        for pending in failed {
            self.fail_call(&former, pending, CallFailure::Gone(Gone::Moved));
        }
    }

    /// The host has a link, maybe one that another had before: then its accounts stand like this.
    pub(super) fn granted(&mut self, link: Destination, interface: Name, end: LinkEnd<Done>, balance: Balance) {
        let core = LinkCore::new(link, end.peer().clone(), Taken::resume(balance.received), self.commands.clone());
        let end = end.resume(balance);
        self.ends.insert(link, HostEnd::new(end, interface, core));
    }

    /// Answers whoever asked for a link. A link for which nobody waits any more comes back, to be closed.
    pub(super) fn opened(&mut self, request: RequestId, link: Result<Destination, Refusal>) -> Option<Destination> {
        let name = link.as_ref().ok().copied();
        let Some(at) = self.asked.iter().position(|asked| asked.request == request) else { return name };
        let asked = self.asked.swap_remove(at);
        if asked.done.is_closed() {
            return name;
        }
        let link = link.and_then(|name| self.ends.get(name).map(HostEnd::unclaimed).ok_or(Refusal::NotFound));
        // Should nobody take it out there, it closes itself.
        let _ = asked.done.send(link);
        None
    }

    pub(super) fn gone(&mut self, link: Destination, why: &Gone, tell: bool) {
        let Some(mut ended) = self.ends.remove(link) else { return self.gone_for_good(link, why) };
        match why {
            // What lies unread in the inbox is not delivered any more.
            Gone::Revoked => ended.core.revoke(),
            Gone::Crashed(_) | Gone::Evicted(_) | Gone::GivenUp(_) => {
                self.bereaved.truncate(BEREAVED_MAX - 1);
                self.bereaved.push_front((link, why.clone()));
            }
            Gone::Moved => {
                self.given.retain(|(_, core)| core.strong_count() > 0);
                self.given.push((link, Arc::downgrade(&ended.core)));
            }
            _ => {}
        }
        if !matches!(why, Gone::Moved) {
            ended.orphan(CallId(u64::MAX));
        }
        ended.end_served(why);
        let peer = ended.end.peer().clone();
        let waiting: Vec<_> = ended.waiting.drain(..).collect();
        let calls: Vec<_> = ended.end.close().collect();
        for pending in calls {
            self.fail_call(&peer, pending, why.clone().into());
        }
        for waiting in waiting {
            self.fail_waiting(&peer, waiting, why.clone().into());
        }
        // Of the links that lead to its objects the host has never heard.
        if tell && ended.object.is_none() {
            self.mailbox.put(Item::LinkGone { link, peer, why: why.clone() });
        }
    }

    /// A link that the host has given away before is taken back from all.
    fn gone_for_good(&mut self, link: Destination, why: &Gone) {
        if *why == Gone::Revoked {
            for (_, core) in self.given.extract_if(.., |(given, _)| *given == link) {
                core.upgrade().iter().for_each(|core| core.revoke());
            }
        }
    }

    pub(super) fn finish(&self, done: Done, outcome: Result<Incoming, CallError>) {
        match done {
            // Whoever dropped the call does not want to know.
            Done::Caller(caller) => drop(caller.send(outcome)),
            Done::Inbox(ticket) => self.mailbox.put(Item::Outcome(ticket, outcome)),
            Done::Stream(pledge) => pledge.0.finish(outcome),
        }
    }

    /// A call of the host's has its outcome: a reply, or the peer's own error.
    pub(super) fn outcome(&self, pending: Pending<Done>, mut answer: Incoming) {
        let after = now().since(pending.since);
        let failure = match answer.failure() {
            None => return self.finish(pending.context, Ok(answer.answering(after))),
            Some(failure) => failure,
        };
        let why = CallFailure::Failed(failure);
        let error = CallError::new(answer.peer().clone(), pending.rpc, after, why);
        self.finish(pending.context, Err(error));
    }

    /// A message of the host's for a link that is gone.
    pub(super) fn fail_unknown(&self, waiting: Waiting) {
        let peer = waiting.outgoing.peer.clone();
        let remembered = self.bereaved.iter().find(|(link, _)| *link == waiting.outgoing.link);
        let why = remembered.map_or(Gone::Closed, |(_, why)| why.clone());
        self.fail_waiting(&peer, waiting, why.into());
    }

    pub(super) fn fail_call(&self, peer: &Name, pending: Pending<Done>, why: CallFailure) {
        let after = now().since(pending.since);
        self.finish(pending.context, Err(CallError::new(peer.clone(), pending.rpc, after, why)));
    }

    pub(super) fn fail_waiting(&self, peer: &Name, waiting: Waiting, why: CallFailure) {
        let Outgoing { rpc, purpose, .. } = waiting.outgoing;
        let error = CallError::new(peer.clone(), rpc, now().since(waiting.since), why);
        match purpose {
            Purpose::Call(done) => self.finish(done, Err(error)),
            Purpose::Oneway(sent) => drop(sent.send(Err(error))),
            Purpose::Release => {}
        }
    }

    /// Ends whatever has waited long enough: the questions that are taken back, and what is to be sent because of it.
    pub(super) fn expire(&mut self, now: Time) -> (Vec<RequestId>, Vec<Header>) {
        let (mut ended, mut cancels) = (Vec::new(), Vec::new());
        for (_, end) in self.ends.iter_mut() {
            while let Some(pending) = end.end.expire(now) {
                cancels.push(end.end.tell_cancelled(&pending));
                ended.push((end.core.clone(), Ok(pending)));
            }
            while let Some(at) = end.waiting.iter().position(|waiting| waiting.until <= now) {
                ended.extend(end.waiting.remove(at).map(|waiting| (end.core.clone(), Err(waiting))));
            }
        }
        for (core, ended) in ended {
            match ended {
                Ok(pending) => self.fail_call(&core.peer(), pending, CallFailure::Deadline),
                Err(waiting) => self.fail_waiting(&core.peer(), waiting, CallFailure::Overloaded),
            }
        }
        self.ends.iter_mut().for_each(|(_, end)| end.forget_detached());
        let late = self.asked.extract_if(.., |asked| asked.until <= now).map(|asked| {
            let _ = asked.done.send(Err(too_late()));
            asked.request
        });
        (late.collect(), cancels)
    }
}

impl Waiting {
    /// The span in which it is sent, and until when it, and what it causes, is under way.
    pub(super) fn take_cause(&mut self) -> (Cause, Time) {
        (std::mem::take(&mut self.outgoing.cause), self.until)
    }

    pub(super) fn give_back_cause(&mut self, cause: Cause) {
        self.outgoing.cause = cause;
    }

    pub(super) fn new(outgoing: Outgoing, now: Time) -> Self {
        let until = now.after(outgoing.within);
        Self { outgoing, since: now, until }
    }

    /// Whether it is the call with that ticket, or without one, a call that nobody holds any more.
    pub(super) fn is_given_up(&self, ticket: Option<Ticket>) -> bool {
        matches!(&self.outgoing.purpose, Purpose::Call(done) if done.is_given_up(ticket))
    }
}

#[cfg(test)]
mod tests {
    use cloison_msg::{Credit, Receipt, Rights, Route, WINDOW_MESSAGES};

    use super::*;
    use crate::driver::Command;
    use crate::host::Inbox;

    /// Else the broker would take the host's credits for old ones, and the peer would wait for ever.
    #[test]
    fn the_credits_for_a_link_that_had_another_holder_go_on_from_its_account() {
        let commands = Commands::new().unwrap();
        let mut desk = Desk::new(Inbox::new(commands.clone()).0, commands.clone());
        let link = Destination { index: 1, generation: 1 };
        let received = Credit { messages: 1000, bytes: 0, descriptors: 0 };
        let end = LinkEnd::new(link, Name::new("peer").unwrap(), Route::Relayed, Rights::default());
        desk.granted(link, Name::new("test").unwrap(), end, Balance { received, ..Balance::default() });
        for _ in 0..WINDOW_MESSAGES / 2 {
            desk.ends.get(link).unwrap().core.take(&Header::default());
        }
        let mut given = Vec::new();
        commands.take(&mut given);
        let taken = Credit { messages: 1000 + WINDOW_MESSAGES / 2, ..received };
        let receipt = Receipt { route: Route::Relayed, taken };
        assert!(matches!(given[..], [Command::Credit { receipt: said, .. }] if said == receipt));
    }

    /// Nothing is delivered after a revocation is acknowledged, not even what the host left unread before it gave its end away.
    #[test]
    fn what_came_over_a_link_that_the_host_gave_away_is_revoked_with_it() {
        let commands = Commands::new().unwrap();
        let mut desk = Desk::new(Inbox::new(commands.clone()).0, commands);
        let link = Destination { index: 1, generation: 1 };
        let end = LinkEnd::new(link, Name::new("peer").unwrap(), Route::Relayed, Rights::default());
        desk.granted(link, Name::new("test").unwrap(), end, Balance::default());
        let unread = desk.ends.get(link).unwrap().core.clone();
        desk.gone(link, &Gone::Moved, false);
        assert!(!unread.is_revoked());
        desk.gone(link, &Gone::Revoked, true);
        assert!(unread.is_revoked() && desk.given.is_empty());
    }
}
