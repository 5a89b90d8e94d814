//! The host's part: which tracks are played, where their pictures and samples go, what was lost.
//!
//! It knows neither processes nor calls. Stages may run as plain calls or as workers; either way what they say arrives
//! here, is checked, and is taken once: after a restart, what had arrived before is recognised and dropped.

mod audio;
mod video;

use std::collections::HashMap;

use crate::protocol::{Family, Kind, MAX_TRACKS, Media, Nanos, Picture, Samples, Track};
use crate::sink::{OutputError, PictureData, Sinks, Wanted};
use crate::stage::codec;
use crate::text::{counted, plain};

use audio::AudioLane;
use video::VideoLane;

/// One file being played.
pub struct Playback {
    media: Media,
    video: Option<VideoLane>,
    audio: Option<AudioLane>,
    sinks: Sinks,
    packets: HashMap<u32, Packets>,
    position: Nanos,
    notes: Vec<String>,
    complaint: Option<String>,
    /// Whether playing went on after a loss, and whether something was given up then.
    has_restarted: bool,
    has_skipped: bool,
    is_given_up: bool,
}

/// Why nothing is played.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// No track can be decoded.
    #[error("nothing can be played: {}", .0.join("; "))]
    NoTrack(Vec<String>),
    /// The demuxer lies.
    #[error("the demuxer speaks of {0} tracks (1 to {MAX_TRACKS} are played)")]
    Tracks(usize),
    /// An output file cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// What was played.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// How many pictures.
    pub pictures: u64,
    /// The last picture's size.
    pub size: Option<(u32, u32)>,
    /// How many samples a channel.
    pub frames: u64,
    /// Samples a second and channels.
    pub sound: Option<(u32, u16)>,
    /// What people should know.
    pub notes: Vec<String>,
}

/// How the packets of a track fared.
#[derive(Clone, Debug, Default)]
struct Packets {
    count: u64,
    failed: u64,
    /// When the first one that could not be decoded would have been played, and why it could not.
    first: Option<(Nanos, String)>,
}

impl Playback {
    /// Prepares to play what a demuxer found: the first track of each kind that decoders of this family decode.
    ///
    /// # Errors
    /// If there is none, or an output file cannot be written.
    pub fn new(media: Media, family: Family, wanted: &Wanted) -> Result<Self, PlaybackError> {
        if !(1..=MAX_TRACKS).contains(&media.tracks.len()) {
            return Err(PlaybackError::Tracks(media.tracks.len()));
        }
        let is_decodable = |track: &&Track| codec::is_decodable(family, track.kind, &track.codec);
        let first = |kind| media.tracks.iter().filter(|track| track.kind == kind).find(is_decodable).cloned();
        let (video, audio) = (first(Kind::Video).map(VideoLane::new), first(Kind::Audio).map(AudioLane::new));
        let notes: Vec<_> =
            media.tracks.iter().filter(|track| !is_decodable(track)).map(|track| refusal(family, track)).collect();
        if video.is_none() && audio.is_none() {
            return Err(PlaybackError::NoTrack(notes));
        }
        let sinks = Sinks::open(wanted, video.as_ref().map(|lane| lane.track.time_base), audio.is_some())?;
        let (packets, position) = (HashMap::new(), 0);
        let (has_restarted, has_skipped) = (false, false);
        let (complaint, is_given_up) = (None, false);
        Ok(Self {
            media,
            video,
            audio,
            sinks,
            packets,
            position,
            notes,
            complaint,
            has_restarted,
            has_skipped,
            is_given_up,
        })
    }

    /// The tracks that are played.
    pub fn selected(&self) -> impl Iterator<Item = &Track> {
        let video = self.video.iter().filter(|lane| !lane.refused).map(|lane| &lane.track);
        video.chain(self.audio.iter().filter(|lane| !lane.refused).map(|lane| &lane.track))
    }

    /// A track that was selected cannot be decoded, or not any longer. What has arrived of it is kept.
    pub fn refuse(&mut self, kind: Kind, why: &str) {
        let refused = match (kind, &mut self.video, &mut self.audio) {
            (Kind::Video, Some(video), _) => Some((&mut video.refused, &video.track)),
            (Kind::Audio, _, Some(audio)) => Some((&mut audio.refused, &audio.track)),
            _ => None,
        };
        if let Some((refused, track)) = refused {
            *refused = true;
            self.notes.push(format!("{}: {}", title(track), plain(why)));
        }
    }

    /// What is played starts at `landing`; sound before that is only decoded.
    pub fn start_at(&mut self, landing: Nanos) {
        self.position = landing;
        if let Some(audio) = &mut self.audio {
            audio.start_at(landing);
        }
    }

    /// A decoder has taken a packet of its track, which is played at tick `pts`.
    pub fn taken(&mut self, track: u32, pts: i64, key: bool) {
        let Some(selected) = self.selected().find(|selected| selected.id == track) else { return };
        let (time, is_video) = (selected.time_base.nanos(pts), selected.kind == Kind::Video);
        if let (true, true, Some(video)) = (is_video, key, &mut self.video) {
            video.key(time);
        }
        self.position = self.position.max(time);
        self.packets.entry(track).or_default().count += 1;
    }

    /// A packet that its decoder has taken could not be decoded.
    pub fn undecodable(&mut self, track: u32, pts: i64, why: &str) {
        let Some(track) = self.selected().find(|selected| selected.id == track) else { return };
        let (id, time) = (track.id, track.time_base.nanos(pts));
        let packets = self.packets.entry(id).or_default();
        packets.failed += 1;
        packets.first.get_or_insert_with(|| (time, plain(why)));
    }

    /// The video decoder delivers a picture. Returns whether it is a new one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn picture(&mut self, picture: &Picture, data: &dyn PictureData) -> Result<bool, OutputError> {
        let Some(video) = self.video.as_mut().filter(|video| !video.refused) else { return Ok(false) };
        if !video.take(picture) {
            return Ok(false);
        }
        video.forget_keys(video.restart_point(self.audio.as_ref().map_or(Nanos::MAX, AudioLane::missing_from)));
        self.sinks.picture(picture, data)?;
        Ok(true)
    }

    /// The audio decoder delivers a piece of sound. Returns whether any of it is new.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn samples(&mut self, samples: Samples) -> Result<bool, OutputError> {
        let Some(audio) = self.audio.as_mut().filter(|audio| !audio.refused) else { return Ok(false) };
        audio.take(samples, |samples| self.sinks.samples(samples))
    }

    /// The demuxer has no more packets; `complaint` says if the file should have gone on.
    pub fn ended(&mut self, complaint: Option<&str>) {
        self.complaint = complaint.map(plain);
    }

    /// From where the demuxer must go on after a stage was lost, so that nothing that has not arrived is left out: the last key
    /// picture before the first thing that is missing.
    pub fn restart_point(&self) -> Nanos {
        let audio = self.audio.as_ref().filter(|audio| !audio.refused);
        let sound = audio.map_or(Nanos::MAX, AudioLane::missing_from);
        match self.video.as_ref().filter(|video| !video.refused) {
            Some(video) => video.restart_point(sound),
            None => sound,
        }
    }

    /// Playing goes on from an earlier point; what had arrived is dropped.
    pub fn restarted(&mut self) {
        if let Some(audio) = &mut self.audio {
            audio.rejoin();
        }
    }

    /// What comes before `landing` is given up.
    pub fn skipped(&mut self, landing: Nanos) {
        let until = seconds(landing);
        let video = self.video.as_ref().filter(|video| !video.refused);
        let pictures = video.map(|video| match video.reached() {
            Some(last) => format!("pictures after the one at {} and before {until} are lost", seconds(last)),
            None => format!("pictures before {until} are lost"),
        });
        // Some of it may still be on its way; how much is missing is told at the end.
        let audio = self.audio.as_ref().filter(|audio| !audio.refused).map(AudioLane::reached);
        let sound = audio.filter(|reached| *reached < landing);
        let sound = sound.map(|from| format!("sound from {} to {until} may be silent", seconds(from)));
        let lost: Vec<_> = pictures.into_iter().chain(sound).collect();
        self.notes.extend((!lost.is_empty()).then(|| lost.join("; ")));
        if let Some(video) = &mut self.video {
            video.skipped(landing);
        }
        self.restarted();
        self.has_skipped = true;
    }

    /// Something that people should know.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Playing ends before its time, for a reason that is told elsewhere.
    pub fn given_up(&mut self) {
        self.complaint = Some("playing was given up".to_owned());
        self.is_given_up = true;
    }

    /// A worker was lost and another took its place.
    pub fn replaced(&mut self, note: String) {
        self.notes.push(note);
        self.has_restarted = true;
    }

    /// The file is played once more, from its start.
    pub fn again(&mut self) {
        self.position = 0;
        if let Some(video) = &mut self.video {
            video.again();
        }
        if let Some(audio) = &mut self.audio {
            audio.again();
        }
    }

    /// How far the decoders are.
    pub fn position(&self) -> Nanos {
        self.position
    }

    /// How long the file says it is.
    pub fn duration(&self) -> Option<Nanos> {
        let longest =
            self.selected().filter_map(|track| Some(track.time_base.nanos(i64::try_from(track.duration?).ok()?)));
        longest.max().or(self.media.duration).filter(|duration| *duration > 0)
    }

    /// The container's name.
    pub fn container(&self) -> String {
        plain(&self.media.container)
    }

    /// How many pictures have arrived.
    pub fn pictures(&self) -> u64 {
        self.video.as_ref().map_or(0, |video| video.pictures)
    }

    /// Completes the output files and sums up.
    ///
    /// # Errors
    /// If one cannot be completed.
    pub fn finish(mut self) -> Result<Summary, OutputError> {
        let mut notes = std::mem::take(&mut self.notes);
        let lanes = self.media.tracks.iter().filter_map(|track| self.failures(track));
        notes.extend(lanes.chain(self.end_note()).chain(self.audio.as_ref().and_then(AudioLane::note)));
        if self.has_restarted && self.is_whole() {
            notes.push("nothing was lost".to_owned());
        }
        notes.extend(self.sinks.finish()?);
        let (video, audio) = (self.video.as_ref(), self.audio.as_ref());
        Ok(Summary {
            pictures: video.map_or(0, |video| video.pictures),
            size: video.and_then(|video| video.size),
            frames: audio.map_or(0, |audio| audio.frames),
            sound: audio.and_then(|audio| audio.format),
            notes,
        })
    }

    /// Whether everything that the file holds has arrived.
    fn is_whole(&self) -> bool {
        let sound_is_whole = self.audio.as_ref().and_then(AudioLane::note).is_none();
        let all_decoded = self.packets.values().all(|packets| packets.failed == 0);
        !self.has_skipped && sound_is_whole && all_decoded && self.complaint.is_none()
    }

    /// What is said of a track whose packets could not all be decoded.
    fn failures(&self, track: &Track) -> Option<String> {
        let packets = self.packets.get(&track.id)?;
        let (time, why) = packets.first.as_ref()?;
        Some(format!(
            "{}: {} of {} packets could not be decoded, the first at {}: {why}; kept {}",
            title(track),
            packets.failed,
            packets.count,
            seconds(*time),
            self.kept(track.kind)
        ))
    }

    /// What is said if the file ends too early.
    fn end_note(&self) -> Option<String> {
        /// Durations are rounded, and the last picture or packet may be a short one.
        const SLACK: Nanos = 500_000_000;
        let kept = || {
            let kept: Vec<_> = self.selected().map(|track| self.kept(track.kind)).collect();
            kept.join(" and ")
        };
        let has_nothing = self.pictures() == 0 && self.audio.as_ref().is_none_or(|audio| audio.frames == 0);
        if has_nothing && self.is_given_up {
            return None;
        }
        if let Some(complaint) = &self.complaint {
            return Some(format!("{complaint} after {}; kept {}", seconds(self.position), kept()));
        }
        if has_nothing {
            return Some(format!("the file has nothing to play from {} on", seconds(self.position)));
        }
        let (promised, reached) = (self.duration()?, self.reached());
        (reached.saturating_add(SLACK) < promised).then(|| {
            format!("the file promises {}, but ends at {}; kept {}", seconds(promised), seconds(reached), kept())
        })
    }

    /// Up to when anything has arrived.
    fn reached(&self) -> Nanos {
        let sound = self.audio.as_ref().map_or(0, AudioLane::reached);
        self.position.max(sound)
    }

    fn kept(&self, kind: Kind) -> String {
        match (kind, &self.video, &self.audio) {
            (Kind::Video, Some(video), _) => counted(video.pictures, "picture"),
            (_, _, Some(audio)) => format!("{} of sound", seconds(audio.length())),
            _ => "nothing".to_owned(),
        }
    }
}

/// Where else there may be a decoder.
const FFMPEG_MAY: &str = ", and `--decoder ffmpeg` may have one";

fn refusal(family: Family, track: &Track) -> String {
    match track.kind {
        Kind::Video | Kind::Audio if family != Family::Rust => {
            format!("{}: FFmpeg has no decoder for it", title(track))
        }
        Kind::Video => format!("{}: there is no decoder for it; AV1 can be played{FFMPEG_MAY}", title(track)),
        Kind::Audio => {
            format!(
                "{}: there is no decoder for it; PCM, FLAC, ALAC, AAC, MP3 and Vorbis can be played{FFMPEG_MAY}",
                title(track)
            )
        }
        Kind::Subtitle | Kind::Other => format!("{}: not played", title(track)),
    }
}

/// What a track is called: `track 1 (video, AV1)`.
fn title(track: &Track) -> String {
    format!("track {} ({}, {})", track.id, track.kind, plain(&track.label))
}

fn seconds(time: Nanos) -> String {
    format!("{:.3} s", time as f64 / 1e9)
}

#[cfg(test)]
mod tests;
