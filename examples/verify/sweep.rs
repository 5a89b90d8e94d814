//! Every system call there is, and every rule that looks at an argument, tried with arguments that it must not accept.

use std::collections::BTreeSet;

use cloison_sandbox::{Effect, Exit, Profile, Rule, Test};
use syscalls::Sysno;

use crate::probe::Outcome;
use crate::raw;
use crate::rules;
use crate::run::{Row, Stage};

/// One number beyond all that kernels of today have.
const NUMBERS: i32 = 480;

/// `uretprobe` and `uprobe`, which the kernel lets past every filter: outside the kernel's own trampolines, where no worker
/// can be, the first one kills with SIGILL and the second one fails with ENXIO.
const PASSED: &[i32] = if cfg!(target_arch = "x86_64") { &[335, 336] } else { &[] };

/// A call with all its arguments.
pub type Call = (i32, [u64; 6]);

/// How many calls one worker makes, unless it dies of one.
const BATCH: usize = 64;

/// The name under which calls are ordered from a worker.
pub fn name(calls: &[Call]) -> String {
    let one = |(number, arguments): &Call| {
        let arguments = arguments.map(|argument| format!("{argument:x}"));
        format!("{number}:{}", arguments.join(":"))
    };
    format!("sweep={}", calls.iter().map(one).collect::<Vec<_>>().join(";"))
}

/// The calls that are meant by a name, if it is one of these.
pub fn parse(name: &str) -> Option<Vec<Call>> {
    let one = |words: &str| {
        let mut words = words.split(':');
        let number = words.next()?.parse().ok()?;
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = u64::from_str_radix(words.next()?, 16).ok()?;
        }
        Some((number, arguments))
    };
    name.strip_prefix("sweep=")?.split(';').map(one).collect()
}

pub fn attempt((number, arguments): Call) -> Outcome {
    raw::call(number.into(), &rules::resolve(arguments))
}

/// Runs all sweeps; one row for each of them, and one for each call that went through.
pub fn run(stage: &Stage) -> Vec<Row> {
    let mut rows = sweep(stage, "every_unnamed_call", &unnamed());
    rows.extend(sweep(stage, "perturbed_arguments", &perturbed()));
    rows
}

fn sweep(stage: &Stage, what: &'static str, calls: &[Call]) -> Vec<Row> {
    let batches: Vec<&[Call]> = calls.chunks(BATCH).collect();
    let made = stage.in_parallel(&batches, |batch| make(stage, batch));
    let mut failed = Vec::new();
    for (call, fate) in batches.iter().copied().flatten().zip(made.into_iter().flatten()) {
        if !fate.held(call.0) {
            failed.push(fate.row(call));
        }
    }
    let summary = Row {
        group: "sweeps",
        name: what.to_owned(),
        wanted: "all refused".to_owned(),
        happened: format!("{} of {} refused", calls.len() - failed.len(), calls.len()),
        stopped_by: "seccomp",
        held: failed.is_empty(),
    };
    std::iter::once(summary).chain(failed).collect()
}

/// What came of one call: an outcome, or the worker's death.
enum Fate {
    Outcome(Outcome),
    Death(Exit),
    /// It was not made.
    Broken(String),
}

/// Has workers make all of `calls`, a fresh one after each death.
fn make(stage: &Stage, calls: &[Call]) -> Vec<Fate> {
    let mut fates: Vec<Fate> = Vec::new();
    while fates.len() < calls.len() {
        match stage.attempt(&name(&calls[fates.len()..])) {
            Ok(happened) => {
                let left = calls.len() - fates.len();
                fates.extend(happened.outcomes.into_iter().take(left).map(Fate::Outcome));
                if fates.len() < calls.len() {
                    fates.push(Fate::Death(happened.exit));
                }
            }
            Err(error) => fates.push(Fate::Broken(error)),
        }
    }
    fates
}

impl Fate {
    fn held(&self, number: i32) -> bool {
        let passed = PASSED.contains(&number);
        match self {
            Self::Outcome(Outcome::Failed(libc::EPERM | libc::ENOSYS | libc::EACCES)) => true,
            Self::Outcome(Outcome::Failed(libc::ENXIO)) => passed,
            Self::Death(Exit::ForbiddenCall { .. } | Exit::Signal { signal: libc::SIGSYS, .. }) => true,
            Self::Death(Exit::Signal { signal: libc::SIGILL, .. }) => passed,
            _ => false,
        }
    }

    fn row(self, call: &Call) -> Row {
        let happened = match self {
            Self::Outcome(outcome) => outcome.to_string(),
            Self::Death(exit) => exit.to_string(),
            Self::Broken(error) => error,
        };
        let (name, wanted) = (in_words(call), "refused".to_owned());
        Row { group: "sweeps", name, wanted, happened, stopped_by: "", held: false }
    }
}

fn in_words((number, arguments): &Call) -> String {
    let known = usize::try_from(*number).ok().and_then(Sysno::new);
    let name = known.map_or_else(|| number.to_string(), |call| call.name().to_owned());
    format!("{name}({})", arguments.map(|argument| format!("{argument:#x}")).join(", "))
}

/// Each call that no rule names, with zeros and with senseless arguments.
fn unnamed() -> Vec<Call> {
    let named: BTreeSet<i32> = Profile::decoder().rules().iter().filter_map(number).collect();
    let numbers = (0..NUMBERS).filter(|number| !named.contains(number));
    numbers.flat_map(|number| [(number, [0; 6]), (number, [u64::MAX; 6])]).collect()
}

/// Each rule that looks at an argument, with each of its 64 bits flipped that the rules do not accept so: dirty high bits
/// among them.
fn perturbed() -> Vec<Call> {
    let rules = Profile::decoder().rules();
    let mut calls = Vec::new();
    for rule in rules.iter().filter(|rule| rule.effect == Effect::Allow) {
        let (Some(number), arguments) = (number(rule), satisfying(rule)) else { continue };
        for test in &rule.tests {
            let (Test::Is(index, _) | Test::Within(index, _)) = *test else { continue };
            for bit in 0..u64::BITS {
                let mut arguments = arguments;
                arguments[usize::from(index)] ^= 1 << bit;
                let allowed = |other: &Rule| other.call == rule.call && accepts(other, &arguments);
                if !rules.iter().any(allowed) {
                    calls.push((number, arguments));
                }
            }
        }
    }
    calls
}

fn accepts(rule: &Rule, arguments: &[u64; 6]) -> bool {
    rule.effect == Effect::Allow && rule.tests.iter().all(|test| test.holds(arguments))
}

/// Arguments that meet a rule's conditions.
pub fn satisfying(rule: &Rule) -> [u64; 6] {
    let mut arguments = [0; 6];
    for test in &rule.tests {
        match *test {
            Test::Is(index, value) | Test::Has(index, value) => arguments[usize::from(index)] |= value,
            Test::IsNot(index, 0) => arguments[usize::from(index)] = 1,
            Test::IsNot(..) | Test::Within(..) | Test::Without(..) => {}
        }
    }
    arguments
}

pub fn number(rule: &Rule) -> Option<i32> {
    Some(rule.call.parse::<Sysno>().ok()?.id())
}
