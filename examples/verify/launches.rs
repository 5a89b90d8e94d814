//! Launches that go wrong on purpose: workers that lie in their report, and a host that lives under a listener of its own.

use cloison_sandbox::{Child, Exit, Launch, LaunchError, Launcher, Layer, Profile, Simulated, Standing};

use crate::probe::Outcome;
use crate::raw::{call, space};
use crate::run::{self, Happened, Row, Stage};
use crate::sweep;

const GROUP: &str = "launch";

/// True of every worker that a launcher starts, also if the worker does nothing for it.
const INNATE: &[Layer] =
    &[Layer::Environment, Layer::Descriptors, Layer::NoNewPrivileges, Layer::Capabilities, Layer::BoundingSet];

pub fn run(stage: &Stage) -> Vec<Row> {
    let layers: Vec<Layer> = stage.report().layers.iter().map(|(layer, _)| *layer).collect();
    let visible = |layer: &Layer| matches!(stage.report().standing(*layer), Standing::Verified { .. });
    let mut rows = stage.in_parallel(&layers, |&layer| missing(stage, layer));
    let verified: Vec<Layer> = layers.into_iter().filter(visible).collect();
    rows.extend(stage.in_parallel(&verified, |&layer| lie(stage, layer)));
    rows.push(second_listener(stage).unwrap_or_else(|error| run::broken(GROUP, "second_listener", error)));
    rows
}

fn simulating(stage: &Stage, layer: Layer, how: Simulated) -> Result<Child, LaunchError> {
    let profile = Profile::decoder().simulate(layer, how);
    run::start(stage.launcher(), Launch { profile, ..stage.plan() }).map(|(child, _)| child)
}

/// A worker that leaves a layer off and claims to have it.
fn lie(stage: &Stage, layer: Layer) -> Row {
    let (happened, held) = match simulating(stage, layer, Simulated::Lied) {
        Err(LaunchError::FalseClaim { layer: caught, .. }) => (format!("caught: {caught}"), caught == layer),
        Err(error) => (error.to_string(), false),
        Ok(_) if INNATE.contains(&layer) => ("true without the worker's help".to_owned(), true),
        Ok(_) => ("BELIEVED".to_owned(), false),
    };
    let (name, wanted) = (format!("lies about {layer}"), "caught".to_owned());
    Row { group: GROUP, name, wanted, happened, stopped_by: "the host's look", held }
}

/// A worker on a system that lacks a layer.
fn missing(stage: &Stage, layer: Layer) -> Row {
    let (happened, held) = match simulating(stage, layer, Simulated::Missing) {
        Err(LaunchError::TooWeak { missing, .. }) => ("refused".to_owned(), missing.iter().any(|(l, _)| *l == layer)),
        Err(error) => (error.to_string(), false),
        Ok(child) => {
            let standing = child.report().standing(layer);
            (format!("reported as {standing}"), !standing.in_force())
        }
    };
    let (name, wanted) = (format!("lacks {layer}"), "refused or reported".to_owned());
    Row { group: GROUP, name, wanted, happened, stopped_by: "the report", held }
}

/// A host under a listener: the kernel allows no second one, so its workers' calls fail or kill without a word.
fn second_listener(stage: &Stage) -> Result<Row, String> {
    let under = || {
        listen_to_this_thread()?;
        // A launcher of this thread's own: its spawner inherits the filter.
        let launcher = Launcher::new().map_err(|error| error.to_string())?;
        let attempt = |calls: &[sweep::Call]| {
            let (child, channel) = run::start(&launcher, stage.plan()).map_err(|error| error.to_string())?;
            let standing = child.report().standing(Layer::SeccompNotify).clone();
            stage.order(&channel, &sweep::name(calls))?;
            Ok::<_, String>((standing, run::outcome_of(child, channel)?))
        };
        let number = |call: libc::c_long| (i32::try_from(call).unwrap_or_default(), [0; 6]);
        Ok::<_, String>((attempt(&[number(libc::SYS_getppid)])?, attempt(&[number(libc::SYS_unshare)])?))
    };
    let joined = std::thread::scope(|scope| scope.spawn(under).join());
    let ((standing, unknown), (_, hostile)) = joined.map_err(|_| "the thread under a listener has ended")??;
    let said = matches!(&standing, Standing::Unavailable { why } if why.contains("busy"));
    let failed = unknown.outcome == Some(Outcome::Failed(libc::EPERM));
    let killed = matches!(hostile, Happened { exit: Exit::Signal { signal: libc::SIGSYS, .. }, .. });
    Ok(Row {
        group: GROUP,
        name: "second_listener".to_owned(),
        wanted: "errno, kill, said so".to_owned(),
        happened: format!("{}; {}; {standing}", unknown.in_words(), hostile.in_words()),
        stopped_by: "seccomp",
        held: said && failed && killed,
    })
}

/// Puts this thread, and all that it starts, under a filter that allows everything and has a listener.
fn listen_to_this_thread() -> Result<(), String> {
    const NO_NEW_PRIVILEGES: u64 = libc::PR_SET_NO_NEW_PRIVS as u64;
    let allow = [0x06u64.to_le_bytes()[..4].to_vec(), libc::SECCOMP_RET_ALLOW.to_le_bytes().to_vec()].concat();
    let program = [1u64.to_le_bytes(), space(&allow).to_le_bytes()].concat();
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let outcome = call(libc::SYS_prctl, &[NO_NEW_PRIVILEGES, 1])
        .then(|_| call(libc::SYS_seccomp, &[libc::SECCOMP_SET_MODE_FILTER.into(), flags, space(&program)]));
    match outcome {
        Outcome::Succeeded(_) => Ok(()),
        refused => Err(format!("no listener for this thread: {refused}")),
    }
}
