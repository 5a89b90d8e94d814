//! Pictures by pool: over relayed and direct links, and to the host.

mod forged;
mod limits;
mod round;
mod steps;

use crate::case::{Case, module};

pub fn cases() -> Vec<Case> {
    module("pools", vec![round::cases(), forged::cases(), limits::cases()])
}
