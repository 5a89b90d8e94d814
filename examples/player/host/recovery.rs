//! What the host does when a worker is lost: waits for its successor, and goes on from where nothing is left out.

use std::collections::BTreeSet;

use cloison_broker::{Quarantined, WorkerEvent};

use super::conductor::{Conductor, Phase};
use super::crew::ROLES;
use crate::play::PlayError;
use crate::protocol::{Nanos, SeekTo};
use crate::text::plain;
use crate::worker::DEMUX;

/// What is kept about losses.
#[derive(Debug, Default)]
pub struct Recovery {
    /// What the next seek is for.
    pub(super) seeking: Seeking,
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

/// What a seek is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Seeking {
    /// To start where the user wants.
    #[default]
    Start,
    /// To play once more.
    Again,
    /// To go on after a loss.
    Resume,
}

impl Recovery {
    /// The worker does not run, or not for long.
    pub(super) fn down(&mut self, role: &str) {
        self.down.insert(role.to_owned());
    }

    /// Whether the worker does not run.
    pub(super) fn is_down(&self, role: &str) -> bool {
        self.down.contains(role)
    }

    /// Whether all workers run.
    pub(super) fn is_complete(&self) -> bool {
        self.down.is_empty()
    }

    /// One word on each worker, for the progress bar.
    pub(super) fn states(&self) -> String {
        let state = |role: &str| if self.is_down(role) { "down" } else { "ok" };
        ROLES.map(|role| format!("{role} {}", state(role))).join(", ")
    }
}

impl Conductor<'_> {
    /// News of a worker.
    pub(super) fn learn(&mut self, event: WorkerEvent) -> Result<(), PlayError> {
        match event {
            WorkerEvent::Died { role, death, during, last_words } if self.needs(role.as_str()) => {
                self.recovery.down(role.as_str());
                self.recovery.tired.insert(role.to_string());
                let during =
                    during.map(|what| format!(" (by its own account it was busy with {what})")).unwrap_or_default();
                let words: Vec<_> = last_words.iter().map(|line| format!(" — {line}")).collect();
                self.recovery.deaths.push(format!("the {role} worker died: {death}{}{during}", words.concat()));
                if role.as_str() == DEMUX {
                    self.demux = None;
                }
                self.await_news();
            }
            WorkerEvent::Started { role, .. } if self.recovery.down.remove(role.as_str()) => {
                if let Some(role) = ROLES.into_iter().find(|known| *known == role.as_str()) {
                    let due = self.faults.started(role);
                    self.provoke(due);
                }
                if self.phase == Phase::Waiting && self.recovery.is_complete() {
                    return self.resume();
                }
            }
            WorkerEvent::GivenUp { role, deaths, death } if self.needs(role.as_str()) => {
                return Err(PlayError::GivenUp { role: role.to_string(), deaths, death: death.to_string() });
            }
            _ => {}
        }
        Ok(())
    }

    /// All workers run again: has the file opened, if need be, and the decoders.
    pub(super) fn resume(&mut self) -> Result<(), PlayError> {
        if self.demux.is_some() {
            return self.select();
        }
        self.link();
        Ok(())
    }

    /// Goes back to where nothing is left out; or past it, if what comes there has killed too often.
    pub(super) fn seek_to_resume(&mut self) -> Result<(), PlayError> {
        let point = self.restart_point();
        self.recovery.skips = ROLES.into_iter().any(|role| self.begin_input(role, point).is_err());
        self.seek(if self.recovery.skips { SeekTo::KeyAfter(point) } else { SeekTo::KeyBefore(point) })
    }

    /// Playing goes on after a loss.
    pub(super) fn resumed(&mut self, landing: Nanos) {
        let Some(playback) = &mut self.playback else { return };
        if std::mem::take(&mut self.recovery.skips) { playback.skipped(landing) } else { playback.restarted() }
    }

    /// Says which workers died, and where playing went on.
    pub(super) fn tell_of_deaths(&mut self, landing: Nanos) {
        let deaths = std::mem::take(&mut self.recovery.deaths);
        if let (Some(playback), false) = (&mut self.playback, deaths.is_empty()) {
            let seconds = landing as f64 / 1e9;
            playback.replaced(format!("{}; playing went on from {seconds:.3} s", deaths.join("; ")));
        }
    }

    /// The position asked for cannot be reached.
    pub(super) fn give_up_seeking(&mut self, why: &str) -> Result<(), PlayError> {
        if !self.recovery.skips {
            return Err(PlayError::Media(plain(why)));
        }
        let deaths = std::mem::take(&mut self.recovery.deaths).join("; ");
        let complaint = format!("{deaths}; what comes next has killed workers before, and nothing follows it");
        self.playback.iter_mut().for_each(|playback| playback.ended(Some(&complaint)));
        self.phase = Phase::Done;
        Ok(())
    }

    /// A worker has brought something new: its restarts are forgotten, and the next death is blamed on what comes now.
    pub(super) fn brought_something(&mut self, role: &str) {
        if self.recovery.tired.remove(role) {
            self.broker.progress(role);
            // The demuxer brings nothing by itself, but nothing comes without it.
            if self.recovery.tired.remove(DEMUX) {
                self.broker.progress(DEMUX);
            }
        }
        let point = self.restart_point();
        if self.recovery.point != Some(point) {
            for role in ROLES {
                // That it has killed before is found out when it is taken up again.
                let _ = self.begin_input(role, point);
            }
            self.recovery.point = Some(point);
        }
    }

    /// Says which stretch of the file a worker is about to work on: the one that starts at `point`. Each worker's have
    /// numbers of their own, so that it takes two deaths of the same worker to condemn one.
    fn begin_input(&self, role: &str, point: Nanos) -> Result<(), Quarantined> {
        let number = ROLES.iter().position(|known| *known == role).unwrap_or(ROLES.len()) as u64;
        self.broker.begin_input(
            role,
            point.max(0).unsigned_abs().saturating_mul(ROLES.len() as u64 + 1).saturating_add(number),
        )
    }

    fn restart_point(&self) -> Nanos {
        self.playback.as_ref().map_or(0, |playback| playback.restart_point())
    }
}
