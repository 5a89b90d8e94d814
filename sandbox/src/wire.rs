//! What host and worker say to each other on the launch channel, before any application code runs.
//!
//! Each packet is one value, postcard-encoded. The host speaks first; the worker is trusted until it is confined, but
//! what it claims is compared with what the host sees.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::filter::Program;
use crate::profile::{Limits, Simulated};
use crate::report::{Layer, Tier};

/// Largest packet in either direction, in bytes: the filters of a profile take about 10 KB.
pub(crate) const PACKET_MAX: usize = 32 << 10;

/// Everything a worker needs to confine itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub tier: Tier,
    pub role: String,
    pub limits: Limits,
    /// Directories that the worker may read.
    pub readable: Vec<PathBuf>,
    pub user: UserChange,
    /// The filter that asks the host.
    pub filter: Program,
    /// The kernel could only count all threads of the user, so the host is asked for each one.
    pub host_counts_threads: bool,
    /// The host lets through what no rule matches.
    pub learning: bool,
    pub simulated: Vec<(Layer, Simulated)>,
    /// The worker only shows that it can be confined, and ends.
    pub throwaway: bool,
}

/// Which user the worker becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UserChange {
    /// The host is an ordinary user; so is the worker.
    Keep,
    /// The host is root; the worker takes this user and group number.
    Become(u32),
    /// The host is root, but no other user exists here, for the reason given.
    Impossible(String),
}

/// What the host says after the [`Setup`].
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The host has looked from outside; the worker may close itself off.
    Close,
    /// The filter that asks nobody.
    Fallback(Program),
    /// The report is accepted; application code may run.
    Go,
}

/// What stub and worker say.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWorker {
    /// From the stub, with the worker's pidfd.
    Handover,
    /// From stub or worker: a step without which nothing goes on.
    Failed(Claim),
    /// From the worker: the first layers are on, the host may look.
    Look,
    /// From the worker: no listener is possible here; it needs the other filter.
    Unheard,
    /// From the worker, confined: its claims, and the seccomp listener if there is one.
    Ready(Vec<Claim>),
}

/// What a worker says about one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub layer: Layer,
    /// `None`: in force. `Some`: why it is not.
    pub missing: Option<String>,
}

impl Claim {
    pub fn new(layer: Layer, outcome: Result<(), String>) -> Self {
        Self { layer, missing: outcome.err() }
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> postcard::Result<Vec<u8>> {
    postcard::to_allocvec(value)
}

/// Decodes a whole packet; left-over bytes are an error.
pub(crate) fn decode<'a, T: Deserialize<'a>>(packet: &'a [u8]) -> postcard::Result<T> {
    match postcard::take_from_bytes(packet)? {
        (value, []) => Ok(value),
        _ => Err(postcard::Error::DeserializeUnexpectedEnd),
    }
}
