//! The two ways that a link can run.

use serde::{Deserialize, Serialize};

/// The way that the messages of one direction of a link take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Route {
    /// Over the broker, which checks every message.
    Relayed,
    /// Over a socket of the link's own, where the receiving end checks.
    Direct,
}
