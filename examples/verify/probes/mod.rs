//! The probes, by what they are after.

mod controls;
mod files;
mod kernel;
mod memory;
mod network;
mod own;
mod processes;

use crate::probe::{Outcome, Probe, Wanted, World};

/// All probes, in the order of the table.
pub fn all() -> Vec<Probe> {
    [
        controls::probes(),
        files::probes(),
        network::probes(),
        processes::probes(),
        kernel::probes(),
        memory::probes(),
        own::probes(),
    ]
    .concat()
    .into_iter()
    .map(|(group, name, wanted, attempt)| Probe { group, name, wanted, attempt })
    .collect()
}

/// A probe as the tables below write it: group, name, what is wanted, the attempt.
type Row = (&'static str, &'static str, Wanted, fn(&World) -> Outcome);
