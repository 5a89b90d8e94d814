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
    /// The piece that arrived last since playing last began anew, whether it was wanted or not.
    seen: Option<Mark>,
    /// The piece that was taken last.
    last: Option<Taken>,
    /// Silence put in where samples were missing, in samples a channel.
    silence: u64,
}

/// By what a piece is known when it arrives once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    pts: i64,
    offset: u32,
    /// How many pieces of the same time came right before it: short packets may share a rounded time.
    nth: u64,
}

/// A piece that was taken.
#[derive(Clone, Copy, Debug)]
struct Taken {
    mark: Mark,
    /// The number of its first sample, as counted: containers round their times, so theirs may be a few samples off.
    start: i64,
    /// The number of the sample that follows it, by the container's time.
    end: i64,
}

/// Where a piece belongs that arrives while joining.
enum Joint {
    /// Before what was taken last: it has arrived before.
    Before,
    /// It begins at the sample of this number.
    At(i64),
}

/// Containers round the times of packets; what is less than this away from its place is in its place.
const SLACK_SECONDS: f64 = 0.05;

/// The longest gap that is filled with silence; more is a change of the time line.
const MAX_SILENCE_SECONDS: i64 = 30;

impl AudioLane {
    pub fn new(track: Track) -> Self {
        Self {
            track,
            refused: false,
            frames: 0,
            format: None,
            start: Nanos::MIN,
            next: None,
            joining: false,
            seen: None,
            last: None,
            silence: 0,
        }
    }

    /// What is heard starts at `start`.
    pub fn start_at(&mut self, start: Nanos) {
        self.start = start;
        self.joining = true;
    }

    /// What arrives next may have arrived before.
    pub fn rejoin(&mut self) {
        self.joining = true;
        self.seen = None;
    }

    /// The track is heard once more.
    pub fn again(&mut self) {
        self.next = None;
        self.joining = false;
        (self.seen, self.last) = (None, None);
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
        let (mark, placed) = (self.see(&samples), self.place(&samples));
        let mut at = match self.joint(mark) {
            Some(Joint::Before) => return Ok(false),
            Some(Joint::At(start)) => start,
            None => placed,
        };
        let format = (samples.rate, samples.channels);
        if self.format.replace(format) != Some(format) {
            self.next = None;
        }
        let whole = samples.frames() as u64;
        let mut early = 0;
        if self.joining {
            let floor = self.floor(samples.rate);
            early = drop_before(&mut samples, at, floor);
            at = at.saturating_add(early);
            // Behind the piece that was taken last, counting goes on; unless less came of it than before.
            let is_last = self.last.is_some_and(|last| last.mark == mark) && at >= floor;
            self.joining = samples.frames() == 0 && !is_last;
            if samples.frames() == 0 {
                return Ok(false);
            }
        }
        if let Some(next) = self.next {
            self.fill(next, at, &samples, &mut write)?;
        }
        let (frames, first) = (samples.frames() as u64, self.next.unwrap_or(at));
        self.next = Some(first.saturating_add_unsigned(frames));
        self.frames += frames;
        let (start, end) = (first.saturating_sub(early), placed.saturating_add_unsigned(whole));
        self.last = Some(Taken { mark, start, end });
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

    /// From when on sound is missing, by what was counted or by the container's times, whichever is earlier: what arrived last
    /// arrives once more if playing goes on from there.
    pub fn missing_from(&self) -> Nanos {
        let counted = self.reached();
        let last = self.last.zip(self.format).map(|(last, (rate, _))| nanos(last.end, rate));
        last.map_or(counted, |last| last.min(counted))
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

    /// By what the piece that arrives is known.
    fn see(&mut self, samples: &Samples) -> Mark {
        let (pts, offset) = (samples.pts, samples.offset);
        let same = self.seen.filter(|seen| (seen.pts, seen.offset) == (pts, offset));
        let mark = Mark { pts, offset, nth: same.map_or(0, |seen| seen.nth.saturating_add(1)) };
        self.seen = Some(mark);
        mark
    }

    /// Where the piece belongs by the one that was taken last; `None` if that does not tell: nothing is joined, nothing was
    /// taken, or that one did not arrive again, for it is in a stretch that is skipped.
    fn joint(&self, mark: Mark) -> Option<Joint> {
        let last = self.last.filter(|_| self.joining)?;
        if last.mark == mark {
            return Some(Joint::At(last.start));
        }
        (mark < last.mark).then_some(Joint::Before)
    }

    /// Where the piece belongs by the container's time, in samples from time 0.
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
