//! What the implementation of a contract can ask about the call that it answers.
//!
//! An implementation takes the arguments of its methods and nothing else, so that it serves in a worker, in a host, or in
//! the caller's own process. What belongs to the call is asked here, on the thread that serves it. Where nothing is being
//! served by a link (in the caller's own process) there is no such call: nobody has given it up, and it has no deadline but
//! its caller's.
//!
//! ```
//! use cloison_msg::Answer;
//! use cloison_msg::contract::serving;
//!
//! fn sum(numbers: &[u64]) -> Answer<u64> {
//!     let mut sum = 0_u64;
//!     for some in numbers.chunks(1_000_000) {
//!         if serving::is_cancelled() {
//!             break; // Whatever is returned, nobody hears it.
//!         }
//!         sum = some.iter().fold(sum, |sum, number| sum.wrapping_add(*number));
//!     }
//!     Ok(sum)
//! }
//! assert_eq!(sum(&[1, 2]), Ok(3));
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::Name;

/// A call that is being served, as whoever serves it knows it. Implemented by the runtimes.
pub trait Served {
    /// Whether nobody waits for its answer any more.
    fn is_cancelled(&self) -> bool;
    /// How much time is left to answer it; `None` if nobody waits.
    fn time_left(&self) -> Option<Duration>;
    /// The role of whoever made it.
    fn caller(&self) -> Option<Name>;
    /// Whether its caller says that it was made before.
    fn is_retry(&self) -> bool;
}

thread_local! {
    /// The calls that are being served on this thread: one may come while another waits.
    static SERVED: RefCell<Vec<Rc<dyn Served>>> = const { RefCell::new(Vec::new()) };
}

/// Whether nobody waits for the answer any more: the caller has given the call up, is gone, or its deadline has passed.
///
/// Takes in what has arrived meanwhile, which costs a worker a system call or two: ask now and then, not in the innermost
/// loop.
#[must_use]
pub fn is_cancelled() -> bool {
    innermost().is_some_and(|served| served.is_cancelled())
}

/// How much time is left to answer; `None` if nobody waits for an answer, or if it is a call in the caller's own process.
#[must_use]
pub fn time_left() -> Option<Duration> {
    innermost()?.time_left()
}

/// The role of whoever calls. It is known from the socket that the call came by; nothing the caller said enters into it.
#[must_use]
pub fn caller() -> Option<Name> {
    innermost()?.caller()
}

/// Whether this call was made before, of a server that died before it answered: it may have been served then, in part or as a
/// whole. Only what is `#[idempotent]`, or marked by whoever sends messages by hand, is made again. It is the caller who says
/// so: do not trust it further than the caller.
#[must_use]
pub fn is_retry() -> bool {
    innermost().is_some_and(|served| served.is_retry())
}

/// Serves a call of which the implementation can ask.
pub fn serve<T>(served: Rc<dyn Served>, serve: impl FnOnce() -> T) -> T {
    SERVED.with_borrow_mut(|all| all.push(served));
    let _leaves = Leaves;
    serve()
}

/// The innermost call ends, however that comes about.
struct Leaves;

impl Drop for Leaves {
    fn drop(&mut self) {
        let left = SERVED.with_borrow_mut(Vec::pop);
        drop(left);
    }
}

fn innermost() -> Option<Rc<dyn Served>> {
    SERVED.with_borrow(|all| all.last().cloned())
}
