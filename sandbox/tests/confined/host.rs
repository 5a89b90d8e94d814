//! What the tests need on the host's side.

use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::time::Duration;

use cloison_sandbox::{Child, Ended, Launch, LaunchError, Launcher, Tier};

/// Long enough for anything that ends by itself, on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

pub fn launcher() -> &'static Launcher {
    static LAUNCHER: OnceLock<Launcher> = OnceLock::new();
    LAUNCHER.get_or_init(|| Launcher::new().unwrap())
}

/// A launch of this executable in `role`, of exactly `tier`.
pub fn plan(role: &str, tier: Tier) -> Launch {
    Launch { least: tier, most: tier, ready_within: SOON, ..Launch::own(role) }
}

/// Starts `launch` and returns the child with the host's end of its channel.
pub fn start(launch: Launch) -> Result<(Child, UnixStream), LaunchError> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(SOON)).unwrap();
    launcher().launch(launch, theirs.into()).map(|child| (child, ours))
}

pub fn end(mut child: Child) -> Ended {
    child.wait(SOON).unwrap().expect("the child ends")
}

/// The tiers that this system can give; every test of a tier runs in each of them.
pub fn tiers() -> &'static [Tier] {
    static TIERS: OnceLock<Vec<Tier>> = OnceLock::new();
    TIERS.get_or_init(|| {
        let given = |tier: &Tier| start(plan("idle", *tier)).is_ok();
        [Tier::Full, Tier::NoUserNs].into_iter().filter(given).collect()
    })
}
