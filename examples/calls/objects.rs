//! Objects in another process: a link leads to a state of its own, which goes when the link does.

use std::error::Error;

use cloison_broker::Broker;

use crate::contract::{DiaryClient, Dictionary, DictionaryClient, Library, LibraryClient};
use crate::serving::Printed;

pub fn run(broker: &Broker) -> Result<(), Box<dyn Error>> {
    let mine = DictionaryClient::bind(broker, "dictionary")?;
    let yours = DictionaryClient::bind(broker, "dictionary")?;
    mine.learn("secret", "42")?;
    println!("mine knows {} words, yours {}", mine.count()?, yours.count()?);
    mine.link().close();
    println!("yours still knows {}", yours.count()?);
    given(broker)
}

/// Links to objects are answers and arguments like others. Dropped, they are closed.
fn given(broker: &Broker) -> Result<(), Box<dyn Error>> {
    let library = LibraryClient::bind(broker, "library")?;
    let book = library.dictionary("Le petit livre")?;
    println!("{:?} has {} words", book.look_up("title")?, book.count()?);
    // Another worker calls what the library has made.
    let branch = LibraryClient::bind(broker, "branch")?;
    println!("the branch library counts {}", branch.weigh(&book)?);
    println!("{} are lent", library.lent()?);
    drop(book);
    while library.lent()? > 0 {}
    println!("none is");
    // The host, too, gives objects: its inbox brings what is said to them.
    let entries = library.report(DiaryClient::offer(broker, Printed::new("the library's"))?)?;
    println!("that makes {entries}");
    Ok(())
}
