//! Every order of events, one after the other.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use foldhash::quality::FixedState;

use crate::world::{Setup, Step, World};

/// How much there was to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Different states of the world.
    pub states: usize,
    /// Steps from one to another.
    pub steps: usize,
    /// States in which nothing more happens by itself.
    pub ends: usize,
    /// How many steps the longest way had that was gone: nearest first, that is the longest of the shortest ways.
    pub depth: usize,
    /// Whether all of it was seen.
    pub is_complete: bool,
}

/// What is wrong, and the shortest way there.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// What is wrong.
    pub wrong: String,
    /// What happened before.
    pub way: Vec<Step>,
    /// How much was seen until then.
    pub explored: Explored,
}

/// How a state was reached: from which other, by which step.
type Came = Option<(u64, Step)>;

/// Visits every state that can be reached, nearest first, until something is wrong or `most` were seen. States are told
/// apart by 64 bits of a hash.
///
/// # Errors
/// [`Counterexample`]: a shortest one.
pub fn explore(setup: &Setup, most: usize) -> Result<Explored, Box<Counterexample>> {
    let first = World::new(setup);
    let mut came: HashMap<u64, Came, ByPrint> = HashMap::from_iter([(print_of(&first), None)]);
    let mut explored = Explored { states: 1, is_complete: true, ..Explored::default() };
    let mut level = vec![(print_of(&first), first)];
    while !level.is_empty() {
        let mut next = Vec::new();
        for (print, world) in level {
            let steps = world.steps();
            if let Some(wrong) = wrong_in(&world, &steps) {
                let explored = Explored { states: came.len(), is_complete: false, ..explored };
                return Err(Box::new(Counterexample { wrong, way: way_to(&came, print), explored }));
            }
            explored.ends += usize::from(is_end(&steps));
            for step in steps {
                let mut after = world.clone();
                if !after.apply(step) {
                    continue;
                }
                explored.steps += 1;
                let reached = print_of(&after);
                if let Entry::Vacant(new) = came.entry(reached) {
                    new.insert(Some((print, step)));
                    next.push((reached, after));
                }
            }
            if came.len() > most {
                return Ok(Explored { states: came.len(), is_complete: false, ..explored });
            }
        }
        explored.depth += usize::from(!next.is_empty());
        level = next;
    }
    Ok(Explored { states: came.len(), ..explored })
}

/// The same states as [`explore`] sees, one way to its end before the next: of each it keeps 8 bytes, and whole worlds only
/// along the present way. For what is too large to be held in memory level by level.
///
/// # Errors
/// [`Counterexample`]: the first that is found, seldom a short one. [`explore`] finds a shortest.
pub fn explore_at_length(setup: &Setup) -> Result<Explored, Box<Counterexample>> {
    let first = World::new(setup);
    let mut seen: HashSet<u64, ByPrint> = HashSet::from_iter([print_of(&first)]);
    let mut explored = Explored { is_complete: true, ..Explored::default() };
    let mut way = vec![Stage::arrive(first, None, &mut explored)?];
    while let Some(stage) = way.last_mut() {
        let Some(step) = stage.ahead.pop() else {
            way.pop();
            continue;
        };
        let mut after = stage.world.clone();
        if !after.apply(step) {
            continue;
        }
        explored.steps += 1;
        if seen.insert(print_of(&after)) {
            explored.depth = explored.depth.max(way.len());
            let arrived = Stage::arrive(after, Some(step), &mut explored);
            way.push(arrived.map_err(|wrong| {
                let gone = way.iter().filter_map(|stage| stage.by).chain([step]).collect();
                Box::new(Counterexample { way: gone, ..*wrong })
            })?);
        }
    }
    Ok(explored)
}

/// A state on the present way.
struct Stage {
    world: World,
    /// The step that led there.
    by: Option<Step>,
    /// The steps that were not tried.
    ahead: Vec<Step>,
}

impl Stage {
    /// A state that is seen for the first time. The error's way is not known here.
    fn arrive(world: World, by: Option<Step>, explored: &mut Explored) -> Result<Self, Box<Counterexample>> {
        explored.states += 1;
        let ahead = world.steps();
        if let Some(wrong) = wrong_in(&world, &ahead) {
            let explored = Explored { is_complete: false, ..*explored };
            return Err(Box::new(Counterexample { wrong, way: Vec::new(), explored }));
        }
        explored.ends += usize::from(is_end(&ahead));
        Ok(Self { world, by, ahead })
    }
}

fn is_end(steps: &[Step]) -> bool {
    !steps.iter().any(|step| step.is_progress())
}

fn wrong_in(world: &World, steps: &[Step]) -> Option<String> {
    let wrong = world.wrong().map(ToString::to_string);
    wrong.or_else(|| if is_end(steps) { world.unfinished() } else { None })
}

fn print_of(world: &World) -> u64 {
    FixedState::default().hash_one(world)
}

/// Finds prints by themselves: they are hashes already.
type ByPrint = BuildHasherDefault<Itself>;

#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a print is 64 bits")
    }

    fn write_u64(&mut self, print: u64) {
        self.0 = print;
    }
}

fn way_to(came: &HashMap<u64, Came, ByPrint>, mut print: u64) -> Vec<Step> {
    let mut way = Vec::new();
    while let Some(Some((before, step))) = came.get(&print) {
        way.push(*step);
        print = *before;
    }
    way.reverse();
    way
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, steps, ends, depth, is_complete } = self;
        let all = if *is_complete { "all" } else { "the first" };
        write!(f, "{all} {states} states, {steps} steps, {ends} states at rest, ways of at most {depth} steps")
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (found among {} states)", self.wrong, self.explored.states)?;
        for (at, step) in self.way.iter().enumerate() {
            writeln!(f, "{:4}. {step}", at + 1)?;
        }
        Ok(())
    }
}
