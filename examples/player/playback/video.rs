//! The pictures of the track that is shown.

use std::collections::VecDeque;

use crate::protocol::{Nanos, Picture, Track};

/// What has arrived of a video track.
pub struct VideoLane {
    pub track: Track,
    /// Whether no more of it is taken.
    pub refused: bool,
    pub pictures: u64,
    pub size: Option<(u32, u32)>,
    /// The tick of the last picture that arrived.
    last: Option<i64>,
    /// The times of key pictures, from the restart point on.
    keys: VecDeque<Nanos>,
}

/// The most key pictures remembered; the demuxer is never so many ahead of the decoder.
const MAX_KEYS: usize = 1024;

impl VideoLane {
    pub fn new(track: Track) -> Self {
        Self { track, refused: false, pictures: 0, size: None, last: None, keys: VecDeque::new() }
    }

    /// The demuxer handed on a key picture.
    pub fn key(&mut self, time: Nanos) {
        if self.keys.back().is_some_and(|last| *last >= time) {
            return;
        }
        if self.keys.len() == MAX_KEYS {
            self.keys.pop_back();
        }
        self.keys.push_back(time);
    }

    /// A picture arrives. Returns whether it is a possible and a new one.
    pub fn take(&mut self, picture: &Picture) -> bool {
        if !picture.layout.is_possible() || self.last.is_some_and(|last| picture.pts <= last) {
            return false;
        }
        self.last = Some(picture.pts);
        self.pictures += 1;
        self.size = Some((picture.layout.width, picture.layout.height));
        true
    }

    /// When the last picture that arrived is shown.
    pub fn reached(&self) -> Option<Nanos> {
        self.last.map(|last| self.track.time_base.nanos(last))
    }

    /// The track is shown once more.
    pub fn again(&mut self) {
        self.last = None;
        self.keys.clear();
    }

    /// The next picture is the key picture at `landing`.
    pub fn skipped(&mut self, landing: Nanos) {
        self.keys = VecDeque::from([landing]);
    }

    /// The last key picture from which everything that is missing follows, where sound is missing from `sound` on.
    pub fn restart_point(&self, sound: Nanos) -> Nanos {
        let pictures = self.reached().unwrap_or(Nanos::MIN);
        let missing = pictures.min(sound);
        let key = self.keys.iter().rev().find(|key| **key <= missing);
        key.or(self.keys.front()).copied().unwrap_or(0)
    }

    /// Forgets key pictures that come before the restart point.
    pub fn forget_keys(&mut self, restart_point: Nanos) {
        while self.keys.front().is_some_and(|key| *key < restart_point) {
            self.keys.pop_front();
        }
    }
}
