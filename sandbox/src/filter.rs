//! From rules to BPF programs, compiled in the host; the worker only installs them.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde::{Deserialize, Serialize};
use syscalls::Sysno;
use thiserror::Error;

use crate::rule::{Effect, Rule, Test};
use crate::{dispatch, verdict};

/// Marks, in seccompiler's terms, the calls that go to the host; replaced by `SECCOMP_RET_USER_NOTIF` after compilation,
/// since seccompiler has no name for that.
const TO_HOST: SeccompAction = SeccompAction::Trace(0);
const EPERM: SeccompAction = SeccompAction::Errno(libc::EPERM.unsigned_abs());
/// Instructions of [`guard`].
const GUARD: usize = 3;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// One BPF instruction as it travels to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

pub(crate) type Program = Vec<Instruction>;

/// The program that a worker installs, in its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filters {
    /// Refuses politely, allows what the rules allow, and sends all else to the host.
    pub notify: Program,
    /// Where a listener is already above the host: hostile calls kill, and all else fails with EPERM.
    pub fallback: Program,
}

/// Why rules could not be compiled.
#[derive(Debug, Error)]
pub enum FilterError {
    /// The compiler refused, for instance because of a contradiction or a program that is too long.
    #[error("the system-call rules do not compile: {0}")]
    Compile(#[from] seccompiler::BackendError),
    /// There is no compiler for this processor.
    #[error("there are no system-call filters for this processor ({0})")]
    Architecture(&'static str),
}

/// Compiles `rules` for the processor this runs on. If `host_counts_threads`, the host is asked for each new one; if
/// `learning`, it hears also of what is refused.
pub(crate) fn compile(rules: &[Rule], host_counts_threads: bool, learning: bool) -> Result<Filters, FilterError> {
    let calls = by_call(rules);
    let mut notify = BTreeMap::new();
    let mut fallback: BTreeMap<u32, Program> = BTreeMap::new();
    for name in verdict::DEADLY {
        if let Ok(call) = name.parse::<Sysno>() {
            fallback.insert(call.id().unsigned_abs(), always(SeccompAction::KillProcess)?);
        }
    }
    for (&number, rules) in &calls {
        let counted = |rule: &Rule| host_counts_threads && rule.call == "clone" && rule.effect == Effect::Allow;
        let heard = |rule: &Rule| learning && rule.effect != Effect::Allow;
        let silent: Vec<&Rule> = rules.iter().copied().filter(|rule| !counted(rule) && !heard(rule)).collect();
        notify.insert(number, fragment(&silent, &TO_HOST)?);
        fallback.insert(number, fragment(rules, &EPERM)?);
    }
    let guard = guard()?;
    let mut notify = dispatch::build(&guard, &notify, &always(TO_HOST)?);
    redirect_to_host(&mut notify);
    Ok(Filters { notify, fallback: dispatch::build(&guard, &fallback, &always(EPERM)?) })
}

fn by_call(rules: &[Rule]) -> BTreeMap<u32, Vec<&Rule>> {
    let mut calls: BTreeMap<u32, Vec<&Rule>> = BTreeMap::new();
    for rule in rules {
        if let Ok(call) = rule.call.parse::<Sysno>() {
            calls.entry(call.id().unsigned_abs()).or_default().push(rule);
        }
    }
    calls
}

/// What becomes of one call, by all `rules` on it: first the refusals with conditions, then what is allowed, then the refusal
/// without conditions or, if there is none, `otherwise`.
fn fragment(rules: &[&Rule], otherwise: &SeccompAction) -> Result<Program, FilterError> {
    let refused = rules.iter().filter(|rule| rule.effect != Effect::Allow);
    let (always_refused, refused): (Vec<&Rule>, Vec<&Rule>) = refused.partition(|rule| rule.tests.is_empty());
    let otherwise = always_refused.first().map_or_else(|| otherwise.clone(), |rule| action(rule.effect));
    let mut programs = refused
        .into_iter()
        .map(|rule| program(&[rule], &action(rule.effect), &SeccompAction::Allow))
        .collect::<Result<Vec<_>, _>>()?;
    let allowed: Vec<&Rule> = rules.iter().copied().filter(|rule| rule.effect == Effect::Allow).collect();
    programs.push(program(&allowed, &SeccompAction::Allow, &otherwise)?);
    Ok(link(programs))
}

fn action(effect: Effect) -> SeccompAction {
    match effect {
        Effect::Allow => SeccompAction::Allow,
        Effect::Refuse(errno) => SeccompAction::Errno(errno.unsigned_abs()),
    }
}

/// One program out of several: where one allows a call, the next one is asked.
fn link(programs: Vec<Program>) -> Program {
    let mut linked = Program::new();
    let mut programs = programs.into_iter().peekable();
    while let Some(mut program) = programs.next() {
        if programs.peek().is_some() {
            let length = program.len();
            for (index, instruction) in program.iter_mut().enumerate() {
                if u32::from(instruction.code) == RETURN && instruction.k == libc::SECCOMP_RET_ALLOW {
                    *instruction = dispatch::jump(length - index - 1);
                }
            }
        }
        linked.extend(program);
    }
    linked
}

/// A program for one call: if one of `rules` matches, `on_match`, or else `otherwise`.
fn program(rules: &[&Rule], on_match: &SeccompAction, otherwise: &SeccompAction) -> Result<Program, FilterError> {
    if rules.iter().any(|rule| rule.tests.is_empty()) {
        return always(on_match.clone());
    }
    let mut table: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules {
        let Ok(call) = rule.call.parse::<Sysno>() else { continue };
        let conditions = rule.tests.iter().map(condition).collect::<Result<_, _>>()?;
        table.entry(i64::from(call.id())).or_default().push(SeccompRule::new(conditions)?);
    }
    let mut program = assemble(table, on_match.clone(), otherwise.clone())?;
    without_guard(&mut program)?;
    Ok(program)
}

/// A program that does the same about every call.
fn always(action: SeccompAction) -> Result<Program, FilterError> {
    // seccompiler wants two different actions; without a rule only one of them occurs.
    let other = if action == SeccompAction::Log { SeccompAction::Allow } else { SeccompAction::Log };
    let mut program = assemble(BTreeMap::new(), other, action)?;
    without_guard(&mut program)?;
    Ok(program)
}

/// Takes away what the whole program does once and for all before the search. A program that begins otherwise is none of
/// this compiler's, and is left as it is.
fn without_guard(program: &mut Program) -> Result<(), FilterError> {
    if program.starts_with(&guard()?) {
        program.drain(..GUARD);
    }
    Ok(())
}

fn assemble(
    table: BTreeMap<i64, Vec<SeccompRule>>,
    on_match: SeccompAction,
    otherwise: SeccompAction,
) -> Result<Program, FilterError> {
    let arch: TargetArch =
        std::env::consts::ARCH.try_into().map_err(|_| FilterError::Architecture(std::env::consts::ARCH))?;
    let filter = SeccompFilter::new(table, otherwise, on_match, arch)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(program.iter().map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect())
}

/// What every program that the compiler makes begins with: calls of another architecture kill.
fn guard() -> Result<Program, FilterError> {
    let mut program = assemble(BTreeMap::new(), SeccompAction::Log, SeccompAction::Allow)?;
    program.truncate(GUARD);
    Ok(program)
}

fn condition(test: &Test) -> Result<SeccompCondition, seccompiler::BackendError> {
    let (arg, operation, value) = match *test {
        Test::Is(arg, value) => (arg, SeccompCmpOp::Eq, value),
        Test::IsNot(arg, value) => (arg, SeccompCmpOp::Ne, value),
        Test::Within(arg, mask) => (arg, SeccompCmpOp::MaskedEq(!mask), 0),
        Test::Has(arg, mask) => (arg, SeccompCmpOp::MaskedEq(mask), mask),
        Test::Without(arg, mask) => (arg, SeccompCmpOp::MaskedEq(mask), 0),
    };
    SeccompCondition::new(arg, SeccompCmpArgLen::Qword, operation, value)
}

fn redirect_to_host(program: &mut Program) {
    let marked = u32::from(TO_HOST);
    for instruction in program.iter_mut().filter(|i| u32::from(i.code) == RETURN && i.k == marked) {
        instruction.k = libc::SECCOMP_RET_USER_NOTIF;
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
