//! The `verify` example holds on this system: every probe, in each tier that the system gives, and in the tier that is left
//! where user namespaces are forbidden.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Forbids user namespaces inside one, where even root can not make any, and runs what follows there.
const FORBIDDING: &str = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";

#[test]
fn every_probe_holds_in_the_strongest_tier() {
    holds(Command::new(verify()).output().unwrap());
}

#[test]
fn every_probe_holds_without_namespaces() {
    holds(Command::new(verify()).args(["--tier", "no-userns"]).output().unwrap());
}

/// A program reads the same verdict as a person.
#[test]
fn verdicts_are_json_too() {
    let output = Command::new(verify()).args(["--json", "ptrace_traceme", "malloc64"]).output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["held"], said["probes"].as_array().unwrap().len()), (&true.into(), 2));
    for key in ["probe", "wanted", "happened", "stopped_by"] {
        assert!(said["probes"].as_array().unwrap().iter().all(|row| row[key].is_string()), "{key}");
    }
}

/// What cannot be probed is no success.
#[test]
fn a_probe_that_is_not_there_is_an_error() {
    for (arguments, said) in [(["no_such_probe"], "no probe \"no_such_probe\""), (["--tire"], "--tier")] {
        let output = Command::new(verify()).args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && error.contains(said), "{error}");
    }
}

/// A table in which nothing can fail proves nothing.
#[test]
fn an_unconfined_worker_does_not_hold() {
    let output = Command::new(verify()).args(["--tier", "off", "stat_etc_passwd"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("NOT HELD") && text.contains("NOTHING IS CONFINED"), "{text}");
}

#[test]
fn every_probe_holds_where_user_namespaces_are_forbidden() {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-current-user", "--keep-caps", "sh", "-c", FORBIDDING, "sh"]).arg(verify());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.is_empty() && String::from_utf8_lossy(&output.stderr).contains("unshare") {
        // The system forbids them itself; the first test has covered that.
        return;
    }
    assert!(text.contains("tier no-userns"), "{text}");
    // The report says what forbids them, in words that a user can act on.
    assert!(text.contains("the sysctl user.max_user_namespaces is 0"), "{text}");
    holds(output);
}

fn holds(output: Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// Cargo builds the examples before it runs all tests of a package.
fn verify() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its executable");
    let path = test.ancestors().nth(2).expect("tests are built below target").join("examples/verify");
    assert!(path.exists(), "{} is not built: cargo build --example verify", path.display());
    path
}
