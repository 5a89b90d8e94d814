//! What a worker was busy with when something happened to it, for whoever looks into that.

use cloison_msg::{Key, Work};
use cloison_sandbox::{Child, Exit, Note, Violations};
use tokio::sync::oneshot;

use super::Office;
use crate::driver::Command;

/// What the process at `port` noted, in words: the driver knows whom it means by the numbers of its links. Nothing is
/// believed beyond that: what the worker does not hold is called unknown.
pub(super) async fn describe(office: &Office, port: Key, notes: Vec<Note>) -> Vec<Option<String>> {
    let count = notes.len();
    let works = notes.iter().map(|note| Work::read(note)).collect();
    let (done, described) = oneshot::channel();
    office.commands.give(Command::Describe { port, works, done });
    // Without a driver nobody knows.
    described.await.unwrap_or_else(|_| vec![None; count])
}

/// What the process at `port` was busy with last.
pub(super) async fn busy_with(office: &Office, port: Key, child: &Child) -> Option<String> {
    let notes: Vec<_> = child.note().into_iter().collect();
    if notes.is_empty() {
        return None;
    }
    describe(office, port, notes).await.pop().flatten()
}

/// The forbidden calls of `child`, from number `known` on with what it was busy with.
pub(super) async fn violations(office: &Office, port: Key, child: &Child, known: &Violations) -> Violations {
    let mut violations = child.violations();
    // What was described before stays as it was: its links may be gone by now.
    let (old, new) = violations.calls_mut().split_at_mut(known.calls().len());
    for (call, before) in old.iter_mut().zip(known.calls()) {
        call.during.clone_from(&before.during);
    }
    let mut new: Vec<_> = new.iter_mut().filter_map(|call| call.note.map(|note| (call, note))).collect();
    if !new.is_empty() {
        let texts = describe(office, port, new.iter().map(|(_, note)| *note).collect()).await;
        for ((call, _), text) in new.iter_mut().zip(texts) {
            call.during = text;
        }
    }
    violations
}

/// The end of a worker with what it was busy with in its details, if it died of one of these calls.
pub(super) fn explain(exit: Exit, violations: &Violations) -> Exit {
    match (exit, violations.calls().iter().find(|call| call.killed())) {
        (Exit::ForbiddenCall { name, .. }, Some(call)) if call.call == name => {
            Exit::ForbiddenCall { name, details: call.to_string() }
        }
        (exit, _) => exit,
    }
}
