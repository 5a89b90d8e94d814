//! A bound on what the host is fed and has not taken.
//!
//! A stream counts as long as anybody holds it, in the name of whoever was at the other end when it began: also when its call
//! was given up, or its link is gone or another's by now, while what had come over it lies in the inbox.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use cloison_msg::{Caller, Destination, Header, Kind, Name, Streams};

use super::Driver;
use super::host_end::HostEnd;
use crate::host::{Hoard, StreamCore};

/// How many streams are noted before those that are over are looked for.
const NOTED_AT_LEAST: usize = 64;

/// The streams that the host is fed.
#[derive(Default)]
pub(super) struct Feeds {
    /// How much of them nobody has taken.
    hoard: Hoard,
    noted: Vec<Noted>,
    /// With how many of them it is worth while to look for those that are over.
    tidy_at: usize,
}

struct Noted {
    link: Destination,
    peer: Arc<Name>,
    stream: Weak<StreamCore>,
}

impl Driver {
    /// Gives up streams of whoever has fed the host most that it has not taken, while there is too much.
    pub(super) fn bound_hoard(&mut self) {
        while self.desk.feeds.hoard.is_full() {
            let Some((link, stream)) = self.desk.feeds.largest() else { return };
            stream.overload();
            if let Some(call) = stream.call() {
                self.host_refuses(link, call, Caller::Peer);
            }
        }
    }
}

impl Feeds {
    /// The streams of a call that has come to the host, if it has some.
    pub(super) fn open(&mut self, header: &Header, end: &mut HostEnd) -> Option<Arc<StreamCore>> {
        if header.kind != Kind::Call || header.streams.is_empty() {
            return None;
        }
        let stream = StreamCore::served(header, &self.hoard);
        end.note_served(&stream);
        if header.streams.contains(Streams::FEED) {
            self.note(Noted { link: header.destination, peer: end.core.peer(), stream: Arc::downgrade(&stream) });
        }
        Some(stream)
    }

    fn note(&mut self, noted: Noted) {
        if self.noted.len() >= self.tidy_at {
            self.noted.retain(|noted| noted.stream.strong_count() > 0);
            self.tidy_at = (2 * self.noted.len()).max(NOTED_AT_LEAST);
        }
        self.noted.push(noted);
    }

    /// The largest stream of whoever has fed most that is unread.
    fn largest(&self) -> Option<(Destination, Arc<StreamCore>)> {
        let streams = self.noted.iter().filter_map(|Noted { link, peer, stream }| {
            let stream = stream.upgrade()?;
            let held = stream.held();
            (held > 0).then_some((*link, peer, stream, held))
        });
        let fed: Vec<_> = streams.collect();
        let mut hoards: HashMap<&Name, usize> = HashMap::new();
        fed.iter().for_each(|(_, peer, _, held)| *hoards.entry(peer).or_default() += held);
        let largest = fed.iter().max_by_key(|(_, peer, _, held)| (hoards.get(&***peer), *held))?;
        Some((largest.0, largest.2.clone()))
    }
}
