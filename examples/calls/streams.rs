//! Streams: what is given item by item, what is fed, and both at once. Whoever is slow holds up the other end of its stream,
//! and nobody else.

use std::error::Error;

use cloison_broker::{Broker, Stream};

use crate::contract::{Dictionary, DictionaryClient};

pub fn run(broker: &Broker) -> Result<(), Box<dyn Error>> {
    let dictionary = DictionaryClient::bind(broker, "dictionary")?;

    // A stream is an iterator. It ends once: behind its last item, or by an error.
    let words: Vec<String> = dictionary.words().collect::<Result<_, _>>()?;
    println!("its words: {}", words.join(", "));

    // One can be an argument: it is pulled while the call waits for its answer.
    let more = [("sea", "mer"), ("sail", "voile")].map(|(word, meaning)| (word.to_owned(), meaning.to_owned()));
    println!("learnt {} by a stream", dictionary.learn_each(Stream::of(more))?);

    // Both at once, and from one into the other: nothing runs ahead by more than the streams' credit.
    let meanings: Vec<String> = dictionary.look_up_all(dictionary.words()).collect::<Result<_, _>>()?;
    println!("their meanings: {}", meanings.join(", "));
    let asked = ["sea", "mast", "sail"].map(str::to_owned);
    for meaning in dictionary.look_up_all(Stream::of(asked)) {
        match meaning {
            Ok(meaning) => println!("then {meaning}"),
            Err(error) => println!("then {error}"),
        }
    }

    // Dropped before its end, it is given up, and whoever made it hears of that.
    drop(dictionary.words());
    awaited(&dictionary)
}

/// The same, awaited.
#[tokio::main]
async fn awaited(dictionary: &DictionaryClient<cloison_broker::HostLink>) -> Result<(), Box<dyn Error>> {
    let mut words = dictionary.start().words();
    let mut letters = 0;
    while let Some(word) = words.next_async().await {
        letters += word?.len();
    }
    println!("all its words have {letters} letters");

    // What is fed as it comes: `send` waits while the dictionary does not keep up.
    let (mut feeder, learnt) = dictionary.start().learn_each();
    for (word, meaning) in [("rope", "corde"), ("keel", "quille")] {
        feeder.send(&(word.to_owned(), meaning.to_owned())).await?;
    }
    feeder.finish();
    println!("learnt {} as they came", learnt.await?);
    Ok(())
}
