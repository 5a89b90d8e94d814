//! Is it really closed, here, on this system? Starts one confined worker per probe and tells what each one reached.
//!
//! `cargo run --release --example verify [-- [--tier full|no-userns|off] [--json] [--brief] [--rounds N] [PROBE...]]`
//!
//! Prints a row for each probe: what was wanted, what happened, and what stopped it (with `--brief` only the rows that went
//! otherwise than wanted). Exits with 0 only if all hold. With `--rounds 10000` so many workers are started and ended in
//! the test for leaks. The probes run inside namespaces of this command's own, where the system allows that, against a victim that it
//! sets up itself.

use std::process::ExitCode;

use cloison_sandbox::Tier;

mod ends;
mod launches;
mod outer;
mod probe;
mod probes;
mod raw;
mod rounds;
mod rules;
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
    match words.first().map(String::as_str) {
        Some(victim::WORD) => return victim::main(),
        Some(ends::WORD) => return ends::main(&words[1..]),
        Some(rounds::WORD) => return rounds::main(&words[1..]),
        _ => {}
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
    brief: bool,
    rounds: usize,
    names: Vec<String>,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self { tier: None, json: false, brief: false, rounds: rounds::FEW, names: Vec::new() };
        let mut words = words.iter().filter(|word| *word != outer::INSIDE);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => options.json = true,
                "--brief" => options.brief = true,
                "--rounds" => {
                    let number = words.next().and_then(|word| word.parse().ok());
                    options.rounds = number.ok_or("--rounds takes a number")?;
                }
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
        rows.extend(rules::run(&stage));
        if stage.is_confined() {
            rows.extend(launches::run(&stage));
            rows.extend(ends::run(&stage));
            rows.push(rounds::run(&stage, options.rounds));
        }
    }
    if options.json {
        table::json(&stage, &rows)
    } else {
        table::print(&stage, &rows, !options.brief)
    }
    let held = rows.iter().all(|row| row.held);
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
