//! What can be asked of the player on its command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use cloison_broker::Model;
use cloison_broker::sandbox::Tier;

use crate::host::Fault;
use crate::place::{self, ClashError};
use crate::protocol::{Family, MAX_THREADS, Nanos};
use crate::sink::Wanted;

/// Plays a media file: WAV, FLAC, Ogg, MP3, MP4 or Matroska/WebM with AV1 video and PCM, FLAC, ALAC, AAC, MP3 or Vorbis
/// sound; with `--decoder ffmpeg`, whatever FFmpeg plays.
///
/// Playing means decoding as fast as possible, and writing what is asked for. The file is taken apart and decoded by three
/// worker processes, each confined before it reads one byte of it.
///
/// Exit codes: 0 if playing came to an end, even with losses; 1 if an output could not be written; 2 if nothing could be
/// played; 3 if playing was given up because a worker kept dying (what was played is kept); 130 after Ctrl-C or
/// SIGTERM.
#[derive(Clone, Debug, Parser)]
#[command(name = "player", version)]
pub struct Options {
    /// The file; by default the clip that comes with the player.
    pub file: Option<PathBuf>,
    /// Lists the pictures' MD5 sums in FFmpeg's framemd5 format.
    #[arg(long, value_name = "OUT")]
    pub framemd5: Option<PathBuf>,
    /// Writes the sound as a WAVE file of 16-bit samples.
    #[arg(long, value_name = "OUT")]
    pub wav: Option<PathBuf>,
    /// Writes the pictures as YUV4MPEG2.
    #[arg(long, value_name = "OUT")]
    pub y4m: Option<PathBuf>,
    /// Writes what all processes did, and when, as a trace that ui.perfetto.dev and chrome://tracing open.
    #[arg(long, value_name = "OUT", conflicts_with = "in_process")]
    pub trace: Option<PathBuf>,
    /// Starts at this time: at the key picture before it, or exactly there if there is only sound.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub seek: Option<Nanos>,
    /// Plays the file this many times, to measure.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..),
          conflicts_with_all = ["framemd5", "wav", "y4m", "seek"])]
    pub repeat: u32,
    /// Reports as JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Shows neither progress nor a table; what went wrong is still said.
    #[arg(long)]
    pub quiet: bool,
    /// How the workers are linked: through the broker, which checks each message, or directly.
    #[arg(long, value_name = "MODEL", value_enum, default_value_t = ModelName::Broker)]
    pub model: ModelName,
    /// Whose demuxers and decoders do the work. FFmpeg's are there if the player was built with `--features ffmpeg`.
    #[arg(long, value_name = "FAMILY", value_enum, default_value_t = DecoderName::Rust)]
    pub decoder: DecoderName,
    /// How many threads FFmpeg's video decoder uses, by default one; the one in Rust uses one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_THREADS)))]
    pub threads: Option<u8>,
    /// The least confinement that is accepted; more is used where the system allows it. `off` confines nothing; `learn` lets
    /// the workers' system calls through and prints the rules that they would need.
    #[arg(long, value_name = "LEAST", value_enum, default_value_t = TierName::NoUserns)]
    pub sandbox: TierName,
    /// Kills the worker ROLE (demux, audio or video) after its Nth packet, piece of sound or picture; with `:always`, each
    /// of its successors too.
    #[arg(long, value_name = "ROLE@N[:always]", value_parser = Fault::crash)]
    pub crash: Vec<Fault>,
    /// Has the worker ROLE answer no more after its Nth packet, piece of sound or picture; with `:stop` it is stopped, with
    /// `:busy` it uses all the time it can get.
    #[arg(long, value_name = "ROLE@N[:stop|:busy][:always]", value_parser = Fault::hang)]
    pub hang: Vec<Fault>,
    /// Runs the demuxer and the decoders in the player's own process, without any protection.
    #[arg(long, conflicts_with_all = ["model", "sandbox", "crash", "hang"])]
    pub in_process: bool,
}

/// Options that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// Only FFmpeg's decoders have threads.
    #[error("--threads is for --decoder ffmpeg")]
    Threads,
    /// Elsewhere this names standard output.
    #[error("{0} - is no file; write to /dev/stdout for standard output, or to ./- for a file of that name")]
    Dash(&'static str),
    /// One file would be written over another.
    #[error(transparent)]
    Clash(#[from] ClashError),
}

/// A [`Model`], as the command line writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelName {
    /// Every message passes the broker.
    Broker,
    /// Workers talk to each other directly.
    Orchestrator,
}

/// A [`Family`], as the command line writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DecoderName {
    /// Demuxers and decoders written in Rust.
    Rust,
    /// Those of FFmpeg.
    Ffmpeg,
}

/// A [`Tier`], as the command line writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TierName {
    /// All layers, a user namespace and those inside it among them.
    Full,
    /// All layers that need no user namespace.
    NoUserns,
    /// No confinement at all.
    Off,
    /// Calls that no rule allows are noted and let through.
    Learn,
}

impl From<ModelName> for Model {
    fn from(name: ModelName) -> Self {
        match name {
            ModelName::Broker => Self::Broker,
            ModelName::Orchestrator => Self::Orchestrator,
        }
    }
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Full => Self::Full,
            TierName::NoUserns | TierName::Learn => Self::NoUserNs,
            TierName::Off => Self::Off,
        }
    }
}

impl Options {
    /// What can only be told from several options and the files that they name.
    ///
    /// # Errors
    /// Why the player cannot be used like this. Nothing has been opened then.
    pub fn check(&self) -> Result<(), UsageError> {
        if self.threads.is_some() && self.decoder != DecoderName::Ffmpeg {
            return Err(UsageError::Threads);
        }
        let outputs = self.outputs();
        if let Some((option, _)) = outputs.iter().find(|(_, path)| path.as_os_str() == "-") {
            return Err(UsageError::Dash(option));
        }
        Ok(place::check(&self.file(), &outputs)?)
    }

    /// Whether an output goes to standard output, where nothing else may be written then.
    pub fn fills_standard_output(&self) -> bool {
        self.outputs().iter().any(|(_, path)| place::is_standard_output(path))
    }

    /// The options that write a file, with its path.
    fn outputs(&self) -> Vec<place::Output<'_>> {
        let outputs =
            [("--framemd5", &self.framemd5), ("--wav", &self.wav), ("--y4m", &self.y4m), ("--trace", &self.trace)];
        outputs.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?))).collect()
    }

    /// The file to play.
    pub fn file(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_CLIP))
    }

    /// Whose demuxers and decoders do the work.
    pub fn family(&self) -> Family {
        match self.decoder {
            DecoderName::Rust => Family::Rust,
            DecoderName::Ffmpeg => Family::Ffmpeg { threads: self.threads.unwrap_or(1) },
        }
    }

    /// How the work is done, for the report.
    pub fn model_name(&self) -> &'static str {
        match self.model {
            _ if self.in_process => "in-process",
            ModelName::Broker => "broker",
            ModelName::Orchestrator => "orchestrator",
        }
    }

    /// What is to go wrong.
    pub fn faults(&self) -> Vec<Fault> {
        self.crash.iter().chain(&self.hang).cloned().collect()
    }

    /// Whether the workers' needs are to be found out.
    pub fn learns(&self) -> bool {
        self.sandbox == TierName::Learn
    }

    /// The files to write.
    pub fn wanted(&self) -> Wanted {
        Wanted { framemd5: self.framemd5.clone(), wav: self.wav.clone(), y4m: self.y4m.clone() }
    }
}

const DEFAULT_CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/media/clip-av1.webm");

fn seconds(text: &str) -> Result<Nanos, String> {
    /// A hundred years; far below what overflows.
    const MAX_SECONDS: f64 = 3.2e9;
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=MAX_SECONDS).contains(&seconds) {
        return Err("not a time from 0 on".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most a hundred years")]
    let nanos = (seconds * 1e9).round() as Nanos;
    Ok(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn threads_are_for_ffmpeg() {
        let check = |arguments: &[&str]| Options::parse_from([&["player"], arguments].concat()).check();
        assert_eq!(check(&["--threads", "2"]), Err(UsageError::Threads));
        assert_eq!(check(&["--threads", "1", "--decoder", "rust"]), Err(UsageError::Threads));
        assert_eq!(check(&["--threads", "2", "--decoder", "ffmpeg"]), Ok(()));
    }

    #[test]
    fn a_dash_is_no_output() {
        let check = |option, path| Options::parse_from(["player", option, path]).check();
        for option in ["--framemd5", "--wav", "--y4m", "--trace"] {
            assert_eq!(check(option, "-"), Err(UsageError::Dash(option)));
            assert_eq!(check(option, "./-"), Ok(()));
        }
    }

    #[test]
    fn times_are_seconds() {
        assert_eq!(seconds("1.5"), Ok(1_500_000_000));
        for wrong in ["-1", "nan", "inf", "1e99", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
