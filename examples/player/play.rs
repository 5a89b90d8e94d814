//! What every way of playing a file comes to.

use cloison_broker::{OpenError, SpawnError, StartError};

use crate::input::{Input, InputError};
use crate::playback::{PlaybackError, Summary};
use crate::protocol::{Family, Nanos};
use crate::report::Worker;
use crate::sink::{OutputError, Wanted};
use crate::trace::Traced;

/// Playing came to an end, maybe with losses.
pub const EXIT_PLAYED: u8 = 0;
/// An output file could not be written.
pub const EXIT_OUTPUT: u8 = 1;
/// Nothing could be played, or a stage that nobody can replace is gone.
pub const EXIT_NOTHING: u8 = 2;
/// Playing was given up, because a worker kept dying; what was played is kept.
pub const EXIT_GIVEN_UP: u8 = 3;
/// Ended by a signal, as shells count it for Ctrl-C.
pub const EXIT_STOPPED: u8 = 130;

/// What is to be played.
pub struct Job<'a> {
    /// The file.
    pub input: Input,
    /// Whose demuxers and decoders do the work.
    pub family: Family,
    /// The files to write.
    pub wanted: &'a Wanted,
    /// Where to start.
    pub seek: Option<Nanos>,
    /// How often.
    pub repeat: u32,
}

/// What a way of playing reports.
pub struct Played {
    /// The file's format.
    pub container: String,
    /// What was played.
    pub summary: Summary,
    /// Who did the work.
    pub workers: Vec<Worker>,
    /// Why it ended before its time.
    pub failure: Option<PlayError>,
}

impl Played {
    /// The same, with what became of the trace.
    pub fn traced(mut self, written: Result<Traced, OutputError>) -> Self {
        match written {
            Ok(Traced { lost: 0 }) => {}
            Ok(Traced { lost }) => {
                self.summary.notes.push(format!("the trace lacks {lost} records: too much happened"))
            }
            Err(error) => drop(self.failure.get_or_insert(error.into())),
        }
        self
    }
}

/// Why nothing is played, or why playing ended early.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
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
    /// There is no broker.
    #[error("the broker cannot start: {0}")]
    Broker(StartError),
    /// The file cannot be passed on: no descriptor is left.
    #[error("the file cannot be passed to the demuxer: {0}")]
    Passing(std::io::Error),
    /// A worker cannot be started, or not as confined as is demanded.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// A worker cannot be reached.
    #[error(transparent)]
    Link(#[from] OpenError),
    /// A worker died too often.
    #[error("gave up: the {role} worker died {deaths} times without bringing anything new, at last of this: {death}")]
    GivenUp {
        /// Its role.
        role: String,
        /// How often in a row.
        deaths: u32,
        /// How it died the last time.
        death: String,
    },
    /// What the workers do cannot be gathered.
    #[error("no thread for the trace: {0}")]
    Trace(std::io::Error),
    /// There is no clock to play by.
    #[error("the host's own loop cannot start: {0}")]
    Runtime(std::io::Error),
    /// A stage is gone, or does not do what it should, and there is no other.
    #[error("{role}: {why}")]
    Stage {
        /// Its role.
        role: &'static str,
        /// What is wrong.
        why: String,
    },
}

impl PlayError {
    /// Whether an output could not be written.
    pub fn is_of_output(&self) -> bool {
        self.exit_code() == EXIT_OUTPUT
    }

    /// The player's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Output(_) | Self::Playback(PlaybackError::Output(_)) => EXIT_OUTPUT,
            Self::GivenUp { .. } => EXIT_GIVEN_UP,
            _ => EXIT_NOTHING,
        }
    }
}
