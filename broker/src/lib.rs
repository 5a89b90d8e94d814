//! The trusted side: decides who may talk to whom, routes what they say, and supervises the workers.
#![forbid(unsafe_code)]

mod policy;
pub mod router;

pub use cloison_msg as msg;
pub use policy::{Ask, Grant, HOST, Model, Policy, Rules};
