//! What hosts, puppets and attackers of these tests say to each other.

use std::time::Duration;

use cloison_broker::msg::control::PoolShape;
use cloison_broker::msg::{Interface, Rights, RpcIndex};
use cloison_ipc::BufferRef;
use serde::ser::{SerializeTuple, Serializer};
use serde::{Deserialize, Serialize};

/// What a puppet does for whoever may call it.
pub const PEER: Interface = Interface::new(
    "peer",
    &["do", "echo", "add", "note", "fail", "nap", "back", "visit", "descriptor", "picture", "absent", "take", "linger"],
);
/// Takes a [`Step`], answers with an [`Outcome`].
pub const DO: RpcIndex = PEER.method("do");
/// Answers with the bytes it was given.
pub const ECHO: RpcIndex = PEER.method("echo");
/// Adds two `u32`.
pub const ADD: RpcIndex = PEER.method("add");
/// Remembers a `u32`, and whatever bytes follow; of use as a oneway and as a call.
pub const NOTE: RpcIndex = PEER.method("note");
/// Fails with [`FAILURE`].
pub const FAIL: RpcIndex = PEER.method("fail");
/// Sleeps for a number of milliseconds.
pub const NAP: RpcIndex = PEER.method("nap");
/// Calls `echo` of whoever called, with the bytes it was given, as deep as a `u8` says.
pub const BACK: RpcIndex = PEER.method("back");
/// Takes a list of roles, calls the same method of the first with the rest, answers with the roles that were visited.
pub const VISIT: RpcIndex = PEER.method("visit");
/// Takes a descriptor and answers with the class the receiver sees.
pub const DESCRIPTOR: RpcIndex = PEER.method("descriptor");
/// Takes a lent picture.
pub const PICTURE: RpcIndex = PEER.method("picture");
/// In the interface, but no puppet serves it.
pub const ABSENT: RpcIndex = PEER.method("absent");

/// Takes a link, and keeps it.
pub const TAKE: RpcIndex = PEER.method("take");

/// Tells the host a `u32` by a oneway [`NOTE`], and notes that number itself when nobody waits for an answer any more.
pub const LINGER: RpcIndex = PEER.method("linger");

/// The code and the text with which [`FAIL`] fails.
pub const FAILURE: (u32, &str) = (7, "as asked");

/// A link, by the place that a puppet gave it.
pub type LinkAt = usize;
/// A pool, by the place that a puppet gave it.
pub type PoolAt = usize;

/// What a puppet is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Open a link.
    Open { role: String, interface: String, within: Duration },
    /// Close it.
    Close(LinkAt),
    /// Say why a link is gone, if it is.
    Gone(LinkAt),
    /// Start as many calls as there are payloads, all at once, then wait for each, the last one first.
    Call { link: LinkAt, rpc: u16, payloads: Vec<Vec<u8>>, within: Duration },
    /// Send `count` oneways [`NOTE`], numbered from `from`, each with so many bytes; stops at the first that fails.
    Notes { link: LinkAt, from: u32, count: u32, bytes: u32, within: Duration },
    /// Call [`ECHO`] again and again, for so long.
    RoundTrips { link: LinkAt, lasting: Duration },
    /// What was noted so far.
    Noted,
    /// What was noted so far, per million: runs of numbers that follow on each other, the first and how many.
    Runs,
    /// Ask for a pool.
    MakePool { link: LinkAt, shape: PoolShape },
    /// Fill `count` buffers of a pool, the first with the byte `fill`, each further one with the next, and lend them.
    Lend { pool: PoolAt, fill: u8, count: u32, within: Duration },
    /// How many buffers of a pool are lent.
    Lent(PoolAt),
    /// Drop a pool.
    DropPool(PoolAt),
    /// Keep the pictures that come, or give them back at once.
    Keep(bool),
    /// The first and last byte of each picture that is kept, oldest first.
    Kept,
    /// Give back the oldest so many pictures that are kept.
    GiveBack(usize),
    /// How many requests were served, orders of the host's left out.
    Served,
    /// Give a link to whoever is at the other end of another: a copy, or one's own. As a call or a oneway of [`TAKE`].
    Hand { by: LinkAt, link: LinkAt, moves: bool, calls: bool, rights: Rights },
    /// Start so many calls of [`NAP`] on a link, give it away by [`TAKE`] while they are in flight, and wait for all.
    HandBusy { by: LinkAt, link: LinkAt, calls: u32, nap: u64, rights: Rights },
    /// Put the oldest link that was taken from others among one's own: its place.
    Adopt,
    /// The role at the other end of a link.
    Peer(LinkAt),
    /// Send numbered calls and oneways in turn over a link, as many as fit in that time, and check the answers.
    Stream { link: LinkAt, from: u32, lasting: Duration },
    /// Send a oneway [`NOTE`] of this number to all that play a role: how many it did not reach, as [`Outcome::Served`].
    NoteAll(String, u32),
    /// Do this, and let the messages over a link share packets meanwhile.
    Batch(LinkAt, Box<Step>),
    /// Print lines on standard error: so often this one.
    Print { line: String, count: u32 },
    /// Make a system call that no rule allows and that kills nobody.
    Trespass,
    /// Record so many events in `tracing`, all with this message.
    Record { message: String, count: u32 },
    /// End.
    End(End),
}

/// How a puppet is to end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum End {
    /// Panic.
    Panic,
    /// `abort()`.
    Abort,
    /// Leave with this code.
    Exit(i32),
    /// Ask for an Internet socket.
    Forbidden,
    /// Compute for ever.
    Spin,
    /// Sleep for ever.
    Sleep,
}

/// What came of a [`Step`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Done,
    /// Of [`Step::Open`] and [`Step::MakePool`]; or why not, as `{:?}` prints it.
    Got(Result<usize, String>),
    /// Of [`Step::Gone`].
    Gone(Option<String>),
    /// Of [`Step::Call`]: the replies' payloads, or the failures as `{:?}` prints them.
    Replies(Vec<Result<Vec<u8>, String>>),
    /// Of [`Step::Notes`] and [`Step::Lend`]: how many went, and what stopped it.
    Sent(u32, Option<String>),
    /// Of [`Step::RoundTrips`].
    RoundTrips(RoundTrips),
    /// Of [`Step::Noted`].
    Noted(Vec<u32>),
    /// Of [`Step::Runs`].
    Runs(Vec<(u32, u32)>),
    /// Of [`Step::Lent`].
    Lent(u16),
    /// Of [`Step::Kept`].
    Kept(Vec<(u8, u8)>),
    /// Of [`Step::Served`].
    Served(u64),
    /// Of [`Step::Peer`].
    Peer(String),
    /// Of [`Step::Stream`]: the number after the last, what stopped it, and when, in nanoseconds on the monotonic clock.
    Streamed(u32, Option<String>, u64),
}

/// What round trips were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrips {
    /// When each [`BUCKET`] began in which any ended, in nanoseconds on the monotonic clock, and how many ended in it.
    pub buckets: Vec<(u64, u32)>,
    /// The longest.
    pub slowest: Duration,
    /// What ended them before their time.
    pub stopped_by: Option<String>,
}

/// Round trips are counted by spans of this length.
pub const BUCKET: Duration = Duration::from_millis(5);

impl RoundTrips {
    /// All of them.
    pub fn count(&self) -> u32 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// Those that ended in spans that lie between two moments.
    pub fn between(&self, start: u64, end: u64) -> u32 {
        let length = u64::try_from(BUCKET.as_nanos()).expect("short");
        let inside = |&&(at, _): &&(u64, u32)| at >= start && at + length <= end;
        self.buckets.iter().filter(inside).map(|(_, count)| count).sum()
    }
}

/// What travels with a picture.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Picture {
    pub buffer: BufferRef,
}

/// The interface of an attacker: it is told by its host when to do what.
pub const RAW: Interface = Interface::new("raw", &["attack", "ask"]);
/// Takes an [`Attack`](crate::attacks::Attack), answers with a word on what came of it, if the attacker lives so long.
pub const ATTACK: RpcIndex = RAW.method("attack");

/// Numbers of different streams lie so far apart.
pub const ROUND: u32 = 1_000_000;

/// Runs of numbers that follow on each other, in each stream for itself.
pub fn runs(numbers: &[u32]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.iter_mut().rev().find(|(first, _)| *first / ROUND == number / ROUND) {
            Some((first, count)) if *first + *count == number => *count += 1,
            _ => runs.push((number, 1)),
        }
    }
    runs
}

/// A payload that consists of this value.
pub fn encoded<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("it has a fixed form")
}

/// What [`ADD`] takes.
pub fn numbers(a: u32, b: u32) -> Vec<u8> {
    [encoded(&a), encoded(&b)].concat()
}

/// The value that a payload consists of.
pub fn decoded<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> T {
    let (value, rest) = postcard::take_from_bytes(payload).expect("the payload holds such a value");
    assert_eq!(rest, [], "nothing follows it");
    value
}

/// Nanoseconds on the monotonic clock.
pub fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Bytes that stand in a payload as they are, without a length before them.
pub struct Verbatim<'a>(pub &'a [u8]);

impl Serialize for Verbatim<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut run = to.serialize_tuple(self.0.len())?;
        for byte in self.0 {
            run.serialize_element(byte)?;
        }
        run.end()
    }
}
