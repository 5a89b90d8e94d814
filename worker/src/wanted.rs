//! Waiting for what is wanted for a call that is being served: no longer than anybody waits for its answer.

use cloison_msg::control::{RequestId, ToBroker};
use cloison_msg::{Destination, Time};

use crate::Worker;
use crate::error::Disconnect;
use crate::session::Session;
use crate::words::Answer;
use crate::worker::{Awaited, Interrupted};

/// Why waiting ended without what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unmet {
    Deadline,
    /// Nobody waits any more for the answer to what is being served.
    GivenUp,
    Disconnected(Disconnect),
}

impl Worker {
    /// Asks the broker something about a link, or about nothing that it has yet, and waits for the answer. What comes once
    /// nobody waits any more is given back.
    pub(crate) fn ask_broker(
        &self,
        about: Destination,
        deadline: Time,
        question: impl FnOnce(RequestId) -> ToBroker,
    ) -> Result<Answer, Unmet> {
        let mut session = self.session();
        if session.is_cancelled() {
            return Err(Unmet::GivenUp);
        }
        let request = session.ask(about, question);
        drop(session);
        let answer = self.wait_while_wanted(deadline, |session| session.take_answer(request));
        if answer.is_err() {
            self.session().abandon_question(request);
        }
        answer
    }

    /// Waits until `look` finds something. What is there is found, whether it is wanted or not.
    pub(crate) fn wait_while_wanted<T>(
        &self,
        deadline: Time,
        mut look: impl FnMut(&mut Session) -> Option<T>,
    ) -> Result<T, Unmet> {
        let found = self.wait_for(deadline, Awaited::Anything, |session| match look(session) {
            None => session.is_cancelled().then_some(None),
            found => Some(found),
        });
        match found {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(Unmet::GivenUp),
            Err(Interrupted::Deadline) => Err(Unmet::Deadline),
            Err(Interrupted::Disconnected(why)) => Err(Unmet::Disconnected(why)),
        }
    }
}
