use super::*;
use std::path::Path;
use std::sync::Arc;

const SECOND: Nanos = 1_000_000_000;

fn bytes(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/media");
    std::fs::read(folder.join(name)).expect("the clips are shipped")
}

fn open(bytes: Vec<u8>) -> Result<Demuxer, OpenError> {
    let length = bytes.len() as u64;
    Demuxer::open(Arc::new(bytes), length)
}

fn video_times(demuxer: &mut Demuxer) -> Vec<(Nanos, bool)> {
    let track = demuxer.media().tracks.iter().find(|track| track.kind == Kind::Video).cloned().expect("a video track");
    let packets = std::iter::from_fn(|| demuxer.next_packet().expect("readable"));
    let video = packets.filter(|packet| packet.track == track.id);
    video.map(|packet| (track.time_base.nanos(packet.pts), packet.key)).collect()
}

#[test]
fn tracks_are_named_for_decoders_and_people() {
    let tracks = |name: &str| -> Vec<(Kind, String, String)> {
        let demuxer = open(bytes(name)).expect("opens");
        let tracks = demuxer.media().tracks.iter();
        tracks.map(|track| (track.kind, track.codec.clone(), track.label.clone())).collect()
    };
    let named = |kind, codec: &str, label: &str| (kind, codec.to_owned(), label.to_owned());
    assert_eq!(tracks("clip-av1.mp4"), [named(Kind::Video, "av1", "AV1 (av01)"), named(Kind::Audio, "aac", "AAC")]);
    assert_eq!(tracks("clip-av1.webm"), [named(Kind::Video, "av1", "AV1"), named(Kind::Audio, "vorbis", "Vorbis")]);
    assert_eq!(tracks("clip-h264.mp4")[0], named(Kind::Video, "h264", "H.264 (avc1)"));
    assert_eq!(tracks("tone.wav"), [named(Kind::Audio, "pcm_s16le", "PCM")]);
}

#[test]
fn a_seek_lands_on_the_key_picture_before() {
    for name in ["clip-av1.mp4", "clip-av1.webm"] {
        let times = video_times(&mut open(bytes(name)).expect("opens"));
        let keys: Vec<_> = times.iter().filter(|(_, key)| *key).map(|(time, _)| *time).collect();
        assert!(keys.len() > 1, "{name} has one key picture");
        let mut demuxer = open(bytes(name)).expect("opens");
        for to in [keys[1], keys[1] - 1, keys[1] + 1, 0, 3 * SECOND, 1_900_000_000, keys[2]] {
            let landing = demuxer.seek(to).expect("seeks");
            let expected = keys.iter().copied().filter(|key| *key <= to).max();
            assert_eq!(landing, expected.unwrap_or(0), "{name} at {to}");
            let first = expected.unwrap_or(keys[0]);
            assert_eq!(video_times(&mut demuxer).first(), Some(&(first, true)), "{name} at {to}");
        }
    }
}

#[test]
fn a_stretch_can_be_skipped() {
    for name in ["clip-av1.mp4", "clip-av1.webm"] {
        let times = video_times(&mut open(bytes(name)).expect("opens"));
        let keys: Vec<_> = times.iter().filter(|(_, key)| *key).map(|(time, _)| *time).collect();
        let mut demuxer = open(bytes(name)).expect("opens");
        for pair in keys.windows(2) {
            assert_eq!(demuxer.seek_beyond(pair[0]).expect("seeks"), pair[1], "{name}");
            assert_eq!(video_times(&mut demuxer).first(), Some(&(pair[1], true)), "{name}");
        }
        assert!(demuxer.seek_beyond(keys[keys.len() - 1]).is_err(), "{name}");
    }
}

#[test]
fn sound_follows_a_seek_from_a_little_before() {
    for name in ["tone.mp3", "tone.ogg", "tone.m4a", "tone.flac", "tone.wav"] {
        let mut demuxer = open(bytes(name)).expect("opens");
        assert_eq!(demuxer.seek(2 * SECOND).expect("seeks"), 2 * SECOND);
        let time_base = demuxer.media().tracks[0].time_base;
        let first = demuxer.next_packet().expect("readable").expect("a packet");
        let time = time_base.nanos(first.pts);
        assert!((SECOND..2 * SECOND).contains(&time), "{name}: {time}");
    }
}

#[test]
fn a_seek_beyond_the_end_says_so() {
    let mut demuxer = open(bytes("clip-av1.mp4")).expect("opens");
    let error = demuxer.seek(100 * SECOND).expect_err("past the end");
    assert_eq!(error.to_string(), "the file has nothing to play at 100.000 s");
}

#[test]
fn packets_of_other_tracks_are_left_out() {
    let mut demuxer = open(bytes("clip-av1.mp4")).expect("opens");
    let audio = demuxer.media().tracks[1].id;
    demuxer.select(&[audio]);
    let packets: Vec<_> = std::iter::from_fn(|| demuxer.next_packet().expect("readable")).collect();
    assert!(!packets.is_empty() && packets.iter().all(|packet| packet.track == audio));
}

#[test]
fn files_cut_off_anywhere_are_read_as_far_as_they_go() {
    for name in ["clip-av1.webm", "formats/420-10.mp4", "tone.ogg", "tone.mp3", "tone.flac", "tone.wav"] {
        let whole = bytes(name);
        let mut counts = Vec::new();
        for length in (0..whole.len()).step_by(whole.len() / 20 + 1) {
            let mut count = 0;
            if let Ok(mut demuxer) = open(whole[..length].to_vec()) {
                while let Ok(Some(_)) = demuxer.next_packet() {
                    count += 1;
                }
                demuxer.seek(SECOND / 2).ok();
            }
            counts.push(count);
        }
        if !name.contains("mp4") {
            assert!(counts.iter().max() > Some(&2), "{name}: {counts:?}");
        }
    }
}

#[test]
fn damaged_files_do_no_harm() {
    for name in ["clip-av1.webm", "formats/420-10.mp4", "tone.m4a", "tone.ogg"] {
        let whole = bytes(name);
        for seed in 0..40_usize {
            let mut damaged = whole.clone();
            for index in 0..8 {
                let at = (seed * 7919 + index * 104_729) % damaged.len().min(4096);
                damaged[at] = u8::try_from((seed * 31 + index * 17) % 256).expect("a byte");
            }
            let Ok(mut demuxer) = open(damaged) else { continue };
            let packets = std::iter::from_fn(|| demuxer.next_packet().ok().flatten());
            assert!(packets.take(100_000).all(|packet| packet.data.len() <= MAX_PACKET_BYTES));
        }
    }
}

#[test]
fn what_is_no_media_file_is_refused() {
    assert!(matches!(open(Vec::new()), Err(OpenError::Empty)));
    assert!(matches!(open(bytes("notmedia.mp4")), Err(OpenError::NotMedia)));
    assert!(open(b"RIFF".to_vec()).is_err());
}
