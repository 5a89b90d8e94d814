//! From nothing to the first step: workers, link, file, decoders.

use std::time::Duration;

use cloison_broker::OpenError;
use cloison_broker::msg::{Message, Refusal};
use rustix::io::dup;

use super::awaited::Awaited;
use super::conductor::{Conductor, Phase, role_of};
use super::crew::ROLES;
use super::recovery::Seeking;
use crate::play::PlayError;
use crate::playback::Playback;
use crate::protocol::{DEMUX as DEMUX_INTERFACE, Media, Mishap, Refused, SeekTo, Selection, demux};
use crate::worker::DEMUX;

/// How long opening a file and its decoders may take.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

impl Conductor<'_> {
    /// Has a link to the demuxer opened, and then the file.
    pub(super) fn link(&mut self) {
        self.linking = Some(Awaited::new(self.broker.open_async(DEMUX, &DEMUX_INTERFACE)));
        self.enter(Phase::Linking);
    }

    pub(super) fn spawned(&mut self) -> Result<(), PlayError> {
        let mut waiting = Vec::new();
        for mut spawning in std::mem::take(&mut self.spawning) {
            match spawning.ask() {
                Some(spawned) => spawned?,
                None => waiting.push(spawning),
            }
        }
        self.spawning = waiting;
        if self.spawning.is_empty() {
            for role in ROLES {
                let due = self.faults.started(role);
                self.provoke(due);
            }
            self.link();
        }
        Ok(())
    }

    pub(super) fn linked(&mut self) -> Result<(), PlayError> {
        match self.linking.as_mut().and_then(Awaited::ask) {
            Some(Ok(demux)) => {
                self.demux = Some(demux);
                self.open()
            }
            // It died before it could be reached; the news are on their way.
            Some(Err(OpenError { why: Refusal::PeerGone(_) | Refusal::Limit(_), .. })) => {
                self.await_news();
                Ok(())
            }
            Some(Err(error)) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn open(&mut self) -> Result<(), PlayError> {
        let mut message = Message::new();
        message.append(&(self.order.input.length, self.order.family))?;
        message.attach(dup(&self.order.input.file).map_err(|error| PlayError::Passing(error.into()))?.into())?;
        self.ask(Phase::Opening, demux::OPEN, message, OPEN_WITHIN);
        Ok(())
    }

    pub(super) fn opened(&mut self, media: Media) -> Result<(), PlayError> {
        if self.playback.is_none() {
            self.playback = Some(Playback::new(media, self.order.family, self.order.wanted)?);
        }
        self.select()
    }

    /// Has the demuxer open the decoders.
    pub(super) fn select(&mut self) -> Result<(), PlayError> {
        let Some(playback) = &self.playback else { return self.open() };
        let tracks: Vec<_> = playback.selected().map(|track| track.id).collect();
        if tracks.is_empty() {
            self.phase = Phase::Done;
            return Ok(());
        }
        let mut message = Message::new();
        message.append(&Selection { round: self.round, tracks })?;
        self.ask(Phase::Selecting, demux::SELECT, message, OPEN_WITHIN);
        Ok(())
    }

    pub(super) fn selected(&mut self, refused: Vec<Refused>) -> Result<(), PlayError> {
        for Refused { track, mishap } in refused {
            let Some(kind) = self.kind_of(track) else { continue };
            match (mishap, &mut self.playback) {
                (Mishap::Undecodable(why), Some(playback)) => playback.refuse(kind, &why),
                (Mishap::Silence, _) => self.kill(role_of(kind), "it did not answer"),
                _ => self.await_news(),
            }
        }
        match self.recovery.seeking {
            _ if self.phase == Phase::Waiting => Ok(()),
            Seeking::Start => match self.order.seek {
                Some(seek) => self.seek(SeekTo::KeyBefore(seek)),
                None => {
                    self.tell_of_deaths(0);
                    self.begin()
                }
            },
            Seeking::Again => self.seek(SeekTo::KeyBefore(0)),
            Seeking::Resume => self.seek_to_resume(),
        }
    }
}
