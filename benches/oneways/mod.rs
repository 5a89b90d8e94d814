//! Two confined workers, one of which sends the other many small oneways, each in a packet of its own or sharing packets.

use std::cell::Cell;
use std::os::fd::OwnedFd;

use cloison_broker::msg::{Failure, Interface, Message, RpcIndex};
use cloison_broker::{HOST, Model, Rules};
use cloison_worker::{Request, Role, ServeError, Worker};

use crate::floor::{Placement, Row, Running};
use crate::scene::{self, MEASURER, Scene};

/// So many oneways, and a call behind them that says how many have come.
const COUNT: u32 = 1000;

/// What each of them carries.
const PAYLOAD: [u8; 64] = [7; 64];

/// Rows over a socket of the link's own, then over the broker.
pub const ROWS: [Row; 4] = [
    Row { name: "1000 oneways, direct", against: Some("raw pair"), start: |at| start(at, Model::Orchestrator, false) },
    Row {
        name: "1000 in batches, direct",
        against: Some("1000 oneways, direct"),
        start: |at| start(at, Model::Orchestrator, true),
    },
    Row {
        name: "1000 oneways, by the broker",
        against: Some("raw relay"),
        start: |at| start(at, Model::Broker, false),
    },
    Row {
        name: "1000 in batches, by the broker",
        against: Some("1000 oneways, by the broker"),
        start: |at| start(at, Model::Broker, true),
    },
];

/// What this executable can be as a worker.
pub const ROLES: [Role<'static, ServeError>; 2] = [("teller", teller), ("listener", listener)];

const TOLD: Interface = Interface::new("told", &["tell", "count"]);
const TELL: RpcIndex = TOLD.method("tell");
const HOW_MANY: RpcIndex = TOLD.method("count");

fn listener(worker: &Worker) -> Result<(), ServeError> {
    let count = Cell::new(0u32);
    worker.serve(move |_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>| {
        if request.rpc() == TELL {
            let bytes: &[u8] = request.recv()?;
            count.set(count.get() + u32::from(bytes == PAYLOAD));
        } else {
            reply.append(&count.take())?;
        }
        Ok(())
    })
}

fn teller(worker: &Worker) -> Result<(), ServeError> {
    scene::measure(worker, |worker, batched: bool| {
        let link = worker.open("listener", &TOLD).expect("the policy allows it");
        let mut message = Message::new();
        move || {
            let failed = |error| Failure::remote(0, format!("{error}"));
            let batch = batched.then(|| link.batch());
            for _ in 0..COUNT {
                message.append_bytes(&PAYLOAD)?;
                link.oneway(TELL, &mut message).map_err(failed)?;
            }
            drop(batch);
            assert_eq!(link.call(HOW_MANY, &mut message).map_err(failed)?.value::<u32>()?, COUNT);
            Ok(())
        }
    })
}

fn start(placement: Placement, model: Model, batched: bool) -> Running {
    let policy = Rules::new().allow(HOST, "teller", &MEASURER).allow("teller", "listener", &TOLD);
    let roles: &[_] = match model {
        Model::Orchestrator => &[("teller", 0), ("listener", 1)],
        Model::Broker => &[("teller", 0), ("listener", 2)],
    };
    scene::start(placement, Scene { policy, model, roles, host: scene::idle, beside: None }, batched)
}
