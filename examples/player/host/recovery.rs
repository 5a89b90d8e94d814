//! What is known of losses: which workers are down, what they died of, and what kills them.

use std::collections::BTreeSet;

use cloison_broker::{Broker, Quarantined};

use super::workers::ROLES;
use crate::protocol::{Nanos, SeekTo};
use crate::worker::DEMUX;

/// What is known of losses.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The workers that do not run.
    down: BTreeSet<String>,
    /// The workers that have died since they last brought something new.
    tired: BTreeSet<String>,
    /// How workers died since playing last went on.
    deaths: Vec<String>,
    /// Where playing will be taken up if something dies now.
    point: Option<Nanos>,
    /// Whether what comes after that is to be skipped, for it has killed too often.
    skips: bool,
}

impl Recovery {
    /// The worker does not run, or not for long.
    pub fn down(&mut self, role: &str) {
        self.down.insert(role.to_owned());
    }

    /// The worker has died, as `story` says.
    pub fn died(&mut self, role: &str, story: String) {
        self.down(role);
        self.tired.insert(role.to_owned());
        self.deaths.push(story);
    }

    /// The worker runs; whether it had not.
    pub fn started(&mut self, role: &str) -> bool {
        self.down.remove(role)
    }

    /// Whether the worker does not run.
    pub fn is_down(&self, role: &str) -> bool {
        self.down.contains(role)
    }

    /// Whether all workers run.
    pub fn is_complete(&self) -> bool {
        self.down.is_empty()
    }

    /// One word on each worker, for the progress bar.
    pub fn states(&self) -> String {
        let state = |role: &str| if self.is_down(role) { "down" } else { "ok" };
        ROLES.map(|role| format!("{role} {}", state(role))).join(", ")
    }

    /// Whether a stretch of the file that has killed too often was passed by; told once.
    pub fn has_skipped(&mut self) -> bool {
        std::mem::take(&mut self.skips)
    }

    /// Whether a stretch of the file is to be passed by.
    pub const fn skips(&self) -> bool {
        self.skips
    }

    /// How workers died; told once.
    pub fn take_deaths(&mut self) -> String {
        std::mem::take(&mut self.deaths).join("; ")
    }

    /// Goes back to where nothing is left out; or past it, if what comes there has killed too often.
    pub fn take_up(&mut self, broker: &Broker, point: Nanos) -> SeekTo {
        self.skips = ROLES.into_iter().any(|role| begin_input(broker, role, point).is_err());
        if self.skips { SeekTo::KeyAfter(point) } else { SeekTo::KeyBefore(point) }
    }

    /// A worker has brought something new: its restarts are forgotten, and the next death is blamed on what comes now, from
    /// `point` on.
    pub fn brought_something(&mut self, broker: &Broker, role: &str, point: Nanos) {
        if self.tired.remove(role) {
            broker.progress(role);
            // The demuxer brings nothing by itself, but nothing comes without it.
            if self.tired.remove(DEMUX) {
                broker.progress(DEMUX);
            }
        }
        if self.point != Some(point) {
            for role in ROLES {
                // That it has killed before is found out when it is taken up again.
                let _ = begin_input(broker, role, point);
            }
            self.point = Some(point);
        }
    }
}

/// Says which stretch of the file a worker is about to work on: the one that starts at `point`. Each worker's have
/// numbers of their own, so that it takes two deaths of the same worker to condemn one.
fn begin_input(broker: &Broker, role: &str, point: Nanos) -> Result<(), Quarantined> {
    let number = ROLES.iter().position(|known| *known == role).unwrap_or(ROLES.len()) as u64;
    let stretch = point.max(0).unsigned_abs().saturating_mul(ROLES.len() as u64 + 1).saturating_add(number);
    broker.begin_input(role, stretch)
}
