//! Serving on several threads: many calls at a time, each on one of the threads that the worker has chosen.
//!
//! The session's thread talks, the crew's threads run methods. What goes to a thread is an [`Order`](mail::Order), what comes
//! back a [`Word`](mail::Word), by a queue and a descriptor that is waited for beside the sockets.

mod bind;
mod carrier;
mod errand;
mod fed;
mod given;
mod hand;
mod job;
mod mail;
mod table;
mod tend;

use std::fmt;
use std::sync::Arc;

use cloison_msg::contract::{Dispatch, Server};

pub use carrier::{Thread, ThreadCall, ThreadLink};
pub(crate) use table::Crew;

use crate::Worker;
use crate::clock::NEVER;
use crate::error::{Disconnect, ServeError};
use crate::worker::{Awaited, Interrupted};

/// Most threads that one worker serves on.
pub const THREADS_MAX: usize = 64;

/// Threads to serve a contract on, to be given to [`Worker::serve_on`].
///
/// Each has a server of its own, which is made on it and never leaves it: so an implementation need not be `Send`. What all
/// of them share is shared as ever, by an [`Arc`]:
///
/// ```no_run
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use cloison_worker::{Answer, Threads, interface};
///
/// #[interface]
/// trait Counter {
///     fn add(&self, by: u32) -> Answer<u32>;
/// }
///
/// struct Count(AtomicU32);
///
/// impl Counter for Count {
///     fn add(&self, by: u32) -> Answer<u32> {
///         Ok(self.0.fetch_add(by, Ordering::Relaxed).wrapping_add(by))
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     let count = Arc::new(Count(AtomicU32::new(0)));
///     cloison_worker::run(|worker| worker.serve_on(Threads::new(4, move |_| CounterServer::new(Arc::clone(&count)))))
/// }
/// ```
pub struct Threads<F> {
    count: usize,
    make: F,
}

impl<M, F> Threads<F>
where
    M: Dispatch<ThreadLink> + 'static,
    F: Fn(&Thread) -> Server<M> + Send + Sync + 'static,
{
    /// So many threads, on each of which `make` makes its server. They are started by [`Worker::serve_on`], beside the one
    /// that the worker has: a profile that allows five threads has room for four.
    #[must_use]
    pub const fn new(count: usize, make: F) -> Self {
        Self { count, make }
    }
}

impl Worker {
    /// Serves calls on these threads, as many at a time as there are, until the broker ends or tells this worker to end.
    ///
    /// The thread that calls this talks to the peers, and runs no method: so a call that is given up while it is served
    /// hears of that at once, and what waits for a free thread waits in the links' windows, as it does for a busy worker.
    ///
    /// # What comes when
    /// Calls are begun in the order in which they came, each on a thread that is free, and end in any order. A oneway is done
    /// before anything is begun that came after it over the same link: what is told first is known to what is asked later. It
    /// waits for nothing that came before it but oneways. Whether both sides mean the same contract is answered whether a
    /// thread is free or not.
    ///
    /// # What a method on a thread may do
    /// It takes and gives values, descriptors, links and streams; asks about its call
    /// ([`serving`](cloison_msg::contract::serving)); records spans and events; and calls others, through clients that are bound
    /// through its [`Thread`]. Such a call inherits chain and deadline, and is given up with the one that it is made for. What comes
    /// back of its chain is served by the thread that waits: so a method may be entered again, on its own thread.
    ///
    /// It has no [`Link`](crate::Link) and no [`Worker`], which stay on theirs: it offers no objects, borrows and lends no buffers.
    /// A call of its own that has streams fails as [`Unsendable`](cloison_msg::CallFailure::Unsendable).
    ///
    /// # Circles
    /// A call that waits for a free thread waits for any of several, and is never refused as part of a circle. If all threads wait
    /// for somebody who waits for such a call, that lasts until a deadline: have a thread to spare.
    ///
    /// # How it ends
    /// A method that panics ends the worker, as ever. When the broker has ended, threads that are free are waited for, and the
    /// others are left to the end of the process: a method that hangs holds nothing up.
    ///
    /// # Errors
    /// [`ServeError::Threads`] at once, if they cannot be started, with the limit that is in the way;
    /// [`ServeError::Nested`]; [`ServeError::Disconnected`] if the control socket broke.
    pub fn serve_on<M, F>(&self, threads: Threads<F>) -> Result<(), ServeError>
    where
        M: Dispatch<ThreadLink> + 'static,
        F: Fn(&Thread) -> Server<M> + Send + Sync + 'static,
    {
        self.assemble(threads)?;
        let result = loop {
            // All that is not for the crew: what leads to objects.
            match self.wait_for(NEVER, Awaited::Work, |session| session.take_for_object()) {
                Ok(queued) => self.serve_nested(queued),
                Err(Interrupted::Disconnected(Disconnect::Ended)) => break Ok(()),
                Err(Interrupted::Disconnected(why)) => break Err(why.into()),
                Err(Interrupted::Deadline) => {}
            }
        };
        let idle = self.session().dismiss_crew();
        for thread in idle {
            // It has nothing to do, and does not wait for anything. What became of it is of no more interest.
            let _ = thread.join();
        }
        result
    }

    fn assemble<M, F>(&self, threads: Threads<F>) -> Result<(), ServeError>
    where
        M: Dispatch<ThreadLink> + 'static,
        F: Fn(&Thread) -> Server<M> + Send + Sync + 'static,
    {
        let mut session = self.session();
        if !session.serving.is_empty() || !session.crew.is_empty() {
            return Err(ServeError::Nested);
        }
        let make = Arc::new(threads.make);
        let tracer = Arc::clone(&session.tracer);
        session.crew = Crew::start(threads.count, M::CONTRACT, &tracer, |place| {
            let make = Arc::clone(&make);
            move || hand::work(place, &*make)
        })?;
        Ok(())
    }
}

impl<F> fmt::Debug for Threads<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("count", &self.count).finish_non_exhaustive()
    }
}
