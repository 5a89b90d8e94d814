//! A worker lends by pools, each on the link of whoever asks.

use cloison_worker::{Borrowed, BufferRef, Link, Pool, PoolShape, Worker};

use crate::service::{Home, LENT_MAX, Lender, Lent};
use crate::sink::PictureData;

/// The most bytes of one pool: two of them, the old and the new, are within what one worker may have.
const POOL_BYTES: usize = 224 << 20;

impl Home for Worker {
    type Lender = PoolLender;
    type Lent = Borrowed;

    fn lender(&self) -> PoolLender {
        PoolLender { worker: self.clone(), pool: None }
    }

    fn borrow(&self, link: &Link, name: BufferRef) -> Result<Borrowed, String> {
        link.borrow(name).map_err(|error| error.to_string())
    }
}

/// Lends buffers of one pool. One for larger things takes its place when it must, and when another link asks; the old one ends
/// when all its buffers have come back.
pub struct PoolLender {
    worker: Worker,
    pool: Option<Pool>,
}

impl PoolLender {
    fn pool(&mut self, room: usize) -> Result<&Pool, String> {
        let link = self.worker.link_served().ok_or("nobody asks for it")?;
        let fits = |pool: &Pool| *pool.link() == link && pool.shape().buffer_size as usize >= room;
        let pool = match self.pool.take().filter(fits) {
            Some(pool) => pool,
            None => {
                let buffer_size = u32::try_from(room).map_err(|_| "nothing is as large as that")?;
                let most = u16::try_from(POOL_BYTES / room.max(1)).unwrap_or(u16::MAX);
                let shape = PoolShape { buffer_size, count: LENT_MAX.min(most).max(1) };
                link.pool(shape).map_err(|error| error.to_string())?
            }
        };
        Ok(self.pool.insert(pool))
    }
}

impl Lender for PoolLender {
    fn is_free(&self) -> bool {
        self.pool.as_ref().is_none_or(|pool| pool.lent() < pool.shape().count)
    }

    fn lend(&mut self, len: usize, room: usize, fill: impl FnOnce(&mut [u8])) -> Result<BufferRef, String> {
        let mut buffer = self.pool(room)?.acquire().map_err(|error| error.to_string())?;
        fill(&mut buffer[..len]);
        Ok(buffer.lend(len))
    }
}

impl PictureData for Borrowed {
    fn read(&self, offset: usize, buffer: &mut [u8]) {
        PictureData::read(&**self, offset, buffer);
    }
}

impl Lent for Borrowed {
    fn len(&self) -> usize {
        (**self).len()
    }
}
