//! Two confined workers, one of which calls the other.

use std::cell::OnceCell;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use cloison_broker::msg::{Failure, Interface, Message, RpcIndex};
use cloison_broker::{Broker, HOST, HostLink, Model, Rules, WorkerSpec};
use cloison_worker::{Link, Request, Role, ServeError, Worker};

use crate::floor::{Placement, Row, Running, pin};

/// A call over a socket of the link's own.
pub const DIRECT: Row =
    Row { name: "call, direct", against: Some("raw pair"), start: |at| start(at, Model::Orchestrator) };
/// A call that passes the broker and is checked there.
pub const RELAYED: Row =
    Row { name: "call, through the broker", against: Some("raw relay"), start: |at| start(at, Model::Broker) };

/// What this executable can be as a worker.
pub const ROLES: [Role<'static, ServeError>; 2] = [("caller", caller), ("echo", |worker| worker.serve(echo))];

const ECHO: Interface = Interface::new("echo", &["say"]);
const SAY: RpcIndex = ECHO.method("say");
const CALLER: Interface = Interface::new("caller", &["measure"]);
const MEASURE: RpcIndex = CALLER.method("measure");

/// What a call carries, there and back.
type Words = [u64; 8];
/// Most calls of one measurement: their durations have to fit into the answer.
const CALLS_MAX: usize = 5000;

fn echo(_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
    let words: Words = request.recv()?;
    reply.append(&words)?;
    Ok(())
}

fn caller(worker: &Worker) -> Result<(), ServeError> {
    let echo = OnceCell::new();
    worker.serve(move |worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>| {
        let count: usize = request.recv()?;
        let echo = echo.get_or_init(|| worker.open("echo", &ECHO).expect("the policy allows it"));
        let took = measure(echo, count)?;
        reply.append(&took)?;
        Ok(())
    })
}

fn measure(echo: &Link, count: usize) -> Result<Vec<u32>, Failure> {
    let words: Words = [u64::MAX; 8];
    let mut message = Message::new();
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        message.append(&words)?;
        let reply = echo.call(SAY, &mut message).map_err(|error| Failure::remote(0, error.to_string()))?;
        assert_eq!(reply.value::<Words>()?, words);
        took.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    Ok(took)
}

fn start(placement: Placement, model: Model) -> Running {
    let policy = Rules::new().allow(HOST, "caller", &CALLER).allow("caller", "echo", &ECHO);
    // Threads stay where they are started: the router's is the neighbour of both workers.
    pin(None, placement.core(1));
    let (broker, _inbox) = Broker::start(policy, model).expect("a broker");
    pin(None, placement.core(0));
    for role in ["caller", "echo"] {
        broker.spawn(WorkerSpec::own(role).expect("a role")).expect("a confined worker");
    }
    let caller = broker.open("caller", &CALLER).expect("granted");
    ask(&caller, 1);
    let processes: Vec<_> = broker.workers().iter().filter_map(|worker| worker.pid).collect();
    let hops = if model == Model::Broker { 2 } else { 1 };
    for (process, steps) in processes.iter().zip([0, hops]) {
        pin(Some(*process), placement.core(steps));
    }
    Running::new(processes, Vec::new(), move |count, took| {
        let _alive = &broker;
        let mut left = count;
        while left > 0 {
            let now = left.min(CALLS_MAX);
            took.extend(ask(&caller, now).into_iter().map(|nanos| Duration::from_nanos(nanos.into())));
            left -= now;
        }
    })
}

fn ask(caller: &HostLink, count: usize) -> Vec<u32> {
    let mut message = Message::new();
    message.append(&count).expect("a number fits");
    let mut answer = caller.start(MEASURE, message, Duration::from_secs(60)).wait().expect("measured");
    answer.reader().recv().expect("durations")
}
