//! Whole systems: real brokers, real confined processes, real descriptors; honest workers and attackers.
//!
//! The executable is its own workers' (by role), and a host of its own for the cases that count what a process holds.
#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, which this harness has not")]

mod asking;
mod audit;
mod batch;
mod brokers;
mod case;
mod circles;
mod contract;
mod feeding;
mod floods;
mod forgery;
mod given_up;
mod handing;
mod hoards;
mod host;
mod host_objects;
mod incident;
mod leaks;
mod life;
mod malice;
mod noise;
mod objects;
mod pools;
mod predecessor;
#[path = "../promptly/mod.rs"]
mod promptly;
mod puppet;
mod raw;
mod retries;
mod revoke;
mod scripts;
mod stream_forgery;
mod streams;
mod swap;
mod trace;
mod watch;
mod words;

use std::process::ExitCode;

use case::Case;

/// The first argument of this executable when it is to be a host that is killed.
pub const VICTIM: &str = "--victim";

fn main() -> ExitCode {
    if let Some(role) = cloison_sandbox::is_worker() {
        return work(&role);
    }
    audit::listen();
    let cases = cases();
    let mut arguments = std::env::args();
    match arguments.nth(1).as_deref() {
        Some(case::ALONE) => return case::run_alone(&cases, &arguments.next().unwrap_or_default()),
        Some(VICTIM) => {
            brokers::victim();
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let arguments = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&arguments, cases.into_iter().map(Case::into_trial).collect()).exit_code()
}

fn cases() -> Vec<Case> {
    [
        predecessor::cases(),
        contract::cases(),
        batch::cases(),
        scripts::cases(),
        handing::cases(),
        objects::cases(),
        host_objects::cases(),
        given_up::cases(),
        circles::cases(),
        streams::cases(),
        feeding::cases(),
        hoards::cases(),
        swap::cases(),
        revoke::cases(),
        asking::cases(),
        forgery::cases(),
        stream_forgery::cases(),
        life::cases(),
        brokers::cases(),
        pools::cases(),
        leaks::cases(),
        incident::cases(),
        malice::cases(),
        floods::cases(),
        noise::cases(),
        trace::cases(),
        retries::cases(),
    ]
    .concat()
}

/// What a worker of these tests does depends on its role alone.
fn work(role: &str) -> ExitCode {
    match role {
        // Never asks to be confined, and stays.
        "mute" => loop {
            std::thread::park();
        },
        // Knows nothing of brokers.
        "stranger" => ExitCode::from(7),
        role if role.starts_with("raw") => raw::main(),
        role if role.starts_with("source") || role.starts_with("stream") => streams::main(role),
        "mill" => feeding::main(),
        role if role.starts_with("farmer") => hoards::main(),
        role if role.starts_with("account") || role == "clerk" => retries::main(role),
        role if role.contains("keeper") => host_objects::main(),
        role if role.starts_with("shop") || role.contains("buyer") => objects::main(role),
        _ => puppet::main(),
    }
}
