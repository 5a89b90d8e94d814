//! A worker that serves several calls at a time. Its caller sees nothing of that, but for the time that it takes.

use std::error::Error;

use cloison_broker::{Answers, Broker};

use crate::contract::ProofreaderClient;

pub fn run(broker: &Broker) -> Result<(), Box<dyn Error>> {
    let proofreader = ProofreaderClient::bind(broker, "proofreader")?;
    let mut answers = Answers::new();
    for page in ["good morning", "good ship", "hello world", "morning"] {
        answers.add(page, proofreader.start().read(page));
    }
    let mut known = 0;
    while let Some((_page, words)) = answers.next() {
        known += words?;
    }
    println!("on four pages {known} words are known");
    Ok(())
}
