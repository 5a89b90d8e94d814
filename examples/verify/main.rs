//! Is it really closed, here, on this system? Starts one confined worker per probe and tells what each one reached.
//!
//! `cargo run --release --example verify [-- [--tier full|no-userns|off] [--json] [--all] [PROBE...]]`
//!
//! Prints what went otherwise than wanted (with `--all`, or names of probes: every row), and exits with 0 only if nothing
//! did. The probes run inside namespaces of this command's own, where the system allows that, against a victim that it
//! sets up itself.

use std::process::ExitCode;

use cloison_sandbox::Tier;

mod outer;
mod probe;
mod probes;
mod raw;
mod run;
mod sweep;
mod table;
mod victim;
mod worker;

fn main() -> ExitCode {
    if cloison_sandbox::is_worker().is_some() {
        return worker::main();
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == victim::WORD) {
        return victim::main();
    }
    let outcome = Options::parse(&words).and_then(|options| match outer::enter(&words) {
        Some(code) => Ok(code),
        None => verify(&options),
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("verify: {error}");
        ExitCode::from(2)
    })
}

/// What the command line asks for.
struct Options {
    tier: Option<Tier>,
    json: bool,
    all: bool,
    names: Vec<String>,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self { tier: None, json: false, all: false, names: Vec::new() };
        let mut words = words.iter().filter(|word| *word != outer::INSIDE);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => options.json = true,
                "--all" => options.all = true,
                "--tier" => options.tier = Some(tier(words.next().map_or("", |word| word))?),
                unknown if unknown.starts_with('-') => return Err(format!("unknown option {unknown}")),
                name => options.names.push(name.to_owned()),
            }
        }
        Ok(options)
    }
}

fn tier(word: &str) -> Result<Tier, String> {
    [Tier::Full, Tier::NoUserNs, Tier::Off]
        .into_iter()
        .find(|tier| tier.to_string() == word)
        .ok_or_else(|| format!("--tier takes full, no-userns or off, not {word:?}"))
}

fn verify(options: &Options) -> Result<ExitCode, String> {
    let stage = run::Stage::set(options.tier)?;
    let chosen = |name: &str| options.names.is_empty() || options.names.iter().any(|wanted| wanted == name);
    let probes: Vec<_> = probes::all().into_iter().filter(|probe| chosen(probe.name)).collect();
    let mut rows = stage.run(&probes);
    if options.names.is_empty() {
        rows.extend(sweep::run(&stage));
    }
    let everything = options.all || !options.names.is_empty();
    if options.json {
        table::json(&stage, &rows)
    } else {
        table::print(&stage, &rows, everything)
    }
    let held = rows.iter().all(|row| row.held);
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
