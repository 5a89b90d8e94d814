//! A checker that finds nothing proves nothing: every rule that is broken on purpose is noticed.

use cloison_broker::Model;
use cloison_msg::{RpcSet, Transfer};
use cloison_proof::explore::explore;
use cloison_proof::world::{Act, Fault, HostAct, LARGE, Setup};

const ONEWAY: Act = Act::Oneway { link: 0, size: 8 };
const CALL: Act = Act::Call { link: 0, size: 8 };
const CANCEL: Act = Act::Cancel { link: 0 };
const BIG: Act = Act::Oneway { link: 0, size: LARGE };
const OTHER: Act = Act::Oneway { link: 1, size: 8 };
const COPY: Act = Act::Carry { by: 1, link: 0, transfer: Transfer::Copy, methods: RpcSet::ALL };
const MOVE: Act = Act::Carry { by: 1, link: 0, transfer: Transfer::Move, methods: RpcSet::ALL };

fn two(agendas: [Vec<Act>; 2]) -> Setup {
    Setup::two(Model::Broker, agendas)
}

fn switching(agendas: [Vec<Act>; 2]) -> Setup {
    two(agendas).host([HostAct::Model(Model::Orchestrator), HostAct::Model(Model::Broker)])
}

fn three(model: Model, agendas: [Vec<Act>; 3]) -> Setup {
    Setup { model, links: vec![[0, 1], [0, 2]], agendas: agendas.into(), ..two([vec![], vec![]]) }
}

/// A small world in which the broken rule matters.
fn setup(fault: Fault) -> Setup {
    let direct = |agendas| Setup { model: Model::Orchestrator, ..two(agendas) }.host([HostAct::Model(Model::Broker)]);
    match fault {
        Fault::ReadEarly | Fault::NoDrain | Fault::NoSwitch | Fault::LeftLate | Fault::SettleEarly | Fault::NoShut => {
            switching([vec![ONEWAY, ONEWAY], vec![CALL]])
        }
        Fault::SwitchUnrested => {
            direct([vec![ONEWAY], vec![]]).host([HostAct::Model(Model::Broker), HostAct::Model(Model::Orchestrator)])
        }
        Fault::SwitchLate => two([vec![ONEWAY], vec![]]).host([HostAct::Model(Model::Orchestrator)]).crashes(1),
        Fault::LoseOutbox | Fault::OutboxBehind => direct([vec![ONEWAY, ONEWAY, ONEWAY], vec![]]),
        Fault::OutboxUncounted => direct([vec![BIG, BIG, BIG], vec![]]),
        Fault::ReceiptUnseen => switching([vec![BIG, BIG, BIG, BIG], vec![]]),
        Fault::NoLastDrain | Fault::NoCut | Fault::DeathBeforeLastWords => direct([vec![ONEWAY], vec![]]).crashes(1),
        Fault::DeliverAfterRelease | Fault::AcknowledgeEarly => two([vec![ONEWAY], vec![]]).host([HostAct::Revoke(0)]),
        Fault::ServeCancelled => two([vec![CALL, CANCEL], vec![]]),
        Fault::CancelAstray => switching([vec![CALL, CANCEL], vec![]]),
        Fault::NoExcursion | Fault::ExcursionAhead => {
            three(Model::Orchestrator, [vec![OTHER, OTHER, COPY, OTHER], vec![], vec![]])
        }
        Fault::MessageBeforeGrant => three(Model::Broker, [vec![COPY], vec![], vec![]]),
        Fault::ReuseCallIds => three(Model::Broker, [vec![CALL, MOVE], vec![], vec![Act::Call { link: 1, size: 8 }]]),
        Fault::MoveUnheard => three(Model::Broker, [vec![MOVE], vec![CALL], vec![Act::Call { link: 1, size: 8 }]]),
        Fault::MoveUnrested | Fault::RestEarly => {
            three(Model::Broker, [vec![MOVE], vec![], vec![]]).host([HostAct::Model(Model::Orchestrator)])
        }
    }
}

#[test]
fn every_broken_rule_is_noticed() {
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        explore(&setup(fault), 200_000).unwrap_or_else(|wrong| panic!("{fault:?}, without it: {wrong}"));
        match explore(&setup(fault).fault(fault), 200_000) {
            Ok(explored) => missed.push(format!("{fault:?}: {explored}")),
            Err(counterexample) => println!("{fault:?}: {counterexample}"),
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:#?}");
}
