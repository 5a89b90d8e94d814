//! Playing proper: the demuxer is asked for one step after the other, a few in advance.

use std::time::Duration;

use cloison_broker::msg::Message;

use super::conductor::{Conductor, Phase, role_of};
use super::recovery::Seeking;
use crate::play::PlayError;
use crate::playback::Playback;
use crate::protocol::{Mishap, Nanos, SeekTo, Step, StepReply, demux};
use crate::worker::DEMUX;

/// How many steps are asked for in advance.
const STEPS_IN_FLIGHT: usize = 4;

/// How long a step, or a seek, may take: longer than a decoder may, so that the demuxer can say which one is silent.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

impl Conductor<'_> {
    pub(super) fn seek(&mut self, to: SeekTo) -> Result<(), PlayError> {
        let mut message = Message::new();
        message.append(&to)?;
        self.ask(Phase::Seeking, demux::SEEK, message, ANSWER_WITHIN);
        Ok(())
    }

    pub(super) fn sought(&mut self, landing: Nanos) -> Result<(), PlayError> {
        match (self.recovery.seeking, &mut self.playback) {
            (Seeking::Start, Some(playback)) => playback.start_at(landing),
            (Seeking::Resume, _) => self.resumed(landing),
            _ => {}
        }
        self.tell_of_deaths(landing);
        self.begin()
    }

    /// Asks for the first steps.
    pub(super) fn begin(&mut self) -> Result<(), PlayError> {
        self.recovery.seeking = Seeking::Resume;
        self.enter(Phase::Playing);
        (self.steps, self.packets) = (0, 0);
        self.ended.clear();
        self.ask_for_steps();
        Ok(())
    }

    fn ask_for_steps(&mut self) {
        while self.phase == Phase::Playing && self.steps < STEPS_IN_FLIGHT {
            self.steps += 1;
            self.ask(Phase::Playing, demux::STEP, Message::new(), ANSWER_WITHIN);
        }
    }

    pub(super) fn stepped(&mut self, reply: StepReply) -> Result<(), PlayError> {
        self.steps = self.steps.saturating_sub(1);
        let Some(playback) = &mut self.playback else { return Ok(()) };
        match reply.step {
            Step::Packet(stepped) => {
                playback.stepped(&stepped);
                self.packets += 1;
                let due = self.faults.count(DEMUX);
                self.provoke(due);
                self.check_packets();
            }
            Step::End(complaint) if self.phase == Phase::Playing => {
                playback.ended(complaint.as_deref());
                self.enter(Phase::Ending);
            }
            Step::End(_) => {}
        }
        for trouble in reply.troubles {
            let Some(kind) = self.kind_of(trouble.track) else { continue };
            match (trouble.mishap, &mut self.playback) {
                (Mishap::Undecodable(why), Some(playback)) => playback.undecodable(trouble.track, trouble.pts, &why),
                (Mishap::Silence, _) => self.kill(role_of(kind), "it did not answer in time"),
                _ => self.await_news(),
            }
        }
        self.ask_for_steps();
        self.conclude()
    }

    /// No file holds more packets than bytes: a demuxer that goes on was taken over.
    fn check_packets(&mut self) {
        if self.packets > self.order.input.length {
            self.kill(DEMUX, "it hands on more packets than the file has bytes");
        }
    }

    /// If everything has arrived, ends, or plays once more.
    pub(super) fn conclude(&mut self) -> Result<(), PlayError> {
        let decoders = self.decoders();
        let is_over = self.phase == Phase::Ending && self.steps == 0;
        if !is_over || !decoders.iter().all(|role| self.ended.contains(role)) {
            return Ok(());
        }
        self.passes = self.passes.saturating_sub(1);
        if self.passes == 0 {
            self.phase = Phase::Done;
            return Ok(());
        }
        self.playback.iter_mut().for_each(Playback::again);
        self.recovery.seeking = Seeking::Again;
        self.round += 1;
        self.select()
    }
}
