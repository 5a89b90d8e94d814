//! A media player whose dangerous parts can be kept apart.
//!
//! `stage` holds the dangerous parts as plain Rust: a demuxer, an audio decoder and a video decoder. `playback` is the host's
//! part, and `sink` writes files. `in_process` joins them by plain calls.

mod cli;
mod in_process;
mod input;
mod playback;
mod progress;
mod protocol;
mod report;
mod sink;
mod stage;
mod text;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};

use cli::Options;
use input::{Input, InputError};
use playback::{PlaybackError, Summary};
use progress::Progress;
use report::{Report, Worker};
use sink::OutputError;
use text::plain;

fn main() -> ExitCode {
    let options = Options::parse();
    let stop = Arc::new(AtomicBool::new(false));
    if let Err(error) = stop_on_signals(&stop) {
        eprintln!("player: signals cannot be handled: {error}");
        return ExitCode::from(EXIT_NOTHING);
    }
    let report = run(&options, &stop);
    say(&options, &report);
    ExitCode::from(report.exit_code)
}

/// Something was played.
const EXIT_PLAYED: u8 = 0;
/// An output file could not be written.
const EXIT_OUTPUT: u8 = 1;
/// Nothing could be played.
const EXIT_NOTHING: u8 = 2;
/// Ended by a signal, as shells count it for Ctrl-C.
const EXIT_STOPPED: u8 = 130;

/// What a way of playing reports.
struct Played {
    /// The file's format.
    container: String,
    summary: Summary,
    workers: Vec<Worker>,
}

/// Why nothing is played, or why playing ended early.
#[derive(Debug, thiserror::Error)]
enum PlayError {
    /// The file cannot be opened.
    #[error(transparent)]
    Input(#[from] InputError),
    /// It is not what can be played.
    #[error("{0}")]
    Media(String),
    /// No track of it can be played.
    #[error(transparent)]
    Playback(#[from] PlaybackError),
    /// An output file cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl PlayError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Output(_) | Self::Playback(PlaybackError::Output(_)) => EXIT_OUTPUT,
            Self::Input(_) | Self::Media(_) | Self::Playback(_) => EXIT_NOTHING,
        }
    }
}

/// The first signal ends playing in order, a second one at once.
fn stop_on_signals(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
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
    let mut report = Report { file: file.display().to_string(), model: "in-process".to_owned(), ..Report::default() };
    let played = Input::open(&file).map_err(PlayError::from).and_then(|input| {
        in_process::play(input, &options.wanted(), (options.seek, options.repeat), &mut progress, stop)
    });
    progress.finish();
    report.elapsed_seconds = started.elapsed().as_secs_f64();
    report.exit_code = match played {
        Ok(played) => {
            report.container = played.container;
            report.workers = played.workers;
            report.add(played.summary);
            if report.has_played() { EXIT_PLAYED } else { EXIT_NOTHING }
        }
        Err(error) => {
            report.error = Some(error.to_string());
            error.exit_code()
        }
    };
    if stop.load(Ordering::Relaxed) {
        report.exit_code = EXIT_STOPPED;
    }
    report
}

/// Tells people and programs how it went.
fn say(options: &Options, report: &Report) {
    let file = plain(&report.file);
    for trouble in report.notes.iter().chain(&report.error) {
        eprintln!("{file}: {trouble}");
    }
    if options.json {
        println!("{}", report.json());
    } else if !options.quiet && report.error.is_none() {
        println!("{}", report.table());
    }
}
