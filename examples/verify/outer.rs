//! Namespaces around the whole command, so that a probe that does succeed reaches nothing of this machine.

use std::io;
use std::process::{Command, ExitCode};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Marks the command that runs inside.
pub const INSIDE: &str = "--inside";

/// Runs this command again inside namespaces of its own and returns its exit code; `None` if this is the one inside, or
/// the system allows no such namespaces to this user.
pub fn enter(words: &[String]) -> Option<ExitCode> {
    if words.iter().any(|word| word == INSIDE) {
        return None;
    }
    if let Err(error) = surround() {
        eprintln!("verify: no namespaces around the probes ({error}); they run as this ordinary user");
        return None;
    }
    // Executed anew, an ordinary user has no capabilities, as outside.
    let status = Command::new("/proc/self/exe").arg(INSIDE).args(words).status();
    let code = status.ok().and_then(|status| u8::try_from(status.code()?).ok());
    Some(ExitCode::from(code.unwrap_or(2)))
}

fn surround() -> io::Result<()> {
    let apart =
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if rustix::process::geteuid().is_root() {
        unshare(apart)?;
    } else {
        let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        unshare(CloneFlags::CLONE_NEWUSER | apart)?;
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    }
    let none: Option<&str> = None;
    Ok(mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?)
}
