//! Each rule matters: with it a call gets as far as the kernel, or its polite refusal; without it the call is refused and
//! reported.

use std::time::Duration;

use cloison_sandbox::{Launch, LaunchError, Layer, Profile, Rule};

use crate::raw;
use crate::run::{self, Row, Stage};
use crate::sweep;

const GROUP: &str = "rules";

/// How long a worker may take that lacks what it needs to say that it is confined.
const LAUNCH_WITHIN: Duration = Duration::from_secs(2);

pub fn run(stage: &Stage) -> Vec<Row> {
    if !stage.is_confined() || !stage.report().standing(Layer::SeccompNotify).in_force() {
        // Nobody could tell the difference.
        return Vec::new();
    }
    let rules = Profile::decoder().rules();
    let indices: Vec<usize> = (0..rules.len()).filter(|&index| sweep::number(&rules[index]).is_some()).collect();
    stage.in_parallel(&indices, |&index| {
        let rule = &rules[index];
        trial(stage, &rules, index).unwrap_or_else(|error| run::broken(GROUP, &label(rule), error))
    })
}

/// Makes the rule's call with and without it.
fn trial(stage: &Stage, rules: &[Rule], index: usize) -> Result<Row, String> {
    let rule = &rules[index];
    let order = control(rule);
    let with = stage.attempt(&order)?.violations.calls().iter().any(|violation| violation.call == rule.call);
    let fewer = rules.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, rule)| rule.clone());
    let without = without(stage, Profile::of(fewer), &order, rule)?;
    Ok(Row {
        group: GROUP,
        name: label(rule),
        wanted: "needed".to_owned(),
        happened: format!("{}, without it {without}: {}", if with { "REFUSED" } else { "passes" }, rule.why),
        stopped_by: "seccomp + host",
        held: !with && without != PASSES,
    })
}

const PASSES: &str = "PASSES TOO";

/// What happens under `profile`, which lacks `rule`.
fn without(stage: &Stage, profile: Profile, order: &str, rule: &Rule) -> Result<&'static str, String> {
    let launch = Launch { profile, ready_within: LAUNCH_WITHIN, ..stage.plan() };
    let (child, channel) = match run::start(stage.launcher(), launch) {
        Ok(started) => started,
        // The worker waits for an answer to a call that the host does not hear of yet.
        Err(LaunchError::TooLate { .. } | LaunchError::Died { .. }) => return Ok("no worker comes to be"),
        Err(error) => return Err(error.to_string()),
    };
    // A worker that cannot even hear what it is to do may have ended by now, and its report is what counts.
    let ordered = stage.order(&channel, order);
    let violations = run::outcome_of(child, channel)?.violations;
    if violations.calls().iter().any(|violation| violation.call == rule.call) {
        return Ok("reported");
    }
    ordered.map(|()| PASSES)
}

/// What makes the call: the call itself, with arguments that the rule is about and that do no harm.
fn control(rule: &Rule) -> String {
    if rule.call == "clone" && rule.effect == cloison_sandbox::Effect::Allow {
        return "thread_join".to_owned();
    }
    let mut arguments = sweep::satisfying(rule);
    if rule.call == "ppoll" {
        // No descriptor, and no time to wait.
        arguments[2] = NO_TIME;
    }
    sweep::name(&[(sweep::number(rule).unwrap_or_default(), arguments)])
}

/// Stands for the address of a time of zero, which only the worker knows.
pub const NO_TIME: u64 = 0xdead_0000_0000;

/// The worker's side of [`NO_TIME`].
pub fn resolve(arguments: [u64; 6]) -> [u64; 6] {
    arguments.map(|argument| if argument == NO_TIME { raw::space(&[]) } else { argument })
}

fn label(rule: &Rule) -> String {
    let tests: Vec<String> = rule.tests.iter().map(ToString::to_string).collect();
    let separator = if tests.is_empty() { "" } else { " " };
    format!("{}{separator}{}", rule.call, tests.join(", "))
}
