//! Limits of time that a busy machine cannot spoil.

use std::time::Duration;

/// How often [`promptly`] tries.
const TRIES: usize = 3;

/// Does something that must take no longer than `limit`; `attempt` says how long it took. A busy machine can make what is
/// quick slow, but nothing makes what is slow quick: so one try of three that is quick enough will do.
///
/// # Panics
/// If none is.
pub fn promptly(limit: Duration, mut attempt: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    while took.len() < TRIES {
        took.push(attempt());
        if took.last().is_some_and(|took| *took < limit) {
            return;
        }
    }
    panic!("it is to be done within {limit:?}, and took {took:?}");
}
