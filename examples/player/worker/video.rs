//! The video decoder as a worker.

use std::cell::RefCell;
use std::os::fd::OwnedFd;

use cloison_broker::HOST;
use cloison_broker::msg::{Failure, Message};
use cloison_worker::{BufferMut, Link, Pool, PoolShape, Request, ServeError, Service, Worker};

use super::{Undelivered, hang, out_of_turn, packets};
use crate::protocol::{SINK, Setup, decoder, sink};
use crate::stage::family::{DecodedPicture, VideoDecoder};
use crate::stage::video::{PictureTarget, VideoError};

/// The worker's main.
pub fn main(worker: &Worker) -> Result<(), ServeError> {
    worker.serve(Video::default())
}

/// Serves the demuxer.
#[derive(Default)]
struct Video(RefCell<Option<OpenTrack>>);

struct OpenTrack {
    round: u32,
    decoder: VideoDecoder,
    screen: Screen,
}

/// The way to the host.
struct Screen {
    link: Link,
    /// Buffers for pictures of one size. When that changes there is a new pool, and the old one ends when the host has
    /// given back what it still looks at.
    pool: Option<Pool>,
    message: Message<OwnedFd>,
}

/// How many pictures the host may look at before the decoder waits: one that it writes, one that is on its way, one that
/// is being filled, and one to spare.
const PICTURES: u16 = 4;

/// The most bytes of one pool: two of them, the old and the new, are within what one worker may have.
const POOL_BYTES: usize = 224 << 20;

impl Service for Video {
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, _: &mut Message<OwnedFd>) -> Result<(), Failure> {
        let mut open = self.0.try_borrow_mut().map_err(|_| out_of_turn("the decoder is at work"))?;
        match (request.rpc(), open.as_mut()) {
            (decoder::HANG, _) => hang(request),
            (decoder::OPEN, _) => {
                *open = Some(OpenTrack::open(worker, request, open.take())?);
                Ok(())
            }
            (decoder::PACKET, Some(open)) => open.packet(request),
            (decoder::FINISH, Some(open)) => open.finish(request),
            (decoder::PACKET | decoder::FINISH, None) => Err(out_of_turn("nothing is open")),
            _ => Err(Failure::NoSuchMethod),
        }
    }
}

impl OpenTrack {
    /// Opens a track. Of what was open before, the link and the pool serve again, and so does the memory of a decoder that
    /// is to decode the same.
    fn open(worker: &Worker, request: &mut Request<'_>, before: Option<Self>) -> Result<Self, Failure> {
        let Setup { round, parameters } = request.recv()?;
        request.finish()?;
        let (former, screen) = before.map_or((None, None), |before| (Some(before.decoder), Some(before.screen)));
        let decoder = VideoDecoder::reopen(former, &parameters).map_err(super::media)?;
        let screen = match screen {
            Some(screen) => screen,
            None => {
                let link = worker.open(HOST, &SINK).map_err(Undelivered::from)?;
                Screen { link, pool: None, message: Message::new() }
            }
        };
        Ok(Self { round, decoder, screen })
    }

    fn packet(&mut self, request: &mut Request<'_>) -> Result<(), Failure> {
        let packet = packets::receive(request)?;
        let Self { decoder, screen, .. } = self;
        decoder.decode(packet, |picture| screen.show(&picture).map_err(Unshown::from)).map_err(Failure::from)
    }

    fn finish(&mut self, request: &mut Request<'_>) -> Result<(), Failure> {
        request.finish()?;
        let Self { decoder, screen, .. } = self;
        match decoder.finish(|picture| screen.show(&picture).map_err(Unshown::from)) {
            // What is still in the decoder may be damaged; that all is said must be said all the same.
            Ok(()) | Err(Unshown::Undecodable(_)) => {}
            Err(undelivered) => return Err(undelivered.into()),
        }
        self.screen.message.clear().append(&self.round)?;
        Ok(self.screen.link.oneway(sink::END, &mut self.screen.message).map_err(Undelivered::from)?)
    }
}

impl Screen {
    /// Copies a picture into a buffer, and lends that to the host.
    fn show(&mut self, decoded: &DecodedPicture) -> Result<(), Undelivered> {
        let picture = decoded.describe();
        let bytes = picture.layout.bytes();
        let mut buffer = self.pool(bytes)?.acquire()?;
        decoded.copy_to(&mut buffer);
        let lent = buffer.lend(bytes);
        self.message.clear().append(&picture)?.append(&lent)?;
        let sent = self.link.oneway(sink::PICTURE, &mut self.message);
        if let (Err(_), Some(pool)) = (&sent, &self.pool) {
            // If the link is gone, so is the pool, and there is nothing to take back.
            let _ = pool.take_back(lent);
        }
        Ok(sent?)
    }

    /// A pool of buffers of exactly this size.
    fn pool(&mut self, bytes: usize) -> Result<&Pool, Undelivered> {
        let fits = |pool: &Pool| pool.shape().buffer_size as usize == bytes;
        let pool = match self.pool.take().filter(fits) {
            Some(pool) => pool,
            None => {
                let buffer_size = u32::try_from(bytes).unwrap_or(u32::MAX);
                let most = u16::try_from(POOL_BYTES / bytes.max(1)).unwrap_or(u16::MAX);
                self.link.pool(PoolShape { buffer_size, count: PICTURES.min(most).max(1) })?
            }
        };
        Ok(self.pool.insert(pool))
    }
}

impl PictureTarget for BufferMut {
    fn write_row(&mut self, offset: usize, row: &[u8]) {
        self[offset..offset + row.len()].copy_from_slice(row);
    }
}

/// Why a picture did not reach the host.
enum Unshown {
    Undecodable(VideoError),
    Undelivered(Undelivered),
}

impl From<VideoError> for Unshown {
    fn from(error: VideoError) -> Self {
        Self::Undecodable(error)
    }
}

impl From<Undelivered> for Unshown {
    fn from(error: Undelivered) -> Self {
        Self::Undelivered(error)
    }
}

impl From<Unshown> for Failure {
    fn from(error: Unshown) -> Self {
        match error {
            Unshown::Undecodable(error) => super::media(error),
            Unshown::Undelivered(error) => error.into(),
        }
    }
}
