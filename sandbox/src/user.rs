//! Which user a worker becomes when its host is root.

use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::geteuid;

use crate::wire::UserChange;

/// User numbers that no distribution, container manager or login service gives out. Each worker gets its own, so that
/// one that breaks out of all else still meets no process of its own user.
pub(crate) const WORKERS: Range<u32> = 1_900_000_000..1_900_065_536;
/// Nobody: where [`WORKERS`] do not exist, as in most containers.
const NOBODY: u32 = 65534;

/// Which user the next worker becomes.
pub(crate) fn change() -> UserChange {
    if !geteuid().is_root() {
        return UserChange::Keep;
    }
    let mapped = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mapped = ranges(&mapped);
    let exists = |number: u32| mapped.iter().any(|range| range.contains(&u64::from(number)));
    if exists(WORKERS.start) && exists(WORKERS.end - 1) {
        return UserChange::Become(next());
    }
    if exists(NOBODY) {
        return UserChange::Become(NOBODY);
    }
    UserChange::Impossible("this user namespace has no other user".to_owned())
}

fn next() -> u32 {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let span = WORKERS.end - WORKERS.start;
    // Two hosts start at different places, so that their workers rarely share a user.
    let start = std::process::id().wrapping_mul(0x9E37);
    WORKERS.start + start.wrapping_add(COUNTER.fetch_add(1, Ordering::Relaxed)) % span
}

fn ranges(uid_map: &str) -> Vec<Range<u64>> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let (start, _, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(start..start + count)
    };
    uid_map.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read() {
        assert!(ranges("         0          0 4294967295\n")[0].contains(&u64::from(WORKERS.start)));
        assert_eq!(ranges("0 1000 1\n1 100000 65536\n"), [0..1, 1..65537]);
        assert_eq!(ranges("nonsense"), []);
    }
}
