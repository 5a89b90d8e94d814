//! What a worker records of itself while its host traces it, and how that travels.
//!
//! A batch of records is one [`ToBroker::Traced`](crate::control::ToBroker::Traced): postcard-encoded [`Record`]s, one behind
//! the other. Everything in them is the worker's word alone. Nothing is decided by it, and its texts are [`Text`]s where
//! they are read.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::message::Tail;
use crate::{CallId, ChainId, Header, Kind, RpcIndex, Text, Time};

/// Most bytes of records in one batch.
pub const TRACE_BATCH_MAX: usize = 32 << 10;

/// How much a worker records: everything up to this level. What the runtime itself records of calls, served and made, is
/// [`Debug`](Self::Debug); of other messages, and of waiting, [`Trace`](Self::Trace).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum TraceLevel {
    /// Nothing.
    #[default]
    Off,
    /// Errors.
    Error,
    /// Warnings, too.
    Warn,
    /// What is worth knowing, too.
    Info,
    /// Each call that is served or made, too.
    Debug,
    /// Each message, too.
    Trace,
}

impl TraceLevel {
    /// The level of that number; of one that is none, [`Off`](Self::Off).
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Error,
            2 => Self::Warn,
            3 => Self::Info,
            4 => Self::Debug,
            5 => Self::Trace,
            _ => Self::Off,
        }
    }
}

/// Which span of one process. Minted by the process, never used again in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpanId(pub u64);

impl SpanId {
    /// No span.
    pub const NONE: Self = Self(0);
}

/// Something that happened in a worker. `T` is text: `&str` where it is written, [`Text`] where it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<T> {
    /// When. Grows within one process.
    pub at: Time,
    /// On which of the process's threads, which are numbered from 1 as they are first seen.
    pub thread: u32,
    /// What.
    pub what: What<T>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What<T> {
    /// A span of the worker's author was opened.
    Opened {
        /// It.
        span: SpanId,
        /// The span it is part of.
        parent: SpanId,
        /// The chain that was served meanwhile.
        chain: ChainId,
        /// Its level.
        level: TraceLevel,
        /// Where it stands in the code.
        target: T,
        /// What it is called.
        name: T,
        /// Its fields, `name=value`.
        fields: T,
    },
    /// A span was given more fields.
    Noted {
        /// The span.
        span: SpanId,
        /// The fields, `name=value`.
        fields: T,
    },
    /// A span was entered.
    Entered {
        /// The span.
        span: SpanId,
    },
    /// A span was left.
    Left {
        /// The span.
        span: SpanId,
    },
    /// A span is over.
    Closed {
        /// The span.
        span: SpanId,
    },
    /// An event of the worker's author.
    Event {
        /// The span it is part of.
        parent: SpanId,
        /// The chain that was served meanwhile.
        chain: ChainId,
        /// Its level.
        level: TraceLevel,
        /// Where it stands in the code.
        target: T,
        /// Its message.
        message: T,
        /// Its other fields, `name=value`.
        fields: T,
    },
    /// The runtime began to do something.
    Began {
        /// A span for it, which is entered at once.
        span: SpanId,
        /// The span it is part of.
        parent: SpanId,
        /// What it does.
        task: Task,
        /// The message it is about.
        mark: Mark<T>,
    },
    /// The runtime is done with something that it began.
    Ended {
        /// The span.
        span: SpanId,
    },
    /// A message left.
    Sent {
        /// The span it was made in.
        parent: SpanId,
        /// The message.
        mark: Mark<T>,
    },
    /// A message was taken in. Of a request that a worker takes, it is said that it serves it.
    Taken(Mark<T>),
    /// So many records were dropped before this one.
    Lost(u64),
}

/// What the runtime is seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Task {
    /// It serves a request.
    Serve,
    /// It waits for the answer to a call.
    Wait,
}

/// What is said of one message: the same at both its ends, but for whom each calls its peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark<T> {
    /// The role at the other end.
    pub peer: T,
    /// The interface of the link, where it is known.
    pub interface: T,
    /// What it is.
    pub kind: MarkKind,
    /// Which method.
    pub rpc: RpcIndex,
    /// Which call it is or answers.
    pub call: CallId,
    /// Which chain it belongs to.
    pub chain: ChainId,
    /// How many calls led to it.
    pub depth: u8,
    /// Its length, header included.
    pub bytes: u32,
}

/// The kinds of message that are recorded: those that the application sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MarkKind {
    /// A call.
    Call,
    /// An answer.
    Reply,
    /// An answer that is an error.
    Error,
    /// A message that nobody answers.
    Oneway,
    /// An item of a stream, or the end of one that is fed.
    Item,
}

impl MarkKind {
    /// What is recorded of a message of that kind; `None` for what the runtimes say to each other.
    #[must_use]
    pub const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Call => Some(Self::Call),
            Kind::Reply => Some(Self::Reply),
            Kind::Error => Some(Self::Error),
            Kind::Oneway => Some(Self::Oneway),
            Kind::Item => Some(Self::Item),
            Kind::Credit | Kind::Release | Kind::Control | Kind::Switch | Kind::Cancel | Kind::Probe | Kind::Demand => {
                None
            }
        }
    }
}

impl<T> Mark<T> {
    /// What is to be said of the message with this header; `None` if nothing.
    pub fn of(header: &Header, peer: T, interface: T) -> Option<Self> {
        let Header { rpc, call, chain, depth, .. } = *header;
        let kind = MarkKind::of(header.kind)?;
        let bytes = u32::try_from(header.message_len()).unwrap_or(u32::MAX);
        Some(Self { peer, interface, kind, rpc, call, chain, depth, bytes })
    }
}

impl Record<&str> {
    /// Puts the record behind what stands in a batch; false, and nothing happens, if there is no room for it.
    #[must_use]
    pub fn encode(&self, batch: &mut Vec<u8>) -> bool {
        let end = batch.len();
        let is_in = postcard::serialize_with_flavor(self, Tail(batch, TRACE_BATCH_MAX)).is_ok();
        if !is_in {
            batch.truncate(end);
        }
        is_in
    }
}

impl Record<Text> {
    /// Takes the next record out of a batch; `None` at its end, or where it makes no sense: then something is left of it.
    pub fn decode(batch: &mut &[u8]) -> Option<Self> {
        let (record, rest) = postcard::take_from_bytes(batch).ok()?;
        *batch = rest;
        Some(record)
    }
}

/// Encoded records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceBatch(pub Vec<u8>);

impl Serialize for TraceBatch {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for TraceBatch {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(<&[u8]>::deserialize(from)?.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(message: &str) -> Record<&str> {
        let (level, chain) = (TraceLevel::Warn, ChainId::new(3, 7));
        let what = What::Event { parent: SpanId(9), chain, level, target: "t", message, fields: "" };
        Record { at: Time(5), thread: 1, what }
    }

    #[test]
    fn what_is_written_is_read_cleaned() {
        let mut batch = Vec::new();
        assert!(event("one").encode(&mut batch) && event("\u{1b}[2J").encode(&mut batch));
        let mut rest = &batch[..];
        let read: Vec<_> = std::iter::from_fn(|| Record::decode(&mut rest)).collect();
        let messages: Vec<_> = read
            .iter()
            .map(|record| match &record.what {
                What::Event { message, .. } => message.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!((messages, rest.len()), (vec!["one", "\\u{1b}[2J"], 0));
    }

    #[test]
    fn a_batch_that_is_full_stays_as_it_is() {
        let mut batch = Vec::new();
        while event("something").encode(&mut batch) {}
        let len = batch.len();
        assert!(len <= TRACE_BATCH_MAX && !event("something").encode(&mut batch));
        assert_eq!(batch.len(), len);
    }

    #[test]
    fn levels_have_numbers() {
        for level in 0..=5 {
            assert_eq!(TraceLevel::from_number(level) as u8, level);
        }
        assert_eq!(TraceLevel::from_number(6), TraceLevel::Off);
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let mut rest = &bytes[..];
            let mut left = rest.len();
            while Record::decode(&mut rest).is_some() {
                prop_assert!(rest.len() < left, "each record takes something");
                left = rest.len();
            }
        }
    }
}
