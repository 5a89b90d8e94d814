//! What the links lead to that a worker has made to itself: objects, each of which ends with the last link that leads to it.

use std::rc::Rc;

use cloison_msg::control::{OfferedEnds, ToBroker};
use cloison_msg::{CallError, CallFailure, Denial, Destination, Failure, Interface, Name, RpcIndex, Time};

use crate::session::Session;
use crate::wanted::Unmet;
use crate::words::Answer;
use crate::worker::DEFAULT_DEADLINE;
use crate::{Link, Service, Worker};

/// The objects, each under all links that lead to it. The broker bounds those.
#[derive(Default)]
pub(crate) struct Objects {
    held: Vec<(Destination, Rc<dyn Service>)>,
    /// Whether a link has gone since it was looked last.
    has_gone: bool,
}

impl Objects {
    pub(crate) fn get(&self, link: Destination) -> Option<Rc<dyn Service>> {
        self.held.iter().find(|(held, _)| *held == link).map(|(_, object)| Rc::clone(object))
    }

    /// Whether that link leads to one of them.
    pub(crate) fn has(&self, link: Destination) -> bool {
        self.held.iter().any(|(held, _)| *held == link)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Another link leads to what that one leads to.
    pub(crate) fn share(&mut self, original: Destination, copy: Destination) {
        if let Some(object) = self.get(original) {
            self.held.push((copy, object));
        }
    }

    pub(crate) const fn note_gone(&mut self) {
        self.has_gone |= !self.held.is_empty();
    }
}

impl Session {
    /// Whether there may be objects to which no link leads any more.
    pub(crate) const fn has_ended_objects(&self) -> bool {
        self.objects.has_gone
    }

    /// Takes out what no link leads to any more, and from which nothing is to be served.
    fn take_ended_objects(&mut self) -> Vec<Rc<dyn Service>> {
        self.objects.has_gone = false;
        let (ends, queue) = (&self.ends, &self.queue);
        let is_needed = |link: Destination| {
            ends.get(link).is_some() || queue.iter().any(|queued| queued.header.destination == link)
        };
        let ended = self.objects.held.extract_if(.., |(link, _)| !is_needed(*link)).map(|(_, object)| object).collect();
        // What is still to be served is looked at again when it has been.
        self.objects.has_gone = false;
        ended
    }
}

impl Worker {
    /// Makes a link to this worker, over which `service` serves, to be given to somebody: by
    /// [`Message::move_link`](cloison_msg::Message::move_link). Until then nothing can be said over it. What its receiver may
    /// do with it, the policy says, as if that one had asked for `interface` of this worker.
    ///
    /// The service ends when no link leads to it any more: neither that one nor any copy. A handle that is dropped before the
    /// link was given away closes it.
    ///
    /// # Errors
    /// [`CallError`]: [`Denial::Links`] if there are as many as there may be; [`CallFailure::Cancelled`] if it was wanted for
    /// a call that was given up.
    ///
    /// # Panics
    /// If the interface's name is no [`Name`].
    pub fn offer(&self, interface: &Interface, service: impl Service + 'static) -> Result<Link, CallError> {
        let since = self.tick();
        let name = interface.name();
        let ends = self
            .ask_for_ends(name, since.after(DEFAULT_DEADLINE))
            .map_err(|why| CallError::new(self.role().clone(), RpcIndex::OFFER, self.tick().since(since), why))?;
        self.session().objects.held.push((ends.own, Rc::new(service)));
        Ok(self.link(ends.given).held())
    }

    fn ask_for_ends(&self, interface: Name, deadline: Time) -> Result<OfferedEnds, CallFailure> {
        match self.ask_broker(Destination::BROKER, deadline, |request| ToBroker::Offer { request, interface }) {
            Ok(Answer::Offered(Ok(ends))) => Ok(ends),
            Ok(_) => Err(CallFailure::Failed(Failure::Denied(Denial::Links))),
            Err(Unmet::Deadline) => Err(CallFailure::Deadline),
            Err(Unmet::GivenUp) => Err(CallFailure::Cancelled),
            Err(Unmet::Disconnected(_)) => Err(CallFailure::Gone(cloison_msg::Gone::BrokerEnded)),
        }
    }

    /// Lets go of objects to which no link leads any more. They may do anything when they are dropped, so nothing is borrowed
    /// then.
    pub(crate) fn drop_ended_objects(&self) {
        let ended = self.session().take_ended_objects();
        drop(ended);
    }
}
