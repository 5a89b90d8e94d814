use super::*;
use crate::protocol::{Chroma, Layout, TimeBase};
use std::num::NonZeroU32;

const SECOND: Nanos = 1_000_000_000;

fn track(id: u32, kind: Kind, codec: &str, ticks: u32) -> Track {
    Track {
        id,
        kind,
        codec: codec.to_owned(),
        label: codec.to_uppercase(),
        time_base: TimeBase { numerator: NonZeroU32::MIN, denominator: NonZeroU32::new(ticks).expect("not zero") },
        duration: None,
    }
}

fn playback(tracks: Vec<Track>) -> Result<Playback, PlaybackError> {
    let media = Media { container: "test".to_owned(), duration: None, tracks };
    Playback::new(media, Family::Rust, &Wanted::default())
}

/// A track of pictures with 25 ticks a second, one of sound with 1000.
fn both() -> Playback {
    playback(vec![track(1, Kind::Video, "av1", 25), track(2, Kind::Audio, "flac", 1000)]).expect("playable")
}

fn show(playback: &mut Playback, pts: i64) -> bool {
    let layout = Layout { width: 2, height: 2, bits: 8, chroma: Chroma::Mono };
    playback.picture(&Picture { layout, pts, duration: 1 }, &vec![0; 4]).expect("no output fails")
}

/// So many samples of one channel, 1000 a second, that begin at `pts`.
fn hear(playback: &mut Playback, pts: i64, frames: usize) {
    let samples = Samples { pts, offset: 0, rate: 1000, channels: 1, data: vec![1; 2 * frames] };
    playback.samples(samples).expect("no output fails");
}

fn step(playback: &mut Playback, track: u32, pts: i64, key: bool) {
    playback.taken(track, pts, key);
}

#[test]
fn the_first_track_of_each_kind_that_can_be_decoded_is_played() {
    let tracks = vec![
        track(1, Kind::Video, "h264", 25),
        track(2, Kind::Audio, "opus", 25),
        track(3, Kind::Audio, "flac", 25),
        track(4, Kind::Audio, "aac", 25),
        track(5, Kind::Video, "av1", 25),
    ];
    let playback = playback(tracks).expect("playable");
    assert_eq!(playback.selected().map(|track| track.id).collect::<Vec<_>>(), [5, 3]);
    let notes = playback.finish().expect("finishes").notes;
    assert_eq!(
        notes.len(),
        3,
        "one for each that cannot be decoded, and one for all that came of the others: {notes:?}"
    );
    assert!(notes[0].starts_with("track 1 (video, H264): there is no decoder"), "{notes:?}");
}

#[test]
fn media_without_a_playable_track_are_refused_with_reasons() {
    let error = playback(vec![track(1, Kind::Video, "h264", 25)]).err().expect("refused");
    assert!(error.to_string().contains("track 1 (video, H264): there is no decoder"), "{error}");
    assert!(playback(Vec::new()).is_err());
    let crowd = (0..1000).map(|id| track(id, Kind::Video, "av1", 25)).collect();
    assert!(matches!(playback(crowd), Err(PlaybackError::Tracks(1000))));
}

#[test]
fn nothing_is_taken_twice_after_a_restart() {
    let mut playback = both();
    step(&mut playback, 1, 0, true);
    for pts in 0..10 {
        assert!(show(&mut playback, pts));
    }
    hear(&mut playback, 0, 400);
    assert_eq!(playback.restart_point(), 0);
    playback.restarted();
    for pts in 0..10 {
        assert!(!show(&mut playback, pts));
    }
    assert!(show(&mut playback, 10));
    for pts in [0, 150, 300, 450] {
        hear(&mut playback, pts, 150);
    }
    let summary = playback.finish().expect("finishes");
    assert_eq!((summary.pictures, summary.frames), (11, 600));
    assert!(summary.notes.is_empty(), "{:?}", summary.notes);
}

#[test]
fn playing_restarts_at_the_key_picture_before_what_is_missing() {
    let mut playback = both();
    for key in [0, 25, 50, 75] {
        step(&mut playback, 1, key, true);
    }
    assert_eq!(playback.restart_point(), 0, "nothing has arrived");
    for pts in 0..60 {
        show(&mut playback, pts);
    }
    hear(&mut playback, 0, 2300);
    assert_eq!(playback.restart_point(), 2 * SECOND, "pictures have arrived up to 2.36 s, sound up to 2.3 s");
    playback.refuse(Kind::Video, "it kills its decoder");
    assert_eq!(playback.restart_point(), 2_300_000_000, "sound can start anywhere");
}

#[test]
fn sound_that_is_late_does_not_lose_pictures_it_was_ahead_of() {
    let mut playback = both();
    for key in [0, 25] {
        step(&mut playback, 1, key, true);
    }
    for pts in 0..30 {
        show(&mut playback, pts);
    }
    hear(&mut playback, 0, 500);
    assert_eq!(playback.restart_point(), 0, "sound is missing from 0.5 s on");
}

#[test]
fn sound_before_the_point_of_a_seek_is_not_heard() {
    let mut playback = both();
    playback.start_at(SECOND);
    for pts in [750, 900, 1050] {
        hear(&mut playback, pts, 150);
    }
    assert_eq!(playback.finish().expect("finishes").frames, 200);
}

/// So many samples of one channel, 48000 a second, in a track that rounds times to milliseconds.
fn hear_rounded(playback: &mut Playback, pts: i64, offset: u32, frames: usize) {
    let samples = Samples { pts, offset, rate: 48_000, channels: 1, data: vec![1; 2 * frames] };
    playback.samples(samples).expect("no output fails");
}

/// Pieces of 1000 samples, of 20.8 ms; the fourth is followed by two that share a time, and a packet of two pieces.
const ROUNDED: [(i64, u32, usize); 8] =
    [(0, 0, 1000), (21, 0, 1000), (42, 0, 1000), (63, 0, 10), (63, 0, 10), (63, 0, 10), (63, 10, 1000), (84, 0, 1000)];

#[test]
fn sound_is_joined_where_it_was_counted_to_be() {
    let total: usize = ROUNDED.iter().map(|(.., frames)| frames).sum();
    for died_after in 0..=ROUNDED.len() {
        // The last one taken arrives again, and maybe some before it; or twice, for a worker died again.
        for replayed_from in [0, 1, died_after.saturating_sub(1)] {
            let mut playback = both();
            let mut hear_all = |from: usize, to: usize| {
                ROUNDED[from.min(to)..to].iter().for_each(|(pts, offset, frames)| {
                    hear_rounded(&mut playback, *pts, *offset, *frames);
                });
                playback.restarted();
            };
            // What shares a time arrives together.
            let from =
                if (4..6).contains(&replayed_from) { 3 } else { replayed_from }.min(died_after.saturating_sub(1));
            hear_all(0, died_after);
            hear_all(from, died_after);
            hear_all(from, from + 1);
            hear_all(from, ROUNDED.len());
            let frames = playback.finish().expect("finishes").frames;
            assert_eq!(frames, total as u64, "after {died_after}, again from {from}");
        }
    }
}

#[test]
fn sound_is_joined_by_its_time_if_the_last_piece_does_not_arrive_again() {
    let mut playback = both();
    for (pts, offset, frames) in &ROUNDED[..3] {
        hear_rounded(&mut playback, *pts, *offset, *frames);
    }
    playback.skipped(SECOND);
    for pts in [900, 1000] {
        hear_rounded(&mut playback, pts, 0, 4800);
    }
    let summary = playback.finish().expect("finishes");
    assert_eq!(summary.frames, 48_000 + 4800, "up to 1.1 s: {:?}", summary.notes);
}

#[test]
fn sound_that_is_ahead_of_its_times_is_not_left_out_after_a_restart() {
    let mut playback = playback(vec![track(2, Kind::Audio, "flac", 1000)]).expect("playable");
    for second in 0..10 {
        hear(&mut playback, second * 1000, 1100);
    }
    assert_eq!(playback.restart_point(), 10_100_000_000, "not at 11 s, although so much has arrived");
}

#[test]
fn lost_sound_is_replaced_by_silence_and_reported() {
    let mut playback = both();
    hear(&mut playback, 0, 100);
    hear(&mut playback, 110, 100);
    hear(&mut playback, 500, 100);
    let summary = playback.finish().expect("finishes");
    assert_eq!(summary.frames, 600, "a gap of 10 ms is rounding, one of 0.3 s is not");
    assert_eq!(summary.notes, ["track 2 (audio): 0.300 s of sound were lost, and are silent"]);
}

#[test]
fn a_jump_in_time_is_not_filled_with_days_of_silence() {
    let mut playback = both();
    hear(&mut playback, 0, 100);
    hear(&mut playback, i64::MAX, 100);
    hear(&mut playback, i64::MIN, 100);
    assert_eq!(playback.finish().expect("finishes").frames, 300);
}

#[test]
fn impossible_pictures_and_samples_are_not_taken() {
    let mut playback = both();
    let layout = Layout { width: u32::MAX, height: u32::MAX, bits: 8, chroma: Chroma::Full };
    let picture = Picture { layout, pts: 0, duration: 1 };
    assert!(!playback.picture(&picture, &Vec::new()).expect("not written"));
    playback.samples(Samples { pts: 0, offset: 0, rate: 0, channels: 0, data: vec![0; 3] }).expect("not written");
    assert_eq!(playback.finish().expect("finishes").frames, 0);
}

#[test]
fn what_could_not_be_decoded_is_told_once_a_track() {
    let mut playback = both();
    for pts in 0..50 {
        step(&mut playback, 1, pts, pts == 0);
        if (10..20).contains(&pts) {
            playback.undecodable(1, pts, "bad \x1b[2J bits");
        } else {
            show(&mut playback, pts);
        }
    }
    playback.ended(Some("the file ends in the middle of a packet"));
    let notes = playback.finish().expect("finishes").notes;
    assert_eq!(
        notes,
        [
            r"track 1 (video, AV1): 10 of 50 packets could not be decoded, the first at 0.400 s: bad \u{1b}[2J bits; kept 40 pictures",
            "the file ends in the middle of a packet after 1.960 s; kept 40 pictures and 0.000 s of sound",
        ]
    );
}

#[test]
fn only_what_was_kept_whole_is_called_whole() {
    let notes = |fails: bool| {
        let mut playback = both();
        step(&mut playback, 1, 0, true);
        show(&mut playback, 0);
        playback.replaced("a worker died".to_owned());
        if fails {
            playback.undecodable(1, 1, "nonsense");
        }
        playback.finish().expect("no output fails").notes.join("; ")
    };
    assert!(notes(false).ends_with("nothing was lost"), "{}", notes(false));
    assert!(!notes(true).contains("nothing was lost"), "{}", notes(true));
}

#[test]
fn a_file_of_which_nothing_comes_is_told() {
    let mut playback = both();
    playback.start_at(100 * SECOND);
    playback.ended(None);
    assert_eq!(playback.finish().expect("finishes").notes, ["the file has nothing to play from 100.000 s on"]);
}

#[test]
fn a_file_that_ends_before_it_promised_is_told() {
    let mut sound = track(1, Kind::Audio, "flac", 1000);
    sound.duration = Some(3000);
    let mut playback = playback(vec![sound]).expect("playable");
    hear(&mut playback, 0, 1200);
    playback.ended(None);
    let notes = playback.finish().expect("finishes").notes;
    assert_eq!(notes, ["the file promises 3.000 s, but ends at 1.200 s; kept 1.200 s of sound"]);
}
