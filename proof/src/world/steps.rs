//! What can happen next, and what must be true when nothing can.

use std::fmt;

use cloison_msg::{Destination, Gone, Key, Route};

use super::setup::name;
use super::worker::Life;
use super::{Fault, Fuse, HostAct, World};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The broker handles the next packet of a worker's.
    Relay(usize),
    /// A worker takes in the next packet of the broker's.
    Hear(usize),
    /// A worker reads from a link's own socket.
    Read(usize, Destination),
    /// A worker writes to a link's own socket what waited for room.
    Flush(usize, Destination),
    /// An application takes a request.
    Serve(usize),
    /// An application does the next thing on its agenda.
    Act(usize),
    /// The broker hears of a death.
    Bury(usize),
    /// The host does the next thing on one of its lists.
    Host(usize, HostAct),
    /// A worker dies.
    Crash(usize),
    /// A worker dies in the midst of taking in a packet of the broker's: after so many sends.
    CrashHearing(usize, u8),
    /// A worker dies in the midst of doing something: after so many sends.
    CrashActing(usize, u8),
    /// A worker stands still for ever.
    Freeze(usize),
    /// Time passes until somebody is late.
    Late,
}

impl Step {
    /// Whether it happens by itself sooner or later: it is nobody's whim, and no accident.
    #[must_use]
    pub const fn is_progress(self) -> bool {
        match self {
            Self::Relay(_)
            | Self::Hear(_)
            | Self::Read(..)
            | Self::Flush(..)
            | Self::Serve(_)
            | Self::Act(_)
            | Self::Bury(_) => true,
            Self::Host(..)
            | Self::Crash(_)
            | Self::CrashHearing(..)
            | Self::CrashActing(..)
            | Self::Freeze(_)
            | Self::Late => false,
        }
    }
}

impl Step {
    /// Which queue between a worker and the broker moves on, if one does: two for each worker.
    #[must_use]
    pub const fn queue(self) -> Option<usize> {
        match self {
            Self::Relay(at) => Some(2 * at),
            Self::Hear(at) => Some(2 * at + 1),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay(at) => write!(f, "the broker handles a packet from {}", name(*at)),
            Self::Hear(at) => write!(f, "{} hears the broker", name(*at)),
            Self::Read(at, link) => write!(f, "{} reads the socket of its {link}", name(*at)),
            Self::Flush(at, link) => write!(f, "{} writes what waited for the socket of its {link}", name(*at)),
            Self::Serve(at) => write!(f, "{}'s application takes a request", name(*at)),
            Self::Act(at) => write!(f, "{}'s application does the next thing on its agenda", name(*at)),
            Self::Bury(at) => write!(f, "the broker hears that {} is dead", name(*at)),
            Self::Host(_, act) => write!(f, "the host: {act:?}"),
            Self::Crash(at) => write!(f, "{} dies", name(*at)),
            Self::CrashHearing(at, sends) => write!(f, "{} hears the broker, and dies after {sends} sends", name(*at)),
            Self::CrashActing(at, sends) => write!(f, "{} acts, and dies after {sends} sends", name(*at)),
            Self::Freeze(at) => write!(f, "{} stands still", name(*at)),
            Self::Late => f.write_str("time passes"),
        }
    }
}

impl World {
    /// Everything that can happen next.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for at in 0..self.workers.len() {
            self.steps_of(at, &mut steps);
        }
        if !steps.iter().any(|step| step.is_progress())
            && self.workers.iter().any(|worker| worker.life == Life::Frozen)
            && self.router.next_deadline().is_some()
        {
            steps.push(Step::Late);
        }
        for (list, acts) in self.host.iter().enumerate() {
            steps.extend(acts.front().map(|&act| Step::Host(list, act)));
        }
        steps
    }

    fn steps_of(&self, at: usize, steps: &mut Vec<Step>) {
        let worker = &self.workers[at];
        if !worker.up.is_empty() {
            steps.push(Step::Relay(at));
        }
        match worker.life {
            Life::Dead if worker.up.is_empty() || self.has(Fault::DeathBeforeLastWords) => steps.push(Step::Bury(at)),
            Life::Runs => self.steps_alive(at, steps),
            Life::Dead | Life::Frozen | Life::Buried => {}
        }
    }

    fn steps_alive(&self, at: usize, steps: &mut Vec<Step>) {
        let worker = &self.workers[at];
        let (hears, acts) = (!worker.down.is_empty(), self.can_act(at));
        let possible = [(hears, Step::Hear(at)), (!worker.queue.is_empty(), Step::Serve(at)), (acts, Step::Act(at))];
        steps.extend(possible.into_iter().filter(|(can, _)| *can).map(|(_, step)| step));
        for (link, end) in worker.ends.iter() {
            if end.reads(self.fault).is_some_and(|plug| self.sockets.is_readable(plug)) {
                steps.push(Step::Read(at, link));
            }
            let is_writable = |plug| self.sockets.can_write(plug, self.room) != Err(super::sockets::Unsent::Full);
            if !end.outbox.is_empty() && end.socket.is_some_and(is_writable) {
                steps.push(Step::Flush(at, link));
            }
        }
        if self.crashes > 0 {
            steps.push(Step::Crash(at));
            for sends in 1..3 {
                let possible = [(hears, Step::CrashHearing(at, sends)), (acts, Step::CrashActing(at, sends))];
                steps.extend(possible.into_iter().filter(|(can, _)| *can).map(|(_, step)| step));
            }
        }
        if self.freezes > 0 {
            steps.push(Step::Freeze(at));
        }
    }

    /// Lets one thing happen; false if that comes to the same as something simpler.
    pub fn apply(&mut self, step: Step) -> bool {
        match step {
            Step::Relay(at) => self.relay(at),
            Step::Hear(at) => _ = self.hear(at),
            Step::Read(at, link) => _ = self.read(at, link),
            Step::Flush(at, link) => self.flush(at, link),
            Step::Serve(at) => self.serve(at),
            Step::Act(at) => self.act(at),
            Step::Bury(at) => self.bury(at),
            Step::Host(list, _) => self.host_acts(list),
            Step::Crash(at) => self.crash(at),
            Step::CrashHearing(at, sends) => return self.crash_in(at, sends, |world| _ = world.hear(at)),
            Step::CrashActing(at, sends) => return self.crash_in(at, sends, |world| world.act(at)),
            Step::Freeze(at) => {
                self.freezes -= 1;
                self.workers[at].life = Life::Frozen;
            }
            Step::Late => self.router.next_deadline().into_iter().for_each(|until| self.pass_time(until)),
        }
        true
    }

    /// Puts something on a worker's agenda, unless it is about a link that the worker never had.
    pub fn assign(&mut self, at: usize, act: super::Act) {
        let last = if let super::Act::Carry { by, link, .. } = act { by.max(link) } else { act.link() };
        if self.workers[at].life == Life::Runs && last < self.workers[at].names.len() {
            self.workers[at].agenda.push_back(act);
        }
    }

    /// Lets the host do something at once.
    pub fn whim(&mut self, act: HostAct) {
        self.host.push(std::iter::once(act).collect());
        self.host_acts(self.host.len() - 1);
        self.host.pop();
    }

    /// Lets a worker die.
    pub fn strike(&mut self, at: usize) {
        if self.workers[at].life == Life::Runs {
            self.kill(at);
        }
    }

    fn crash(&mut self, at: usize) {
        self.crashes -= 1;
        self.kill(at);
    }

    /// Only worth a look if there was more to be sent: one that sends no more may as well die afterwards.
    fn crash_in(&mut self, at: usize, sends: u8, step: impl FnOnce(&mut Self)) -> bool {
        self.fuse = Some(Fuse { left: sends, has_blown: false });
        step(self);
        let has_blown = self.fuse.take().is_some_and(|fuse| fuse.has_blown);
        self.crash(at);
        has_blown
    }

    /// What is not as it must be when nothing more happens by itself; `None` while something does.
    #[must_use]
    pub fn unfinished(&self) -> Option<String> {
        if self.steps().iter().any(|step| step.is_progress()) {
            return None;
        }
        if self.workers.iter().any(|worker| worker.life == Life::Frozen) {
            return None;
        }
        let missing = self.ledger.missing(|port, link| self.listens(port, link));
        missing.or_else(|| self.unrest()).or_else(|| self.undone())
    }

    /// Whether the worker at that port waits for what comes by a link, unless it is dead.
    fn listens(&self, port: Key, link: Destination) -> Option<bool> {
        let worker = self.workers.iter().find(|worker| worker.port == port && worker.life == Life::Runs)?;
        Some(!worker.closed.contains(&link) && worker.departed.get(&link) != Some(&Gone::Moved))
    }

    /// Every link is at rest, on the route that is wanted, and all agree about it.
    fn unrest(&self) -> Option<String> {
        let views = self.router.explain(None, None);
        let mut direct = 0;
        for view in &views {
            let wanted = if view.why_relayed.is_none() { Route::Direct } else { Route::Relayed };
            if view.changing || view.route != wanted {
                return Some(format!("nothing more happens, and the link did not come to rest: {view}"));
            }
            direct += usize::from(wanted == Route::Direct);
        }
        let pairs = self.sockets.kept().count();
        if pairs != direct {
            return Some(format!("the broker keeps {pairs} pairs for {direct} direct links"));
        }
        let ends = self.workers.iter().flat_map(|worker| worker.ends.iter());
        let disagree = ends.filter(|(_, end)| end.link.outbound() != end.link.inbound()).count();
        let sockets = self.workers.iter().flat_map(|worker| worker.ends.iter());
        let sockets = sockets.filter(|(_, end)| end.socket.is_some()).count();
        if disagree > 0 || sockets != 2 * direct {
            return Some("the ends of a link do not agree about its route".to_owned());
        }
        self.router.next_deadline().map(|_| "something is still waited for".to_owned())
    }

    /// Everything that was begun has ended.
    fn undone(&self) -> Option<String> {
        if !self.ledger.is_acknowledged() {
            return Some("a revocation was never acknowledged".to_owned());
        }
        let running = self.workers.iter().filter(|worker| worker.life == Life::Runs);
        running.enumerate().find_map(|(at, worker)| {
            if !worker.calls.is_empty() {
                return Some(format!("a call of {}'s never ended", name(at)));
            }
            let act = worker.agenda.front()?;
            let link = worker.names.get(act.link())?;
            let is_open = worker.ends.get(*link).is_some();
            is_open.then(|| format!("{} can never go on with {act:?}", name(at)))
        })
    }
}
