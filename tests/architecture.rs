//! The arrows between the crates, as DESIGN.md draws them, hold in the manifests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Which of the house's crates the crate in `folder` may depend on.
const ARROWS: [(&str, &[&str]); 7] = [
    ("msg", &["macros"]),
    ("msg/macros", &[]),
    ("sandbox", &[]),
    ("ipc", &["msg"]),
    ("worker", &["ipc", "macros", "msg", "sandbox"]),
    ("broker", &["ipc", "macros", "msg", "sandbox"]),
    ("tests/proof", &["broker", "msg", "worker"]),
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

/// Every Rust file below `folder`, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the house").map(|entry| entry.expect("readable")) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("source is text");
                files.push((path, text));
            }
        }
    }
    assert!(!files.is_empty(), "{folder} has no sources: the map has changed, and so must this test");
    files
}

/// The code of a file without its comments.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_router_and_what_is_said_name_no_operating_system() {
    let world = [
        "std::os",
        "std::fs",
        "std::io",
        "std::net",
        "std::thread",
        "std::process",
        "Instant",
        "SystemTime",
        "rustix",
        "nix::",
        "libc",
        "tokio",
        "cloison_ipc",
        "cloison_sandbox",
    ];
    for (path, text) in sources("msg/src").into_iter().chain(sources("broker/src/router")) {
        let code = code(&text);
        let named: Vec<_> = world.iter().filter(|name| code.contains(*name)).collect();
        assert!(named.is_empty(), "{} names {named:?}: it is to be a machine without a world", path.display());
    }
}

#[test]
fn unsafe_lives_in_two_rooms() {
    let rooms = ["sandbox/src/sys", "ipc/src/memory"];
    for krate in ["msg", "ipc", "sandbox", "worker", "broker"] {
        for (path, text) in sources(&format!("{krate}/src")) {
            let at_home = rooms.iter().any(|room| path.to_string_lossy().contains(room));
            let blocks =
                code(&text).lines().filter(|line| line.contains("unsafe {") || line.contains("unsafe fn")).count();
            assert!(at_home || blocks == 0, "{} has {blocks} unsafe blocks; they belong in {rooms:?}", path.display());
        }
    }
}

#[test]
fn the_player_keeps_its_unsafe_code_in_one_file() {
    for (path, text) in sources("examples/player") {
        let is_home = path.ends_with("stage/ffmpeg/raw.rs");
        assert!(is_home || !code(&text).contains("unsafe "), "{} has unsafe code", path.display());
    }
}

#[test]
fn every_crate_says_first_what_it_is() {
    for (krate, _) in ARROWS {
        let path = format!("{}/{krate}/src/lib.rs", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("every crate has a root");
        let intro: Vec<_> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(intro.len() > 1, "{krate}: say what it is");
        assert!(intro.join("\n").to_lowercase().contains("not"), "{krate}: say what it is not");
    }
}
