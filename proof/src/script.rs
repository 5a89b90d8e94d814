//! One script, run on both routes and on every way between them: what the workers see must be the same.
//!
//! A script has phases. In each, all workers talk at once, and at most one thing happens to the links (one is copied,
//! moved, closed or revoked, or a worker dies). A phase ends when nothing more happens by itself.

use std::fmt;

use cloison_broker::Model;
use cloison_msg::{DescriptorClasses, Rights, RpcSet, Transfer};

use crate::random::Random;
use crate::world::{Act, Diary, HostAct, INTERFACE, Outcome, Setup, Step, World};

/// How many workers a script has.
const WORKERS: usize = 3;

/// Something that happens to links while everybody talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// A worker does this with one of its links.
    Act(usize, Act),
    Revoke(usize),
    Crash(usize),
    /// A worker's application takes nothing in this phase.
    Deafen(usize),
}

#[derive(Clone, Debug)]
struct Phase {
    said: Vec<(usize, Act)>,
    event: Option<Event>,
}

/// What happens, in which order as far as there is one.
#[derive(Clone, Debug)]
pub struct Script {
    rights: Rights,
    phases: Vec<Phase>,
}

/// How the links of a world run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// All relayed.
    Broker,
    /// All direct, as far as their rights allow.
    Orchestrator,
    /// Now this, now that, at any moment.
    Switching,
    /// The same, and everybody is slow in turn.
    Delaying,
}

impl Regime {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Broker, Self::Orchestrator, Self::Switching, Self::Delaying];
}

/// Two runs of one script that differ, or one that went wrong.
#[derive(Debug)]
pub struct Difference {
    what: String,
    script: Script,
}

impl Script {
    /// The script of this seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = Random(seed);
        let methods = RpcSet::first(2);
        let mut rights = Rights::methods(methods).delegable();
        if random.is(4) {
            rights = rights.passing(DescriptorClasses::PIPE);
        }
        let phases = (0..2 + random.below(3)).map(|_| Phase::draw(&mut random)).collect();
        Self { rights, phases }
    }

    /// Runs it in this way; what was seen in each phase.
    ///
    /// # Errors
    /// What went wrong.
    pub fn run(&self, regime: Regime, seed: u64) -> Result<Vec<Diary>, String> {
        let model = if regime == Regime::Orchestrator { Model::Orchestrator } else { Model::Broker };
        let setup = Setup {
            links: vec![[0, 1], [0, 2], [1, 2]],
            agendas: vec![Vec::new(); WORKERS],
            rights: self.rights.clone(),
            denies: true,
            ..Setup::two(model, [Vec::new(), Vec::new()])
        };
        let mut run = Run { world: World::new(&setup), regime, random: Random(seed), slow: 0 };
        run.world.note_from_now();
        self.phases.iter().map(|phase| run.phase(phase)).collect()
    }

    /// Runs it in every way and compares what was seen.
    ///
    /// # Errors
    /// [`Difference`].
    pub fn compare(&self, seed: u64) -> Result<(), Box<Difference>> {
        let differs = |what: String| Box::new(Difference { what, script: self.clone() });
        let mut first = None;
        for regime in Regime::ALL {
            let saw = self.run(regime, seed).map_err(|wrong| differs(format!("{regime:?}: {wrong}")))?;
            let other = first.get_or_insert_with(|| saw.clone());
            for (at, (phase, (one, two))) in self.phases.iter().zip(other.iter().zip(&saw)).enumerate() {
                compare(one, two, phase.cut()).map_err(|what| differs(format!("{regime:?}, phase {at}: {what}")))?;
            }
        }
        Ok(())
    }
}

/// What happens to a link in the midst of what is said over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Nothing: all is seen.
    No,
    /// It may end: some beginning is seen.
    Ends,
    /// It may change hands: the former holder sees some beginning, the new one the rest.
    Moves,
}

fn compare(one: &Diary, two: &Diary, cut: Cut) -> Result<(), String> {
    let links = one.requests.keys().chain(two.requests.keys());
    for link in links {
        let [a, b] = [one, two].map(|diary| diary.requests.get(link).map(Vec::as_slice).unwrap_or_default());
        let is_same = match cut {
            Cut::No => a == b,
            Cut::Ends => a.starts_with(b) || b.starts_with(a),
            Cut::Moves => a.starts_with(b) || b.starts_with(a) || a.ends_with(b) || b.ends_with(a),
        };
        if !is_same {
            return Err(format!("worker and link {link:?}: {a:?} and {b:?}"));
        }
    }
    for call in one.outcomes.keys().chain(two.outcomes.keys()) {
        let both = [one, two].map(|diary| diary.outcomes.get(call).copied());
        let is_lost = both.iter().any(|outcome| matches!(outcome, None | Some(Outcome::Gone)));
        if both[0] != both[1] && (cut == Cut::No || !is_lost) {
            return Err(format!("the call of worker, link and number {call:?}: {both:?}"));
        }
    }
    Ok(())
}

impl Phase {
    const fn cut(&self) -> Cut {
        match self.event {
            None => Cut::No,
            Some(Event::Act(_, Act::Carry { .. })) => Cut::Moves,
            Some(_) => Cut::Ends,
        }
    }

    fn draw(random: &mut Random) -> Self {
        let said = (0..random.below(7)).map(|_| (random.below(WORKERS), say(random))).collect();
        let link = random.below(2);
        let event = match random.below(8) {
            0 => {
                let transfer = if random.is(2) { Transfer::Copy } else { Transfer::Move };
                let methods = if random.is(2) { RpcSet::first(1) } else { RpcSet::ALL };
                Some(Event::Act(random.below(WORKERS), Act::Carry { by: 1 - link, link, transfer, methods }))
            }
            1 => Some(Event::Act(random.below(WORKERS), Act::Close { link })),
            2 => Some(Event::Revoke(random.below(4))),
            3 => Some(Event::Crash(random.below(WORKERS))),
            4 => Some(Event::Deafen(random.below(WORKERS))),
            _ => None,
        };
        Self { said, event }
    }
}

fn say(random: &mut Random) -> Act {
    let descriptors = u8::from(random.is(4));
    let rpc = u16::try_from(random.below(3)).unwrap_or_default();
    Act::Say { link: random.below(3), is_call: random.is(2), rpc, descriptors }
}

/// A script on its way.
struct Run {
    world: World,
    regime: Regime,
    random: Random,
    /// The worker that is slow at the moment.
    slow: usize,
}

impl Run {
    fn phase(&mut self, phase: &Phase) -> Result<Diary, String> {
        for &(at, act) in &phase.said {
            self.world.assign(at, act);
        }
        let mut event = phase.event;
        let deaf = if let Some(Event::Deafen(at)) = event { Some(at) } else { None };
        let mut whims = 3;
        loop {
            let mut steps: Vec<Step> = self.world.steps().into_iter().filter(|step| step.is_progress()).collect();
            steps.retain(|step| !matches!((step, deaf), (Step::Serve(at), Some(deaf)) if *at == deaf));
            if steps.is_empty() || self.random.is(8) {
                match event.take() {
                    Some(event) => {
                        self.happen(event);
                        continue;
                    }
                    None if steps.is_empty() => break,
                    None => {}
                }
            }
            if whims > 0 && self.random.is(12) {
                whims -= 1;
                self.flip();
            }
            let step = self.choose(&steps);
            self.world.apply(step);
            if let Some(wrong) = self.world.wrong() {
                return Err(wrong.to_string());
            }
        }
        match (deaf, self.world.unfinished()) {
            (None, Some(wrong)) => Err(wrong),
            _ => Ok(self.world.note_from_now()),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Act(at, act) => self.world.assign(at, act),
            Event::Revoke(link) => self.world.whim(HostAct::Revoke(link)),
            Event::Crash(at) => self.world.strike(at),
            Event::Deafen(_) => {}
        }
    }

    fn flip(&mut self) {
        if matches!(self.regime, Regime::Switching | Regime::Delaying) {
            let model = if self.random.is(2) { Model::Broker } else { Model::Orchestrator };
            self.world.whim(HostAct::Model(model));
        }
    }

    fn choose(&mut self, steps: &[Step]) -> Step {
        if self.regime != Regime::Delaying {
            return steps[self.random.below(steps.len())];
        }
        if self.random.is(16) {
            self.slow = self.random.below(2 * WORKERS);
        }
        let fast: Vec<Step> = steps.iter().copied().filter(|step| step.queue() != Some(self.slow)).collect();
        let steps = if fast.is_empty() { steps } else { &fast };
        steps[self.random.below(steps.len())]
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        writeln!(f, "rights: {} (methods of {})", self.script.rights, INTERFACE.name())?;
        for (at, phase) in self.script.phases.iter().enumerate() {
            writeln!(f, "phase {at}: {:?}, while {:?}", phase.event, phase.said)?;
        }
        Ok(())
    }
}
