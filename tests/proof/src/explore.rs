//! Every order of events, one after the other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

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
    /// How many steps the longest of the shortest ways has.
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
    let mut came: HashMap<u64, Came> = HashMap::from([(print_of(&first), None)]);
    let mut explored = Explored { states: 1, is_complete: true, ..Explored::default() };
    let mut level = vec![(print_of(&first), first)];
    while !level.is_empty() {
        let mut next = Vec::new();
        for (print, world) in level {
            if let Some(wrong) = world.wrong().map(ToString::to_string).or_else(|| world.unfinished()) {
                let explored = Explored { states: came.len(), is_complete: false, ..explored };
                return Err(Box::new(Counterexample { wrong, way: way_to(&came, print), explored }));
            }
            let steps = world.steps();
            explored.ends += usize::from(!steps.iter().any(|step| step.is_progress()));
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

fn print_of(world: &World) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(world)
}

fn way_to(came: &HashMap<u64, Came>, mut print: u64) -> Vec<Step> {
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
        write!(f, "{all} {states} states, {steps} steps, {ends} states at rest, at most {depth} steps away")
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
