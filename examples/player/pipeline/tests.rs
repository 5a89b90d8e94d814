//! What becomes of a decoder that was taken over: it is found out, whatever it says.

use std::cell::RefCell;
use std::fs::File;
use std::path::Path;

use cloison_broker::ipc::{BufferRef, Passed};
use cloison_worker::msg::contract::HereLink;
use cloison_worker::{Answer, Stream};

use super::{Cast, Play, Trouble, run};
use crate::in_process::{InHost, Shelved};
use crate::input::Input;
use crate::play::Job;
use crate::playback::Playback;
use crate::protocol::{
    Chroma, DecodeError, Decoded, Decoder, DecoderClient, DemuxerClient, Family, Kind, Layout, Picture, Samples,
    TrackReaderClient,
};
use crate::service::{DecoderStage, DemuxerStage, Home, Lender};
use crate::sink::Wanted;
use crate::worker::{AUDIO, VIDEO};

type Here = HereLink<Passed>;

/// An honest demuxer, an honest decoder of one kind, and one that says this for ever.
struct Crooked {
    home: InHost,
    kind: Kind,
    says: fn(&mut InHost) -> Decoded,
    looked: RefCell<u32>,
}

/// The decoder that was taken over.
struct Liar(InHost, fn(&mut InHost) -> Decoded);

impl Decoder<Here> for Liar {
    fn open(&self, _: &TrackReaderClient<Here>) -> Answer<(), DecodeError> {
        Ok(())
    }

    fn decoded(&self) -> Stream<Decoded, DecodeError> {
        let (mut home, says) = (self.0.clone(), self.1);
        Stream::of(std::iter::repeat_with(move || says(&mut home)))
    }

    fn hang(&self, _: bool) -> Answer<()> {
        Ok(())
    }
}

impl Cast for Crooked {
    type Link = Here;
    type Lent = Shelved;

    async fn demuxer(&self) -> Result<DemuxerClient<Here>, Trouble> {
        Ok(DemuxerClient::offer(&self.home, DemuxerStage::new(self.home.clone())).expect("there is room"))
    }

    async fn decoder(&self, kind: Kind) -> Result<DecoderClient<Here>, Trouble> {
        let home = self.home.clone();
        let decoder = match kind == self.kind {
            true => DecoderClient::offer(&self.home, Liar(home, self.says)),
            false => DecoderClient::offer(&self.home, DecoderStage::new(home)),
        };
        Ok(decoder.expect("there is room"))
    }

    fn borrow(&self, link: &Here, name: BufferRef) -> Result<Shelved, String> {
        self.home.borrow(link, name)
    }

    fn look(&self, _: &Playback) {
        *self.looked.borrow_mut() += 1;
    }
}

const TINY: Picture =
    Picture { layout: Layout { width: 2, height: 2, bits: 8, chroma: Chroma::Mono }, pts: 0, duration: 1 };

/// Who is found out, and by what, when the decoder of that kind says this for ever.
fn found_out(kind: Kind, says: fn(&mut InHost) -> Decoded) -> (&'static str, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/media/clip-av1.webm");
    let file = File::open(path).expect("the clips are shipped");
    let length = file.metadata().expect("readable").len();
    let wanted = Wanted::default();
    let job = Job { input: Input { file, length }, family: Family::Rust, wanted: &wanted, seek: None, repeat: 1 };
    let cast = Crooked { home: InHost::default(), kind, says, looked: RefCell::default() };
    let runtime = super::runtime().expect("it asks nothing of the system");
    match runtime.block_on(run(&cast, &mut Play::new(&job))) {
        Err(Trouble::Faulty(role, why)) => (role, why),
        other => panic!("{other:?} after {} items", cast.looked.borrow()),
    }
}

#[test]
fn a_decoder_that_never_comes_to_an_end_is_found_out() {
    let taken = |_: &mut InHost| Decoded::Taken { pts: 0, key: true };
    let early = |_: &mut InHost| Decoded::Taken { pts: i64::MIN, key: true };
    let undecodable = |_: &mut InHost| Decoded::Undecodable { pts: 0, why: String::new() };
    let silence =
        |_: &mut InHost| Decoded::Samples(Samples { pts: 0, offset: 0, rate: 48_000, channels: 1, data: vec![0; 2] });
    let none_so_many = "it takes packets that there are not".to_owned();
    let too_much = "it gives more than can come of a packet".to_owned();
    for (kind, role) in [(Kind::Video, VIDEO), (Kind::Audio, AUDIO)] {
        assert_eq!(found_out(kind, taken), (role, none_so_many.clone()));
        assert_eq!(found_out(kind, early), (role, none_so_many.clone()));
        assert_eq!(found_out(kind, undecodable), (role, too_much.clone()));
    }
    assert_eq!(found_out(Kind::Audio, silence), (AUDIO, too_much));
}

#[test]
fn what_a_decoder_gives_is_what_it_says_and_what_was_asked_for() {
    let other = "it gives what it was not asked for".to_owned();
    let of_sound = |home: &mut InHost| Decoded::Picture(TINY, home.lend(4, 4, |_| ()).expect("there is memory"));
    assert_eq!(found_out(Kind::Audio, of_sound), (AUDIO, other.clone()));
    let of_pictures =
        |_: &mut InHost| Decoded::Samples(Samples { pts: 0, offset: 0, rate: 48_000, channels: 1, data: vec![0; 2] });
    assert_eq!(found_out(Kind::Video, of_pictures), (VIDEO, other));
    let short = |home: &mut InHost| Decoded::Picture(TINY, home.lend(3, 3, |_| ()).expect("there is memory"));
    let lies = "its picture is not what it says".to_owned();
    assert_eq!(found_out(Kind::Video, short), (VIDEO, lies.clone()));
    let huge = |home: &mut InHost| {
        let layout = Layout { width: u32::MAX, ..TINY.layout };
        Decoded::Picture(Picture { layout, ..TINY }, home.lend(4, 4, |_| ()).expect("there is memory"))
    };
    assert_eq!(found_out(Kind::Video, huge), (VIDEO, lies));
    let nowhere = |_: &mut InHost| Decoded::Picture(TINY, BufferRef { pool: 0, index: 999, len: 4 });
    assert_eq!(found_out(Kind::Video, nowhere), (VIDEO, "it is not on the shelf".to_owned()));
    let odd =
        |_: &mut InHost| Decoded::Samples(Samples { pts: 0, offset: 0, rate: 48_000, channels: 2, data: vec![0; 3] });
    assert_eq!(found_out(Kind::Audio, odd), (AUDIO, "its samples are not what it says".to_owned()));
}
