//! A typed call of 64 bytes, and oneways of 64 bytes, between two processes: Cloison's beside those of other libraries, and
//! beside blocking calls on a raw pair of sockets, all in one run.
//!
//! `cargo bench --manifest-path benches/peers/Cargo.toml`; run by `cargo run` every row is only tried.
//!
//! Cloison's workers are confined as they are by default; the others' processes are confined by nothing.

#[expect(dead_code, reason = "one of its rows is for another bench")]
#[path = "../../calls/mod.rs"]
mod calls;
#[path = "../../floor/mod.rs"]
mod floor;
#[path = "../../oneways/mod.rs"]
mod oneways;
#[path = "../../scene/mod.rs"]
mod scene;

mod by_ipc_channel;
mod by_tarpc;
mod by_zbus;
mod host;
mod packets;

use calls::Words;
use floor::{Far, RAW_PAIR, RAW_RELAY, Row, measure};
use tokio::runtime::{Builder, Runtime};

/// So many oneways are sent in a row, and whoever receives them then says how many have come.
const ONEWAYS: u32 = 1000;

const FAR_ENDS: [Far; 5] =
    [packets::SINK, by_ipc_channel::ECHO, by_ipc_channel::LISTENER, by_tarpc::ECHO, by_zbus::PARROT];

fn main() {
    let roles: Vec<_> = calls::ROLES.into_iter().chain(oneways::ROLES).collect();
    cloison_worker::roles(&roles);
    floor::serve_if_child(&FAR_ENDS);
    measure("64-byte typed call between two processes", &call_rows()).print();
    measure("what a contract adds to a call by hand", &contract_rows()).print();
    measure("1000 oneways of 64 bytes, and an answer (in 1000 µs: 1 M/s)", &oneway_rows()).print();
}

fn call_rows() -> Vec<Row> {
    let cloison = [calls::DIRECT, calls::DIRECT_BY_CONTRACT, calls::RELAYED, calls::RELAYED_BY_CONTRACT];
    let others = [by_ipc_channel::CALL, by_tarpc::CALL, by_zbus::CALL];
    beside(RAW_PAIR, [RAW_RELAY].into_iter().chain(cloison).chain(host::ROWS).chain(others))
}

fn contract_rows() -> Vec<Row> {
    let pairs = [
        (calls::DIRECT, calls::DIRECT_BY_CONTRACT),
        (calls::RELAYED, calls::RELAYED_BY_CONTRACT),
        (host::ASYNC, host::ASYNC_BY_CONTRACT),
    ];
    pairs.into_iter().flat_map(|(by_hand, by_contract)| beside(by_hand, [by_contract])).collect()
}

fn oneway_rows() -> Vec<Row> {
    let others = [by_ipc_channel::ONEWAYS, by_zbus::ONEWAYS, by_zbus::ONEWAYS_AT_ONCE];
    beside(packets::ROW, oneways::ROWS.into_iter().chain(others))
}

/// A row, and others with their ratio to it, whatever else they are compared with elsewhere.
fn beside(floor: Row, rows: impl IntoIterator<Item = Row>) -> Vec<Row> {
    let rows = rows.into_iter().map(|row| Row { against: Some(floor.name), ..row });
    [Row { against: None, ..floor }].into_iter().chain(rows).collect()
}

/// What everything asynchronous runs on, whoever's it is: this thread, whenever it waits.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}
