//! Control groups: used where one was delegated, reported everywhere, required nowhere.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use cloison_sandbox::{Exit, Launch, LaunchError, Launcher, Layer, Profile, Standing, Tier};

use crate::host::{SOON, end, plan, tiers};

pub fn trials() -> Vec<(&'static str, fn())> {
    vec![
        ("a_group_bounds_memory_and_threads", a_group_bounds_memory_and_threads),
        ("a_group_that_can_not_be_had_is_reported_and_no_more", a_group_that_can_not_be_had_is_reported_and_no_more),
    ]
}

/// A group as a service manager delegates one, taken away when dropped.
struct Delegated(PathBuf);

impl Delegated {
    /// Only root can make one, and only where the controllers are those of version 2.
    fn make() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let root = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?.split(' ').nth(1)?;
        let controllers = fs::read_to_string(format!("{root}/cgroup.controllers")).ok()?;
        if !controllers.contains("memory") || !controllers.contains("pids") {
            return None;
        }
        fs::write(format!("{root}/cgroup.subtree_control"), "+memory +pids").ok()?;
        let directory = PathBuf::from(format!("{root}/cloison-test-{}", std::process::id()));
        fs::create_dir(&directory).ok().map(|()| Self(directory))
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let left = fs::read_dir(&self.0).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
        assert_eq!(left, 0, "workers' groups are left");
        fs::remove_dir(&self.0).unwrap();
    }
}

fn a_group_bounds_memory_and_threads() {
    let Some(group) = Delegated::make() else {
        println!("there are no memory and pids controllers of version 2 here: nothing to test");
        return;
    };
    for &tier in tiers() {
        let start = |profile: Profile, role| {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_read_timeout(Some(SOON)).unwrap();
            let profile = profile.demand_verified(Layer::MemoryGroup).demand_verified(Layer::PidsGroup);
            let launcher = Launcher::in_group(&group.0).unwrap();
            (launcher.launch(Launch { profile, ..plan(role, tier) }, theirs.into()).unwrap(), ours)
        };
        let (child, mut channel) = start(Profile::decoder().resident(64 << 20), "hog");
        println!("{:#}", child.report());
        channel.write_all(b"!").unwrap();
        assert_eq!(end(child).exit, Exit::OutOfMemory, "{tier}");
        let (child, mut channel) = start(Profile::decoder(), "hog");
        channel.write_all(b"!").unwrap();
        channel.read_exact(&mut [0]).unwrap();
        assert_eq!(end(child).exit, Exit::Code(0), "{tier}");
        let (_child, mut channel) = start(Profile::decoder().threads(6), "thread-flood");
        let mut count = [0; 4];
        channel.read_exact(&mut count).unwrap();
        assert_eq!(u32::from_le_bytes(count), 6, "{tier}: the kernel counts exactly");
    }
}

fn a_group_that_can_not_be_had_is_reported_and_no_more() {
    let launcher = Launcher::in_group("/nonexistent").unwrap();
    let start = |profile| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        launcher.launch(Launch { profile, ..plan("idle", tiers()[0]) }, theirs.into()).map(|child| (child, ours))
    };
    let (child, _channel) = start(Profile::decoder()).unwrap();
    assert!(child.report().tier > Tier::Off);
    for layer in [Layer::MemoryGroup, Layer::PidsGroup] {
        let standing = child.report().standing(layer);
        assert!(matches!(standing, Standing::Unavailable { why } if why.contains("/nonexistent")), "{standing}");
        assert!(!child.report().to_string().contains(layer.name()));
        let refused = start(Profile::decoder().demand(layer)).unwrap_err();
        assert!(matches!(&refused, LaunchError::Unmet { missing } if missing[0].0 == layer), "{refused}");
    }
}
