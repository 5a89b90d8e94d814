//! A decoder, served: it pulls packets of its track, and gives what comes of them.
//!
//! Its stream is an iterator that takes the next packet when it has nothing left to give. While all buffers are lent it is not
//! pulled, so a host that is slow costs no deadline.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use cloison_worker::msg::{CallError, CallFailure};
use cloison_worker::{Answer, MethodError, Stream};

use super::hang;
use super::home::{Home, Lender, Lent};
use crate::protocol::{
    DecodeError, Decoded, Decoder, MAX_PACKET_BYTES, MediaError, SentData, SentPacket, TrackReader, TrackReaderClient,
};
use crate::sink::PictureData;
use crate::stage::family::{self, Made};

/// Decodes one track.
pub struct DecoderStage<H: Home> {
    home: H,
    track: RefCell<Option<TrackReaderClient<H::Carrier>>>,
    bench: Rc<RefCell<Bench<H>>>,
}

/// What outlives a stream: the next one works with it.
struct Bench<H: Home> {
    codec: Option<family::Decoder>,
    lender: H::Lender,
    /// Whether packets have left something behind.
    is_used: bool,
    /// How many streams there were; only the last one works here.
    streams: u64,
}

impl<H: Home> DecoderStage<H> {
    /// One that has no track yet.
    pub fn new(home: H) -> Self {
        let bench = Bench { codec: None, lender: home.lender(), is_used: false, streams: 0 };
        Self { home, track: RefCell::new(None), bench: Rc::new(RefCell::new(bench)) }
    }

    fn begin(&self) -> Answer<Decoding<H>, DecodeError> {
        let nothing = || DecodeError::Undecodable("no track is open".to_owned());
        let track = self.track.borrow().clone().ok_or_else(nothing)?;
        let mut bench = self.bench.borrow_mut();
        bench.streams += 1;
        let (number, is_used) = (bench.streams, std::mem::replace(&mut bench.is_used, true));
        bench.codec.iter_mut().filter(|_| is_used).for_each(family::Decoder::flush);
        drop(bench);
        Ok(Decoding {
            home: self.home.clone(),
            bench: Rc::clone(&self.bench),
            number,
            link: track.link(),
            packets: Some(track.packets()),
            said: VecDeque::new(),
            made: VecDeque::new(),
            end: None,
        })
    }
}

impl<H: Home> Decoder<H::Carrier> for DecoderStage<H> {
    fn open(&self, track: &TrackReaderClient<H::Carrier>) -> Answer<(), DecodeError> {
        let parameters = track.parameters().map_err(|error| blame(&CallError::from(error)))?;
        let former = {
            let mut bench = self.bench.borrow_mut();
            bench.streams += 1;
            bench.is_used = false;
            bench.codec.take()
        };
        let opened = family::Decoder::open(former, &parameters);
        let codec = opened.map_err(|error| DecodeError::Undecodable(error.to_string()))?;
        self.bench.borrow_mut().codec = Some(codec);
        // Its link ends when it is dropped, which may do anything.
        let before = self.track.replace(Some(track.clone()));
        drop(before);
        Ok(())
    }

    fn decoded(&self) -> Stream<Decoded, DecodeError> {
        let bench = Rc::clone(&self.bench);
        Stream::begin(|| self.begin()).ready_when(move || bench.borrow().lender.is_free())
    }

    fn hang(&self, busy: bool) -> Answer<()> {
        hang(busy)
    }
}

/// A track that is being decoded.
struct Decoding<H: Home> {
    home: H,
    bench: Rc<RefCell<Bench<H>>>,
    number: u64,
    link: H::Carrier,
    /// `None` when all were taken.
    packets: Option<Stream<SentPacket, MediaError>>,
    /// What is to be given next.
    said: VecDeque<Decoded>,
    /// What is to be given before that.
    made: VecDeque<Made>,
    /// What is to be given in the end.
    end: Option<DecodeError>,
}

impl<H: Home> Iterator for Decoding<H> {
    type Item = Answer<Decoded, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(made) = self.made.pop_front() {
                return Some(self.give(made).map_err(Into::into));
            }
            if let Some(said) = self.said.pop_front() {
                return Some(Ok(said));
            }
            let Some(packets) = &mut self.packets else { return self.end.take().map(|end| Err(end.into())) };
            let taken = match packets.next() {
                Some(Ok(packet)) => return Some(self.take(packet).map_err(Into::into)),
                Some(Err(MethodError::Own(error))) => Some(DecodeError::BrokenOff(error.0)),
                Some(Err(MethodError::Call(error))) => return Some(Err(blame(&error).into())),
                None => None,
            };
            self.end = taken;
            self.packets = None;
            let (bench, made) = (&self.bench, &mut self.made);
            if let Some(codec) = bench.borrow_mut().codec_of(self.number) {
                // What is still in the decoder may be damaged, and there is no packet to blame.
                let _ = codec.finish(|one| made.push_back(one));
            }
        }
    }
}

impl<H: Home> Decoding<H> {
    /// Decodes a packet, and says that it was taken. What comes of it is given next.
    fn take(&mut self, packet: SentPacket) -> Result<Decoded, DecodeError> {
        let (pts, key) = (packet.pts, packet.key);
        let packet = packet.taken(|data| self.read(data))?;
        let mut bench = self.bench.borrow_mut();
        let replaced = || DecodeError::Undecodable("another track was opened".to_owned());
        let codec = bench.codec_of(self.number).ok_or_else(replaced)?;
        let made = &mut self.made;
        if let Err(error) = codec.decode(packet, |one| made.push_back(one)) {
            self.said.push_back(Decoded::Undecodable { pts, why: error.to_string() });
        }
        Ok(Decoded::Taken { pts, key })
    }

    /// The data are copied: they are about to be parsed, and their sender could still change them.
    fn read(&self, data: SentData) -> Result<Vec<u8>, DecodeError> {
        let lent = match data {
            SentData::Here(data) => return Ok(data),
            SentData::Lent(name) => self.home.borrow(&self.link, name).map_err(DecodeError::Senseless)?,
        };
        if lent.len() > MAX_PACKET_BYTES {
            return Err(DecodeError::Senseless("a packet is larger than any can be".to_owned()));
        }
        let mut data = vec![0; lent.len()];
        lent.read(0, &mut data);
        Ok(data)
    }

    fn give(&self, made: Made) -> Result<Decoded, DecodeError> {
        let decoded = match made {
            Made::Samples(samples) => return Ok(Decoded::Samples(samples)),
            Made::Picture(decoded) => decoded,
        };
        let picture = decoded.describe();
        let bytes = picture.layout.bytes();
        let lender = &mut self.bench.borrow_mut().lender;
        let lent = lender.lend(bytes, bytes, |buffer| decoded.copy_to(buffer)).map_err(DecodeError::Undelivered)?;
        Ok(Decoded::Picture(picture, lent))
    }
}

impl<H: Home> Bench<H> {
    /// The decoder, unless another stream works with it.
    fn codec_of(&mut self, stream: u64) -> Option<&mut family::Decoder> {
        self.codec.as_mut().filter(|_| self.streams == stream)
    }
}

/// What the failure of a call of the demuxer says.
fn blame(error: &CallError) -> DecodeError {
    match error.why {
        CallFailure::Deadline | CallFailure::Overloaded => DecodeError::DemuxerSilent,
        CallFailure::Gone(_) | CallFailure::PeerRestarted(_) | CallFailure::Cancelled => DecodeError::DemuxerGone,
        CallFailure::Failed(_) | CallFailure::Unsendable(_) | CallFailure::Unreadable(_) => {
            DecodeError::Senseless(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use cloison_worker::msg::{Failure, Name, RpcIndex};

    use super::*;

    #[test]
    fn only_silence_is_blamed_on_a_demuxer_that_lives() {
        let blamed = |why| {
            let peer = Name::new("demux").expect("a name");
            blame(&CallError::new(peer, RpcIndex(0), std::time::Duration::ZERO, why))
        };
        assert_eq!(blamed(CallFailure::Deadline), DecodeError::DemuxerSilent);
        assert_eq!(blamed(CallFailure::Gone(cloison_worker::msg::Gone::Closed)), DecodeError::DemuxerGone);
        assert!(matches!(blamed(CallFailure::Failed(Failure::NoSuchMethod)), DecodeError::Senseless(_)));
    }
}
