//! The host's process, as a place for stages.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use cloison_broker::ipc::{BufferRef, Passed};
use cloison_worker::msg::CallError;
use cloison_worker::msg::contract::{Dispatch, Here, HereLink, Offer, Server, Stub};

use crate::service::{Home, Lender, Lent};
use crate::sink::PictureData;

/// The host's process, as a place for stages.
#[derive(Clone, Default)]
pub struct InHost {
    here: Here<Passed>,
    shelf: Rc<RefCell<Shelf>>,
}

/// What is lent, by its name, and memory that has come back.
#[derive(Default)]
struct Shelf {
    lent: HashMap<u16, Vec<u8>>,
    spare: Vec<Vec<u8>>,
    next: u16,
}

/// Something from the shelf.
pub struct Shelved {
    shelf: Rc<RefCell<Shelf>>,
    bytes: Vec<u8>,
}

/// More memory than this is not kept: things are taken one by one, in one or two sizes.
const SPARE_MAX: usize = 4;

impl Offer for InHost {
    type Carrier = HereLink<Passed>;

    fn offer_stub<M: Dispatch<Self::Carrier> + 'static>(
        &self,
        server: Server<M>,
    ) -> Result<Stub<Self::Carrier>, CallError> {
        self.here.offer_stub(server)
    }
}

impl Home for InHost {
    type Lender = Self;
    type Lent = Shelved;

    fn lender(&self) -> Self {
        self.clone()
    }

    fn borrow(&self, _: &Self::Carrier, name: BufferRef) -> Result<Shelved, String> {
        let bytes = self.shelf.borrow_mut().lent.remove(&name.index).ok_or("it is not on the shelf")?;
        Ok(Shelved { shelf: Rc::clone(&self.shelf), bytes })
    }
}

impl Lender for InHost {
    /// Each thing is taken before the next is asked for.
    fn is_free(&self) -> bool {
        true
    }

    /// What was as long before needs no clearing.
    fn lend(&mut self, len: usize, _: usize, fill: impl FnOnce(&mut [u8])) -> Result<BufferRef, String> {
        let mut shelf = self.shelf.borrow_mut();
        let known = shelf.spare.iter().position(|bytes| bytes.len() == len);
        let mut bytes = known.map_or_else(|| vec![0; len], |at| shelf.spare.swap_remove(at));
        fill(&mut bytes);
        shelf.next = shelf.next.wrapping_add(1);
        let index = shelf.next;
        shelf.lent.insert(index, bytes);
        Ok(BufferRef { pool: 0, index, len: u32::try_from(len).map_err(|_| "nothing is as large as that")? })
    }
}

impl Drop for Shelved {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut shelf = self.shelf.borrow_mut();
        shelf.spare.truncate(SPARE_MAX - 1);
        shelf.spare.insert(0, bytes);
    }
}

impl PictureData for Shelved {
    fn read(&self, offset: usize, buffer: &mut [u8]) {
        self.bytes.read(offset, buffer);
    }
}

impl Lent for Shelved {
    fn len(&self) -> usize {
        self.bytes.len()
    }
}
