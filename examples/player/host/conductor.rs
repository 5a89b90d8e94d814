//! The host's loop. Everything comes through one inbox, so nothing here waits for one worker alone.
//!
//! What happens in which phase stands in `start`, `steps`, `delivery` and `recovery`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloison_broker::msg::{CallError, CallFailure, Failure, Gone, RpcIndex};
use cloison_broker::{Broker, HostLink, HostMessage, Inbox, Incoming, Item, OpenError, SpawnError};

use super::Order;
use super::awaited::Awaited;
use super::crew;
use super::delivery::read;
use super::fault::{Fault, Faults};
use super::recovery::Recovery;
use crate::play::PlayError;
use crate::playback::Playback;
use crate::progress::Progress;
use crate::protocol::{Kind, demux};
use crate::worker::{AUDIO, DEMUX, VIDEO, code};

/// How long the last words of decoders, or the news of a death, may be on their way.
const NEWS_WITHIN: Duration = Duration::from_secs(2);

/// How often the loop looks up although nothing came.
const TICK: Duration = Duration::from_millis(50);

/// The same, while it waits for something that does not come through the inbox.
const SHORT_TICK: Duration = Duration::from_millis(1);

/// Plays one file with a crew of workers.
pub struct Conductor<'a> {
    pub(super) broker: &'a Broker,
    inbox: Inbox,
    pub(super) order: &'a Order<'a>,
    pub(super) playback: Option<Playback>,
    pub(super) demux: Option<HostLink>,
    pub(super) spawning: Vec<Awaited<'a, Result<(), SpawnError>>>,
    pub(super) linking: Option<Awaited<'a, Result<HostLink, OpenError>>>,
    pub(super) faults: Faults,
    pub(super) recovery: Recovery,
    pub(super) phase: Phase,
    /// Since when.
    since: Instant,
    /// The number of this attempt; outcomes of earlier ones are ignored.
    pub(super) round: u32,
    pub(super) steps: usize,
    /// How many packets the demuxer has handed on in this round.
    pub(super) packets: u64,
    /// The decoders that have said their last word of this round.
    pub(super) ended: BTreeSet<&'static str>,
    pub(super) passes: u32,
}

/// What the conductor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Workers are being started.
    Spawning,
    /// A link to the demuxer is being opened.
    Linking,
    /// The demuxer opens the file.
    Opening,
    /// It opens the decoders.
    Selecting,
    Seeking,
    Playing,
    /// The demuxer is at its end; decoders may still deliver.
    Ending,
    /// A worker is lost, or about to be killed: its successor is awaited.
    Waiting,
    Done,
}

impl<'a> Conductor<'a> {
    /// A conductor whose crew is being spawned.
    pub fn new(broker: &'a Broker, inbox: Inbox, order: &'a Order<'a>) -> Self {
        Self {
            broker,
            inbox,
            order,
            playback: None,
            demux: None,
            spawning: crew::spawn(broker, order),
            linking: None,
            faults: Faults::new(order.faults),
            recovery: Recovery::default(),
            phase: Phase::Spawning,
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
        while self.phase != Phase::Done {
            if stop.load(Ordering::Relaxed) {
                self.playback.iter_mut().for_each(|playback| playback.ended(Some("stopped")));
                break;
            }
            let starting = matches!(self.phase, Phase::Spawning | Phase::Linking);
            if let Some(item) = self.inbox.next_within(if starting { SHORT_TICK } else { TICK }) {
                self.handle(item)?;
            }
            self.look_up()?;
            if let Some(playback) = &self.playback {
                progress.show(playback, || self.recovery.states());
            }
        }
        Ok(())
    }

    /// What was played, with a word on faults that were asked for and never came.
    pub fn into_playback(self) -> Option<Playback> {
        let unreached = self.faults.unreached();
        self.playback.map(|mut playback| {
            unreached.into_iter().for_each(|note| playback.note(note));
            playback
        })
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

    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    pub(super) fn ask(&mut self, phase: Phase, rpc: RpcIndex, message: HostMessage, within: Duration) {
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

    /// Looks after what does not come through the inbox: workers that start, and what was awaited for too long. Also when the
    /// inbox is full, lest a worker that talks all the time hides another's silence.
    fn look_up(&mut self) -> Result<(), PlayError> {
        match self.phase {
            Phase::Spawning => self.spawned(),
            Phase::Linking => self.linked(),
            _ if self.since.elapsed() < NEWS_WITHIN => Ok(()),
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
            CallFailure::Gone(_) | CallFailure::PeerRestarted(_) => Ok(()),
            why => {
                self.kill(DEMUX, &why.to_string());
                Ok(())
            }
        }
    }

    /// The roles of the decoders that are used.
    pub(super) fn decoders(&self) -> Vec<&'static str> {
        self.playback.iter().flat_map(Playback::selected).map(|track| role_of(track.kind)).collect()
    }

    pub(super) fn kind_of(&self, track: u32) -> Option<Kind> {
        self.playback.as_ref()?.selected().find(|selected| selected.id == track).map(|selected| selected.kind)
    }

    /// Whether playing needs the worker of this role.
    pub(super) fn needs(&self, role: &str) -> bool {
        role == DEMUX || self.playback.is_none() || self.decoders().contains(&role)
    }
}

/// The decoder of a kind of track.
pub(super) fn role_of(kind: Kind) -> &'static str {
    if kind == Kind::Video { VIDEO } else { AUDIO }
}
