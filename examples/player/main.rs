//! A media player that runs its dangerous parts as confined workers.
//!
//! `stage` holds those parts as plain Rust: a demuxer, an audio decoder and a video decoder. `protocol` is what is said to them,
//! three contracts, and `service` serves these with the stages, wherever that is: `worker` makes each a worker, `in_process`
//! has them in this process, for comparison. `pipeline` plays, whichever it is: it links each decoder to its track and pulls
//! what is decoded. `host` spawns the workers, says who may talk to whom, and has playing taken up again when one dies.
//! `playback` decides what is played and takes in what arrives, `sink` writes files.

#![deny(unsafe_code)]

mod cli;
mod host;
mod in_process;
mod input;
mod pipeline;
mod place;
mod play;
mod playback;
mod progress;
mod protocol;
mod report;
mod service;
mod sink;
mod stage;
mod text;
mod trace;
mod usage;
mod worker;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use signal_hook::consts::{SIGINT, SIGTERM};

use cli::{Options, TierName};
use host::Order;
use input::Input;
use play::{EXIT_NOTHING, EXIT_OUTPUT, EXIT_PLAYED, EXIT_STOPPED, Job, PlayError, Played};
use progress::Progress;
use report::Report;
use text::plain;
use trace::Trace;

fn main() -> ExitCode {
    // Does not return in a process that is a worker.
    cloison_worker::roles(&worker::ROLES);
    usage::begin();
    let options = Options::parse();
    if let Err(error) = options.check() {
        Options::command().error(ErrorKind::ArgumentConflict, error).exit();
    }
    let stop = Arc::new(AtomicBool::new(false));
    if let Err(error) = stop_on_signals(&stop) {
        eprintln!("player: signals cannot be handled: {error}");
        return ExitCode::from(EXIT_NOTHING);
    }
    let report = run(&options, &stop);
    let Err(error) = say(&options, &report) else { return ExitCode::from(report.exit_code) };
    eprintln!("player: the report cannot be printed: {error}");
    ExitCode::from(if report.exit_code == EXIT_PLAYED { EXIT_OUTPUT } else { report.exit_code })
}

/// The first signal ends playing in order, a second one at once.
fn stop_on_signals(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, EXIT_STOPPED.into(), Arc::clone(stop))?;
        signal_hook::flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

fn run(options: &Options, stop: &AtomicBool) -> Report {
    let started = Instant::now();
    let mut progress = Progress::new(options.quiet);
    let file = options.file();
    let model = options.model_name().to_owned();
    let mut report = Report { file: file.display().to_string(), model, ..Report::default() };
    let played =
        Input::open(&file).map_err(PlayError::from).and_then(|input| play(options, input, &mut progress, stop));
    progress.finish();
    report.elapsed_seconds = started.elapsed().as_secs_f64();
    report.exit_code = match played {
        Ok(played) => {
            report.container = played.container;
            report.workers = played.workers;
            report.add(played.summary);
            report.error = played.failure.as_ref().map(ToString::to_string);
            report.names_output = played.failure.as_ref().is_some_and(PlayError::is_of_output);
            match played.failure {
                Some(failure) => failure.exit_code(),
                None if report.has_played() => EXIT_PLAYED,
                None => EXIT_NOTHING,
            }
        }
        Err(error) => {
            report.error = Some(error.to_string());
            report.names_output = error.is_of_output();
            error.exit_code()
        }
    };
    if stop.load(Ordering::Relaxed) {
        report.exit_code = EXIT_STOPPED;
    }
    report
}

fn play(options: &Options, input: Input, progress: &mut Progress, stop: &AtomicBool) -> Result<Played, PlayError> {
    let (wanted, faults, family) = (options.wanted(), options.faults(), options.family());
    let job = Job { input, family, wanted: &wanted, seek: options.seek, repeat: options.repeat };
    if options.in_process {
        return in_process::play(&job, progress, stop);
    }
    if options.sandbox == TierName::Off {
        eprintln!("player: WARNING: --sandbox off: NOTHING IS CONFINED; whoever made the file can do all that you can");
    }
    if options.learns() {
        eprintln!("player: WARNING: --sandbox learn: NO SYSTEM CALL IS REFUSED; play only what you trust");
    }
    let (model, sandbox, learn) = (options.model.into(), options.sandbox.into(), options.learns());
    let trace = options.trace.as_deref().map(Trace::create).transpose()?;
    let order = Order { job: &job, model, sandbox, learn, faults: &faults, trace: trace.as_ref() };
    let played = host::play(&order, progress, stop);
    match trace.map(Trace::write) {
        None => played,
        Some(written) => played.map(|played| played.traced(written)),
    }
}

/// Tells people and programs how it went.
fn say(options: &Options, report: &Report) -> io::Result<()> {
    let file = plain(&report.file);
    for note in &report.notes {
        eprintln!("{file}: {note}");
    }
    match &report.error {
        Some(error) if report.names_output => eprintln!("player: {error}"),
        Some(error) => eprintln!("{file}: {error}"),
        None => {}
    }
    let print = if options.fills_standard_output() { print_aside } else { print };
    if options.json {
        return print(&report.json());
    }
    if !options.quiet && report.error.is_none() {
        print(&report.table())?;
    }
    let mut learned = report.workers.iter().filter(|worker| options.learns() && !worker.learned.is_empty());
    learned.try_for_each(|worker| print(&format!("\n// {}\n{}", worker.role, worker.learned)))
}

/// Prints to standard error, for standard output is taken.
fn print_aside(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{text}")
}

/// Prints to standard output. Whoever closed its other end (`| head`) does not want to hear of it.
fn print(text: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
