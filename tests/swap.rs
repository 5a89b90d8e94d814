//! The example `swap`: what it says, and to whom.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Runs the built example.
fn swap(arguments: &[&str]) -> Output {
    let mut path: PathBuf = std::env::current_exe().expect("this test").parent().expect("deps").into();
    path.pop();
    let example = path.join("examples/swap");
    Command::new(&example)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo build --examples` makes it", example.display()))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn nothing_is_lost_doubled_or_reordered() {
    let output = swap(&["--messages", "20000", "--flips", "60", "--json"]);
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name} in {report}"));
    assert_eq!((number("lost"), number("doubled"), number("reordered"), number("failed_calls")), (0, 0, 0, 0));
    assert_eq!((number("sent"), number("received")), (20_000, 20_000));
    assert_eq!(number("flips"), 60);
    let share = report["unread_share"].as_f64().expect("a share");
    assert_eq!(output.status.success(), share >= 0.9, "{report}");
    assert!(output.stderr.is_empty() || share < 0.9, "no live line where nobody watches: {}", text(&output.stderr));
}

/// A oneway is answered by a message that counts, too, so that an odd one at the end has to be a call.
#[test]
fn as_many_are_sent_as_were_asked_for() {
    for messages in ["16", "17", "29"] {
        let output = swap(&["--messages", messages, "--flips", "0", "--json"]);
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_eq!((report["sent"].to_string(), report["received"].to_string()), (messages.into(), messages.into()));
    }
}

#[test]
fn what_makes_no_sense_is_said_at_once() {
    for (arguments, said) in [
        (&["--messages", "100", "--flips", "99"][..], "--messages 1584"),
        (&["--messages", "0"], "--messages"),
        (&["--flips", "many"], "invalid value 'many'"),
    ] {
        let output = swap(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(said), "{arguments:?}: {}", text(&output.stderr));
    }
    let help = swap(&["--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("Exit codes"));
}
