//! The examples of calls do what they say, under both models, with real processes.

use std::process::Command;

const SAID: &str = "\
world: monde
cloison: unknown
cloison: partition
learnt 2 words from a pipe
it knows 6 words
morning: matin
good world: bon monde
good: bon
four meanings have 16 letters
one of them 5
its words: good, morning, world
learnt 2 by a stream
their meanings: bon, matin, voile, mer, monde
then mer
then \"mast\" is not in the dictionary
all its words have 23 letters
learnt 2 as they came
mine knows 4 words, yours 3
yours still knows 3
\"Le petit livre\" has 4 words
the branch library counts 4
1 are lent
none is
the library's: 0 lent
that makes 1
on four pages 5 words are known
in this process: bon matin
in a worker: bon matin
wherever it is: bon matin
wherever it is: bon matin
diary: good morning world = bon matin monde
translated: bon matin monde
";

fn calls() -> Command {
    // Cargo builds the examples before it runs all tests of a package.
    let test = std::env::current_exe().expect("a test knows its executable");
    let path = test.ancestors().nth(2).expect("tests are built below target").join("examples/calls");
    assert!(path.exists(), "{} is not built: cargo build --examples", path.display());
    Command::new(path)
}

fn run(arguments: &[&str]) -> String {
    let output = calls().args(arguments).output().expect("it can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn every_kind_of_call_does_what_it_says() {
    assert_eq!(run(&[]), SAID);
}

#[test]
fn none_of_them_knows_the_model() {
    assert_eq!(run(&["--direct"]), SAID);
}

#[test]
fn help_and_readers_that_leave_are_nothing_special() {
    assert!(run(&["--help"]).contains("--direct"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = calls().stdout(writer).output().expect("it can be started");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
