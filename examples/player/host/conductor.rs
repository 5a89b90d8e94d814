//! The host's loop: has the file played, and when a worker is lost, waits for its successor and has playing taken up again.
//!
//! Playing itself knows of no deaths. It is dropped when one is told, or ends by what it brings; then everything is linked
//! anew, for what was on its way between workers that are gone, and over links that led to them, is of no more use.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloison_broker::msg::Gone;
use cloison_broker::{Inbox, Item, WorkerEvent};
use tokio::time::Interval;

use super::stages::Stages;
use super::workers::{self, ROLES};
use crate::pipeline::{self, Cast, Play, Trouble};
use crate::play::PlayError;

/// How long the news of a death may be on their way.
const NEWS_WITHIN: Duration = Duration::from_secs(2);

/// Plays one file with workers.
pub struct Conductor<'a, 'b> {
    stages: &'a Stages<'b>,
    inbox: Inbox,
    stop: &'a AtomicBool,
    ticks: Interval,
}

/// What an item of the inbox means for playing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Nothing,
    /// A worker is lost.
    Loss,
    /// The last one that was lost runs again.
    Complete,
}

/// What came of something that was attended.
enum Attended<T> {
    Done(T),
    /// A worker was lost meanwhile.
    Lost,
    /// It is to stop.
    Stopped,
}

impl<'a, 'b> Conductor<'a, 'b> {
    /// A conductor without workers.
    pub fn new(stages: &'a Stages<'b>, inbox: Inbox, stop: &'a AtomicBool) -> Self {
        Self { stages, inbox, stop, ticks: pipeline::ticks() }
    }

    /// Plays until the end or until it is to stop.
    ///
    /// # Errors
    /// Why playing could not begin, or had to end. What was played until then is in `play`.
    pub async fn conduct(&mut self, play: &mut Play<'_>) -> Result<(), PlayError> {
        if !self.spawn().await? || !self.play(play).await? {
            play.stopped();
        }
        Ok(())
    }

    /// Starts the workers; false if it is to stop.
    async fn spawn(&mut self) -> Result<bool, PlayError> {
        let mut spawning = pin!(workers::spawn(self.stages.broker, self.stages.order));
        loop {
            match self.attend(spawning.as_mut()).await? {
                Attended::Done(spawned) => {
                    spawned?;
                    ROLES.into_iter().for_each(|role| self.stages.started(role));
                    return Ok(true);
                }
                // It will be missed.
                Attended::Lost => {}
                Attended::Stopped => return Ok(false),
            }
        }
    }

    /// Plays to the end; false if it is to stop.
    async fn play(&mut self, play: &mut Play<'_>) -> Result<bool, PlayError> {
        let stages = self.stages;
        loop {
            let attended = self.attend(pipeline::run(stages, play)).await?;
            stages.unlink();
            match attended {
                Attended::Done(Ok(())) => return Ok(true),
                Attended::Done(Err(Trouble::Failed(error))) => return Err(error),
                Attended::Done(Err(Trouble::Faulty(role, why))) => stages.kill(role, &why),
                Attended::Done(Err(Trouble::Gone(_))) | Attended::Lost => {}
                Attended::Stopped => return Ok(false),
            }
            if !self.wait_for_crew(play).await? {
                return Ok(false);
            }
        }
    }

    /// Waits until all workers run, also if nobody has told yet that one does not; false if it is to stop.
    async fn wait_for_crew(&mut self, play: &mut Play<'_>) -> Result<bool, PlayError> {
        let until = Instant::now() + NEWS_WITHIN;
        let mut has_come_back = false;
        while !(self.stages.recovery.borrow().is_complete() && (has_come_back || Instant::now() >= until)) {
            tokio::select! {
                biased;
                _ = self.ticks.tick() => if self.stop.load(Ordering::Relaxed) {
                    return Ok(false);
                },
                item = self.inbox.next() => has_come_back |= hear(self.stages, item)? == News::Complete,
            }
            play.playback().into_iter().for_each(|playback| self.stages.look(playback));
        }
        Ok(true)
    }

    /// Does some work, and hears the news meanwhile.
    async fn attend<F: Future>(&mut self, work: F) -> Result<Attended<F::Output>, PlayError> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                _ = self.ticks.tick() => if self.stop.load(Ordering::Relaxed) {
                    return Ok(Attended::Stopped);
                },
                item = self.inbox.next() => if hear(self.stages, item)? == News::Loss {
                    return Ok(Attended::Lost);
                },
                done = &mut work => return Ok(Attended::Done(done)),
            }
        }
    }
}

fn hear(stages: &Stages<'_>, item: Option<Item>) -> Result<News, PlayError> {
    match item {
        Some(Item::Worker(event)) => learn(stages, event),
        Some(Item::LinkGone { link, peer, why: why @ (Gone::Closed | Gone::CutOff(_)) }) if stages.is_linked(link) => {
            stages.kill(peer.as_str(), &why.to_string());
            Ok(News::Loss)
        }
        Some(_) => Ok(News::Nothing),
        None => Err(PlayError::Stage { role: "broker", why: "it has ended".to_owned() }),
    }
}

/// News of a worker.
fn learn(stages: &Stages<'_>, event: WorkerEvent) -> Result<News, PlayError> {
    match event {
        WorkerEvent::Died { role, death, during, last_words } if stages.needs(role.as_str()) => {
            let during =
                during.map(|what| format!(" (by its own account it was busy with {what})")).unwrap_or_default();
            let words: Vec<_> = last_words.iter().map(|line| format!(" — {line}")).collect();
            let story = format!("the {role} worker died: {death}{}{during}", words.concat());
            stages.recovery.borrow_mut().died(role.as_str(), story);
            Ok(News::Loss)
        }
        WorkerEvent::Started { role, .. } if stages.recovery.borrow_mut().started(role.as_str()) => {
            ROLES.into_iter().filter(|known| *known == role.as_str()).for_each(|role| stages.started(role));
            Ok(if stages.recovery.borrow().is_complete() { News::Complete } else { News::Nothing })
        }
        WorkerEvent::GivenUp { role, deaths, death } if stages.needs(role.as_str()) => {
            Err(PlayError::GivenUp { role: role.to_string(), deaths, death: death.to_string() })
        }
        _ => Ok(News::Nothing),
    }
}
