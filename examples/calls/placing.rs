//! Where an implementation runs is the host's choice: the caller's code is the same.

use std::error::Error;

use cloison_broker::{Answer, Broker, HostLink, Placed};

use crate::contract::{Dictionary, DictionaryClient, LookUpError};
use crate::dictionary::Words;

/// Whoever calls says only what it needs. Here that is a plain call; over a link it is a call to another process.
fn greet(dictionary: &impl Dictionary) -> Answer<String, LookUpError> {
    Ok(format!("{} {}", dictionary.look_up("good")?, dictionary.look_up("morning")?))
}

pub fn run(broker: &Broker) -> Result<(), Box<dyn Error>> {
    println!("in this process: {}", greet(&Words::new())?);
    println!("in a worker: {}", greet(&DictionaryClient::bind(broker, "dictionary")?)?);

    // The choice can be made while the host runs.
    for in_process in [true, false] {
        let dictionary: Placed<Words, DictionaryClient<HostLink>> = match in_process {
            true => Placed::Here(Words::new()),
            false => Placed::There(DictionaryClient::bind(broker, "dictionary")?),
        };
        println!("wherever it is: {}", greet(&dictionary)?);
    }
    Ok(())
}
