//! Every system call there is, and every rule that looks at an argument, tried with arguments that it must not accept.

use std::collections::BTreeSet;

use cloison_sandbox::{Effect, Exit, Profile, Rule, Test};
use syscalls::Sysno;

use crate::probe::Outcome;
use crate::raw;
use crate::run::{Row, Stage};

/// One number beyond all that kernels of today have.
const NUMBERS: i32 = 480;
/// A high bit that no argument of 32 bits should have.
const DIRTY: u64 = 1 << 40;

/// `uretprobe` and `uprobe`, which the kernel lets past every filter: outside the kernel's own trampolines, where no worker
/// can be, the first one kills with SIGILL and the second one fails with ENXIO.
const PASSED: &[i32] = if cfg!(target_arch = "x86_64") { &[335, 336] } else { &[] };

/// A call with all its arguments.
type Call = (i32, [u64; 6]);

/// The name under which a call is ordered from a worker.
fn name((number, arguments): &Call) -> String {
    let arguments = arguments.map(|argument| format!("{argument:x}"));
    format!("sweep:{number}:{}", arguments.join(":"))
}

/// The call that is meant by a name, if it is one of these.
pub fn parse(name: &str) -> Option<Call> {
    let mut words = name.strip_prefix("sweep:")?.split(':');
    let number = words.next()?.parse().ok()?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = u64::from_str_radix(words.next()?, 16).ok()?;
    }
    Some((number, arguments))
}

pub fn attempt((number, arguments): Call) -> Outcome {
    raw::call(number.into(), &arguments)
}

/// Runs both sweeps; a row for each call that went through, and one row of success for each sweep.
pub fn run(stage: &Stage) -> Vec<Row> {
    let mut rows = sweep(stage, "every unnamed call", &unnamed());
    rows.extend(sweep(stage, "perturbed arguments", &perturbed()));
    rows
}

fn sweep(stage: &Stage, what: &'static str, calls: &[Call]) -> Vec<Row> {
    let rows = stage.in_parallel(calls, |call| {
        let happened = stage.attempt(&name(call))?;
        let refused = matches!(happened.outcome, Some(Outcome::Failed(libc::EPERM | libc::ENOSYS | libc::EACCES)));
        let killed = matches!(happened.exit, Exit::ForbiddenCall { .. } | Exit::Signal { signal: libc::SIGSYS, .. });
        let harmless = PASSED.contains(&call.0)
            && (matches!(happened.outcome, Some(Outcome::Failed(libc::ENXIO | libc::EPERM)))
                || matches!(happened.exit, Exit::Signal { signal: libc::SIGILL, .. } | Exit::ForbiddenCall { .. }));
        Ok(Row {
            group: "sweeps",
            name: in_words(call),
            wanted: "refused".to_owned(),
            happened: happened.in_words(),
            stopped_by: "",
            held: refused || harmless || (killed && happened.outcome.is_none()),
        })
    });
    let (total, failed) = (rows.len(), rows.into_iter().filter(|row| !row.held).collect::<Vec<_>>());
    let summary = Row {
        group: "sweeps",
        name: what.to_owned(),
        wanted: "all refused".to_owned(),
        happened: format!("{} of {total} refused", total - failed.len()),
        stopped_by: "seccomp",
        held: failed.is_empty(),
    };
    std::iter::once(summary).chain(failed).collect()
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

/// Each rule that looks at an argument, with one dirty high bit, and with a low bit that it does not accept.
fn perturbed() -> Vec<Call> {
    let rules = Profile::decoder().rules();
    let mut calls = Vec::new();
    for rule in rules.iter().filter(|rule| rule.effect == Effect::Allow) {
        let (Some(number), arguments) = (number(rule), satisfying(rule)) else { continue };
        for test in &rule.tests {
            let (Test::Is(index, _) | Test::Within(index, _)) = *test else { continue };
            for flip in [DIRTY, 1 << 9, 1 << 31] {
                let mut arguments = arguments;
                arguments[usize::from(index)] ^= flip;
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

fn satisfying(rule: &Rule) -> [u64; 6] {
    let mut arguments = [0; 6];
    for test in &rule.tests {
        if let Test::Is(index, value) = *test {
            arguments[usize::from(index)] = value;
        }
    }
    arguments
}

fn number(rule: &Rule) -> Option<i32> {
    Some(rule.call.parse::<Sysno>().ok()?.id())
}
