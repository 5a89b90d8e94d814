//! Where a stage runs: in a worker of its own, or in the host's process.

use cloison_broker::ipc::BufferRef;
use cloison_worker::msg::contract::Offer;

use crate::sink::PictureData;

/// How many things one stage may have lent before it makes no more: of pictures, one that the host writes, one that is on its
/// way, one that is being filled, and one to spare.
pub const LENT_MAX: u16 = 4;

/// Where a stage runs.
pub trait Home: Offer + Clone + 'static {
    /// What it lends with.
    type Lender: Lender;
    /// What was lent to it.
    type Lent: Lent;

    /// Something to lend with, to whoever calls.
    fn lender(&self) -> Self::Lender;

    /// Takes what is said to be lent over a link.
    ///
    /// # Errors
    /// Why it is not to be had.
    fn borrow(&self, link: &Self::Carrier, name: BufferRef) -> Result<Self::Lent, String>;
}

/// Memory for things too large for a message.
pub trait Lender: 'static {
    /// Whether there is room: not while [`LENT_MAX`] things are lent.
    fn is_free(&self) -> bool;

    /// Has `len` bytes filled, and lends them to whoever asked for what is being served. If new memory is needed for that, it
    /// is `room` bytes large.
    ///
    /// # Errors
    /// Why there is no memory.
    fn lend(&mut self, len: usize, room: usize, fill: impl FnOnce(&mut [u8])) -> Result<BufferRef, String>;
}

/// Something lent. Dropped, it goes back.
pub trait Lent: PictureData {
    /// How many bytes.
    fn len(&self) -> usize;
}
