//! Two workers exchange numbered messages while the model under which they do flips again and again: nothing is lost,
//! doubled or reordered, and neither of them notices.

mod cli;
mod host;
mod logs;
mod protocol;
mod report;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use cli::Options;

fn main() -> ExitCode {
    worker::roles();
    let options = Options::read();
    let report = match host::run(&options) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("swap: {error}");
            return ExitCode::FAILURE;
        }
    };
    let text = match options.json {
        true => serde_json::to_string_pretty(&report).unwrap_or_default(),
        false => report.to_string(),
    };
    // Whoever closed the other end of standard output does not want to read it.
    let _ = writeln!(std::io::stdout(), "{text}");
    if report.is_good() {
        return ExitCode::SUCCESS;
    }
    eprintln!("swap: this is not as it should be");
    ExitCode::FAILURE
}
