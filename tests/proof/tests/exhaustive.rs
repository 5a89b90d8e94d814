//! The protocol, in every order of events.

use cloison_broker::Model;
use cloison_msg::{RpcSet, Transfer};
use cloison_proof::explore::{Counterexample, Explored, explore, explore_at_length};
use cloison_proof::world::{Act, HostAct, LARGE, Setup};

const ONEWAY: Act = Act::Oneway { link: 0, size: 8 };
const CALL: Act = Act::Call { link: 0, size: 8 };
const CANCEL: Act = Act::Cancel { link: 0 };
const STREAM: Act = Act::Stream { link: 0 };
const ITEM: Act = Act::Item { link: 0 };
const BIG: Act = Act::Oneway { link: 0, size: LARGE };
const THERE_AND_BACK: [HostAct; 2] = [HostAct::Model(Model::Orchestrator), HostAct::Model(Model::Broker)];

/// Says so when the larger worlds are to be explored, too, which takes minutes.
const ALL: &str = "CLOISON_EXPLORE_ALL";

fn holds(name: &str, setup: &Setup) {
    holds_by(name, explore(setup, usize::MAX));
}

fn holds_by(name: &str, explored: Result<Explored, Box<Counterexample>>) {
    match explored {
        Ok(explored) => {
            println!("{name}: {explored}");
            assert!(explored.is_complete && explored.ends > 0);
        }
        Err(counterexample) => panic!("{name}: {counterexample}"),
    }
}

/// A world that is too large for every day.
fn holds_at_length(name: &str, setup: &Setup) {
    if std::env::var_os(ALL).is_some() {
        holds_by(name, explore_at_length(setup));
    } else {
        println!("{name}: set {ALL}");
    }
}

fn three_each() -> Setup {
    Setup::two(Model::Broker, [vec![ONEWAY, CALL, ONEWAY], vec![CALL, ONEWAY, ONEWAY]]).host(THERE_AND_BACK)
}

#[test]
fn three_messages_each_way() {
    holds_at_length("three each way", &three_each());
}

#[test]
fn three_messages_each_way_and_a_death() {
    holds_at_length("three each way, crash", &three_each().crashes(1));
}

#[test]
fn three_messages_each_way_and_a_revocation() {
    holds_at_length("three each way, revoke", &three_each().host([HostAct::Revoke(0)]));
}

#[test]
fn three_messages_each_way_a_death_and_a_revocation() {
    holds_at_length("three each way, crash, revoke", &three_each().crashes(1).host([HostAct::Revoke(0)]));
}

#[test]
fn two_messages_each_way_a_death_and_a_revocation() {
    let setup = Setup::two(Model::Broker, [vec![ONEWAY, CALL], vec![CALL, ONEWAY]]).host(THERE_AND_BACK);
    holds_at_length("two each way, crash, revoke", &setup.crashes(1).host([HostAct::Revoke(0)]));
}

#[test]
fn a_death_and_a_revocation() {
    let setup = Setup::two(Model::Broker, [vec![ONEWAY], vec![CALL]]).host(THERE_AND_BACK);
    holds("crash, revoke", &setup.crashes(1).host([HostAct::Revoke(0)]));
}

#[test]
fn what_was_said_before_a_close_arrives() {
    let close = Act::Close { link: 0 };
    holds("close", &Setup::two(Model::Broker, [vec![ONEWAY, CALL, close], vec![CALL]]).host(THERE_AND_BACK));
}

#[test]
fn a_link_switches_there_and_back() {
    holds("there and back", &Setup::two(Model::Broker, [vec![ONEWAY, CALL], vec![CALL]]).host(THERE_AND_BACK));
}

/// Whether it was served, is being served, or has not left: each call ends once, and its answer is heard by nobody.
#[test]
fn a_call_is_given_up_while_routes_change() {
    let setup = Setup::two(Model::Broker, [vec![CALL, CANCEL, CALL], vec![ONEWAY]]);
    holds("cancel", &setup.host(THERE_AND_BACK));
}

#[test]
fn a_call_is_given_up_and_somebody_dies() {
    let setup = Setup::two(Model::Broker, [vec![CALL, CANCEL], vec![CALL, CANCEL]]);
    holds("cancel, crash", &setup.host([HostAct::Model(Model::Orchestrator)]).crashes(1));
}

#[test]
fn more_calls_are_given_up_than_a_socket_holds() {
    let acts = vec![CALL, CALL, CANCEL, CANCEL, ONEWAY];
    let setup = Setup { model: Model::Orchestrator, ..Setup::two(Model::Broker, [acts, vec![]]) };
    holds("cancels in an outbox", &setup.host([HostAct::Model(Model::Broker)]));
}

#[test]
fn a_link_moves_whose_calls_were_given_up() {
    let setup = three(vec![CALL, CANCEL, moving()], vec![CALL, CANCEL], vec![Act::Call { link: 1, size: 8 }]);
    holds("cancel and move", &setup);
}

/// Items are messages like others: in order, and none lost, whichever way they go.
#[test]
fn a_stream_goes_on_while_routes_change() {
    let setup = Setup::two(Model::Broker, [vec![STREAM, ITEM], vec![ONEWAY]]);
    holds("stream", &setup.host(THERE_AND_BACK));
}

#[test]
fn a_stream_is_under_way_and_somebody_dies() {
    let setup = Setup::two(Model::Broker, [vec![STREAM, ITEM], vec![STREAM]]);
    holds("stream, crash", &setup.host([HostAct::Model(Model::Orchestrator)]).crashes(1));
}

#[test]
fn a_link_moves_whose_call_has_streams() {
    let setup = three(vec![STREAM, ITEM, moving()], vec![STREAM], vec![Act::Stream { link: 1 }]);
    holds("stream and move", &setup);
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
    Setup {
        links: vec![[0, 1], [0, 2]],
        agendas: vec![first, second, third],
        ..Setup::two(Model::Broker, [vec![], vec![]])
    }
}

#[test]
fn a_message_carries_a_copy_by_a_direct_link() {
    let carry = Act::Carry { by: 1, link: 0, transfer: Transfer::Copy, methods: RpcSet::ALL };
    let near = Act::Oneway { link: 1, size: 8 };
    let setup = three(vec![near, carry, near], vec![], vec![]);
    holds("excursion", &Setup { model: Model::Orchestrator, ..setup });
}

#[test]
fn a_link_moves() {
    let carry = Act::Carry { by: 1, link: 0, transfer: Transfer::Move, methods: RpcSet::ALL };
    let setup = three(vec![CALL, carry], vec![CALL, ONEWAY], vec![Act::Call { link: 1, size: 8 }]);
    holds("move", &setup);
}

fn moving() -> Act {
    Act::Carry { by: 1, link: 0, transfer: Transfer::Move, methods: RpcSet::ALL }
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
    holds("receipts", &Setup { model: Model::Orchestrator, room: 2, ..setup });
}

#[test]
fn both_ends_of_a_link_move() {
    let [first, second] = [moving(), Act::Carry { by: 1, link: 0, transfer: Transfer::Move, methods: RpcSet::ALL }];
    let setup = Setup {
        links: vec![[0, 1], [0, 2], [1, 3]],
        agendas: vec![
            vec![first],
            vec![second],
            vec![Act::Call { link: 1, size: 8 }],
            vec![Act::Call { link: 1, size: 8 }],
        ],
        ..Setup::two(Model::Broker, [vec![], vec![]])
    };
    holds("both move", &setup);
}

#[test]
fn whoever_stands_still_is_late_and_nobody_else() {
    let setup = Setup::two(Model::Broker, [vec![ONEWAY], vec![CALL]]).host(THERE_AND_BACK).freezes(1);
    holds("freeze", &setup.host([HostAct::Revoke(0)]));
}

#[test]
fn somebody_dies_in_the_midst_of_an_excursion() {
    let carry = Act::Carry { by: 1, link: 0, transfer: Transfer::Copy, methods: RpcSet::ALL };
    let near = Act::Oneway { link: 1, size: 8 };
    let setup = three(vec![near, carry, near], vec![], vec![]).crashes(1);
    holds("excursion, crash", &Setup { model: Model::Orchestrator, ..setup });
}

#[test]
fn a_copy_is_revoked_with_its_parent() {
    let carry = Act::Carry { by: 1, link: 0, transfer: Transfer::Copy, methods: RpcSet::ALL };
    let setup = three(vec![carry], vec![], vec![Act::Oneway { link: 1, size: 8 }]);
    holds("copy and revoke", &setup.host([HostAct::Revoke(0)]));
}

#[test]
fn somebody_dies_while_a_link_moves() {
    holds("move, crash", &three(vec![moving()], vec![CALL], vec![Act::Call { link: 1, size: 8 }]).crashes(1));
}

#[test]
fn a_link_moves_while_routes_change() {
    let setup = three(vec![ONEWAY, moving()], vec![ONEWAY], vec![]).host([HostAct::Model(Model::Broker)]);
    holds_at_length("move and switch", &Setup { model: Model::Orchestrator, ..setup });
}
