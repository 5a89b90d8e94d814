//! The protocol, in every order of events.

use cloison_broker::Model;
use cloison_msg::Transfer;
use cloison_proof::explore::explore;
use cloison_proof::world::{Act, HostAct, LARGE, Setup};

const ONEWAY: Act = Act::Oneway { link: 0, size: 8 };
const CALL: Act = Act::Call { link: 0, size: 8 };
const BIG: Act = Act::Oneway { link: 0, size: LARGE };
const THERE_AND_BACK: [HostAct; 2] = [HostAct::Model(Model::Orchestrator), HostAct::Model(Model::Broker)];

fn holds(name: &str, setup: &Setup) {
    let most = std::env::var("STATES").ok().and_then(|most| most.parse().ok()).unwrap_or(3_000_000);
    let since = std::time::Instant::now();
    match explore(setup, most) {
        Ok(explored) => {
            println!("{name}: {explored} ({:.1?})", since.elapsed());
        }
        Err(counterexample) => panic!("{name}: {counterexample}"),
    }
}

#[test]
fn a_link_switches_there_and_back() {
    holds("there and back", &Setup::two(Model::Broker, [vec![ONEWAY, CALL], vec![CALL]]).host(THERE_AND_BACK));
}

#[test]
fn a_worker_dies() {
    holds("crash", &Setup::two(Model::Broker, [vec![ONEWAY], vec![ONEWAY]]).host(THERE_AND_BACK).crashes(1));
}

#[test]
fn a_link_is_revoked() {
    let setup = Setup::two(Model::Broker, [vec![ONEWAY], vec![CALL]]).host(THERE_AND_BACK);
    holds("revoke", &setup.host([HostAct::Revoke(0)]));
}

#[test]
fn a_window_is_full() {
    holds("window", &Setup::two(Model::Broker, [vec![BIG, BIG, BIG], vec![]]).host(THERE_AND_BACK));
}

fn three(first: Vec<Act>, second: Vec<Act>, third: Vec<Act>) -> Setup {
    Setup { links: vec![[0, 1], [0, 2]], agendas: vec![first, second, third], ..Setup::two(Model::Broker, [vec![], vec![]]) }
}

#[test]
fn a_message_carries_a_copy_by_a_direct_link() {
    let carry = Act::Carry { by: 1, link: 0, transfer: Transfer::Copy };
    let near = Act::Oneway { link: 1, size: 8 };
    let setup = three(vec![near, carry, near], vec![], vec![]);
    holds("excursion", &Setup { model: Model::Orchestrator, ..setup });
}

#[test]
fn a_link_moves() {
    let carry = Act::Carry { by: 1, link: 0, transfer: Transfer::Move };
    let setup = three(vec![CALL, carry], vec![CALL, ONEWAY], vec![Act::Call { link: 1, size: 8 }]);
    holds("move", &setup);
}

fn moving() -> Act {
    Act::Carry { by: 1, link: 0, transfer: Transfer::Move }
}

#[test]
fn a_moved_link_is_revoked() {
    let setup = three(vec![moving()], vec![ONEWAY, CALL], vec![]);
    holds("move and revoke", &setup.host([HostAct::Revoke(0)]));
}

#[test]
fn a_direct_link_moves_while_receipts_are_under_way() {
    let big = Act::Oneway { link: 0, size: LARGE / 2 + 100 };
    let setup = three(vec![big, big, moving()], vec![], vec![]);
    holds("receipts", &setup.host(THERE_AND_BACK));
}

#[test]
fn both_ends_of_a_link_move() {
    let [first, second] = [moving(), Act::Carry { by: 1, link: 0, transfer: Transfer::Move }];
    let setup = Setup {
        links: vec![[0, 1], [0, 2], [1, 3]],
        agendas: vec![vec![first], vec![second], vec![Act::Call { link: 1, size: 8 }], vec![Act::Call { link: 1, size: 8 }]],
        ..Setup::two(Model::Broker, [vec![], vec![]])
    };
    holds("both move", &setup);
}

#[test]
fn whoever_stands_still_is_late_and_nobody_else() {
    let setup = Setup::two(Model::Broker, [vec![ONEWAY], vec![CALL]]).host(THERE_AND_BACK).freezes(1);
    holds("freeze", &setup.host([HostAct::Revoke(0)]));
}
