//! Routes that change while everything runs.

#![expect(clippy::unwrap_used, reason = "clippy knows tests only by their attribute, and helpers have none")]

#[allow(dead_code, unused_macros, reason = "each test program uses its part")]
#[macro_use]
#[path = "../world/mod.rs"]
mod world;

mod ends;
mod order;
mod pair;
mod traffic;
