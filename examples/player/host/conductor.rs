//! The host's loop: asks the demuxer for steps, takes in what the decoders deliver.
//!
//! Everything comes through one inbox, so nothing here waits for one worker alone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloison_broker::ipc::BufferRef;
use cloison_broker::msg::{CallError, CallFailure, Failure, Gone, Message, RecvError, RpcIndex};
use cloison_broker::{Broker, HostLink, HostMessage, Inbox, Incoming, Item};
use rustix::io::dup;

use super::Order;
use super::crew::{self, ROLES};
use super::fault::{Fault, Faults};
use super::recovery::{Recovery, Seeking};
use crate::PlayError;
use crate::playback::Playback;
use crate::progress::Progress;
use crate::protocol::{
    DEMUX as DEMUX_INTERFACE, Kind, Media, Mishap, Nanos, Picture, Refused, Samples, SeekTo, Selection, Step,
    StepReply, demux, sink,
};
use crate::sink::OutputError;
use crate::worker::{AUDIO, DEMUX, VIDEO, code};

/// How many steps are asked for in advance.
const STEPS_IN_FLIGHT: usize = 4;

/// How long a step, or a seek, may take: longer than a decoder may, so that the demuxer can say which one is silent.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long opening a file and its decoders may take.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// How long the last words of decoders, or the news of a death, may be on their way.
const NEWS_WITHIN: Duration = Duration::from_secs(2);

/// How often the loop looks up although nothing came.
const TICK: Duration = Duration::from_millis(50);

/// Plays one file with a crew of workers.
pub struct Conductor<'a> {
    pub(super) broker: &'a Broker,
    inbox: Inbox,
    pub(super) order: &'a Order<'a>,
    pub(super) playback: Option<Playback>,
    pub(super) demux: Option<HostLink>,
    pub(super) faults: Faults,
    pub(super) recovery: Recovery,
    pub(super) phase: Phase,
    /// Since when.
    since: Instant,
    /// The number of this attempt; outcomes of earlier ones are ignored.
    pub(super) round: u32,
    steps: usize,
    /// How many packets the demuxer has handed on in this round.
    packets: u64,
    /// The decoders that have said their last word of this round.
    ended: BTreeSet<&'static str>,
    passes: u32,
}

/// What the conductor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    Selecting,
    Seeking,
    Playing,
    /// The demuxer is at its end; decoders may still deliver.
    Ending,
    /// A worker is lost, or about to be killed: its successor is awaited.
    Waiting,
    Done,
}

/// Why a delivery was not taken.
enum Undeliverable {
    /// The decoder breaks the contract.
    Malformed(String),
    Output(OutputError),
}

impl<'a> Conductor<'a> {
    /// A conductor of a crew that has been spawned.
    pub fn new(broker: &'a Broker, inbox: Inbox, order: &'a Order<'a>) -> Self {
        Self {
            broker,
            inbox,
            order,
            playback: None,
            demux: None,
            faults: Faults::new(order.faults),
            recovery: Recovery::default(),
            phase: Phase::Opening,
            since: Instant::now(),
            round: 0,
            steps: 0,
            packets: 0,
            ended: BTreeSet::new(),
            passes: order.repeat,
        }
    }

    /// Plays until the end or until `stop` is set.
    ///
    /// # Errors
    /// Why playing could not begin, or had to end. What was played until then can still be taken.
    pub fn conduct(&mut self, progress: &mut Progress, stop: &AtomicBool) -> Result<(), PlayError> {
        for role in ROLES {
            let due = self.faults.started(role);
            self.provoke(due);
        }
        self.open()?;
        while self.phase != Phase::Done {
            if stop.load(Ordering::Relaxed) {
                self.playback.iter_mut().for_each(|playback| playback.ended(Some("stopped")));
                break;
            }
            match self.inbox.next_within(TICK) {
                Some(item) => self.handle(item)?,
                None => self.look_up()?,
            }
            if let Some(playback) = &self.playback {
                progress.show(playback, || self.recovery.states());
            }
        }
        Ok(())
    }

    /// What was played.
    pub fn into_playback(self) -> Option<Playback> {
        self.playback
    }

    /// Has the demuxer open the file.
    pub(super) fn open(&mut self) -> Result<(), PlayError> {
        self.demux = Some(self.broker.open(DEMUX, &DEMUX_INTERFACE)?);
        let mut message = Message::new();
        message.append(&self.order.input.length)?;
        message.attach(dup(&self.order.input.file).map_err(|error| PlayError::Broker(error.into()))?.into())?;
        self.ask(Phase::Opening, demux::OPEN, message, OPEN_WITHIN);
        Ok(())
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

    /// Kills a worker that is of no more use; it is started again like one that crashed.
    pub(super) fn kill(&mut self, role: &str, why: &str) {
        if self.recovery.is_down(role) {
            return;
        }
        self.recovery.down(role);
        self.await_news();
        self.broker.kill(role, why);
    }

    /// From now on nothing counts that was asked before.
    pub(super) fn await_news(&mut self) {
        self.round += 1;
        self.enter(Phase::Waiting);
    }

    pub(super) fn provoke(&self, fault: Option<Fault>) {
        if let Some(fault) = fault {
            crew::provoke(self.broker, &fault);
        }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    fn ask(&mut self, phase: Phase, rpc: RpcIndex, message: HostMessage, within: Duration) {
        self.enter(phase);
        if let Some(demux) = &self.demux {
            demux.post(rpc, message, within, self.round.into());
        }
    }

    fn handle(&mut self, item: Item) -> Result<(), PlayError> {
        match item {
            Item::Message(incoming) => self.take(incoming),
            Item::Outcome(ticket, outcome) if ticket == u64::from(self.round) => match outcome {
                Ok(mut reply) => self.hear(&mut reply),
                Err(error) => self.cope(&error),
            },
            Item::LinkGone { peer, why: why @ (Gone::Closed | Gone::CutOff(_)), .. } => {
                self.kill(peer.as_str(), &why.to_string());
                Ok(())
            }
            Item::Worker(event) => self.learn(event),
            _ => Ok(()),
        }
    }

    /// Nothing came for a while: is that as it should be?
    fn look_up(&mut self) -> Result<(), PlayError> {
        if self.since.elapsed() < NEWS_WITHIN {
            return Ok(());
        }
        match self.phase {
            Phase::Waiting if self.recovery.is_complete() => self.resume(),
            Phase::Ending if self.steps == 0 => {
                let silent = self.decoders().into_iter().find(|role| !self.ended.contains(role));
                silent.into_iter().for_each(|role| self.kill(role, "it did not say that it was done"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The demuxer has answered.
    fn hear(&mut self, reply: &mut Incoming) -> Result<(), PlayError> {
        let heard = match (self.phase, reply.rpc()) {
            (Phase::Opening, demux::OPEN) => read(reply).map(|media| self.opened(media)),
            (Phase::Selecting, demux::SELECT) => read(reply).map(|refused| self.selected(refused)),
            (Phase::Seeking, demux::SEEK) => read(reply).map(|landing| self.sought(landing)),
            (Phase::Playing | Phase::Ending, demux::STEP) => read(reply).map(|step| self.stepped(step)),
            _ => return Ok(()),
        };
        heard.unwrap_or_else(|error| {
            self.kill(DEMUX, &format!("its answer makes no sense: {error}"));
            Ok(())
        })
    }

    /// The demuxer has not answered, or with an error.
    fn cope(&mut self, error: &CallError) -> Result<(), PlayError> {
        match &error.why {
            CallFailure::Failed(Failure::Remote { code: code::MEDIA, text }) => self.give_up_seeking(text.as_str()),
            CallFailure::Deadline | CallFailure::Overloaded => {
                self.kill(DEMUX, &format!("it did not answer within {:.1} s", error.after.as_secs_f64()));
                Ok(())
            }
            // The news of its death are on their way.
            CallFailure::Gone(_) => Ok(()),
            why => {
                self.kill(DEMUX, &why.to_string());
                Ok(())
            }
        }
    }

    fn opened(&mut self, media: Media) -> Result<(), PlayError> {
        if self.playback.is_none() {
            self.playback = Some(Playback::new(media, self.order.wanted)?);
        }
        self.select()
    }

    fn selected(&mut self, refused: Vec<Refused>) -> Result<(), PlayError> {
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
                None => self.begin(),
            },
            Seeking::Again => self.seek(SeekTo::KeyBefore(0)),
            Seeking::Resume => self.seek_to_resume(),
        }
    }

    pub(super) fn seek(&mut self, to: SeekTo) -> Result<(), PlayError> {
        let mut message = Message::new();
        message.append(&to)?;
        self.ask(Phase::Seeking, demux::SEEK, message, ANSWER_WITHIN);
        Ok(())
    }

    fn sought(&mut self, landing: Nanos) -> Result<(), PlayError> {
        match (self.recovery.seeking, &mut self.playback) {
            (Seeking::Start, Some(playback)) => playback.start_at(landing),
            (Seeking::Resume, _) => self.resumed(landing),
            _ => {}
        }
        self.begin()
    }

    /// Asks for the first steps.
    fn begin(&mut self) -> Result<(), PlayError> {
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

    fn stepped(&mut self, reply: StepReply) -> Result<(), PlayError> {
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
    fn conclude(&mut self) -> Result<(), PlayError> {
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

    /// A decoder delivers something.
    fn take(&mut self, mut incoming: Incoming) -> Result<(), PlayError> {
        let Some(role) = ROLES.into_iter().find(|role| incoming.peer().as_str() == *role) else { return Ok(()) };
        let taken = match incoming.rpc() {
            sink::PICTURE => self.take_picture(&mut incoming),
            sink::SAMPLES => self.take_samples(&mut incoming),
            _ => read(&mut incoming).map(|round: u32| self.take_end(role, round)).map_err(Undeliverable::from),
        };
        match taken {
            Ok(true) => self.brought_something(role),
            Ok(false) => {}
            Err(Undeliverable::Output(error)) => return Err(error.into()),
            Err(Undeliverable::Malformed(why)) => self.kill(role, &why),
        }
        if incoming.rpc() != sink::END {
            let due = self.faults.count(role);
            self.provoke(due);
        }
        self.conclude()
    }

    fn take_picture(&mut self, incoming: &mut Incoming) -> Result<bool, Undeliverable> {
        let (picture, reference) = read::<(Picture, BufferRef)>(incoming)?;
        let buffer = incoming.borrow(reference).map_err(|error| Undeliverable::Malformed(error.to_string()))?;
        if !picture.layout.is_possible() || picture.layout.bytes() != buffer.len() {
            return Err(Undeliverable::Malformed("its picture is not what it says".to_owned()));
        }
        let Some(playback) = &mut self.playback else { return Ok(false) };
        playback.picture(&picture, &buffer).map_err(Undeliverable::Output)
    }

    fn take_samples(&mut self, incoming: &mut Incoming) -> Result<bool, Undeliverable> {
        let samples: Samples = read(incoming)?;
        if !samples.is_playable() {
            return Err(Undeliverable::Malformed("its samples are not what it says".to_owned()));
        }
        let Some(playback) = &mut self.playback else { return Ok(false) };
        playback.samples(samples).map_err(Undeliverable::Output)
    }

    fn take_end(&mut self, role: &'static str, round: u32) -> bool {
        if round == self.round {
            self.ended.insert(role);
        }
        false
    }

    /// The roles of the decoders that are used.
    fn decoders(&self) -> Vec<&'static str> {
        self.playback.iter().flat_map(Playback::selected).map(|track| role_of(track.kind)).collect()
    }

    fn kind_of(&self, track: u32) -> Option<Kind> {
        self.playback.as_ref()?.selected().find(|selected| selected.id == track).map(|selected| selected.kind)
    }

    /// Whether playing needs the worker of this role.
    pub(super) fn needs(&self, role: &str) -> bool {
        role == DEMUX || self.playback.is_none() || self.decoders().contains(&role)
    }
}

/// The one value of a message.
fn read<T: serde::de::DeserializeOwned>(incoming: &mut Incoming) -> Result<T, RecvError> {
    let mut reader = incoming.reader();
    let value = reader.recv()?;
    reader.finish()?;
    Ok(value)
}

fn role_of(kind: Kind) -> &'static str {
    if kind == Kind::Video { VIDEO } else { AUDIO }
}

impl From<RecvError> for Undeliverable {
    fn from(error: RecvError) -> Self {
        Self::Malformed(format!("its message makes no sense: {error}"))
    }
}
