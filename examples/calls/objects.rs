//! An object in another process: a link leads to a state of its own, which goes when the link does.

use std::error::Error;

use cloison_broker::Broker;

use crate::contract::{Dictionary, DictionaryClient};

pub fn run(broker: &Broker) -> Result<(), Box<dyn Error>> {
    let mine = DictionaryClient::bind(broker, "dictionary")?;
    let yours = DictionaryClient::bind(broker, "dictionary")?;
    mine.learn("secret", "42")?;
    println!("mine knows {} words, yours {}", mine.count()?, yours.count()?);
    mine.link().clone().close();
    println!("yours still knows {}", yours.count()?);
    Ok(())
}
