//! A host and its worker in one executable: the worker is confined before it answers, and the policy names who may call it.

use std::error::Error;
use std::io::Write;
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
    clap::Command::new("hello").about("A confined worker says hello, and how it is confined").get_matches();

    let policy = Rules::new().allow(HOST, "greeter", &GREETER);
    let (broker, _inbox) = Broker::start(policy, Model::Broker)?;
    broker.spawn(WorkerSpec::own("greeter")?)?;

    let greeter = broker.open("greeter", &GREETER)?;
    let mut message = Message::new();
    message.append("world")?;
    let reply = greeter.call(GREET, message)?;
    let mut out = std::io::stdout(); // Whoever has closed its other end does not want to hear of it.
    let _ = writeln!(out, "{}", reply.value::<&str>()?);
    for worker in broker.workers() {
        let report = worker.report.expect("it ran");
        let _ = writeln!(out, "{} was process {:?}, confined: {report}", worker.role, worker.pid);
    }
    Ok(())
}
