//! Finding the key picture before a time.
//!
//! A container's own index is used where it has one and is right; but what it says is only a hint: the position is known by
//! the packets that are read there. Each attempt starts from a freshly opened file, because the parsers keep packets
//! that they had read ahead.

use symphonia::core::formats::{SeekMode, SeekTo};
use symphonia::core::units::Time;

use super::{Demuxer, ReadError, SeekError};
use crate::protocol::{Kind, Nanos};
use crate::stage::source::Extent;

/// How far before the time asked for the key picture is looked for, one after the other, before the whole file is read.
const LOOK_BACK: [Nanos; 4] = [0, 4 * SECOND, 16 * SECOND, 64 * SECOND];

/// How long before the time asked for sound is decoded: codecs carry over some of it from packet to packet (MP3 the most,
/// up to nine packets), so the first ones decode wrongly.
const PREROLL: Nanos = SECOND / 4;

/// How much sound is left out where it cannot be decoded.
const SKIP: Nanos = SECOND;

const SECOND: Nanos = 1_000_000_000;

/// What was met on the way to a time.
enum Reached {
    /// This key picture was the last.
    Key(Nanos),
    /// No key picture.
    NoKey,
    /// The end of the track.
    End,
}

impl Demuxer {
    /// Goes to the key picture at or before `to`, or to the packet that is played at `to` if no video track is
    /// selected. Returns the time from which on pictures follow; sound follows from [`PREROLL`] before that, to be decoded
    /// but not heard.
    ///
    /// # Errors
    /// When the file ends before `to`, or can no longer be read. The position is undefined then.
    pub fn seek(&mut self, to: Nanos) -> Result<Nanos, SeekError> {
        let to = to.max(0);
        let landing = match self.selected(Kind::Video) {
            Some(video) => self.find_key(video, to)?,
            None => to,
        };
        self.go_near(landing.saturating_sub(PREROLL))?;
        self.set_from(landing);
        Ok(landing)
    }

    /// Goes to the first key picture after `after`, or to [`SKIP`] after it if no video track is selected. Returns as
    /// [`Self::seek`] does.
    ///
    /// # Errors
    /// When there is none, or the file can no longer be read. The position is undefined then.
    pub fn seek_beyond(&mut self, after: Nanos) -> Result<Nanos, SeekError> {
        let Some(video) = self.selected(Kind::Video) else {
            return self.seek(after.saturating_add(SKIP));
        };
        self.go_near(after)?;
        let time_base = self.tracks[&video].time_base;
        while let Some(packet) = self.next_packet()? {
            let starts = time_base.nanos(packet.pts);
            if packet.track == video && packet.key && starts > after {
                return self.seek(starts);
            }
        }
        Err(SeekError::PastEnd(after as f64 / SECOND as f64))
    }

    fn selected(&self, kind: Kind) -> Option<u32> {
        self.tracks.iter().filter(|(_, lane)| lane.selected && lane.kind == kind).map(|(id, _)| *id).min()
    }

    /// The time of the last key picture at or before `to`.
    fn find_key(&mut self, video: u32, to: Nanos) -> Result<Nanos, SeekError> {
        for back in LOOK_BACK {
            let near = to.saturating_sub(back);
            if near <= 0 || self.extent == Extent::Stream {
                break;
            }
            self.go_near(near)?;
            if let Ok(Reached::Key(key)) = self.last_key(video, to) {
                return Ok(key);
            }
        }
        self.reopen()?;
        self.set_from(Nanos::MIN);
        match self.last_key(video, to)? {
            Reached::Key(key) => Ok(key),
            Reached::NoKey => Ok(0),
            Reached::End => Err(SeekError::PastEnd(to as f64 / SECOND as f64)),
        }
    }

    /// Reads on until a picture is shown after `to`.
    fn last_key(&mut self, video: u32, to: Nanos) -> Result<Reached, ReadError> {
        let time_base = self.tracks[&video].time_base;
        let mut reached = Reached::NoKey;
        while let Some(packet) = self.next_packet()? {
            if packet.track != video {
                continue;
            }
            let starts = time_base.nanos(packet.pts);
            if starts <= to && packet.key {
                reached = Reached::Key(starts);
            }
            let ends = time_base.nanos(packet.pts.saturating_add_unsigned(packet.duration.max(1)));
            if ends > to {
                return Ok(reached);
            }
        }
        Ok(Reached::End)
    }

    /// Opens the file again at a position from which every packet at or after `time` will be read: by the container's index
    /// if that leads there, else at the start.
    fn go_near(&mut self, time: Nanos) -> Result<(), SeekError> {
        self.reopen()?;
        self.set_from(Nanos::MIN);
        if time <= 0 || self.extent == Extent::Stream || self.jump(time).is_some_and(|landing| landing <= time) {
            return Ok(());
        }
        Ok(self.reopen()?)
    }

    /// Uses the container's index; where it says it landed.
    fn jump(&mut self, time: Nanos) -> Option<Nanos> {
        let track = self.selected(Kind::Video).or_else(|| self.selected(Kind::Audio))?;
        let lane = &self.tracks[&track];
        let start = lane.time_base.nanos(i64::try_from(lane.start).ok()?);
        let time = Time::from_nanos(time.checked_add(start)?);
        let landed = self.reader.seek(SeekMode::Accurate, SeekTo::Time { time, track_id: Some(track) }).ok()?;
        Some(self.tracks[&track].time_base.nanos(landed.actual_ts.get()).saturating_sub(start))
    }

    /// Leaves out pictures before `from`, and sound that is not even needed to decode what follows.
    fn set_from(&mut self, from: Nanos) {
        for lane in self.tracks.values_mut() {
            lane.from = if lane.kind == Kind::Audio { from.saturating_sub(PREROLL) } else { from };
        }
    }
}
