//! Circles of workers that wait for each other on behalf of different chains: found, and ended by the refusal of one call.
//!
//! See [`Probe`] for how. Here stands what a worker that waits contributes.

use std::rc::Rc;
use std::time::Duration;

use cloison_msg::{Age, CallId, ChainId, Circle, Destination, Failure, Name, Probe, Time};

use crate::cancel::{Cause, cause_of, is_call};
use crate::session::{Outcome, Queued, Session};

/// How long a worker waits before it looks for a circle. Most waits are over by then.
const PROBE_AFTER: Duration = Duration::from_millis(10);

/// How long it waits at most until it looks again: each time twice as long. What a look misses, since something changed
/// meanwhile or there was no room for a probe, the next one finds.
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How many probes of others are passed on in [`PROBE_AFTER`], for each wait: so that nobody fills a window with them.
const PASSED_MAX: u8 = 8;

/// How many steps of a chain's way are shown.
const WAY_SHOWN: usize = 8;

/// Where a chain was that this worker cannot see.
const UNSEEN: &str = "…";

/// Of how many workers the numbers are remembered.
const NUMBERS_MAX: usize = 64;

/// Something that waits for the answer to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) link: Destination,
    pub(crate) call: CallId,
    pub(crate) slot: usize,
    pub(crate) chain: ChainId,
    /// Whether it waits for this answer, or for this one among others.
    is_for_one: bool,
    /// How many requests are being served, the last of which waits.
    depth: usize,
    /// The mark of the probes that ask about it.
    mark: u32,
    /// When to look for a circle next, once something is held back.
    look_at: Option<Time>,
    /// How long to wait after that.
    pause: Duration,
    /// Of the probes of others.
    pace: Pace,
}

/// How many probes were passed on after one call, and since when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    since: Time,
    count: u8,
}

impl Pace {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self { since: Time(0), count: 0 }
    }

    /// Whether one more may be.
    pub(crate) fn allows_one(&mut self, now: Time) -> bool {
        if now.since(self.since) >= PROBE_AFTER {
            *self = Self { since: now, count: 0 };
        }
        self.count += 1;
        self.count <= PASSED_MAX
    }
}

impl Wait {
    pub(crate) const fn new(link: Destination, call: CallId, slot: usize, chain: ChainId) -> Self {
        Self {
            link,
            call,
            slot,
            chain,
            is_for_one: true,
            depth: 0,
            mark: 0,
            look_at: None,
            pause: PROBE_AFTER,
            pace: Pace::new(),
        }
    }

    /// Not only its answer is waited for, but any of so many.
    pub(crate) const fn among(self, count: usize) -> Self {
        Self { is_for_one: count == 1, ..self }
    }
}

/// Workers whose numbers this one has learnt from probes: for texts, and for nothing else.
#[derive(Default)]
pub(crate) struct Numbers(Vec<(u32, Rc<Name>)>);

impl Numbers {
    fn note(&mut self, number: u32, name: &Rc<Name>) {
        if let Some(known) = self.0.iter_mut().find(|(known, _)| *known == number) {
            known.1 = Rc::clone(name);
            return;
        }
        if self.0.len() >= NUMBERS_MAX {
            self.0.remove(0);
        }
        self.0.push((number, Rc::clone(name)));
    }

    fn name(&self, number: u32) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == number).map(|(_, name)| name.as_str())
    }
}

impl Session {
    /// From now on this is waited for.
    pub(crate) fn begin_wait(&mut self, wait: Wait) {
        self.waits_made = self.waits_made.wrapping_add(1);
        self.waits.push(Wait { depth: self.serving.len(), mark: self.waits_made, ..wait });
    }

    /// Looks for a circle if it is time to; until when a worker may wait before it does again.
    pub(crate) fn look_for_circle(&mut self, until: Time) -> Time {
        if self.queue.is_empty() || self.waits.is_empty() {
            return until;
        }
        let Some(at) = self.innermost_wait(0) else { return until };
        if !self.queue.iter().any(|queued| self.is_held(queued) && !self.is_hosts(queued)) {
            return until;
        }
        let now = self.time;
        let wait = &mut self.waits[at];
        let look_at = *wait.look_at.get_or_insert(now.after(PROBE_AFTER));
        if now < look_at {
            return until.min(look_at);
        }
        wait.pause = (wait.pause * 2).min(PROBE_PAUSE_MAX);
        let next = now.after(wait.pause);
        wait.look_at = Some(next);
        let probe = Probe::new(wait.mark, self.number());
        let Wait { link, call, .. } = self.waits[at];
        self.send_probe(link, call, &probe);
        until.min(next)
    }

    /// A probe came after this call of a peer's.
    pub(crate) fn take_probe(&mut self, link: Destination, call: CallId, probe: Probe) {
        let cause = (link, call);
        if let Some((peer, &number)) = self.peer_of(link).map(Rc::clone).zip(probe.path.last()) {
            self.numbers.note(number, &peer);
        }
        let held = self.queue.iter().position(|queued| cause_of(&queued.header) == cause && self.is_held(queued));
        let age = held.map(|at| Age::new(self.queue[at].since, self.queue[at].header.chain));
        if probe.path.first() == Some(&self.number()) {
            let is_waited_for = |wait: &Wait| wait.mark == probe.wait && self.is_awaited(wait);
            // Of all calls in the circle that are held back one is refused: the youngest, by whoever holds it.
            if self.waits.iter().any(is_waited_for) && age.is_some_and(|age| age > probe.youngest) {
                self.refuse(held, Circle::of(probe));
            }
            return;
        }
        if self.pass_on_from_thread(cause, &probe).is_some() {
            return;
        }
        let depth = match self.serving.iter().position(|serving| cause_of(&serving.header) == cause) {
            Some(at) => at + 1,
            None if held.is_some() => 0,
            None => return,
        };
        let Some(at) = self.innermost_wait(depth) else { return };
        if let Some(probe) = probe.pass_on(self.number(), age)
            && self.waits[at].pace.allows_one(self.time)
        {
            let Wait { link, call, .. } = self.waits[at];
            self.send_probe(link, call, &probe);
        }
    }

    /// What a peer's failure means here: names for numbers, as far as this worker may know them.
    pub(crate) fn understand(&mut self, failure: Failure, from: Destination) -> Failure {
        let Failure::Circle(circle) = failure else { return failure };
        if let Some((number, peer)) = circle.refused_by().zip(self.peer_of(from).map(Rc::clone)) {
            self.numbers.note(number, &peer);
        }
        let own = self.number();
        let role = self.welcome.as_ref().map_or("", |welcome| welcome.role.as_str());
        let name = |number| if number == own { Some(role) } else { self.numbers.name(number) };
        Failure::WouldDeadlock(circle.seen_by(own, name).into())
    }

    fn refuse(&mut self, held: Option<usize>, circle: Circle) {
        let Some(queued) = held.and_then(|at| self.queue.remove(at)) else { return };
        self.note_request_taken(&queued);
        self.answer_failure(&queued.header, &Failure::Circle(circle));
        self.discard(queued);
    }

    /// Passes a probe on that came after a call which is on a thread: after the one answer that this thread waits for. `None`
    /// if there is no such call.
    fn pass_on_from_thread(&mut self, cause: Cause, probe: &Probe) -> Option<()> {
        let (number, now) = (self.number(), self.time);
        let waited_for = self.crew.awaited_for(cause)?;
        if let Some(underway) = waited_for
            && let Some(probe) = probe.clone().pass_on(number, None)
            && underway.pace.allows_one(now)
        {
            let (link, call) = (underway.link, underway.call);
            self.send_probe(link, call, &probe);
        }
        Some(())
    }

    fn send_probe(&mut self, link: Destination, call: CallId, probe: &Probe) {
        let message = self.message_of(probe);
        let header = self.ends.get_mut(link).and_then(|end| end.link.probe(call, message.shape()).ok());
        match header {
            Some(header) => self.post_own(&header, message),
            // The next one may find room.
            None => self.return_message(message),
        }
    }

    /// The innermost wait for one answer that has not come, at this depth of requests or deeper.
    fn innermost_wait(&self, depth: usize) -> Option<usize> {
        let blocks = |wait: &Wait| wait.is_for_one && wait.depth >= depth && self.is_awaited(wait);
        self.waits.iter().rposition(blocks)
    }

    fn is_awaited(&self, wait: &Wait) -> bool {
        matches!(self.outcomes.get(wait.slot), Some(Outcome::Awaited(underway)) if underway.call == wait.call)
    }

    /// Whether a call is served when all that waits now is over, and not before. What is for a crew is not: it waits for any of
    /// several threads.
    fn is_held(&self, queued: &Queued) -> bool {
        let chain = queued.header.chain;
        is_call(&queued.header)
            && !self.is_for_crew(queued)
            && self.waits.iter().all(|wait| wait.chain != chain)
            && self.serving.iter().all(|serving| serving.frame.chain != chain)
    }

    /// Whether it is the host's, who waits in ways of its own.
    fn is_hosts(&self, queued: &Queued) -> bool {
        self.ends.get(queued.header.destination).is_none_or(|end| end.is_host)
    }

    /// For people: how the chain that is being served came here, as far as this worker can see, and where it is to go.
    pub(crate) fn way_to(&self, role: &Name, to: &Name) -> String {
        let mut way: Vec<&str> = Vec::new();
        for (at, serving) in self.serving.iter().enumerate() {
            let peer = self.peer_of(serving.header.destination).map_or(UNSEEN, |peer| peer.as_str());
            let called = self.waits.iter().find(|wait| wait.depth == at).and_then(|wait| self.peer_of(wait.link));
            if let Some(called) = called.filter(|_| at > 0).filter(|called| called.as_str() != peer) {
                way.extend([called.as_str(), UNSEEN]);
            }
            way.extend([peer, role.as_str()]);
        }
        let shown = way.len().saturating_sub(WAY_SHOWN);
        let from = if shown > 0 { &[UNSEEN][..] } else { &[] };
        [from, &way[shown..], &[to.as_str()]].concat().join(" → ")
    }

    fn number(&self) -> u32 {
        self.welcome.as_ref().map_or(0, |welcome| welcome.origin)
    }
}
