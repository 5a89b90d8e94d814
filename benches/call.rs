//! How long a typed call takes between two confined workers, beside what the machine itself needs for the same way; and
//! what tokens cost: a decision, links that are asked for, handed on and taken back, calls while the model changes, and
//! calls in a crowd.
//!
//! `cargo bench --bench call`; without `--bench` every row is only tried.

mod calls;
mod crowd;
mod decision;
mod floor;
mod handling;
mod oneways;
mod scene;

use calls::{DIRECT, DIRECT_BY_CONTRACT, RELAYED, RELAYED_BY_CONTRACT, SWITCHING};
use floor::{RAW_PAIR, RAW_RELAY, measure};

fn main() {
    let roles: Vec<_> =
        calls::ROLES.into_iter().chain(handling::ROLES).chain(oneways::ROLES).chain(crowd::roles()).collect();
    cloison_worker::roles(&roles);
    floor::serve_if_child(&[]);
    let rows = [RAW_PAIR, DIRECT, DIRECT_BY_CONTRACT, RAW_RELAY, RELAYED, RELAYED_BY_CONTRACT];
    measure("64-byte typed call between two confined workers", &rows).print();
    let rows = [RAW_RELAY, RELAYED, SWITCHING];
    measure("the same while the model changes again and again", &rows).print();
    let rows: Vec<_> = [RAW_PAIR, RAW_RELAY].into_iter().chain(oneways::ROWS).collect();
    measure("64-byte oneways between two confined workers", &rows).print();
    decision::print();
    let rows = [RAW_RELAY, RELAYED, handling::GRANT, handling::CARRY, handling::CARRY_DIRECT, handling::REVOKE];
    measure("links that are asked for, handed on, taken back", &rows).print();
    crowd::allow_descriptors();
    let rows = [RAW_PAIR, DIRECT, crowd::DIRECT, RAW_RELAY, RELAYED, crowd::RELAYED];
    measure("64-byte typed call among 200 workers with more than 1000 links", &rows).print();
}
