//! The arrows between the crates, as DESIGN.md draws them, hold in the manifests.

use std::collections::BTreeSet;

/// Which of the house's crates the crate in `folder` may depend on.
const ARROWS: [(&str, &[&str]); 5] = [
    ("msg", &[]),
    ("sandbox", &[]),
    ("ipc", &["msg"]),
    ("worker", &["ipc", "msg", "sandbox"]),
    ("broker", &["ipc", "msg", "sandbox"]),
];

#[test]
fn dependency_arrows_point_one_way() {
    for (folder, allowed) in ARROWS {
        let path = format!("{}/{folder}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        let manifest = std::fs::read_to_string(&path).expect("every crate has a manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).expect("every crate lists dependencies");
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        let found: BTreeSet<_> = dependencies
            .lines()
            .filter_map(|line| line.strip_prefix("cloison-")?.split(['.', ' ', '=']).next())
            .collect();
        let allowed: BTreeSet<_> = allowed.iter().copied().collect();
        assert!(found.is_subset(&allowed), "{folder} depends on {found:?}; only {allowed:?} is allowed");
    }
}
