//! A test case, and how it is run.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use cloison_broker::Model;
use libtest_mimic::{Failed, Trial};

/// Longer than any case takes, on a busy machine too: one that takes longer hangs.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// The first argument of this executable when it is to run one case in a process of that case's own.
pub const ALONE: &str = "--alone";

/// One case.
#[derive(Clone)]
pub struct Case {
    name: String,
    alone: bool,
    body: Arc<dyn Fn() + Send + Sync>,
}

/// A case that is run once.
pub fn once(name: &str, body: fn()) -> Vec<Case> {
    vec![Case { name: name.to_owned(), alone: false, body: Arc::new(body) }]
}

/// A case that is run under both models: one body, two tests.
pub fn both(name: &str, body: fn(Model)) -> Vec<Case> {
    [("broker", Model::Broker), ("orchestrator", Model::Orchestrator)]
        .map(|(model_name, model)| Case {
            name: format!("{name}::{model_name}"),
            alone: false,
            body: Arc::new(move || body(model)),
        })
        .into()
}

thread_local! {
    static SWITCHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether hosts that the case on this thread makes are to change their model at random all the time.
pub fn is_switching() -> bool {
    SWITCHING.get()
}

/// A case that is run under both models, and while the model changes at random all the time: one body, three tests.
pub fn thrice(name: &str, body: fn(Model)) -> Vec<Case> {
    let switching = move || {
        SWITCHING.set(true);
        body(Model::Broker);
    };
    let third = Case { name: format!("{name}::switching"), alone: false, body: Arc::new(switching) };
    both(name, body).into_iter().chain([third]).collect()
}

/// The same cases, each in a process of its own, where nobody else opens descriptors or starts threads.
pub fn alone(cases: Vec<Case>) -> Vec<Case> {
    cases.into_iter().map(|case| Case { alone: true, ..case }).collect()
}

/// The cases of one module.
pub fn module(name: &str, cases: Vec<Vec<Case>>) -> Vec<Case> {
    let named = |case: Case| Case { name: format!("{name}::{}", case.name), ..case };
    cases.into_iter().flatten().map(named).collect()
}

impl Case {
    pub fn into_trial(self) -> Trial {
        let name = self.name.clone();
        Trial::test(name, move || if self.alone { self.run_in_own_process() } else { self.run_here() })
    }

    /// Runs the body on a thread of its own, so that one that hangs is a failure and not a silence.
    fn run_here(self) -> Result<(), Failed> {
        let (done, outcome) = mpsc::channel();
        let body = self.body;
        let run = move || {
            let result = catch_unwind(AssertUnwindSafe(|| body()));
            let _ = done.send(result.map_err(|panic| said(&*panic)));
        };
        std::thread::Builder::new().name(self.name).spawn(run).map_err(|error| error.to_string())?;
        match outcome.recv_timeout(HANGS_AFTER) {
            Ok(result) => result.map_err(Failed::from),
            Err(RecvTimeoutError::Timeout) => Err("it hangs".into()),
            Err(RecvTimeoutError::Disconnected) => Err("its thread ended without a word".into()),
        }
    }

    fn run_in_own_process(self) -> Result<(), Failed> {
        let executable = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(executable);
        command
            .args([ALONE, &self.name])
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let deadline = Instant::now() + HANGS_AFTER;
        while child.try_wait().map_err(|error| error.to_string())?.is_none() {
            if Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                return Err("it hangs".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&text)).into())
    }
}

/// Runs one case in this process, which exists for nothing else.
pub fn run_alone(cases: &[Case], name: &str) -> ExitCode {
    match cases.iter().find(|case| case.name == name) {
        Some(case) => {
            (case.body)();
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("there is no case {name:?}");
            ExitCode::FAILURE
        }
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    text.unwrap_or("it panicked with something that is no text").to_owned()
}
