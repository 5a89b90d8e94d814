//! From rules to BPF programs, compiled in the host; the worker only installs them.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde::{Deserialize, Serialize};
use syscalls::Sysno;
use thiserror::Error;

use crate::rules::{Effect, Rule, Test};
use crate::verdict;

/// Marks, in seccompiler's terms, the calls that go to the host; replaced by `SECCOMP_RET_USER_NOTIF` after compilation,
/// since seccompiler has no name for that.
const TO_HOST: SeccompAction = SeccompAction::Trace(0);
const EPERM: SeccompAction = SeccompAction::Errno(libc::EPERM.unsigned_abs());
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
/// `BPF_JMP | BPF_JA`.
const JUMP: u16 = 0x05;

/// One BPF instruction as it travels to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

pub(crate) type Program = Vec<Instruction>;

/// The program that a worker installs, in its two forms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Compiles `rules` for the processor this runs on. If `host_counts_threads`, each new one is asked of the host.
pub(crate) fn compile(rules: &[Rule], host_counts_threads: bool) -> Result<Filters, FilterError> {
    let polite = polite(rules)?;
    let asked = |rule: &&Rule| !(host_counts_threads && rule.call == "clone");
    let unasked: Vec<Rule> = rules.iter().filter(asked).cloned().collect();
    let mut open = program(&unasked, Effect::Allow, SeccompAction::Allow, TO_HOST)?;
    redirect_to_host(&mut open);
    let closed = program(rules, Effect::Allow, SeccompAction::Allow, EPERM)?;
    let notify = link(polite.iter().cloned().chain([open]));
    let fallback = link([deadly()?].into_iter().chain(polite).chain([closed]));
    Ok(Filters { notify, fallback })
}

/// One program per errno: it refuses the calls that its rules name and has no opinion of others.
fn polite(rules: &[Rule]) -> Result<Vec<Program>, FilterError> {
    let mut errnos = Vec::new();
    for rule in rules {
        match rule.effect {
            Effect::Refuse(errno) if !errnos.contains(&errno) => errnos.push(errno),
            Effect::Refuse(_) | Effect::Allow => {}
        }
    }
    let refusing =
        |errno| program(rules, Effect::Refuse(errno), SeccompAction::Errno(errno.unsigned_abs()), SeccompAction::Allow);
    errnos.into_iter().map(refusing).collect()
}

/// One program out of several: where one allows a call, the next one is asked.
///
/// The kernel would ask a stack of programs just as well, but each costs 40 µs to install.
fn link(programs: impl IntoIterator<Item = Program>) -> Program {
    let mut linked = Program::new();
    let mut programs = programs.into_iter().peekable();
    while let Some(mut program) = programs.next() {
        if programs.peek().is_some() {
            let length = program.len();
            for (index, instruction) in program.iter_mut().enumerate() {
                if u32::from(instruction.code) == RETURN && instruction.k == libc::SECCOMP_RET_ALLOW {
                    let to_next = u32::try_from(length - index - 1).unwrap_or(u32::MAX);
                    *instruction = Instruction { code: JUMP, jt: 0, jf: 0, k: to_next };
                }
            }
        }
        linked.extend(program);
    }
    linked
}

/// A program that kills on the calls that are hostile whatever their arguments.
fn deadly() -> Result<Program, FilterError> {
    let calls = verdict::DEADLY.iter().filter_map(|name| name.parse::<Sysno>().ok());
    let rules = calls.map(|call| (i64::from(call.id()), Vec::new())).collect();
    assemble(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

fn program(
    rules: &[Rule],
    effect: Effect,
    on_match: SeccompAction,
    otherwise: SeccompAction,
) -> Result<Program, FilterError> {
    let mut table: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.effect == effect) {
        let Ok(call) = rule.call.parse::<Sysno>() else { continue };
        let alternatives = table.entry(i64::from(call.id())).or_default();
        if !rule.tests.is_empty() {
            let conditions = rule.tests.iter().map(condition).collect::<Result<_, _>>()?;
            alternatives.push(SeccompRule::new(conditions)?);
        }
    }
    assemble(table, on_match, otherwise)
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
