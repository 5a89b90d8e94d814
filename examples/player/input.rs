//! Opening the file that is to be played.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// A file to play.
pub struct Input {
    /// Open for reading only.
    pub file: File,
    /// How many bytes it holds.
    pub length: u64,
}

/// Why a file cannot be played at all.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The system does not open it.
    #[error("{}", describe(.0))]
    Open(io::Error),
    /// It is something else.
    #[error("this is {0}, not a file")]
    NotAFile(&'static str),
}

impl Input {
    /// Opens `path`.
    ///
    /// # Errors
    /// If it is no plain file, or may not be read. It does not wait for the other end of a pipe.
    pub fn open(path: &Path) -> Result<Self, InputError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| InputError::Open(error.into()))?;
        let file = File::from(opened);
        let metadata = file.metadata().map_err(InputError::Open)?;
        if metadata.is_dir() {
            return Err(InputError::NotAFile("a directory"));
        }
        if !metadata.is_file() {
            return Err(InputError::NotAFile("a pipe, socket or device"));
        }
        Ok(Self { file, length: metadata.len() })
    }
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "the file may not be read (permission denied)".to_owned(),
        _ => error.to_string(),
    }
}
