//! What waits in a session, requests and the outcomes of calls, and what calls inherit from what is being served.

use std::rc::Rc;

use cloison_ipc::Passed;
use cloison_msg::{CallFailure, ChainId, Destination, Header, Name, Time, Via};

use crate::buffers::Payload;
use crate::cancel::Underway;

/// A request that has arrived.
pub(crate) struct Queued {
    pub(crate) header: Header,
    /// By which way it came; `None` if its link had been given away.
    pub(crate) via: Option<Via>,
    pub(crate) peer: Rc<Name>,
    pub(crate) payload: Payload,
    pub(crate) passed: Vec<Passed>,
    /// The links that it carried, by this worker's names.
    pub(crate) links: Vec<Destination>,
    /// When it came.
    pub(crate) since: Time,
    /// When the caller gives up; [`NEVER`](crate::clock::NEVER) for a oneway.
    pub(crate) deadline: Time,
}

/// What became of a call.
pub(crate) enum Outcome {
    /// Nothing yet.
    Awaited(Underway),
    /// Whoever made it has heard.
    Told,
    /// It was answered.
    Answered(Answered),
    /// It never will be.
    Failed(CallFailure),
}

/// The answer to a call.
pub(crate) struct Answered {
    pub(crate) header: Header,
    pub(crate) payload: Payload,
    pub(crate) passed: Vec<Passed>,
    /// The links that it carried, by this worker's names.
    pub(crate) links: Vec<Destination>,
}

/// The request that is being served: what calls made meanwhile inherit from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) chain: ChainId,
    pub(crate) depth: u8,
    pub(crate) deadline: Time,
}
