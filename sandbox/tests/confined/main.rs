//! Whole launches with real processes. The executable is its own worker, hence no test harness of the usual kind.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, which this harness has not")]

use libtest_mimic::{Arguments, Trial};

mod grouped;
mod host;
mod lasting;
mod launching;
mod layering;
mod reading;
mod violating;
mod worker;

fn main() -> std::process::ExitCode {
    if let Some(role) = cloison_sandbox::is_worker() {
        return worker::main(&role);
    }
    if let Some(part) = std::env::args().nth(1).and_then(|first| first.strip_prefix("play=").map(str::to_owned)) {
        return lasting::play(&part);
    }
    let arguments = Arguments::from_args();
    let trials = [
        launching::trials(),
        violating::trials(),
        layering::trials(),
        reading::trials(),
        grouped::trials(),
        lasting::trials(),
    ]
    .concat()
    .into_iter()
    .map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
