//! The samples of the track that is heard, put one after the other.

use crate::protocol::{Nanos, Samples, Track};

/// What has arrived of an audio track.
pub struct AudioLane {
    pub track: Track,
    /// Whether no more of it is taken.
    pub refused: bool,
    /// How many samples a channel.
    pub frames: u64,
    /// Samples a second and channels.
    pub format: Option<(u32, u16)>,
    /// Sound before this is only decoded.
    start: Nanos,
    /// The number of the sample that comes next, counted from time 0.
    next: Option<i64>,
    /// Whether what arrives must be fitted to `start` and `next`: after a seek or a restart.
    joining: bool,
    /// Silence put in where samples were missing, in samples a channel.
    silence: u64,
}

/// Containers round the times of packets; what is less than this away from its place is in its place.
const SLACK_SECONDS: f64 = 0.05;

/// The longest gap that is filled with silence; more is a change of the time line.
const MAX_SILENCE_SECONDS: i64 = 30;

impl AudioLane {
    pub fn new(track: Track) -> Self {
        let (refused, joining) = (false, false);
        Self { track, refused, frames: 0, format: None, start: Nanos::MIN, next: None, joining, silence: 0 }
    }

    /// What is heard starts at `start`.
    pub fn start_at(&mut self, start: Nanos) {
        self.start = start;
        self.joining = true;
    }

    /// What arrives next may have arrived before.
    pub fn rejoin(&mut self) {
        self.joining = true;
    }

    /// The track is heard once more.
    pub fn again(&mut self) {
        self.next = None;
        self.joining = false;
    }

    /// A piece arrives; what is new of it goes to `write`, with silence before it where something is missing.
    /// Returns whether anything is.
    pub fn take<E>(
        &mut self,
        mut samples: Samples,
        mut write: impl FnMut(&Samples) -> Result<(), E>,
    ) -> Result<bool, E> {
        if !samples.is_playable() || samples.frames() == 0 {
            return Ok(false);
        }
        let format = (samples.rate, samples.channels);
        if self.format.replace(format) != Some(format) {
            self.next = None;
        }
        let mut at = self.place(&samples);
        if self.joining {
            let floor = self.floor(samples.rate);
            at = at.saturating_add(drop_before(&mut samples, at, floor));
            if samples.frames() == 0 {
                return Ok(false);
            }
            self.joining = false;
        }
        if let Some(next) = self.next {
            self.fill(next, at, &samples, &mut write)?;
        }
        let frames = samples.frames() as u64;
        self.next = Some(self.next.unwrap_or(at).saturating_add_unsigned(frames));
        self.frames += frames;
        write(&samples)?;
        Ok(true)
    }

    /// Up to when sound has arrived.
    pub fn reached(&self) -> Nanos {
        match (self.next, self.format) {
            (Some(next), Some((rate, _))) => nanos(next, rate),
            _ => self.start.max(0),
        }
    }

    /// How much has arrived.
    pub fn length(&self) -> Nanos {
        self.format.map_or(0, |(rate, _)| nanos(i64::try_from(self.frames).unwrap_or(i64::MAX), rate))
    }

    /// What is said if some of it had to be replaced by silence.
    pub fn note(&self) -> Option<String> {
        let (rate, _) = self.format.filter(|_| self.silence > 0)?;
        let seconds = self.silence as f64 / f64::from(rate);
        Some(format!("track {} (audio): {seconds:.3} s of sound were lost, and are silent", self.track.id))
    }

    /// Where the piece belongs, in samples from time 0.
    fn place(&self, samples: &Samples) -> i64 {
        self.track.time_base.samples(samples.pts, samples.rate).saturating_add(samples.offset.into())
    }

    /// Before which sample nothing is wanted.
    fn floor(&self, rate: u32) -> i64 {
        let start = i128::from(self.start) * i128::from(rate) / 1_000_000_000;
        self.next.unwrap_or(i64::try_from(start).unwrap_or(i64::MIN))
    }

    /// Writes silence from `next` to `at`, if that is a gap, and moves `next`.
    fn fill<E>(
        &mut self,
        next: i64,
        at: i64,
        samples: &Samples,
        write: &mut impl FnMut(&Samples) -> Result<(), E>,
    ) -> Result<(), E> {
        let gap = at.saturating_sub(next);
        let slack = f64::from(samples.rate) * SLACK_SECONDS;
        if (gap as f64) <= slack || gap > i64::from(samples.rate) * MAX_SILENCE_SECONDS {
            return Ok(());
        }
        let mut left = usize::try_from(gap).unwrap_or(0);
        while left > 0 {
            let frames = left.min(crate::protocol::MAX_SAMPLES_BYTES / samples.frame_bytes());
            write(&Samples { data: vec![0; frames * samples.frame_bytes()], ..*samples })?;
            left -= frames;
        }
        self.next = Some(at);
        self.silence += gap.unsigned_abs();
        self.frames += gap.unsigned_abs();
        Ok(())
    }
}

/// Drops what comes before `floor` from a piece that starts at `at`; how many samples a channel that was.
fn drop_before(samples: &mut Samples, at: i64, floor: i64) -> i64 {
    let early = usize::try_from(floor.saturating_sub(at)).unwrap_or(0).min(samples.frames());
    let bytes = early * samples.frame_bytes();
    samples.data.drain(..bytes);
    i64::try_from(early).unwrap_or(i64::MAX)
}

fn nanos(frames: i64, rate: u32) -> Nanos {
    let nanos = i128::from(frames) * 1_000_000_000 / i128::from(rate.max(1));
    i64::try_from(nanos).unwrap_or(i64::MAX)
}
