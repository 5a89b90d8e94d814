//! What makes the two models interchangeable: each body runs under both, and sees the same.

mod calls;
mod ends;
mod host;
mod rights;

use crate::case::{Case, module};

pub fn cases() -> Vec<Case> {
    module("contract", vec![calls::cases(), rights::cases(), ends::cases(), host::cases()])
}
