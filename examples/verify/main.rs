//! Is it really closed, here, on this system? Starts one confined worker per probe and tells what each one reached.
//!
//! `cargo run --release --example verify -- --help` says what can be asked.

use std::process::ExitCode;

use clap::Parser;
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
    let options = Options::parse();
    let outcome = match outer::enter(&words) {
        Some(code) => Ok(code),
        None => verify(&options),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("verify: {error}");
        ExitCode::from(2)
    })
}

/// Is it really closed, here, on this system?
///
/// Starts one confined worker per probe and prints a row for each: what was wanted, what happened, and what stopped it. The
/// probes run inside namespaces of this command's own, where the system allows that, against a victim that it sets up itself.
///
/// Exit codes: 0 only if all hold; 1 if any does not; 2 if they could not be run.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// How the workers are confined: full, no-userns or off. By default as strongly as this system allows.
    #[arg(long, value_parser = tier)]
    tier: Option<Tier>,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Prints only the rows that went otherwise than wanted.
    #[arg(long)]
    brief: bool,
    /// How many workers are started and ended in the test for leaks.
    #[arg(long, value_name = "N", default_value_t = rounds::FEW)]
    rounds: usize,
    /// Only these probes, by their names in the table.
    #[arg(value_name = "PROBE")]
    names: Vec<String>,
    /// Given by this command to itself.
    #[arg(long = "inside", hide = true)]
    _inside: bool,
}

fn tier(word: &str) -> Result<Tier, String> {
    let tiers = [Tier::Full, Tier::NoUserNs, Tier::Off];
    tiers
        .into_iter()
        .find(|tier| tier.to_string() == word)
        .ok_or_else(|| "there are full, no-userns and off".to_owned())
}

fn verify(options: &Options) -> Result<ExitCode, String> {
    let all = probes::all();
    if let Some(unknown) = options.names.iter().find(|name| all.iter().all(|probe| probe.name != **name)) {
        return Err(format!("there is no probe {unknown:?}; without a name all are made, and the table names them"));
    }
    let stage = run::Stage::set(options.tier)?;
    let chosen = |name: &str| options.names.is_empty() || options.names.iter().any(|wanted| wanted == name);
    let probes: Vec<_> = all.into_iter().filter(|probe| chosen(probe.name)).collect();
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
