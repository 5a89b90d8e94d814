//! A service of its own for each link.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use cloison_msg::{Failure, Message};

use crate::{Link, Request, Service, Worker};

/// Serves each link with an object of its own, made when the link's first request comes. So whoever opens a link holds an
/// object in this worker: what it keeps for one peer no other peer sees, and it goes when the link has gone, before the
/// next request is served. There are as many as there are links that lead here, and the broker bounds those.
///
/// ```no_run
/// use std::cell::Cell;
///
/// use cloison_worker::{Answer, PerLink, interface};
///
/// #[interface]
/// trait Counter {
///     fn add(&self, by: u32) -> Answer<u32>;
/// }
///
/// #[derive(Default)]
/// struct Count(Cell<u32>);
///
/// impl Counter for Count {
///     fn add(&self, by: u32) -> Answer<u32> {
///         self.0.set(self.0.get().wrapping_add(by));
///         Ok(self.0.get())
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     cloison_worker::run(|worker| worker.serve(PerLink::new(|_link| CounterServer::new(Count::default()))))
/// }
/// ```
pub struct PerLink<F, S> {
    make: F,
    objects: RefCell<Vec<(Link, Rc<S>)>>,
}

impl<S: Service, F: Fn(&Link) -> S> PerLink<F, S> {
    /// Serves each link with what `make` makes of it.
    #[must_use]
    pub const fn new(make: F) -> Self {
        Self { make, objects: RefCell::new(Vec::new()) }
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.borrow().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn object_of(&self, link: &Link) -> Rc<S> {
        let found = self.objects.borrow().iter().find(|(held, _)| held == link).map(|(_, object)| Rc::clone(object));
        found.unwrap_or_else(|| {
            let object = Rc::new((self.make)(link));
            self.objects.borrow_mut().push((link.clone(), Rc::clone(&object)));
            object
        })
    }

    /// Lets go of what belongs to links that are gone, but for the one that is about to be served.
    fn sweep(&self, but: &Link) {
        let gone = |(link, _): &mut (Link, Rc<S>)| link != but && link.gone().is_some();
        // Objects may do anything when they are dropped, so nothing is borrowed then.
        let gone: Vec<_> = self.objects.borrow_mut().extract_if(.., gone).collect();
        drop(gone);
    }
}

impl<S: Service, F: Fn(&Link) -> S> Service for PerLink<F, S> {
    fn serve(&self, worker: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
        let link = request.link();
        self.sweep(&link);
        self.object_of(&link).serve(worker, request, reply)
    }
}

impl<F, S> fmt::Debug for PerLink<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerLink").field("objects", &self.objects.borrow().len()).finish_non_exhaustive()
    }
}
