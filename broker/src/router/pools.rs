//! Pools of shared memory: who may have how much.

use cloison_msg::control::{PoolId, PoolShape, RequestId, ToWorker};
use cloison_msg::{Descriptor, Destination, Entry, Gone, Key, Refusal, RightsFlags, Text};

use super::link::{LinkPool, Side};
use super::port::End;
use super::{Output, PoolTicket, Router, Violation};

/// Most pools that one link has at a time: one in use, one being replaced, for each of two sizes.
pub const POOLS_PER_LINK: usize = 4;

/// Most bytes that all pools of one worker have together: nine 2160p pictures of 16-bit 4:4:4, with room.
pub const POOL_BYTES_PER_WORKER: u64 = 512 * 1024 * 1024;

/// Most bytes that all pools of one worker ever have together, those it gave up included: a worker that says so may well
/// have kept the memory, and its descriptor cannot be taken back. Sizes may change 250 times in a 720p film.
pub const POOL_BYTES_EVER: u64 = 8 * POOL_BYTES_PER_WORKER;

impl<D: Descriptor> Router<D> {
    pub(super) fn make_pool(&mut self, from: Key, request: RequestId, name: Destination, shape: PoolShape) {
        let Some(port) = self.ports.get(from) else { return };
        match port.meaning(name) {
            Entry::Open(end) => match self.admit_pool(from, end, shape) {
                Ok(pool) => {
                    let ticket = PoolTicket { port: from, request, link: end.link, pool, shape };
                    self.outputs.push_back(Output::MakePool(ticket));
                }
                Err(refusal) => self.refuse_pool(from, request, refusal),
            },
            Entry::Closed => self.refuse_pool(from, request, Refusal::PeerGone(Gone::Closed)),
            Entry::Never => self.evict(from, Violation::Forged(name)),
        }
    }

    /// Checks rights and limits and books the memory.
    fn admit_pool(&mut self, from: Key, end: End, shape: PoolShape) -> Result<PoolId, Refusal> {
        let link = self.links.get_mut(end.link).ok_or(Refusal::NotFound)?;
        if !link.holder(end.side).rights.flags.contains(RightsFlags::LEND) {
            return Err(Refusal::Denied);
        }
        let peer = link.holder(end.side.other()).port;
        if self.is_crowded(peer) {
            return Err(Refusal::Limit("the peer does not take what it is sent".into()));
        }
        let link = self.links.get_mut(end.link).ok_or(Refusal::NotFound)?;
        if link.pools.len() >= POOLS_PER_LINK {
            return Err(Refusal::Limit(format!("a link has at most {POOLS_PER_LINK} pools").into()));
        }
        let port = self.ports.get_mut(from).ok_or(Refusal::NotFound)?;
        let bytes = port.pool_bytes.saturating_add(shape.bytes());
        if bytes > POOL_BYTES_PER_WORKER {
            let limit = format!("a worker's pools have at most {POOL_BYTES_PER_WORKER} bytes together, not {bytes}");
            return Err(Refusal::Limit(limit.into()));
        }
        let ever = port.pool_bytes_ever.saturating_add(shape.bytes());
        if ever > POOL_BYTES_EVER {
            let limit = format!("a worker is given at most {POOL_BYTES_EVER} bytes in pools, dropped ones included");
            return Err(Refusal::Limit(limit.into()));
        }
        port.pool_bytes_ever = ever;
        port.pool_bytes = bytes;
        link.pools_made += 1;
        link.has_lent[end.side.index()] = true;
        link.pools.push(LinkPool { pool: link.pools_made, owner: end.side, shape });
        Ok(link.pools_made)
    }

    /// The memory of a pool was made: the writable descriptor and the read-only one; or the system would not.
    pub fn handle_pool(&mut self, ticket: PoolTicket, made: Result<[D; 2], Refusal>) {
        let PoolTicket { port, request, link: key, pool, shape } = ticket;
        let Some(link) = self.links.get_mut(key) else { return };
        match made {
            Err(why) => {
                link.pools.retain(|made| made.pool != pool);
                self.return_pool_bytes(port, shape);
                self.refuse_pool(port, request, why);
            }
            Ok([writable, readable]) => {
                let side = if link.asker.port == port { Side::Asker } else { Side::Asked };
                let (peer, name) = (link.holder(side.other()).port, link.holder(side.other()).name);
                // The consumer hears of it first, so that it knows the pool when the first buffer comes.
                self.say(peer, ToWorker::PeerPool { link: name, pool, shape }, vec![readable]);
                self.say(port, ToWorker::Pool { request, pool: Ok(pool) }, vec![writable]);
            }
        }
    }

    pub(super) fn drop_pool(&mut self, from: Key, name: Destination, pool: PoolId) {
        let Some(port) = self.ports.get(from) else { return };
        let end = match port.meaning(name) {
            Entry::Open(end) => end,
            Entry::Closed => return,
            Entry::Never => return self.evict(from, Violation::Forged(name)),
        };
        let Some(link) = self.links.get_mut(end.link) else { return };
        let Some(at) = link.pools.iter().position(|made| made.pool == pool && made.owner == end.side) else {
            return self.evict(from, Violation::Pool);
        };
        let dropped = link.pools.swap_remove(at);
        let (peer, peer_name) = (link.holder(end.side.other()).port, link.holder(end.side.other()).name);
        self.return_pool_bytes(from, dropped.shape);
        self.say(peer, ToWorker::PoolDropped { link: peer_name, pool }, Vec::new());
    }

    /// The peer on a link of the host's lent it a buffer that it has not. The broker itself saw that.
    pub fn handle_made_up_buffer(&mut self, name: Destination, what: Text) {
        let Some(Entry::Open(end)) = self.ports.get(self.host).map(|host| host.meaning(name)) else { return };
        let Some(link) = self.links.get(end.link) else { return };
        self.evict(link.holder(end.side.other()).port, Violation::Buffer(what));
    }

    /// The host says that its peer on that link broke the protocol in a way that only the two ends can see. The host is believed.
    pub fn handle_wrong_to_host(&mut self, name: Destination, what: Text) {
        let Some(Entry::Open(end)) = self.ports.get(self.host).map(|host| host.meaning(name)) else { return };
        let Some(link) = self.links.get(end.link) else { return };
        self.evict(link.holder(end.side.other()).port, Violation::Host(what));
    }

    fn refuse_pool(&mut self, to: Key, request: RequestId, refusal: Refusal) {
        self.say(to, ToWorker::Pool { request, pool: Err(refusal) }, Vec::new());
    }

    pub(super) fn return_pool_bytes(&mut self, port: Key, shape: PoolShape) {
        if let Some(port) = self.ports.get_mut(port) {
            port.pool_bytes = port.pool_bytes.saturating_sub(shape.bytes());
        }
    }
}
