//! Two confined workers, one of which calls the other.

use std::os::fd::OwnedFd;

use cloison_broker::msg::{Failure, Interface, Message, RpcIndex};
use cloison_broker::{HOST, Model, Rules};
use cloison_worker::{Request, Role, ServeError, Worker};

use crate::crew::{self, Crew, MEASURER};
use crate::floor::{Placement, Row, Running};

/// A call over a socket of the link's own.
pub const DIRECT: Row =
    Row { name: "call, direct", against: Some("raw pair"), start: |at| start(at, Model::Orchestrator, 1) };
/// A call that passes the broker and is checked there.
pub const RELAYED: Row =
    Row { name: "call, through the broker", against: Some("raw relay"), start: |at| start(at, Model::Broker, 2) };

/// What this executable can be as a worker.
pub const ROLES: [Role<'static, ServeError>; 2] = [("caller", caller), ("echo", |worker| worker.serve(echo))];

const ECHO: Interface = Interface::new("echo", &["say"]);
const SAY: RpcIndex = ECHO.method("say");

/// What a call carries, there and back.
type Words = [u64; 8];

fn echo(_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
    let words: Words = request.recv()?;
    reply.append(&words)?;
    Ok(())
}

fn caller(worker: &Worker) -> Result<(), ServeError> {
    crew::measure(worker, |worker, ()| {
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

fn start(placement: Placement, model: Model, hops: usize) -> Running {
    let policy = Rules::new().allow(HOST, "caller", &MEASURER).allow("caller", "echo", &ECHO);
    let roles: &[_] = if hops == 1 { &[("caller", 0), ("echo", 1)] } else { &[("caller", 0), ("echo", 2)] };
    crew::start(placement, Crew { policy, model, roles, host: crew::idle }, ())
}
