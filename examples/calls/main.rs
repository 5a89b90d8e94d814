//! Every kind of call, each in a file of its own that can be read alone:
//!
//! | file | what it shows |
//! |---|---|
//! | `contract` | the traits, with every kind of argument, answer and attribute |
//! | `dictionary`, `translator` | implementations |
//! | `workers` | serving them; a worker that calls another worker, and the host |
//! | `blocking` | calls, oneways, descriptors, errors, deadlines, optional methods |
//! | `asynchronous` | the same calls, awaited on tokio |
//! | `collecting` | many in flight, answers as they come, answers looked at without a copy |
//! | `streams` | items that are given, fed, and both; pulled and awaited |
//! | `objects`, `library` | a state for each link; objects that are given, held, and handed on |
//! | `threads`, `proofreader` | a worker that serves several calls at a time |
//! | `placing` | the same caller with an implementation in its own process, or in a worker |
//! | `serving` | a host that is called by its workers, and serves the objects that it gives them |
//!
//! `cargo run --example calls`, or with `-- --direct`: the workers' code does not change.

/// As the standard one, but ends the program if nobody reads what it prints (`| head`).
macro_rules! println {
    ($($line:tt)*) => { crate::print(format_args!($($line)*)) };
}

mod asynchronous;
mod blocking;
mod collecting;
mod contract;
mod dictionary;
mod library;
mod objects;
mod placing;
mod proofreader;
mod serving;
mod streams;
mod threads;
mod translator;
mod workers;

use std::error::Error;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use clap::Parser;
use cloison_broker::{Broker, HOST, Model, Rules, WorkerSpec};
use contract::{DIARY, DICTIONARY, LIBRARY, PROOFREADER, TRANSLATOR};

/// Makes every kind of call, and prints what came of it: some words of French.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Lets the workers talk to each other directly, and not through the broker.
    #[arg(long)]
    direct: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    cloison_worker::roles(&[
        ("dictionary", workers::dictionary),
        ("translator", workers::translator),
        ("proofreader", workers::proofreader),
        ("library", workers::library),
        ("branch", workers::library),
    ]);
    let options = Options::parse();

    // The contracts know which methods, descriptors and buffers they need: no more than that is granted.
    let policy = Rules::new()
        .allow_contract(HOST, "dictionary", &DICTIONARY)
        .allow_contract(HOST, "translator", &TRANSLATOR)
        .allow_contract("translator", HOST, &DIARY)
        .allow_contract(HOST, "proofreader", &PROOFREADER)
        .allow_with("proofreader", "dictionary", &DICTIONARY, DICTIONARY.rights_to(DICTIONARY.only(&["look_up"])))
        .allow_contract(HOST, "library", &LIBRARY)
        .allow_contract(HOST, "branch", &LIBRARY)
        // What the host may give the library.
        .allow_contract("library", HOST, &DIARY)
        // Whom the library may give dictionaries, and that these may be handed on.
        .allow_with(HOST, "library", &DICTIONARY, DICTIONARY.rights().delegable())
        // Less can be granted, too: the translator may look words up, and do nothing else.
        .allow_with("translator", "dictionary", &DICTIONARY, DICTIONARY.rights_to(DICTIONARY.only(&["look_up"])));
    let model = if options.direct { Model::Orchestrator } else { Model::Broker };
    let (broker, inbox) = Broker::start(policy, model)?;
    serving::keep_diary(inbox);
    broker.spawn(WorkerSpec::own("dictionary")?)?;
    broker.spawn(WorkerSpec::own("translator")?)?;
    broker.spawn(WorkerSpec::own("proofreader")?)?;
    broker.spawn(WorkerSpec::own("library")?)?;
    broker.spawn(WorkerSpec::own("branch")?)?;

    blocking::run(&broker)?;
    asynchronous::run(&broker)?;
    collecting::run(&broker)?;
    streams::run(&broker)?;
    objects::run(&broker)?;
    threads::run(&broker)?;
    placing::run(&broker)?;
    serving::run(&broker)
}

/// Prints a line.
fn print(line: Arguments<'_>) {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        printed => printed.expect("standard output can be written to"),
    }
}
