//! A file that appears whole, or not at all.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that is being written beside the place where it will appear.
///
/// Dropped before [`Self::commit`], it leaves nothing behind. If the place is taken by something that is no plain file
/// (a pipe, a terminal, `/dev/null`), that is written to directly.
pub struct OutputFile {
    writer: BufWriter<Target>,
    path: PathBuf,
    can_rewind: bool,
}

/// Why an output file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot be written: {error}", path = path.display(), error = without_path(error))]
pub struct OutputError {
    path: PathBuf,
    error: io::Error,
}

/// The system's words alone: to those for a file that cannot be created, its temporary name is added.
fn without_path(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" at path ").map_or(text.clone(), |(words, _)| words.to_owned())
}

enum Target {
    Beside(NamedTempFile),
    Direct(File),
}

impl OutputFile {
    /// Begins to write what will appear at `path`.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
        let mut target = Target::create(path).map_err(|error| OutputError { path: path.to_owned(), error })?;
        let can_rewind = target.stream_position().is_ok();
        Ok(Self { writer: BufWriter::new(target), path: path.to_owned(), can_rewind })
    }

    /// Where the file will appear.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether [`Self::rewrite_start`] can succeed: a pipe, a socket or a terminal keeps nothing.
    pub fn can_rewind(&self) -> bool {
        self.can_rewind
    }

    /// Writes at the end.
    ///
    /// # Errors
    /// Whatever the system reports.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.writer.write_all(bytes).map_err(|error| self.failed(error))
    }

    /// Replaces what stands at the start.
    ///
    /// # Errors
    /// Whatever the system reports; a pipe cannot be rewound.
    pub fn rewrite_start(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        let mut rewrite = || {
            self.writer.seek(SeekFrom::Start(0))?;
            self.writer.write_all(bytes)?;
            self.writer.seek(SeekFrom::End(0))
        };
        rewrite().map(drop).map_err(|error| self.failed(error))
    }

    /// Makes the file appear.
    ///
    /// # Errors
    /// Whatever the system reports; the file is removed then.
    pub fn commit(mut self) -> Result<(), OutputError> {
        self.writer.flush().map_err(|error| self.failed(error))?;
        let Self { writer, path, .. } = self;
        let (target, _) = writer.into_parts();
        target.commit(&path).map_err(|error| OutputError { path, error })
    }

    fn failed(&self, error: io::Error) -> OutputError {
        OutputError { path: self.path.clone(), error }
    }
}

impl Target {
    fn create(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return File::options().write(true).truncate(true).open(path).map(Self::Direct);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The process's umask still applies.
        let permissions = Permissions::from_mode(0o666);
        tempfile::Builder::new().prefix(".player-").permissions(permissions).tempfile_in(folder).map(Self::Beside)
    }

    fn commit(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Beside(file) => file.persist(path).map(drop).map_err(|error| error.error),
            Self::Direct(_) => Ok(()),
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Beside(file) => file.write(bytes),
            Self::Direct(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Target {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Beside(file) => file.seek(to),
            Self::Direct(file) => file.seek(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().expect("readable");
        entries.map(|entry| entry.expect("entry").file_name().into_string().expect("text")).collect()
    }

    #[test]
    fn a_file_appears_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        let mut file = OutputFile::create(&path).expect("creates");
        file.write(b"0123456789").expect("writes");
        file.rewrite_start(b"ab").expect("rewrites");
        file.write(b"!").expect("writes");
        assert!(!path.exists());
        file.commit().expect("commits");
        assert_eq!(std::fs::read(&path).expect("reads"), b"ab23456789!");
        assert_eq!(names(folder.path()), ["out"]);
    }

    #[test]
    fn an_abandoned_file_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = OutputFile::create(&folder.path().join("out")).expect("creates");
        file.write(b"0123456789").expect("writes");
        drop(file);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn what_is_no_plain_file_is_written_to() {
        let mut file = OutputFile::create(Path::new("/dev/null")).expect("opens");
        file.write(b"gone").expect("writes");
        file.commit().expect("commits");
        let error = OutputFile::create(Path::new("/nowhere/at/all")).err().expect("refused");
        assert_eq!(error.to_string(), "/nowhere/at/all: cannot be written: No such file or directory (os error 2)");
    }
}
