//! A host and its worker in one executable: the worker is confined before it answers, and the policy names who may call it.

use std::error::Error;
use std::os::fd::OwnedFd;

use cloison_broker::msg::{Failure, Interface, Message, RpcIndex};
use cloison_broker::{Broker, HOST, Model, Rules, WorkerSpec};
use cloison_worker::{Request, ServeError, Worker};

const GREETER: Interface = Interface::new("greeter", &["greet"]);
const GREET: RpcIndex = GREETER.method("greet");

fn greet(_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
    let name: &str = request.recv()?;
    reply.append(&format!("Hello, {name}!"))?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    // Does not return in the process that is the worker.
    cloison_worker::roles(&[("greeter", |worker: &Worker| -> Result<(), ServeError> { worker.serve(greet) })]);

    let policy = Rules::new().allow(HOST, "greeter", &GREETER);
    let (broker, _inbox) = Broker::start(policy, Model::Broker)?;
    broker.spawn(WorkerSpec::own("greeter")?)?;

    let greeter = broker.open("greeter", &GREETER)?;
    let mut message = Message::new();
    message.append("world")?;
    let reply = greeter.call(GREET, message)?;
    println!("{}", reply.value::<&str>()?);
    for worker in broker.workers() {
        println!("{} was process {:?}, confined: {}", worker.role, worker.pid, worker.report.expect("it ran"));
    }
    Ok(())
}
