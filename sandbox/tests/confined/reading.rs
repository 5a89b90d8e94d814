//! A directory can be made readable, and nothing else with it.

use std::fs;
use std::io::{Read, Write};

use cloison_sandbox::{Launch, LaunchError, Layer, Profile, ProfileError, Standing, Tier};

use crate::host::{plan, start, tiers};

pub fn trials() -> Vec<(&'static str, fn())> {
    vec![
        ("a_readable_directory_can_be_read_and_no_more", a_readable_directory_can_be_read_and_no_more),
        ("a_directory_that_is_not_there_is_named", a_directory_that_is_not_there_is_named),
    ]
}

fn a_readable_directory_can_be_read_and_no_more() {
    let directory = std::env::temp_dir().join(format!("cloison readable {}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("file"), "text").unwrap();
    for &tier in tiers() {
        let launch = Launch { profile: Profile::decoder().readable(&directory), ..plan("reader", tier) };
        let (child, mut channel) = start(launch).unwrap();
        channel.write_all(directory.to_str().unwrap().as_bytes()).unwrap();
        let mut letters = [0; 6];
        channel.read_exact(&mut letters).unwrap();
        assert_eq!(std::str::from_utf8(&letters), Ok("yynnnn"), "{tier}");
        assert_eq!(child.report().tier, tier);
        let root = child.report().standing(Layer::EmptyRoot);
        assert_eq!(matches!(root, Standing::Verified { .. }), tier == Tier::Full, "{root}");
    }
    fs::remove_dir_all(directory).unwrap();
}

fn a_directory_that_is_not_there_is_named() {
    let reading = |path| Launch { profile: Profile::decoder().readable(path), ..plan("idle", tiers()[0]) };
    for path in ["fonts", "/nonexistent/fonts", "/etc/passwd"] {
        let unfit = start(reading(path)).unwrap_err();
        assert!(matches!(unfit, LaunchError::Profile(ProfileError::Directory(_))), "{unfit}");
        assert!(unfit.to_string().contains(path), "{unfit}");
    }
}
