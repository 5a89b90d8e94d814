//! What the README shows is what compiles, and what it says happens.

use std::path::PathBuf;
use std::process::Command;

fn read(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Cargo builds the examples before it runs all tests of a package.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its executable");
    let path = test.ancestors().nth(2).expect("tests are built below target").join("examples").join(name);
    assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
    path
}

fn output(name: &str) -> String {
    let output = Command::new(example(name)).output().expect("it can be started");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn the_host_and_the_worker_of_the_readme_are_the_examples() {
    let readme = read("README.md");
    for (example, lines) in [("examples/shout.rs", 20), ("examples/shouter.rs", 15)] {
        let code = read(example)
            .lines()
            .skip_while(|line| line.starts_with("//!") || line.is_empty())
            .collect::<Vec<_>>()
            .join("\n");
        assert!(readme.contains(&code), "the README shows another text than {example}");
        assert!(code.lines().count() <= lines, "{example} has grown beyond {lines} lines");
    }
}

#[test]
fn they_run() {
    assert_eq!(output("shout"), "HELLO FROM A SANDBOX\n");
}

#[test]
fn hello_stays_small_and_says_how_it_is_confined() {
    assert!(read("examples/hello.rs").lines().count() <= 40);
    let said = output("hello");
    assert!(said.starts_with("Hello, world!\n"), "{said}");
    assert!(said.contains("confined: full: ") || said.contains("confined: no-userns: "), "{said}");
}

#[test]
fn hello_has_help_and_ends_quietly() {
    let help = Command::new(example("hello")).arg("--help").output().expect("it can be started");
    assert!(help.status.success() && help.stdout.starts_with(b"A confined worker says hello"), "{help:?}");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(example("hello")).stdout(writer).output().expect("it can be started");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_readme_names_the_two_commands() {
    let readme = read("README.md");
    for command in ["cargo run --release --example player", "cargo test --workspace"] {
        assert!(readme.contains(&format!("$ {command}\n")), "{command}");
    }
}
