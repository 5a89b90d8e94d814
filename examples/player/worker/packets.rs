//! Packets between the demuxer and a decoder: small ones inside the message, large ones in a buffer.

use std::os::fd::OwnedFd;

use cloison_broker::msg::{AppendError, CallError, Failure, Message};
use cloison_worker::{BufferRef, Link, PendingCall, Pool, PoolError, PoolShape, Request};

use super::media;
use crate::protocol::{MAX_PACKET_BYTES, Packet, PacketHead, decoder};

/// The most bytes of data that travel inside a message; copying more through the sockets costs more than a buffer does.
const INLINE_BYTES: usize = 16 << 10;

/// How many large packets can be on their way.
const BUFFERS: u16 = 4;

/// Sends packets over one link.
#[derive(Default)]
pub struct PacketSender {
    message: Message<OwnedFd>,
    pool: Option<Pool>,
}

/// Why a packet was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The decoder does not take it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// There is no memory for it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// No buffer came back.
    #[error(transparent)]
    Acquire(#[from] cloison_worker::AcquireError),
    /// It does not fit.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl PacketSender {
    /// Begins to hand on a packet.
    pub fn start(&mut self, link: &Link, packet: &Packet) -> Result<PendingCall, SendError> {
        self.message.clear();
        let lent = if packet.data.len() > INLINE_BYTES { Some(self.lend(link, &packet.data)?) } else { None };
        let Packet { pts, is_decode_time, duration, trim_start, trim_end, .. } = *packet;
        self.message.append(&PacketHead { pts, is_decode_time, duration, trim_start, trim_end, lent })?;
        if lent.is_none() {
            self.message.append_bytes(&packet.data)?;
        }
        let started = link.start_within(decoder::PACKET, &mut self.message, super::decoders::ANSWER_WITHIN);
        if let (Err(_), Some(reference), Some(pool)) = (&started, lent, &self.pool) {
            // Its message was not sent. If the link is gone, so is the pool, and there is nothing to take back.
            let _ = pool.take_back(reference);
        }
        Ok(started?)
    }

    /// Copies data into a buffer, of a larger pool if need be.
    fn lend(&mut self, link: &Link, data: &[u8]) -> Result<BufferRef, SendError> {
        let fits = |pool: &Pool| pool.shape().buffer_size as usize >= data.len();
        let pool = match self.pool.take().filter(fits) {
            Some(pool) => pool,
            None => {
                let size = data.len().next_power_of_two().min(MAX_PACKET_BYTES);
                link.pool(PoolShape { buffer_size: u32::try_from(size).unwrap_or(u32::MAX), count: BUFFERS })?
            }
        };
        let mut buffer = self.pool.insert(pool).acquire_within(super::decoders::ANSWER_WITHIN)?;
        buffer[..data.len()].copy_from_slice(data);
        Ok(buffer.lend(data.len()))
    }
}

/// Takes the packet that a request carries. Its data are copied: they are about to be parsed, and their sender could still
/// change them.
pub fn receive(request: &mut Request<'_>) -> Result<Packet, Failure> {
    let head: PacketHead = request.recv()?;
    let data = match head.lent {
        Some(reference) => {
            let borrowed = request.borrow(reference).map_err(media)?;
            if borrowed.len() > MAX_PACKET_BYTES {
                return Err(media("a packet is larger than any can be"));
            }
            let mut data = vec![0; borrowed.len()];
            borrowed.copy_to(&mut data).map_err(media)?;
            data
        }
        None => request.recv::<&[u8]>()?.to_vec(),
    };
    request.finish()?;
    let PacketHead { pts, is_decode_time, duration, trim_start, trim_end, .. } = head;
    // Which track it is, and whether decoding can start with it, only concerns the demuxer.
    Ok(Packet { track: 0, pts, is_decode_time, duration, key: false, trim_start, trim_end, data })
}
