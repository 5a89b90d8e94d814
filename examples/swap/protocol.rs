//! What the host and its four workers say to each other.

use cloison_broker::msg::{Interface, RpcIndex};
use serde::{Deserialize, Serialize};

/// Of the two that exchange messages, and of the two that make round trips meanwhile.
pub const PEER: Interface = Interface::new("peer", &["note", "back", "echo"]);
/// A numbered message: a call, or a oneway.
pub const NOTE: RpcIndex = PEER.method("note");
/// A numbered oneway that answers a oneway.
pub const BACK: RpcIndex = PEER.method("back");
/// Answers with what it was given.
pub const ECHO: RpcIndex = PEER.method("echo");

/// What the host tells its workers.
pub const ORDERS: Interface = Interface::new("orders", &["go", "limit", "tally"]);
/// Begin, and send so many messages in all, together with the other one.
pub const GO: RpcIndex = ORDERS.method("go");
/// Send no message from that number on, until there is another limit.
pub const LIMIT: RpcIndex = ORDERS.method("limit");
/// Answers with a [`Tally`].
pub const TALLY: RpcIndex = ORDERS.method("tally");

/// What workers tell the host while they work.
pub const LOG: Interface = Interface::new("log", &["sent", "received", "taken", "trips", "done"]);
/// When messages were sent: nanoseconds on the monotonic clock, each less the one before.
pub const SENT: RpcIndex = LOG.method("sent");
/// When messages were served, in the same way.
pub const RECEIVED: RpcIndex = LOG.method("received");
/// When answers to oneways were served, in the same way.
pub const TAKEN: RpcIndex = LOG.method("taken");
/// Round trips: when they began, and how long they took, in nanoseconds.
pub const TRIPS: RpcIndex = LOG.method("trips");
/// All was sent, and all that was to be answered is.
pub const DONE: RpcIndex = LOG.method("done");

/// The one that begins; the one that answers.
pub const LEFT: &str = "left";
/// See [`LEFT`].
pub const RIGHT: &str = "right";
/// Two that have nothing to do with those.
pub const BYSTANDERS: [&str; 2] = ["caller", "callee"];

/// Every so many messages of the left one's, one is a call.
pub const CALL_EVERY: u64 = 8;

/// Whether the left one's message of this number is a call.
pub const fn is_call(number: u64) -> bool {
    number % CALL_EVERY == CALL_EVERY - 1
}

/// How many of the messages below this number are calls.
pub const fn calls_before(number: u64) -> u64 {
    number / CALL_EVERY
}

/// Messages of both for every call: of the left one's, the other one answers those that are no calls by one of its own.
const ROUND: u64 = 2 * CALL_EVERY - 1;

/// How many messages the left one sends so that both together send `all`.
pub const fn share_of_left(all: u64) -> u64 {
    all / ROUND * CALL_EVERY + (all % ROUND).div_ceil(2)
}

/// Whether the last of them is a call, whatever its number: a oneway would be answered by a message too many.
pub const fn ends_with_call(all: u64) -> bool {
    all % ROUND % 2 == 1
}

/// What one of the two has counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Numbered messages sent.
    pub sent: u64,
    /// Numbered messages that came, each counted once.
    pub received: u64,
    /// Messages that came again.
    pub doubled: u64,
    /// Messages that came after one with a higher number.
    pub reordered: u64,
    /// Calls that failed, or brought another answer than their own number.
    pub failed: u64,
    /// The first failure.
    pub why: Option<String>,
    /// What is to come next.
    next: u64,
    /// What is missing of what was to come before.
    missing: Vec<(u64, u64)>,
}

impl Tally {
    /// A message of this number came.
    pub fn note(&mut self, number: u64) {
        if number >= self.next {
            if number > self.next {
                self.missing.push((self.next, number));
            }
            self.next = number + 1;
            self.received += 1;
            return;
        }
        let Some(at) = self.missing.iter().position(|&(from, to)| (from..to).contains(&number)) else {
            self.doubled += 1;
            return;
        };
        let (from, to) = self.missing.swap_remove(at);
        self.missing.extend([(from, number), (number + 1, to)].into_iter().filter(|(from, to)| from < to));
        self.reordered += 1;
        self.received += 1;
    }

    /// A call did not bring what it should have.
    pub fn fail(&mut self, why: String) {
        self.failed += 1;
        self.why.get_or_insert(why);
    }
}
