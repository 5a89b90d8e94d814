//! What an attacker is told to do, and what comes of it.

use cloison_broker::msg::control::PoolShape;
use serde::{Deserialize, Serialize};

use super::RawLink;

/// By which socket.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Via {
    /// The one to the broker.
    Control,
    /// The one of a direct link, by its place among the attacker's links.
    Direct(usize),
    /// One that a peer handed over.
    Stolen(usize),
}

/// A descriptor that the attacker can lay its hands on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Loot {
    /// Its standard error.
    Pipe,
    /// Its standard input, a device.
    Device,
    /// Its own socket to the broker.
    Control,
    /// The memory of a pool that it was given.
    Pool(usize),
}

/// What an attacker is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RawStep {
    /// Tell which links there are.
    Links,
    /// Ask for a link and wait for the answer.
    Open { role: String, interface: String },
    /// Send a packet, so many times.
    Send { via: Via, packet: Vec<u8>, loot: Vec<Loot>, times: u32 },
    /// Ask for a pool and keep its memory.
    MakePool { link: usize, shape: PoolShape },
    /// Have the memory of the newest pool filled in by the kernel, page by page, and let go of it.
    UsePool { pool: u32, shape: PoolShape },
    /// Tell every word that the broker said.
    Words,
    /// Go along with changes of routes, as long as nothing else is said; or do nothing about them.
    Cooperate(bool),
    /// Shut down the sending half of a link's own socket.
    Shut(usize),
    /// How many messages came, but for words and what the host has said.
    Heard,
    /// How many packets brought oneways.
    Packets,
    /// Hold back the answers to the next so many calls of peers, then give them, the last one first.
    Reverse(usize),
    /// Answer this to the next so many calls of peers: packets behind a header of this kind, each so many times.
    Answer { kind: u8, call_offset: i64, payload: Vec<u8>, times: u32 },
    /// Never read anything again.
    Deafen,
    /// Send a packet, and never read anything again.
    SendAndDeafen(Vec<u8>),
    /// Close the socket to the broker and live on.
    HangUp,
    /// End.
    Exit,
}

/// What came of a [`RawStep`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RawOutcome {
    Done,
    Links(Vec<RawLink>),
    /// The place of the link, or why there is none.
    Opened(Result<usize, String>),
    /// How many packets went, and the error that stopped them.
    Sent(u32, Option<String>),
    /// The pool's number, or why there is none.
    Pool(Result<u32, String>),
    Words(Vec<String>),
    /// Of [`RawStep::Heard`] and [`RawStep::Packets`].
    Heard(u64),
}
