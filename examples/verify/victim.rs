//! What there is to attack: a process, a secret, a socket, shared memory.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use crate::probe::Outcome;
use crate::raw;

/// The argument of the victim process.
pub const WORD: &str = "--victim";

/// Lives until the command that started it ends.
pub fn main() -> ExitCode {
    let _ = std::io::stdin().read(&mut [0]);
    ExitCode::SUCCESS
}

/// A victim, which is cleared away when dropped.
pub struct Victim {
    process: Child,
    pub directory: PathBuf,
    pub segment: u64,
    _socket: UnixListener,
}

impl Victim {
    pub fn set_up() -> std::io::Result<Self> {
        let process = Command::new("/proc/self/exe").arg(WORD).stdin(Stdio::piped()).spawn()?;
        let directory = std::env::temp_dir().join(format!("cloison-verify-{}", std::process::id()));
        std::fs::create_dir(&directory)?;
        std::fs::write(directory.join("secret"), "secret")?;
        let socket = UnixListener::bind(directory.join("socket"))?;
        let segment = match raw::call(libc::SYS_shmget, &[0, 4096, libc::IPC_CREAT as u64 | 0o666]) {
            Outcome::Succeeded(segment) => segment,
            _ => u64::MAX,
        };
        Ok(Self { process, directory, segment, _socket: socket })
    }

    pub fn pid(&self) -> u64 {
        self.process.id().into()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
        raw::call(libc::SYS_shmctl, &[self.segment, libc::IPC_RMID as u64, 0]);
    }
}
