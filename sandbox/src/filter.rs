//! From rules to BPF programs, compiled in the host; the worker only installs them.

use std::collections::BTreeMap;

use nix::errno::Errno;
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
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// One BPF instruction as it travels to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

pub(crate) type Program = Vec<Instruction>;

/// The programs that a worker stacks; of several answers to a call the kernel takes the strictest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filters {
    /// Installed always and first: the polite refusals, one program per errno.
    pub polite: Vec<Program>,
    /// Installed last: allows what the rules allow, sends all else to the host.
    pub notify: Program,
    /// In place of `notify` where a listener is already above the host: hostile calls kill, all else fails with EPERM.
    pub fallback: Vec<Program>,
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
    let mut errnos = Vec::new();
    for rule in rules {
        match rule.effect {
            Effect::Refuse(errno) if !errnos.contains(&errno) => errnos.push(errno),
            Effect::Refuse(_) | Effect::Allow => {}
        }
    }
    let polite = errnos
        .into_iter()
        .map(|errno| program(rules, Effect::Refuse(errno), errno_action(errno), SeccompAction::Allow))
        .collect::<Result<_, _>>()?;
    let asked = |rule: &&Rule| !(host_counts_threads && rule.call == "clone");
    let unasked: Vec<Rule> = rules.iter().filter(asked).cloned().collect();
    let mut notify = program(&unasked, Effect::Allow, SeccompAction::Allow, TO_HOST)?;
    redirect_to_host(&mut notify);
    // The second program can only be installed if the first one lets `seccomp` through; together they kill on it.
    let why = "left to the deadly program";
    let left = verdict::DEADLY.iter().map(|&call| Rule { call, tests: Vec::new(), effect: Effect::Allow, why });
    let rules: Vec<Rule> = rules.iter().cloned().chain(left).collect();
    let closed = program(&rules, Effect::Allow, SeccompAction::Allow, errno_action(Errno::EPERM))?;
    Ok(Filters { polite, notify, fallback: vec![closed, deadly()?] })
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

fn errno_action(errno: Errno) -> SeccompAction {
    SeccompAction::Errno((errno as i32).unsigned_abs())
}

fn redirect_to_host(program: &mut Program) {
    let marked = u32::from(TO_HOST);
    for instruction in program.iter_mut().filter(|i| u32::from(i.code) == RETURN && i.k == marked) {
        instruction.k = libc::SECCOMP_RET_USER_NOTIF;
    }
}
