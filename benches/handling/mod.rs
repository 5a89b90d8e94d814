//! Links that are asked for, handed on and taken back.

use std::os::fd::OwnedFd;
use std::time::Instant;

use cloison_broker::msg::{CallFailure, Denial, Failure, Interface, Message, Rights};
use cloison_broker::{Broker, HOST, Model, Rules, WorkerSpec};
use cloison_worker::{Request, Role, ServeError, Worker};

use crate::floor::{Placement, Row, Running, pin};
use crate::scene::{self, MEASURER, Scene};

/// A link that a worker opens and closes.
pub const GRANT: Row =
    Row { name: "open and close a link", against: Some("call, through the broker"), start: start_grant };
/// A call that carries a copy of a link, which its receiver closes.
pub const CARRY: Row = Row {
    name: "call with a link, relayed",
    against: Some("call, through the broker"),
    start: |at| start_carry(at, Model::Broker),
};
/// The same over a direct link: an excursion.
pub const CARRY_DIRECT: Row = Row {
    name: "call with a link, direct",
    against: Some("call, through the broker"),
    start: |at| start_carry(at, Model::Orchestrator),
};
/// From the host's wish to the acknowledgement that nothing more is delivered.
pub const REVOKE: Row = Row { name: "revoke a link", against: Some("call, through the broker"), start: start_revoke };

/// What this executable can be as a worker.
pub const ROLES: [Role<'static, ServeError>; 4] = [
    ("opener", opener),
    ("giver", giver),
    ("keeper", |worker| worker.serve(keep)),
    ("third", |worker| worker.serve(keep)),
];

const KEEP: Interface = Interface::new("keep", &["keep"]);

/// Takes what it is given, and lets go of it.
fn keep(_: &Worker, request: &mut Request<'_>, _: &mut Message<OwnedFd>) -> Result<(), Failure> {
    while request.recv_link().is_ok_and(|link| {
        link.close();
        true
    }) {}
    Ok(())
}

fn remote(error: impl std::fmt::Display) -> Failure {
    Failure::remote(0, error.to_string())
}

fn opener(worker: &Worker) -> Result<(), ServeError> {
    scene::measure(worker, |worker, ()| {
        let worker = worker.clone();
        move || {
            worker.open("keeper", &KEEP).map_err(remote)?.close();
            Ok(())
        }
    })
}

fn giver(worker: &Worker) -> Result<(), ServeError> {
    scene::measure(worker, |worker, ()| {
        let keeper = worker.open("keeper", &KEEP).expect("the policy allows it");
        let third = worker.open("third", &KEEP).expect("the policy allows it");
        let mut message = Message::new();
        move || {
            // A worker may have given so many copies; the broker has yet to hear that the last ones were closed.
            loop {
                message.clear().append_link(&third, &Rights::methods(KEEP.all()))?;
                match keeper.call(KEEP.method("keep"), &mut message).map_err(|error| error.why) {
                    Ok(_) => return Ok(()),
                    Err(CallFailure::Failed(Failure::Denied(Denial::Links))) => {}
                    Err(why) => return Err(remote(why)),
                }
            }
        }
    })
}

fn policy() -> Rules {
    let handed = Rights::methods(KEEP.all()).delegable();
    Rules::new()
        .allow(HOST, "opener", &MEASURER)
        .allow(HOST, "giver", &MEASURER)
        .allow(HOST, "keeper", &KEEP)
        .allow("opener", "keeper", &KEEP)
        .allow("giver", "keeper", &KEEP)
        .allow_with("giver", "third", &KEEP, handed)
}

fn start_grant(placement: Placement) -> Running {
    let roles: &[_] = &[("opener", 0), ("keeper", 2)];
    let scene = Scene { policy: policy(), model: Model::Broker, roles, host: scene::idle, beside: None };
    scene::start(placement, scene, ())
}

fn start_carry(placement: Placement, model: Model) -> Running {
    let roles: &[_] = &[("giver", 0), ("keeper", 1), ("third", 1)];
    scene::start(placement, Scene { policy: policy(), model, roles, host: scene::idle, beside: None }, ())
}

/// The host revokes its own link to a worker, which confirms.
fn start_revoke(placement: Placement) -> Running {
    pin(None, placement.core(1));
    let (broker, inbox) = Broker::start(policy(), Model::Broker).expect("a broker");
    let host = std::thread::spawn(move || scene::idle(inbox));
    pin(None, placement.core(0));
    broker.spawn(WorkerSpec::own("keeper").expect("a role")).expect("a confined worker");
    let processes: Vec<u32> = broker.workers().iter().filter_map(|worker| worker.pid).collect();
    for process in &processes {
        pin(Some(*process), placement.core(0));
    }
    let broker = scene::Ends::new(broker, host);
    Running::new(processes, Vec::new(), move |count, took| {
        for _ in 0..count {
            let _link = broker.open("keeper", &KEEP).expect("granted");
            let view = broker.explain(HOST, "keeper").pop().expect("it is there");
            let start = Instant::now();
            broker.link(view.id).revoke().wait();
            took.push(start.elapsed());
        }
    })
}
