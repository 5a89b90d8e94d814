//! Streams between workers, over both routes.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and one body serves two of them")]

#[allow(dead_code, reason = "each test program uses its part")]
#[macro_use]
#[path = "../world/mod.rs"]
mod world;

mod accounts;
mod ending;
mod flowing;
mod numbers;
