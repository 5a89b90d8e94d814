//! How long a typed call takes between two confined workers, beside what the machine itself needs for the same way.
//!
//! `cargo bench --bench call`; without `--bench` every row is only tried.

mod calls;
mod crew;
mod floor;

fn main() {
    cloison_worker::roles(&calls::ROLES);
    floor::serve_if_child(&[]);
    let rows = [
        floor::RAW_PAIR,
        calls::DIRECT,
        calls::DIRECT_BY_CONTRACT,
        floor::RAW_RELAY,
        calls::RELAYED,
        calls::RELAYED_BY_CONTRACT,
    ];
    floor::measure("64-byte typed call between two confined workers", &rows).print();
}
