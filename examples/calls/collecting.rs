//! Many calls in flight, and their answers as they come. It reads the same in a worker.

use std::error::Error;

use cloison_broker::{Answers, Broker};

use crate::contract::DictionaryClient;

pub fn run(broker: &Broker) -> Result<(), Box<dyn Error>> {
    let dictionary = DictionaryClient::bind(broker, "dictionary")?;
    let mut answers = Answers::new();
    for word in ["good", "morning", "good", "world"] {
        answers.add(word, dictionary.start().look_up(word));
    }
    let mut letters = 0;
    while let Some((_word, meaning)) = answers.next() {
        letters += meaning?.len();
    }
    println!("four meanings have {letters} letters");

    // A string or bytes can be looked at where they arrived.
    let letters = dictionary.start().look_up("world").view(|meaning: &str| meaning.len())?;
    println!("one of them {letters}");
    Ok(())
}
