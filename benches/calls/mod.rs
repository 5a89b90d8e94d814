//! Two confined workers, one of which calls the other.

use std::os::fd::OwnedFd;
use std::time::Duration;

use cloison_broker::msg::{Failure, Message, RpcIndex};
use cloison_broker::{Broker, HOST, Model, Rules};
use cloison_worker::{Answer, Request, Role, ServeError, Worker, interface};

use crate::floor::{Placement, Row, Running};
use crate::scene::{self, MEASURER, Scene};

/// A call over a socket of the link's own.
pub const DIRECT: Row =
    Row { name: "call, direct", against: Some("raw pair"), start: |at| start(at, Model::Orchestrator, 1) };
/// A call that passes the broker and is checked there.
pub const RELAYED: Row =
    Row { name: "call, through the broker", against: Some("raw relay"), start: |at| start(at, Model::Broker, 2) };

/// The same call while the model changes all the time.
pub const SWITCHING: Row =
    Row { name: "call, while it changes", against: Some("call, through the broker"), start: start_switching };

/// The same call, by a contract's client and server.
pub const DIRECT_BY_CONTRACT: Row = Row {
    name: "contract, direct",
    against: Some("call, direct"),
    start: |at| start_by_contract(at, Model::Orchestrator, 1),
};
/// The same call, by a contract's client and server.
pub const RELAYED_BY_CONTRACT: Row = Row {
    name: "contract, by the broker",
    against: Some("call, through the broker"),
    start: |at| start_by_contract(at, Model::Broker, 2),
};

/// What this executable can be as a worker.
pub const ROLES: [Role<'static, ServeError>; 4] = [
    ("caller", caller),
    ("echo", |worker| worker.serve(echo)),
    ("contract-caller", contract_caller),
    ("contract-echo", |worker| worker.serve(EchoServer::new(Parrot))),
];

/// What the rows above say by hand.
#[interface]
pub trait Echo {
    fn say(&self, words: &Words) -> Answer<Words>;
}

struct Parrot;

impl Echo for Parrot {
    fn say(&self, words: &Words) -> Answer<Words> {
        Ok(*words)
    }
}

/// The method of it.
pub const SAY: RpcIndex = ECHO.interface().method("say");

/// What a call carries, there and back.
pub type Words = [u64; 8];

fn echo(_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
    let words: Words = request.recv()?;
    reply.append(&words)?;
    Ok(())
}

fn caller(worker: &Worker) -> Result<(), ServeError> {
    scene::measure(worker, |worker, ()| {
        let echo = worker.open("echo", &ECHO).expect("the policy allows it");
        let words: Words = [u64::MAX; 8];
        let mut message = Message::new();
        move || {
            message.append(&words)?;
            let reply = echo.call(SAY, &mut message).map_err(|error| Failure::remote(0, error.to_string()))?;
            assert_eq!(reply.value::<Words>()?, words);
            Ok(())
        }
    })
}

fn contract_caller(worker: &Worker) -> Result<(), ServeError> {
    scene::measure(worker, |worker, ()| {
        let echo = EchoClient::bind(worker, "contract-echo").expect("the policy allows it");
        let words: Words = [u64::MAX; 8];
        move || {
            let reply = echo.say(&words).map_err(|error| Failure::remote(0, error.to_string()))?;
            assert_eq!(reply, words);
            Ok(())
        }
    })
}

fn start_by_contract(placement: Placement, model: Model, hops: usize) -> Running {
    let policy = Rules::new().allow(HOST, "contract-caller", &MEASURER).allow_contract(
        "contract-caller",
        "contract-echo",
        &ECHO,
    );
    let roles: &[_] = if hops == 1 {
        &[("contract-caller", 0), ("contract-echo", 1)]
    } else {
        &[("contract-caller", 0), ("contract-echo", 2)]
    };
    scene::start(placement, Scene { policy, model, roles, host: scene::idle, beside: None }, ())
}

fn start(placement: Placement, model: Model, hops: usize) -> Running {
    let policy = policy();
    let roles: &[_] = if hops == 1 { &[("caller", 0), ("echo", 1)] } else { &[("caller", 0), ("echo", 2)] };
    scene::start(placement, Scene { policy, model, roles, host: scene::idle, beside: None }, ())
}

/// What the caller may do.
pub fn policy() -> Rules {
    Rules::new().allow(HOST, "caller", &MEASURER).allow("caller", "echo", &ECHO)
}

fn start_switching(placement: Placement) -> Running {
    let flip = |broker: &Broker| {
        for model in [Model::Orchestrator, Model::Broker] {
            broker.set_model(model).wait();
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let (model, roles) = (Model::Broker, &[("caller", 0), ("echo", 2)]);
    scene::start(placement, Scene { policy: policy(), model, roles, host: scene::idle, beside: Some(flip) }, ())
}
