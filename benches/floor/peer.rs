//! Far ends: this executable, started again as something else.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};

/// The argument that makes this executable a far end. The next two name the role and the core.
const FAR: &str = "--far-end";

/// Something this executable can be when started again. It has its socket as standard input, and a second one, if it
/// needs that, as standard output.
pub struct Far {
    /// Its name on the command line.
    pub role: &'static str,
    /// Runs until its socket is closed.
    pub serve: fn(near: BorrowedFd<'_>, beyond: BorrowedFd<'_>),
}

/// A far end that runs. Dropping it waits for its end: close the sockets that lead to it first.
pub struct Peer(Child);

impl Peer {
    /// Starts `role`, pinned to `core`, with these sockets.
    pub fn start(role: &str, core: usize, near: OwnedFd, beyond: Option<OwnedFd>) -> Self {
        let executable = std::env::current_exe().expect("a process knows its executable");
        let child = Command::new(executable)
            .args([FAR, role, &core.to_string()])
            .stdin(Stdio::from(near))
            .stdout(beyond.map_or_else(Stdio::null, Stdio::from))
            .spawn();
        Self(child.expect("this executable can be started again"))
    }

    /// Its process id, for as long as this value lives.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let status = self.0.wait().expect("nobody else waits for it");
        assert!(status.success(), "a far end failed: {status}");
    }
}

/// Serves and exits if this process was started by [`Peer::start`]; otherwise returns. To be called first in `main`.
/// `others` are the far ends that rows outside of this folder need.
pub fn serve_if_child(others: &[Far]) {
    let mut args = std::env::args().skip_while(|arg| arg != FAR).skip(1);
    let (Some(role), Some(core)) = (args.next(), args.next()) else { return };
    let core = core.parse().expect("the core is a number");
    let far = super::raw::FAR_ENDS.iter().chain(others).find(|far| far.role == role);
    super::pin(None, core);
    (far.expect("a known role").serve)(std::io::stdin().as_fd(), std::io::stdout().as_fd());
    std::process::exit(0);
}
