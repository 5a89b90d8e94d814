//! Playing: has a file opened, hands each decoder a link to its track, and takes what is decoded into the playback.
//!
//! The same code whether the stages are workers or run in this process: it is generic over the link they are reached by, and
//! what else differs is asked of the [`Cast`]. It knows nothing of processes that die: then it is dropped in the middle, or
//! ends with the [`Trouble`] that a stage has made, and whoever runs it decides what becomes of that.
//!
//! Of two tracks, the one that is behind is pulled. So neither runs ahead of the other by more than its stream's credit, little
//! is done twice after a loss, and what happens happens in the same order wherever the stages run.

mod lane;
mod until;

use std::os::fd::OwnedFd;

use cloison_broker::ipc::BufferRef;
use cloison_worker::MethodError;
use cloison_worker::msg::contract::{Carrier, Poll, PollFlow};
use cloison_worker::msg::{CallError, CallFailure};
use rustix::io::dup;

use crate::play::{Job, PlayError, Played};
use crate::playback::Playback;
use crate::protocol::{DecodeError, DecoderClient, DemuxerClient, Kind, Nanos, SeekTo, Track};
use crate::report::Worker;
use crate::service::Lent;
use crate::text::plain;
use crate::worker::{AUDIO, DEMUX, VIDEO};

use lane::Lane;
pub use until::{runtime, ticks, until};

/// Who plays, wherever that is.
pub trait Cast {
    /// By what the stages are reached.
    type Link: Carrier<Sent: From<OwnedFd>, Pending: Poll, Flow: PollFlow>;
    /// What they lend.
    type Lent: Lent;

    /// The demuxer.
    async fn demuxer(&self) -> Result<DemuxerClient<Self::Link>, Trouble>;

    /// The decoder of a kind of track.
    async fn decoder(&self, kind: Kind) -> Result<DecoderClient<Self::Link>, Trouble>;

    /// Takes what is said to be lent over a link.
    ///
    /// # Errors
    /// Why it is not to be had.
    fn borrow(&self, link: &Self::Link, name: BufferRef) -> Result<Self::Lent, String>;

    /// These kinds of tracks are played.
    fn selected(&self, _kinds: &[Kind]) {}

    /// Where to take playing up again that was at `point`.
    fn take_up(&self, point: Nanos) -> SeekTo {
        SeekTo::KeyBefore(point)
    }

    /// There is nothing to be played where it was to be taken up, for this reason: whether playing is over with that.
    ///
    /// # Errors
    /// Why nothing is played.
    fn cannot_seek(&self, _playback: &mut Playback, why: &str) -> Result<(), PlayError> {
        Err(PlayError::Media(plain(why)))
    }

    /// Playing goes on from here.
    fn landed(&self, _playback: &mut Playback, _landing: Nanos, _is_resumed: bool) {}

    /// A decoder has taken a packet.
    fn took_packet(&self) {}

    /// A decoder has given a picture, or a piece of sound.
    fn gave(&self, _kind: Kind, _is_new: bool, _playback: &Playback) {}

    /// Something has happened.
    fn look(&self, playback: &Playback);
}

/// What is wrong with a stage, or with all of it.
#[derive(Debug)]
pub enum Trouble {
    /// Nothing is to be done about it.
    Failed(PlayError),
    /// A stage is silent, or breaks the contract: another must take its place.
    Faulty(&'static str, String),
    /// A stage is gone.
    Gone(&'static str),
}

/// A file that is being played.
pub struct Play<'a> {
    job: &'a Job<'a>,
    playback: Option<Playback>,
    passes: u32,
    next: Next,
}

/// From where the file is played next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Where the user wants.
    Start,
    /// From its start, once more.
    Again,
    /// From where something was lost.
    Resume,
}

impl<'a> Play<'a> {
    /// Nothing of it was played yet.
    pub const fn new(job: &'a Job<'a>) -> Self {
        Self { job, playback: None, passes: job.repeat, next: Next::Start }
    }

    /// It ends because somebody wants that.
    pub fn stopped(&mut self) {
        self.playback.iter_mut().for_each(|playback| playback.ended(Some("stopped")));
    }

    /// What was played, once there is something.
    pub const fn playback(&mut self) -> Option<&mut Playback> {
        self.playback.as_mut()
    }

    /// What was played until it ended, or failed. Asks for the rows of the table at last.
    ///
    /// # Errors
    /// Why nothing was, or an output file cannot be completed.
    pub fn played(
        self,
        failure: Option<PlayError>,
        workers: impl FnOnce() -> Vec<Worker>,
    ) -> Result<Played, PlayError> {
        let workers = workers();
        let Some(mut playback) = self.playback else {
            let nothing = Played { container: String::new(), summary: Default::default(), workers, failure: None };
            return failure.map_or(Ok(nothing), Err);
        };
        if failure.is_some() {
            playback.given_up();
        }
        let container = playback.container();
        Ok(Played { container, summary: playback.finish()?, workers, failure })
    }
}

/// Plays, from where that was left, to the end.
///
/// # Errors
/// [`Trouble`]. What was played until then is in `play`, and can be gone on with.
pub async fn run<C: Cast>(cast: &C, play: &mut Play<'_>) -> Result<(), Trouble> {
    let lanes = open(cast, play).await?;
    let Some(playback) = &mut play.playback else { return Ok(()) };
    while !lanes.is_empty() {
        let to = match play.next {
            Next::Start => play.job.seek.map(SeekTo::KeyBefore),
            Next::Again => Some(SeekTo::KeyBefore(0)),
            Next::Resume => Some(cast.take_up(playback.restart_point())),
        };
        let landing = match to {
            None => 0,
            Some(to) => match seek(&lanes, to).await? {
                Ok(landing) => landing,
                Err(why) => {
                    cast.cannot_seek(playback, &why)?;
                    break;
                }
            },
        };
        if play.next == Next::Start && to.is_some() {
            playback.start_at(landing);
        }
        cast.landed(playback, landing, play.next == Next::Resume);
        play.next = Next::Resume;
        lane::pass(cast, &lanes, playback, play.job.input.length).await?;
        play.passes = play.passes.saturating_sub(1);
        if play.passes == 0 {
            break;
        }
        playback.again();
        play.next = Next::Again;
    }
    Ok(())
}

/// Has the file opened, and for each track that is played a reader and a decoder.
async fn open<C: Cast>(cast: &C, play: &mut Play<'_>) -> Result<Vec<Lane<C::Link>>, Trouble> {
    let Job { input, family, wanted, .. } = play.job;
    let demuxer = cast.demuxer().await?;
    let file = dup(&input.file).map_err(|error| PlayError::Passing(error.into()))?;
    let opened = demuxer.start().open(file, input.length, *family).await;
    let media = opened.map_err(|error| match error {
        MethodError::Own(error) => PlayError::Media(plain(&error.0)).into(),
        MethodError::Call(error) => Trouble::of(DEMUX, &error),
    })?;
    let playback = match &mut play.playback {
        Some(playback) => playback,
        none => none.insert(Playback::new(media, *family, wanted).map_err(PlayError::from)?),
    };
    let tracks: Vec<_> = playback.selected().cloned().collect();
    let mut lanes = Vec::new();
    for track in &tracks {
        match open_lane(cast, &demuxer, track).await? {
            Ok(lane) => lanes.push(lane),
            Err(why) => playback.refuse(track.kind, &why),
        }
    }
    cast.selected(&playback.selected().map(|track| track.kind).collect::<Vec<_>>());
    Ok(lanes)
}

/// The inner error says why the track cannot be played.
async fn open_lane<C: Cast>(
    cast: &C,
    demuxer: &DemuxerClient<C::Link>,
    track: &Track,
) -> Result<Result<Lane<C::Link>, String>, Trouble> {
    let reader = match demuxer.start().track(track.id).await {
        Ok(reader) => reader,
        Err(MethodError::Own(error)) => return Ok(Err(error.0)),
        Err(MethodError::Call(error)) => return Err(Trouble::of(DEMUX, &error)),
    };
    let decoder = cast.decoder(track.kind).await?;
    match decoder.start().open(&reader).await {
        Ok(()) => Ok(Ok(Lane::new(track, reader, decoder))),
        Err(MethodError::Own(DecodeError::Undecodable(why))) => Ok(Err(why)),
        Err(error) => Err(Trouble::of_decoding(track.kind, error)),
    }
}

/// Has all readers go to `to`: that of the pictures first, then the others to where that is. The inner error says why there is
/// nothing.
async fn seek<L>(lanes: &[Lane<L>], to: SeekTo) -> Result<Result<Nanos, String>, Trouble>
where
    L: Carrier<Pending: Poll>,
{
    let mut landing = None;
    for lane in lanes {
        let to = landing.map_or(to, SeekTo::KeyBefore);
        match lane.reader.start().seek(to).await {
            Ok(there) => drop(landing.get_or_insert(there)),
            Err(MethodError::Own(error)) => return Ok(Err(error.0)),
            Err(MethodError::Call(error)) => return Err(Trouble::of(DEMUX, &error)),
        }
    }
    Ok(Ok(landing.unwrap_or_default()))
}

impl Trouble {
    /// What a decoder says, or the failure of a call of it: it may be the demuxer that is to blame.
    fn of_decoding(kind: Kind, error: MethodError<DecodeError>) -> Self {
        let role = role_of(kind);
        match error {
            MethodError::Call(error) => Self::of(role, &error),
            MethodError::Own(DecodeError::DemuxerSilent) => {
                Self::Faulty(DEMUX, format!("it did not answer the {role} decoder in time"))
            }
            MethodError::Own(DecodeError::DemuxerGone) => Self::Gone(DEMUX),
            MethodError::Own(error @ DecodeError::Senseless(_)) => Self::Faulty(DEMUX, plain(&error.to_string())),
            MethodError::Own(error) => Self::Faulty(role, plain(&error.to_string())),
        }
    }

    /// What a failed call of a stage says.
    pub fn of(role: &'static str, error: &CallError) -> Self {
        match &error.why {
            CallFailure::Deadline | CallFailure::Overloaded => {
                Self::Faulty(role, "it did not answer in time".to_owned())
            }
            CallFailure::Gone(_) | CallFailure::PeerRestarted(_) => Self::Gone(role),
            why => Self::Faulty(role, plain(&why.to_string())),
        }
    }
}

impl From<PlayError> for Trouble {
    fn from(error: PlayError) -> Self {
        Self::Failed(error)
    }
}

/// Where nobody can take a stage's place.
impl From<Trouble> for PlayError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Failed(error) => error,
            Trouble::Faulty(role, why) => Self::Stage { role, why },
            Trouble::Gone(role) => Self::Stage { role, why: "it is gone".to_owned() },
        }
    }
}

/// The decoder of a kind of track.
pub fn role_of(kind: Kind) -> &'static str {
    if kind == Kind::Video { VIDEO } else { AUDIO }
}

#[cfg(test)]
mod tests;
