//! The stages by their contracts, called where they are.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use cloison_broker::ipc::Passed;
use cloison_worker::MethodError;
use cloison_worker::msg::contract::HereLink;

use super::home::{Home, Lent};
use super::{DecoderStage, DemuxerStage};
use crate::in_process::InHost;
use crate::protocol::{
    DecodeError, Decoded, Decoder, DecoderClient, Demuxer, DemuxerClient, Family, Kind, Media, MediaError, Packet,
    SeekTo, SentData, TrackReader, TrackReaderClient,
};
use crate::sink::PictureData;
use crate::stage::family;

type Here = HereLink<Passed>;

const SECOND: i64 = 1_000_000_000;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/media").join(name)
}

fn length(name: &str) -> u64 {
    path(name).metadata().expect("the clips are shipped").len()
}

/// A demuxer with that file open.
fn demuxer(home: &InHost, name: &str) -> (DemuxerClient<Here>, Media) {
    let demuxer = DemuxerClient::offer(home, DemuxerStage::new(home.clone())).expect("there is room");
    let file = File::open(path(name)).expect("the clips are shipped");
    let media = demuxer.open(file.into(), length(name), Family::Rust).expect("opens");
    (demuxer, media)
}

fn track(demuxer: &DemuxerClient<Here>, media: &Media, kind: Kind) -> TrackReaderClient<Here> {
    let track = media.tracks.iter().find(|track| track.kind == kind).expect("a track");
    demuxer.track(track.id).expect("it is there")
}

/// The times of the next packets, in ticks.
fn times(reader: &TrackReaderClient<Here>, count: usize) -> Vec<i64> {
    reader.packets().take(count).map(|packet| packet.expect("readable").pts).collect()
}

#[test]
fn readers_of_one_file_have_positions_of_their_own() {
    let home = InHost::default();
    let (demuxer, media) = demuxer(&home, "clip-av1.webm");
    let (video, audio) = (track(&demuxer, &media, Kind::Video), track(&demuxer, &media, Kind::Audio));
    let first = times(&video, 5);
    let sound = times(&audio, 3);
    assert!(first[0] < 100 && first.is_sorted() && sound.is_sorted());
    let landing = video.seek(SeekTo::KeyBefore(3 * SECOND)).expect("seeks");
    assert!(landing > SECOND && times(&video, 1)[0] > first[4]);
    assert!(times(&audio, 1)[0] - sound[2] < 100, "it goes on where it was");
    assert_eq!(times(&track(&demuxer, &media, Kind::Video), 5), first, "another one begins at the start");
    assert_eq!(demuxer.track(99).err(), Some(MediaError("there is no track 99".to_owned()).into()));
}

/// The data that a packet names, which is taken once.
fn data(home: &InHost, reader: &TrackReaderClient<Here>, data: SentData) -> (Vec<u8>, bool) {
    match data {
        SentData::Here(data) => (data, false),
        SentData::Lent(name) => {
            let lent = home.borrow(&reader.link(), name).expect("it was lent");
            assert!(home.borrow(&reader.link(), name).is_err(), "and not twice");
            let mut data = vec![0; lent.len()];
            lent.read(0, &mut data);
            (data, true)
        }
    }
}

#[test]
fn large_packets_are_lent_and_small_ones_are_not() {
    let home = InHost::default();
    let name = "clip-1080p-av1.mp4";
    let (demuxer, media) = demuxer(&home, name);
    let reader = track(&demuxer, &media, Kind::Video);
    let file = Arc::new(File::open(path(name)).expect("the clips are shipped"));
    let mut plain = family::Demuxer::open(Family::Rust, file, length(name)).expect("opens");
    let (mut lent, mut here) = (0, 0);
    for sent in reader.packets() {
        let Packet { data: expected, pts, key, .. } = plain.next_packet().expect("readable").expect("as many");
        let sent = sent.expect("readable");
        assert_eq!((sent.pts, sent.key), (pts, key));
        let (data, was_lent) = data(&home, &reader, sent.data);
        assert!(data == expected);
        assert_eq!(was_lent, data.len() > 16 << 10);
        *if was_lent { &mut lent } else { &mut here } += 1;
    }
    assert!(lent > 1 && here > 1, "{lent} and {here}");
}

fn decoder(home: &InHost, reader: &TrackReaderClient<Here>) -> DecoderClient<Here> {
    let decoder = DecoderClient::offer(home, DecoderStage::new(home.clone())).expect("there is room");
    decoder.open(reader).expect("opens");
    decoder
}

/// What comes of a track: how many packets, the times of the pictures, and how it ends.
fn pictures(home: &InHost, decoder: &DecoderClient<Here>) -> (usize, Vec<i64>, Option<MethodError<DecodeError>>) {
    let (mut taken, mut times) = (0, Vec::new());
    for decoded in decoder.decoded() {
        match decoded {
            Ok(Decoded::Taken { .. }) => taken += 1,
            Ok(Decoded::Picture(picture, name)) => {
                let lent = home.borrow(&decoder.link(), name).expect("it was lent");
                assert_eq!(lent.len(), picture.layout.bytes());
                times.push(picture.pts);
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => return (taken, times, Some(error)),
        }
    }
    (taken, times, None)
}

#[test]
fn a_decoder_gives_what_its_track_holds_and_again() {
    let home = InHost::default();
    let (demuxer, media) = demuxer(&home, "clip-av1.webm");
    let reader = track(&demuxer, &media, Kind::Video);
    let decoder = decoder(&home, &reader);
    let (taken, times, end) = pictures(&home, &decoder);
    assert_eq!((taken, times.len(), end), (96, 96, None));
    assert!(times.is_sorted());
    assert_eq!(pictures(&home, &decoder), (0, Vec::new(), None), "all were taken");
    reader.seek(SeekTo::KeyBefore(0)).expect("seeks");
    assert_eq!(pictures(&home, &decoder), (96, times, None));
}

#[test]
fn what_was_decoded_comes_before_the_news_that_the_file_breaks_off() {
    let home = InHost::default();
    let (demuxer, media) = demuxer(&home, "truncated-av1.webm");
    let decoder = decoder(&home, &track(&demuxer, &media, Kind::Video));
    let (taken, times, end) = pictures(&home, &decoder);
    assert!(taken > 10 && times.len() == taken, "{taken} packets, {} pictures", times.len());
    let why = "the file ends in the middle of a packet".to_owned();
    assert_eq!(end, Some(DecodeError::BrokenOff(why).into()));
}

#[test]
fn a_stream_ends_when_another_track_is_opened() {
    let home = InHost::default();
    let (demuxer, media) = demuxer(&home, "clip-av1.webm");
    let decoder = decoder(&home, &track(&demuxer, &media, Kind::Video));
    let mut former = decoder.decoded();
    assert!(matches!(former.next(), Some(Ok(Decoded::Taken { .. }))));
    decoder.open(&track(&demuxer, &media, Kind::Video)).expect("opens");
    let end = former.find_map(Result::err).expect("it has an end");
    assert_eq!(end, DecodeError::Undecodable("another track was opened".to_owned()).into());
    assert_eq!(pictures(&home, &decoder).0, 96);
}

#[test]
fn nothing_comes_of_no_track() {
    let home = InHost::default();
    let decoder: DecoderClient<Here> =
        DecoderClient::offer(&home, DecoderStage::new(home.clone())).expect("there is room");
    let nothing = decoder.decoded().next().expect("an end");
    assert_eq!(nothing, Err(DecodeError::Undecodable("no track is open".to_owned()).into()));
}
