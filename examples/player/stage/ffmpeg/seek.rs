//! Finding the key picture before a time.
//!
//! FFmpeg goes by the container's index, which is a hint: the position is known by the packets that are read there.

use super::demux::{Demuxer, MICRO};
use super::raw;
use crate::protocol::{Kind, Nanos};
use crate::stage::demux::{OpenError, ReadError, SeekError};

/// How long before the time asked for sound is decoded: codecs carry over some of it from packet to packet.
const PREROLL: Nanos = SECOND / 4;

/// How far back FFmpeg is sent once more if it landed after the time asked for.
const LOOK_BACK: [Nanos; 3] = [0, 4 * SECOND, 32 * SECOND];

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
    /// Goes to the key picture at or before `to`, or to the packet that is played at `to` if no video track is selected.
    /// Returns the time from which on pictures follow; sound follows from [`PREROLL`] before that, to be decoded but not heard.
    ///
    /// # Errors
    /// When the file ends before `to`, or can no longer be read. The position is undefined then.
    pub fn seek(&mut self, to: Nanos) -> Result<Nanos, SeekError> {
        let to = to.max(0);
        let landing = match self.selected_video() {
            // What is shown first may be no key picture: then nothing comes before it.
            Some(_) if to == 0 => 0,
            Some(video) => self.find_key(video, to)?,
            None => to,
        };
        self.go_near(landing.saturating_sub(PREROLL))?;
        for lane in &mut self.lanes {
            lane.from = if lane.kind == Kind::Audio { landing.saturating_sub(PREROLL) } else { landing };
        }
        Ok(landing)
    }

    /// Goes to the first key picture after `after`, or to [`SKIP`] after it if no video track is selected. Returns as
    /// [`Self::seek`] does.
    ///
    /// # Errors
    /// When there is none, or the file can no longer be read. The position is undefined then.
    pub fn seek_beyond(&mut self, after: Nanos) -> Result<Nanos, SeekError> {
        let Some(video) = self.selected_video() else {
            return self.seek(after.saturating_add(SKIP));
        };
        self.go_near(after)?;
        let time_base = self.lanes[video].time_base;
        while let Some(packet) = self.next_packet()? {
            let starts = time_base.nanos(packet.pts);
            if packet.track as usize == video && packet.key && starts > after {
                return self.seek(starts);
            }
        }
        Err(SeekError::PastEnd(after as f64 / SECOND as f64))
    }

    fn selected_video(&self) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.selected && lane.kind == Kind::Video)
    }

    /// The time of the last key picture at or before `to`.
    fn find_key(&mut self, video: usize, to: Nanos) -> Result<Nanos, SeekError> {
        for back in LOOK_BACK {
            self.go_near(to.saturating_sub(back))?;
            if let Ok(Reached::Key(key)) = self.last_key(video, to) {
                return Ok(key);
            }
        }
        self.start_over()?;
        match self.last_key(video, to)? {
            Reached::Key(key) => Ok(key),
            Reached::NoKey => Ok(0),
            Reached::End => Err(SeekError::PastEnd(to as f64 / SECOND as f64)),
        }
    }

    /// Reads on until a picture is shown after `to`: in the order of decoding, no key picture that is shown before one
    /// comes after it.
    fn last_key(&mut self, video: usize, to: Nanos) -> Result<Reached, ReadError> {
        let time_base = self.lanes[video].time_base;
        let mut reached = Reached::NoKey;
        while let Some(packet) = self.next_packet()? {
            if packet.track as usize != video {
                continue;
            }
            let starts = time_base.nanos(packet.pts);
            if starts <= to && packet.key {
                reached = Reached::Key(starts);
            }
            if time_base.nanos(packet.pts.saturating_add_unsigned(packet.duration.max(1))) > to {
                return Ok(reached);
            }
        }
        Ok(Reached::End)
    }

    /// Goes to a position from which every packet at or after `time` will be read: by the container's index if there is
    /// one, else to the start.
    fn go_near(&mut self, time: Nanos) -> Result<(), OpenError> {
        self.lanes.iter_mut().for_each(|lane| lane.from = Nanos::MIN);
        let start = raw::start_time(&self.input).unwrap_or(0);
        let micros = start.saturating_add(time.div_euclid(MICRO));
        if time <= 0 || self.input.seek(micros, ..micros).is_err() {
            return self.rewind();
        }
        self.forget_place();
        Ok(())
    }

    fn start_over(&mut self) -> Result<(), OpenError> {
        self.lanes.iter_mut().for_each(|lane| lane.from = Nanos::MIN);
        self.rewind()
    }
}
