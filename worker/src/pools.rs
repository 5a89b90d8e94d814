//! Pools: lending buffers to a peer, and borrowing those that a peer lends.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use cloison_ipc::{BufferMut, BufferRef, PoolShape, ReturnError, WritablePool};
use cloison_msg::Destination;
use cloison_msg::control::ToBroker;

use crate::error::{AcquireError, BorrowError, PoolError};
use crate::session::Session;
use crate::wanted::Unmet;
use crate::words::Answer;
use crate::worker::{Awaited, DEFAULT_DEADLINE};
use crate::{Link, Worker};

/// How long to wait for the broker's word on a pool of which a buffer has come already: on a direct link a message can
/// overtake it.
const WORD_WITHIN: Duration = Duration::from_millis(250);

/// A pool whose buffers this worker fills and lends over one link.
///
/// While all its buffers are lent there is none to fill: so a slow consumer slows its producer down. Dropped, the pool
/// ends when its last buffer has come back.
///
/// ```
/// # fn with(link: &cloison_worker::Link) -> Result<(), Box<dyn std::error::Error>> {
/// # use cloison_worker::PoolShape;
/// # use cloison_worker::msg::{Message, RpcIndex};
/// let pool = link.pool(PoolShape { buffer_size: 640 * 480, count: 4 })?;
/// let mut message = Message::new();
/// for luma in 0..100 {
///     let mut picture = pool.acquire()?; // waits while all four are lent
///     picture.fill(luma);
///     message.append(&picture.lend(640 * 480))?;
///     link.oneway(RpcIndex(0), &mut message)?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Pool {
    link: Link,
    memory: Rc<WritablePool>,
}

/// A buffer that a peer has lent to this worker. Dropped, it goes back.
///
/// Its bytes are never shown in place, for the peer could change them meanwhile: they are copied out.
///
/// ```
/// # use cloison_worker::Request;
/// # fn take(request: &mut Request<'_>) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
/// let picture = request.recv_buffer()?;
/// let mut bytes = vec![0; picture.len()];
/// picture.copy_to(&mut bytes)?;
/// # Ok(bytes)
/// # }
/// ```
pub struct Borrowed {
    worker: Worker,
    link: Destination,
    /// Taken out only at the end.
    buffer: Option<cloison_ipc::Borrowed>,
}

impl Link {
    /// Asks the broker for a pool of this shape, whose buffers are lent over this link; waits for at most
    /// [`DEFAULT_DEADLINE`], and no longer than anybody waits for what is being served. Mapping it costs a page fault's work
    /// for each page; filling its buffers costs none later.
    ///
    /// # Errors
    /// [`PoolError`].
    pub fn pool(&self, shape: PoolShape) -> Result<Pool, PoolError> {
        let name = self.name();
        if let Some(why) = self.gone() {
            return Err(why.into());
        }
        let deadline = self.worker().tick().after(DEFAULT_DEADLINE);
        let question = |request| ToBroker::MakePool { request, link: name, shape };
        let (id, fd) = match self.worker().ask_broker(name, deadline, question) {
            Ok(Answer::Pool(made)) => made?,
            Ok(Answer::Opened(_) | Answer::Offered(_)) | Err(Unmet::Deadline) => {
                return Err(PoolError::Deadline(DEFAULT_DEADLINE));
            }
            Err(Unmet::GivenUp) => return Err(PoolError::Cancelled),
            Err(Unmet::Disconnected(_)) => return Err(self.worker().session().why_gone(name).into()),
        };
        let memory = Rc::new(WritablePool::map(fd, id, shape)?);
        let mut session = self.worker().session();
        match session.ends.get_mut(name) {
            Some(end) => end.lending.add_own_pool(Rc::clone(&memory)),
            None => return Err(session.why_gone(name).into()),
        }
        Ok(Pool { link: self.clone(), memory })
    }

    /// Borrows a buffer that the peer says it has lent.
    ///
    /// # Errors
    /// [`BorrowError`]. A peer that lends what it has not, or lends twice, breaks the protocol: the link is cut.
    pub fn borrow(&self, reference: BufferRef) -> Result<Borrowed, BorrowError> {
        let (worker, link) = (self.worker(), self.name());
        let mut found = worker.session().try_borrow(link, reference);
        if found.is_none() {
            worker.session().drain_control();
            let deadline = worker.tick().after(WORD_WITHIN);
            found = worker.wait_for(deadline, Awaited::Anything, |session| session.try_borrow(link, reference)).ok();
        }
        let Some(buffer) = found else {
            worker.session().accuse(link, &format!("a buffer of pool {}, which it never lent", reference.pool));
            return Err(BorrowError::UnknownPool);
        };
        Ok(Borrowed { worker: worker.clone(), link, buffer: Some(buffer?) })
    }
}

impl Pool {
    /// A buffer to fill; waits while all are lent, for at most [`DEFAULT_DEADLINE`], and no longer than anybody waits for
    /// what is being served. What stands in it is left over from its last use.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub fn acquire(&self) -> Result<BufferMut, AcquireError> {
        self.acquire_within(DEFAULT_DEADLINE)
    }

    /// A buffer to fill, as [`acquire`](Self::acquire) gives one; waits for at most `within`.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub fn acquire_within(&self, within: Duration) -> Result<BufferMut, AcquireError> {
        let name = self.link.name();
        let deadline = self.link.worker().tick().after(within);
        let acquired = self.link.worker().wait_while_wanted(deadline, |session| {
            if session.ends.get(name).is_none() {
                return Some(Err(session.why_gone(name)));
            }
            self.memory.acquire().map(Ok)
        });
        match acquired {
            Ok(buffer) => Ok(buffer?),
            Err(Unmet::Deadline) => Err(AcquireError::AllLent(within)),
            Err(Unmet::GivenUp) => Err(AcquireError::Cancelled),
            Err(Unmet::Disconnected(_)) => Err(self.link.worker().session().why_gone(name).into()),
        }
    }

    /// Takes back a buffer that was lent, but whose message was never sent.
    ///
    /// # Errors
    /// [`ReturnError`] if it is not lent.
    pub fn take_back(&self, reference: BufferRef) -> Result<(), ReturnError> {
        self.memory.returned(reference.index)
    }

    /// How many buffers are lent at this moment.
    #[must_use]
    pub fn lent(&self) -> u16 {
        self.memory.lent()
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> PoolShape {
        self.memory.shape()
    }

    /// The link over which its buffers are lent.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.link.worker().session().drop_pool(self.link.name(), self.memory.id());
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("link", &self.link).field("memory", &self.memory).finish()
    }
}

impl Deref for Borrowed {
    type Target = cloison_ipc::Borrowed;

    fn deref(&self) -> &cloison_ipc::Borrowed {
        self.buffer.as_ref().expect("only `drop` takes it out")
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let pool = buffer.pool();
            self.worker.session().give_back(self.link, pool, buffer.give_back());
        }
    }
}

impl fmt::Debug for Borrowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.buffer, f)
    }
}

impl Session {
    /// Borrows a buffer, unless its pool is not known (yet).
    fn try_borrow(
        &mut self,
        name: Destination,
        reference: BufferRef,
    ) -> Option<Result<cloison_ipc::Borrowed, BorrowError>> {
        let pools = match self.ends.get(name) {
            Some(end) => end.lending.peer_pools(),
            None => self.departed.pools(name),
        };
        let pool = pools.iter().find(|pool| pool.id == reference.pool)?;
        let borrowed = match &pool.memory {
            Ok(memory) => memory.borrow(reference).map_err(BorrowError::Breach),
            Err(why) => Err(BorrowError::Unmapped(why.clone())),
        };
        if let Err(BorrowError::Breach(error)) = &borrowed {
            self.accuse(name, &error.to_string());
        }
        Some(borrowed)
    }
}
