//! A host, to show how one begins: it spawns the worker `shouter` and calls it.

use cloison_broker::msg::{Interface, Message};
use cloison_broker::{Broker, HOST, Model, Rules, WorkerSpec};

const SHOUT: Interface = Interface::new("shout", &["shout"]);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policy = Rules::new().allow(HOST, "shouter", &SHOUT);
    let (broker, _inbox) = Broker::start(policy, Model::Broker)?;
    let program = std::env::current_exe()?.with_file_name("shouter");
    broker.spawn(WorkerSpec::program("shouter", program)?)?;

    let shouter = broker.open("shouter", &SHOUT)?;
    let mut message = Message::new();
    message.append("hello from a sandbox")?;
    let reply = shouter.call(SHOUT.method("shout"), message)?;
    println!("{}", reply.value::<&str>()?);
    Ok(())
}
