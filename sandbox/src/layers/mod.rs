//! The layers, as the worker puts them on.

pub(crate) mod landlocked;
pub(crate) mod limits;
pub(crate) mod namespaces;
pub(crate) mod privileges;
pub(crate) mod root;

use crate::cause::SIMULATED;
use crate::profile::Simulated;
use crate::report::Layer;
use crate::wire::Claim;

/// The worker while it confines itself: what it has claimed so far.
pub(crate) struct Dressing {
    simulated: Vec<(Layer, Simulated)>,
    pub claims: Vec<Claim>,
}

impl Dressing {
    pub fn new(simulated: Vec<(Layer, Simulated)>) -> Self {
        Self { simulated, claims: Vec::new() }
    }

    /// Puts `layer` on by `step` and claims it, or claims why it is missing. Returns whether it was really put on.
    pub fn put_on<E: std::fmt::Display>(&mut self, layer: Layer, step: impl FnOnce() -> Result<(), E>) -> bool {
        let (outcome, done) = match self.simulation(layer) {
            Some(Simulated::Missing) => (Err(SIMULATED.to_owned()), false),
            Some(Simulated::Lied) => (Ok(()), false),
            None => {
                let outcome = step().map_err(|error| error.to_string());
                let done = outcome.is_ok();
                (outcome, done)
            }
        };
        self.claims.push(Claim::new(layer, outcome));
        done
    }

    /// What a test wants of `layer`, if anything.
    pub fn simulation(&self, layer: Layer) -> Option<Simulated> {
        self.simulated.iter().find(|(l, _)| *l == layer).map(|&(_, how)| how)
    }
}
