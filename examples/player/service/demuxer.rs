//! The demuxer, served: a file, and a reader for each track that is asked for.
//!
//! Each reader goes through the file by itself and leaves out the other tracks' packets. So nobody queues what one track has
//! and another does not want yet, however badly a file is interleaved, and each can be sent elsewhere alone. The price is that
//! the container is read once for each track.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use cloison_worker::{Answer, Stream};

use super::hang;
use super::home::{Home, Lender};
use crate::protocol::{
    Demuxer, Family, MAX_PACKET_BYTES, Media, MediaError, Nanos, Packet, Parameters, SeekTo, SentData, SentPacket,
    TrackReader, TrackReaderClient,
};
use crate::stage::family;

/// The most bytes of data that travel inside a message; copying more through sockets costs more than a buffer does.
const INLINE_BYTES: usize = 16 << 10;

/// Takes files apart.
pub struct DemuxerStage<H> {
    home: H,
    open: RefCell<Option<OpenFile>>,
}

struct OpenFile {
    family: Family,
    file: Arc<File>,
    length: u64,
    /// What the file was opened with: the first reader's.
    first: Option<family::Demuxer>,
}

impl<H> DemuxerStage<H> {
    /// One that has no file yet.
    pub const fn new(home: H) -> Self {
        Self { home, open: RefCell::new(None) }
    }
}

impl OpenFile {
    fn reader(&mut self) -> Result<family::Demuxer, MediaError> {
        let open = || family::Demuxer::open(self.family, self.file.clone(), self.length);
        self.first.take().map_or_else(open, Ok).map_err(|error| MediaError::of(&error))
    }
}

impl<H: Home> Demuxer<H::Carrier> for DemuxerStage<H> {
    fn open(&self, file: OwnedFd, length: u64, family: Family) -> Answer<Media, MediaError> {
        let mut open = OpenFile { family, file: Arc::new(File::from(file)), length, first: None };
        let reader = open.reader()?;
        let media = reader.media().clone();
        open.first = Some(reader);
        self.open.replace(Some(open));
        Ok(media)
    }

    fn track(&self, track: u32) -> Answer<TrackReaderClient<H::Carrier>, MediaError> {
        let reader = match self.open.borrow_mut().as_mut() {
            Some(open) => TrackStage::new(&self.home, open.reader()?, track)?,
            None => return Err(MediaError("no file is open".to_owned()).into()),
        };
        Ok(TrackReaderClient::offer(&self.home, reader)?)
    }

    fn hang(&self, busy: bool) -> Answer<()> {
        hang(busy)
    }
}

/// Reads one track.
struct TrackStage<H: Home> {
    parameters: Parameters,
    reader: Rc<RefCell<family::Demuxer>>,
    handed_on: Rc<Cell<u64>>,
    lender: Rc<RefCell<H::Lender>>,
}

impl<H: Home> TrackStage<H> {
    fn new(home: &H, mut reader: family::Demuxer, track: u32) -> Result<Self, MediaError> {
        let parameters = reader.parameters(track).ok_or_else(|| MediaError(format!("there is no track {track}")))?;
        reader.select(&[track]);
        let (reader, lender) = (Rc::new(RefCell::new(reader)), Rc::new(RefCell::new(home.lender())));
        Ok(Self { parameters, reader, handed_on: Rc::default(), lender })
    }
}

impl<H: Home> TrackReader for TrackStage<H> {
    fn parameters(&self) -> Answer<Parameters> {
        Ok(self.parameters.clone())
    }

    fn seek(&self, to: SeekTo) -> Answer<Nanos, MediaError> {
        self.handed_on.set(0);
        let mut reader = self.reader.borrow_mut();
        let landing = match to {
            SeekTo::KeyBefore(time) => reader.seek(time),
            SeekTo::KeyAfter(time) => reader.seek_beyond(time),
        };
        Ok(landing.map_err(|error| MediaError::of(&error))?)
    }

    fn packets(&self) -> Stream<SentPacket, MediaError> {
        let (reader, lender) = (Rc::clone(&self.reader), Rc::clone(&self.lender));
        let (handed_on, has_room) = (Rc::clone(&self.handed_on), Rc::clone(&self.lender));
        let next = move || match reader.borrow_mut().next_packet() {
            Ok(Some(packet)) => {
                handed_on.set(handed_on.get() + 1);
                Some(send(packet, &mut *lender.borrow_mut()).map_err(Into::into))
            }
            Ok(None) => None,
            Err(error) => Some(Err(MediaError::of(&error).into())),
        };
        Stream::new(std::iter::from_fn(next)).ready_when(move || has_room.borrow().is_free())
    }

    fn handed_on(&self) -> Answer<u64> {
        Ok(self.handed_on.get())
    }
}

/// Small packets travel as they are, large ones by the name of a buffer.
fn send(packet: Packet, lender: &mut impl Lender) -> Result<SentPacket, MediaError> {
    let len = packet.data.len();
    if len <= INLINE_BYTES {
        return Ok(SentPacket::new(packet, SentData::Here));
    }
    let room = len.next_power_of_two().min(MAX_PACKET_BYTES);
    let lent = lender.lend(len, room, |buffer| buffer.copy_from_slice(&packet.data)).map_err(MediaError)?;
    Ok(SentPacket::new(packet, |_| SentData::Lent(lent)))
}
