//! The sockets of direct links: two queues each, and who still holds which end.

use std::collections::{BTreeMap, VecDeque};

use cloison_msg::{Descriptor, DescriptorClasses, Key};

use super::Packet;

/// A descriptor in this world: one end of one socket pair, or of a pipe that nobody looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plug {
    pair: u32,
    end: usize,
}

impl Plug {
    /// An end of a pipe.
    pub const PIPE: Self = Self { pair: u32::MAX, end: 0 };
}

impl Descriptor for Plug {
    fn class(&self) -> DescriptorClasses {
        if *self == Self::PIPE { DescriptorClasses::PIPE } else { DescriptorClasses::SOCKET }
    }
}

/// What there is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Packet(Box<Packet>),
    Nothing,
    End,
}

/// Why a packet did not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    Full,
    Broken,
}

/// All pairs that there are.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Sockets {
    pairs: BTreeMap<u32, Pair>,
    made: u32,
    /// Of which the broker has duplicates.
    kept: BTreeMap<Key, u32>,
}

#[derive(Clone, Debug, Default, Hash)]
struct Pair {
    /// What was written by each end and not read yet.
    lanes: [Lane; 2],
    is_kept: bool,
}

#[derive(Clone, Debug, Default, Hash)]
struct Lane {
    packets: VecDeque<Packet>,
    is_shut: bool,
    /// Whether the end that writes here was closed by its holder.
    is_closed: bool,
}

impl Sockets {
    pub(super) fn make(&mut self, link: Key) -> [Plug; 2] {
        let pair = self.made;
        self.made += 1;
        self.pairs.insert(pair, Pair { is_kept: true, ..Pair::default() });
        self.kept.insert(link, pair);
        [0, 1].map(|end| Plug { pair, end })
    }

    pub(super) fn write(&mut self, plug: Plug, packet: Packet, room: usize) -> Result<(), Unsent> {
        self.can_write(plug, room)?;
        if let Some(pair) = self.pairs.get_mut(&plug.pair) {
            pair.lanes[plug.end].packets.push_back(packet);
        }
        Ok(())
    }

    pub(super) fn can_write(&self, plug: Plug, room: usize) -> Result<(), Unsent> {
        let pair = self.pairs.get(&plug.pair).ok_or(Unsent::Broken)?;
        let lane = &pair.lanes[plug.end];
        let has_reader = !pair.lanes[1 - plug.end].is_closed || pair.is_kept;
        match () {
            () if lane.is_shut || !has_reader => Err(Unsent::Broken),
            () if lane.packets.len() >= room => Err(Unsent::Full),
            () => Ok(()),
        }
    }

    pub(super) fn read(&mut self, plug: Plug) -> Read {
        let is_at_end = self.is_at_end(plug);
        match self.pairs.get_mut(&plug.pair).and_then(|pair| pair.lanes[1 - plug.end].packets.pop_front()) {
            Some(packet) => Read::Packet(Box::new(packet)),
            None if is_at_end => Read::End,
            None => Read::Nothing,
        }
    }

    /// Whether there is a packet, or the end.
    pub(super) fn is_readable(&self, plug: Plug) -> bool {
        let waits = self.pairs.get(&plug.pair).is_some_and(|pair| !pair.lanes[1 - plug.end].packets.is_empty());
        waits || self.is_at_end(plug)
    }

    /// The end of file comes when the writing half was shut down, or nobody holds the other end any more.
    fn is_at_end(&self, plug: Plug) -> bool {
        self.pairs.get(&plug.pair).is_none_or(|pair| {
            let lane = &pair.lanes[1 - plug.end];
            lane.is_shut || (lane.is_closed && !pair.is_kept)
        })
    }

    /// A worker closes its end.
    pub(super) fn close(&mut self, plug: Plug) {
        if let Some(pair) = self.pairs.get_mut(&plug.pair) {
            pair.lanes[plug.end].is_closed = true;
            pair.lanes[1 - plug.end].packets.clear();
        }
        self.forget(plug.pair);
    }

    /// The broker shuts one half down.
    pub(super) fn shut(&mut self, link: Key, end: usize) {
        if let Some(pair) = self.kept.get(&link).and_then(|pair| self.pairs.get_mut(pair)) {
            pair.lanes[end].is_shut = true;
        }
    }

    /// The broker drops its duplicates; false if it has none.
    pub(super) fn unpair(&mut self, link: Key) -> bool {
        let Some(kept) = self.kept.remove(&link) else { return false };
        if let Some(pair) = self.pairs.get_mut(&kept) {
            pair.is_kept = false;
        }
        self.forget(kept);
        true
    }

    /// The broker shuts all down and drops its duplicates; false if it has none.
    pub(super) fn cut(&mut self, link: Key, empty: bool) -> bool {
        if let Some(pair) = self.kept.get(&link).and_then(|pair| self.pairs.get_mut(pair)) {
            for lane in &mut pair.lanes {
                lane.is_shut = true;
                if empty {
                    lane.packets.clear();
                }
            }
        }
        self.unpair(link)
    }

    /// The links whose pairs the broker has duplicates of.
    pub(super) fn kept(&self) -> impl Iterator<Item = Key> {
        self.kept.keys().copied()
    }

    fn forget(&mut self, pair: u32) {
        if self.pairs.get(&pair).is_some_and(|pair| !pair.is_kept && pair.lanes.iter().all(|lane| lane.is_closed)) {
            self.pairs.remove(&pair);
        }
    }
}
