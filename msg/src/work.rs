//! What a worker says it is busy with.

use std::fmt;

use crate::header::{HEADER_LEN, Header};
use crate::{Destination, Kind};

/// Words of a header.
const WORDS: usize = HEADER_LEN / size_of::<u64>();

/// The messages that a worker is busy with, as it notes them for its host before it hands them to its own code.
///
/// A worker that was taken over notes what it likes: to be shown to people, and never to be decided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// The request that it serves.
    pub request: Option<Header>,
    /// The answer that it got last since then.
    pub answer: Option<Header>,
}

impl Work {
    /// How many words it takes to note both.
    pub const WORDS: usize = 2 * WORDS;

    /// Where the note of the answer begins; that of the request begins at 0.
    pub const ANSWER: usize = WORDS;

    /// A message as it is noted; nothing is noted as zeros.
    #[must_use]
    pub fn note(message: Option<&Header>) -> [u64; WORDS] {
        message.map_or([0; WORDS], Header::words)
    }

    /// What is noted in `words`, which may be any: what is no header of a request or an answer is nothing.
    #[must_use]
    pub fn read(words: &[u64]) -> Self {
        let message = |at: usize, kinds: [Kind; 2]| {
            let mut bytes = [0; HEADER_LEN];
            for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words.get(at..)?) {
                *bytes = word.to_le_bytes();
            }
            // The message is elsewhere, and its header says how long it is.
            Header::decode(&bytes).ok().filter(|header| kinds.contains(&header.kind))
        };
        Self {
            request: message(0, [Kind::Call, Kind::Oneway]),
            answer: message(Self::ANSWER, [Kind::Reply, Kind::Error]),
        }
    }

    /// In words for people, if it is busy with anything. `peer` says who is at the other end of a link, as far as whoever
    /// asks knows.
    #[must_use]
    pub fn describe(&self, peer: impl Fn(Destination) -> Option<String>) -> Option<String> {
        let on =
            |header: &Header| peer(header.destination).unwrap_or_else(|| format!("{}, unknown", header.destination));
        let request = self.request.map(|header| format!("{} from {}", Request(&header), on(&header)));
        let answer = self.answer.map(|header| {
            let what = if header.kind == Kind::Error { "the failure" } else { "the answer" };
            format!("{what} to its call {} of method {} of {}", header.call.0, header.rpc.0, on(&header))
        });
        match (request, answer) {
            (Some(request), Some(answer)) => Some(format!("{request}, after {answer}")),
            (request, answer) => request.or(answer),
        }
    }
}

struct Request<'a>(&'a Header);

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { kind, rpc, call, chain, payload, .. } = self.0;
        match kind {
            Kind::Call => write!(f, "call {} of method {} ({payload} bytes, chain {:#x})", call.0, rpc.0, chain.0),
            _ => write!(f, "a oneway of method {} ({payload} bytes)", rpc.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{CallId, ChainId, RpcIndex};

    fn call() -> Header {
        Header {
            destination: Destination { index: 3, generation: 1 },
            rpc: RpcIndex(2),
            kind: Kind::Call,
            payload: 40,
            call: CallId(17),
            chain: ChainId(0x1_0000_0005),
            remaining: 1000,
            ..Header::default()
        }
    }

    fn noted(request: Option<Header>, answer: Option<Header>) -> Vec<u64> {
        [Work::note(request.as_ref()), Work::note(answer.as_ref())].concat()
    }

    #[test]
    fn what_is_noted_is_read_and_reads_well() {
        let answer = Header { kind: Kind::Reply, remaining: 0, rpc: RpcIndex(9), ..call() };
        let work = Work::read(&noted(Some(call()), Some(answer)));
        assert_eq!(work, Work { request: Some(call()), answer: Some(answer) });
        let text = work.describe(|_| Some("demux (frames)".to_owned())).unwrap();
        assert_eq!(
            text,
            "call 17 of method 2 (40 bytes, chain 0x100000005) from demux (frames), \
             after the answer to its call 17 of method 9 of demux (frames)"
        );
        assert_eq!(Work::read(&noted(None, None)).describe(|_| None), None);
        let alone = Work { request: Some(call()), answer: None }.describe(|_| None).unwrap();
        assert!(alone.ends_with("from link 3.1, unknown"), "{alone}");
    }

    proptest! {
        /// Whatever stands there is a request and an answer, or nothing, and its description is short.
        #[test]
        fn no_note_is_believed_to_be_what_it_is_not(words in prop::collection::vec(any::<u64>(), 0..20)) {
            let work = Work::read(&words);
            prop_assert!(work.request.is_none_or(|header| matches!(header.kind, Kind::Call | Kind::Oneway)));
            prop_assert!(work.answer.is_none_or(|header| matches!(header.kind, Kind::Reply | Kind::Error)));
            prop_assert!(work.describe(|_| None).is_none_or(|text| text.len() < 300));
        }
    }
}
