//! The tracks that are played, each with its reader and its decoder, and one pass over them.

use cloison_worker::MethodError;
use cloison_worker::msg::CallError;
use cloison_worker::msg::contract::{Carrier, Items, Poll};

use super::{Cast, Trouble, role_of};
use crate::play::PlayError;
use crate::playback::Playback;
use crate::protocol::{
    DecodeError, Decoded, DecoderClient, Kind, Nanos, Picture, Samples, TimeBase, Track, TrackReaderClient,
};
use crate::service::Lent;
use crate::text::plain;
use crate::worker::DEMUX;

/// A track that is played.
pub struct Lane<L> {
    track: u32,
    kind: Kind,
    time_base: TimeBase,
    pub(super) reader: TrackReaderClient<L>,
    decoder: DecoderClient<L>,
}

/// A lane, while it is pulled.
struct Pulled<'a, L: Carrier> {
    lane: &'a Lane<L>,
    items: Items<L, Decoded, DecodeError>,
    /// How far it is.
    time: Nanos,
    /// How many packets were taken.
    packets: u64,
    /// How much has come of the last one.
    given: u64,
}

/// The most pictures or pieces of sound that come of one packet, or of what is left at the end of a track.
const GIVEN_MAX: u64 = 1024;

/// After how many packets the demuxer is asked whether there were so many.
const CHECKED_EVERY: u64 = 1024;

impl<L> Lane<L> {
    pub fn new(track: &Track, reader: TrackReaderClient<L>, decoder: DecoderClient<L>) -> Self {
        Self { track: track.id, kind: track.kind, time_base: track.time_base, reader, decoder }
    }
}

impl<L: Carrier> Lane<L> {
    fn pull(&self) -> Pulled<'_, L> {
        Pulled { lane: self, items: self.decoder.start().decoded(), time: Nanos::MIN, packets: 0, given: 0 }
    }
}

/// Takes all that is decoded from where the readers of a file are that is so many bytes long.
///
/// # Errors
/// [`Trouble`].
pub async fn pass<C: Cast>(
    cast: &C,
    lanes: &[Lane<C::Link>],
    playback: &mut Playback,
    bytes: u64,
) -> Result<(), Trouble> {
    let mut lanes: Vec<_> = lanes.iter().map(Lane::pull).collect();
    let mut complaint = None;
    while let Some(at) = (0..lanes.len()).min_by_key(|at| lanes[*at].time) {
        match lanes[at].items.next_async().await {
            Some(Ok(decoded)) => {
                lanes[at].take(cast, decoded, playback)?;
                lanes[at].check(bytes).await?;
                cast.look(playback);
                super::until::let_others_look().await;
            }
            Some(Err(MethodError::Own(DecodeError::BrokenOff(why)))) => {
                complaint.get_or_insert(why);
                lanes.remove(at);
            }
            Some(Err(error)) => return Err(Trouble::of_decoding(lanes[at].lane.kind, error)),
            None => drop(lanes.remove(at)),
        }
    }
    playback.ended(complaint.as_deref());
    Ok(())
}

impl<L: Carrier> Pulled<'_, L> {
    /// Nothing that a decoder says is believed.
    fn take<C: Cast<Link = L>>(&mut self, cast: &C, decoded: Decoded, playback: &mut Playback) -> Result<(), Trouble> {
        let kind = self.lane.kind;
        self.given += 1;
        let is_new = match decoded {
            Decoded::Taken { pts, key } => {
                self.time = self.time.max(self.lane.time_base.nanos(pts));
                playback.taken(self.lane.track, pts, key);
                cast.took_packet();
                (self.packets, self.given) = (self.packets + 1, 0);
                return Ok(());
            }
            Decoded::Undecodable { pts, why } => {
                playback.undecodable(self.lane.track, pts, &why);
                return Ok(());
            }
            Decoded::Picture(picture, name) if kind == Kind::Video => {
                let lent = cast.borrow(&self.lane.decoder.link(), name).map_err(|why| self.faulty(&why))?;
                self.show(&picture, &lent, playback)?
            }
            Decoded::Samples(samples) if kind == Kind::Audio => self.hear(samples, playback)?,
            Decoded::Picture(..) | Decoded::Samples(_) => return Err(self.faulty("it gives what it was not asked for")),
        };
        cast.gave(kind, is_new, playback);
        Ok(())
    }

    fn show(&self, picture: &Picture, lent: &impl Lent, playback: &mut Playback) -> Result<bool, Trouble> {
        if !picture.layout.is_possible() || picture.layout.bytes() != lent.len() {
            return Err(self.faulty("its picture is not what it says"));
        }
        Ok(playback.picture(picture, lent).map_err(PlayError::from)?)
    }

    fn hear(&self, samples: Samples, playback: &mut Playback) -> Result<bool, Trouble> {
        if !samples.is_playable() {
            return Err(self.faulty("its samples are not what it says"));
        }
        Ok(playback.samples(samples).map_err(PlayError::from)?)
    }

    /// Whether a decoder goes on that should have come to its end, because it was taken over. What it takes, the demuxer has
    /// handed on, and no file holds more packets than bytes.
    async fn check(&self, bytes: u64) -> Result<(), Trouble>
    where
        L: Carrier<Pending: Poll>,
    {
        if self.given > GIVEN_MAX {
            return Err(self.faulty("it gives more than can come of a packet"));
        }
        if self.given > 0 || !self.packets.is_multiple_of(CHECKED_EVERY) {
            return Ok(());
        }
        let handed_on = self.lane.reader.start().handed_on().await;
        match handed_on.map_err(CallError::from) {
            Ok(handed_on) if handed_on > bytes => {
                Err(Trouble::Faulty(DEMUX, "it hands on more packets than the file has bytes".to_owned()))
            }
            Ok(handed_on) if handed_on < self.packets => Err(self.faulty("it takes packets that there are not")),
            Ok(_) => Ok(()),
            Err(error) => Err(Trouble::of(DEMUX, &error)),
        }
    }

    fn faulty(&self, why: &str) -> Trouble {
        Trouble::Faulty(role_of(self.lane.kind), plain(why))
    }
}
