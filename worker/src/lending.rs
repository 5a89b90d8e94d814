//! The pools of one link, in both directions.

use std::collections::VecDeque;
use std::rc::Rc;

use cloison_ipc::{ReadablePool, ReturnError, WritablePool};
use cloison_msg::control::{PoolId, ToBroker};
use cloison_msg::{Destination, Header, Text, Via, decode_whole};

use crate::session::Session;

/// The pools of one link.
#[derive(Default)]
pub(crate) struct Lending {
    own: Vec<OwnPool>,
    peer: Vec<PeerPool>,
    /// Buffers that were given back here, for whose return there is no room in the link's window yet.
    returns: VecDeque<(PoolId, u16)>,
}

/// A pool whose buffers this worker lends.
struct OwnPool {
    memory: Rc<WritablePool>,
    /// Whether its holder has dropped it: it ends when its last buffer comes back.
    dropped: bool,
}

/// A pool whose buffers the peer lends.
pub(crate) struct PeerPool {
    pub(crate) id: PoolId,
    /// The mapped memory, or why it cannot be mapped.
    pub(crate) memory: Result<ReadablePool, Text>,
}

impl Lending {
    pub(crate) fn add_own_pool(&mut self, memory: Rc<WritablePool>) {
        self.own.push(OwnPool { memory, dropped: false });
    }

    pub(crate) fn add_peer_pool(&mut self, id: PoolId, memory: Result<ReadablePool, Text>) {
        self.peer.push(PeerPool { id, memory });
    }

    pub(crate) fn forget_peer_pool(&mut self, id: PoolId) {
        self.peer.retain(|pool| pool.id != id);
    }

    /// Whether either side lends anything over the link.
    pub(crate) fn has_pools(&self) -> bool {
        !self.own.is_empty() || !self.peer.is_empty()
    }

    pub(crate) fn peer_pools(&self) -> &[PeerPool] {
        &self.peer
    }

    /// The peer is gone: every buffer is back. What the peer had lent is left to whoever still needs it.
    pub(crate) fn depart(&mut self) -> Vec<PeerPool> {
        for pool in self.own.drain(..) {
            pool.memory.return_all();
        }
        self.returns.clear();
        std::mem::take(&mut self.peer)
    }

    fn take_back(&mut self, pool: PoolId, index: u16) -> Result<(), ReturnError> {
        match self.own.iter().find(|own| own.memory.id() == pool) {
            Some(own) => own.memory.returned(index),
            None => Err(ReturnError::NoSuchBuffer { index, count: 0 }),
        }
    }

    /// Takes out a pool that was dropped and whose buffers are all back.
    fn take_ended(&mut self) -> Option<PoolId> {
        let at = self.own.iter().position(|own| own.dropped && own.memory.is_idle())?;
        Some(self.own.swap_remove(at).memory.id())
    }
}

impl Session {
    /// A buffer that was lent comes back.
    pub(crate) fn take_release(&mut self, via: Via, header: &Header, payload: &[u8]) {
        let name = header.destination;
        self.note_taken(via, header);
        let Ok((pool, index)) = decode_whole::<(PoolId, u16)>(payload) else {
            return self.accuse(name, "a return that cannot be read");
        };
        let Some(end) = self.ends.get_mut(name) else { return };
        match end.lending.take_back(pool, index) {
            Ok(()) => self.end_dropped_pools(name),
            Err(error) => self.accuse(name, &format!("pool {pool}: {error}")),
        }
    }

    /// The holder of a pool has dropped it.
    pub(crate) fn drop_pool(&mut self, name: Destination, pool: PoolId) {
        if let Some(end) = self.ends.get_mut(name) {
            for own in end.lending.own.iter_mut().filter(|own| own.memory.id() == pool) {
                own.dropped = true;
            }
            self.end_dropped_pools(name);
        }
    }

    fn end_dropped_pools(&mut self, name: Destination) {
        while let Some(pool) = self.ends.get_mut(name).and_then(|end| end.lending.take_ended()) {
            self.say(&ToBroker::DropPool { link: name, pool });
        }
    }

    /// A buffer that the peer had lent is no longer needed here.
    pub(crate) fn give_back(&mut self, name: Destination, pool: PoolId, index: u16) {
        if let Some(end) = self.ends.get_mut(name) {
            end.lending.returns.push_back((pool, index));
            self.send_returns(name);
        }
    }

    /// Sends returned buffers home, as far as the link's window has room.
    pub(crate) fn send_returns(&mut self, name: Destination) {
        while let Some(returned) = self.ends.get_mut(name).and_then(|end| end.lending.returns.pop_front()) {
            let message = self.message_of(&returned);
            let Some(end) = self.ends.get_mut(name) else { return };
            match end.link.release(message.shape()) {
                Ok(header) => self.post_own(&header, message),
                Err(_) => {
                    end.lending.returns.push_front(returned);
                    return self.return_message(message);
                }
            }
        }
    }
}
