//! A synchronous host: its calls block, like those of a worker.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use cloison_broker::msg::CallFailure;
use cloison_broker::{Broker, MethodError};

use crate::contract::{Dictionary, DictionaryClient, LookUpError};

pub fn run(broker: &Broker) -> Result<(), Box<dyn Error>> {
    // The link is opened, and both sides compare what they mean by a dictionary.
    let dictionary = DictionaryClient::bind(broker, "dictionary")?;
    println!("world: {}", dictionary.look_up("world")?);

    // A method's own error arrives as it was; everything else that can happen to a call is a `CallError`.
    match dictionary.look_up("cloison") {
        Err(MethodError::Own(LookUpError::Unknown { word })) => println!("{word}: unknown"),
        Err(MethodError::Call(error)) => match error.why {
            CallFailure::Deadline | CallFailure::Overloaded => println!("it is busy: {error}"),
            CallFailure::PeerRestarted(_) => println!("it will be back, and may have looked it up: {error}"),
            CallFailure::Gone(_) => println!("it is gone: {error}"),
            _ => println!("it does not understand: {error}"),
        },
        Ok(meaning) => println!("cloison: {meaning}"),
    }

    // Nobody answers a oneway. It arrives before what is sent after it.
    dictionary.learn("cloison", "partition")?;
    println!("cloison: {}", dictionary.look_up("cloison")?);

    // A descriptor is given away.
    let (read, mut write) = std::io::pipe()?;
    write.write_all(b"ship: navire\nwater: eau\n")?;
    drop(write);
    println!("learnt {} words from a pipe", dictionary.learn_all(read.into())?);

    // What older servers lack can be asked for first. A deadline can be given for all calls that state none.
    if dictionary.serves("count") {
        println!("it knows {} words", dictionary.within(Duration::from_secs(1)).count()?);
    }
    Ok(())
}
