//! What the broker says.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use cloison_ipc::{Passed, ReadablePool};
use cloison_msg::control::{OfferedEnds, PoolId, PoolShape, RequestId, ToBroker, ToWorker};
use cloison_msg::{
    CallFailure, CallId, Destination, Gone, HOST, LinkEnd, Name, Refusal, Rights, Route, Text, decode_whole,
};

use crate::carry::Rest;
use crate::lending::Lending;
use crate::routes::adopt;
use crate::session::{End, Outcome, Session};

/// The broker's first word.
#[derive(Clone, Debug)]
pub(crate) struct Welcome {
    pub(crate) version: u16,
    pub(crate) role: Name,
    pub(crate) origin: u32,
}

/// Something that the broker was asked.
pub(crate) struct Question {
    request: RequestId,
    /// The link it is about; the broker itself if about none.
    about: Destination,
    /// Whether nobody waits for the answer any more.
    abandoned: bool,
    answer: Option<Answer>,
}

/// What the broker answered.
pub(crate) enum Answer {
    /// To `Open`.
    Opened(Result<Destination, Refusal>),
    /// To `Offer`.
    Offered(Result<OfferedEnds, Refusal>),
    /// To `MakePool`.
    Pool(Result<(PoolId, OwnedFd), Refusal>),
}

impl Session {
    /// Asks the broker something: the number of the question, whose answer is awaited from now on.
    pub(crate) fn ask(&mut self, about: Destination, question: impl FnOnce(RequestId) -> ToBroker) -> RequestId {
        self.asked = self.asked.wrapping_add(1);
        let request = self.asked;
        self.questions.push(Question { request, about, abandoned: false, answer: None });
        self.say(&question(request));
        request
    }

    /// The answer to a question, if it has come.
    pub(crate) fn take_answer(&mut self, request: RequestId) -> Option<Answer> {
        let at = self.questions.iter().position(|question| question.request == request)?;
        let answer = self.questions[at].answer.take()?;
        self.questions.swap_remove(at);
        Some(answer)
    }

    /// Nobody waits for the answer any more: what comes with it will be given back.
    pub(crate) fn abandon_question(&mut self, request: RequestId) {
        if let Some(question) = self.questions.iter_mut().find(|question| question.request == request) {
            question.abandoned = true;
        }
    }

    pub(crate) fn take_word(&mut self, payload: &[u8], passed: Vec<Passed>) {
        let mut passed = passed.into_iter();
        let Ok(word) = decode_whole(payload) else {
            return self.breach(Destination::BROKER, "a word that cannot be read");
        };
        match word {
            ToWorker::Welcome { version, role, origin } => match self.welcome {
                None => self.welcome = Some(Welcome { version, role, origin }),
                Some(_) => self.breach(Destination::BROKER, "a second welcome"),
            },
            ToWorker::Granted { link, peer, interface, rights, peer_rights, route, balance, copy_of } => {
                let end = LinkEnd::new(link, peer, route, peer_rights).resume(balance);
                self.take_grant(end, interface, rights, passed.next());
                if let Some(original) = copy_of {
                    self.objects.share(original, link);
                }
            }
            ToWorker::Reroute { link, route } => self.take_reroute(link, route, passed.next()),
            ToWorker::AtRest { link } => self.note_rest(link),
            ToWorker::Moved { link, peer, own } => self.take_move(link, &peer, own),
            ToWorker::Attenuated { link, rights, peer_rights } => {
                if let Some(end) = self.ends.get_mut(link) {
                    end.rights = rights;
                    end.link.set_peer_rights(peer_rights);
                }
            }
            ToWorker::Opened { request, link } => self.take_reply(request, Answer::Opened(link)),
            ToWorker::Offered { request, ends } => {
                if let Ok(OfferedEnds { given, .. }) = ends {
                    self.note_rest(given);
                }
                self.take_reply(request, Answer::Offered(ends));
            }
            ToWorker::Closed { link, why: Gone::Revoked } => self.revoke(link),
            ToWorker::Closed { link, why: Gone::Moved } => self.note_given(link),
            ToWorker::Closed { link, why } => self.close(link, why),
            ToWorker::Pool { request, pool } => match (pool, passed.next()) {
                (Ok(pool), Some(memory)) => self.take_reply(request, Answer::Pool(Ok((pool, memory.into_fd())))),
                (Err(refusal), _) => self.take_reply(request, Answer::Pool(Err(refusal))),
                (Ok(_), None) => self.breach(Destination::BROKER, "a pool without memory"),
            },
            ToWorker::PeerPool { link, pool, shape } => self.take_peer_pool(link, pool, shape, passed.next()),
            ToWorker::PoolDropped { link, pool } => {
                if let Some(end) = self.ends.get_mut(link) {
                    end.lending.forget_peer_pool(pool);
                }
            }
            ToWorker::Trace { level } => self.set_trace_level(level),
            ToWorker::Count => {
                let sent = self.sent;
                self.say(&ToBroker::Counted { messages: sent.messages, bytes: sent.bytes });
            }
        }
    }

    fn take_grant(&mut self, link: LinkEnd<usize>, interface: Name, rights: Rights, socket: Option<Passed>) {
        let wire = match link.outbound() {
            Route::Relayed => None,
            Route::Direct => match adopt(socket) {
                Ok(wire) => Some(wire),
                Err(what) => return self.breach(Destination::BROKER, what.as_str()),
            },
        };
        let (name, peer) = (link.name(), Rc::new(link.peer().clone()));
        let is_host = peer.as_str() == HOST;
        let end = End { link, peer, interface, is_host, rights, wire, rest: Rest::No, lending: Lending::default() };
        self.ends.insert(name, end);
    }

    /// The other end of a link has another holder. Calls that went to the former one have failed.
    fn take_move(&mut self, link: Destination, peer: &Name, own: CallId) {
        let Some(end) = self.ends.get_mut(link) else { return };
        end.peer = Rc::new(peer.clone());
        end.is_host = peer.as_str() == HOST;
        for pending in end.link.handle_move(peer.clone(), own) {
            self.settle(pending.context, Outcome::Failed(CallFailure::Gone(Gone::Moved)));
        }
        let last = self.ends.get(link).map_or(CallId::NONE, |end| end.link.last_orphan());
        self.orphan_calls(link, |call| call <= last);
        self.end_feeds(link, &Gone::Moved);
    }

    fn take_reply(&mut self, request: RequestId, answer: Answer) {
        let Some(at) = self.questions.iter().position(|question| question.request == request) else {
            return self.breach(Destination::BROKER, "an answer to no question");
        };
        if self.questions[at].abandoned {
            let about = self.questions.swap_remove(at).about;
            self.decline(about, answer);
        } else {
            self.questions[at].answer = Some(answer);
        }
    }

    /// Gives back what came for a question whose asker waits no more.
    fn decline(&mut self, about: Destination, answer: Answer) {
        match answer {
            Answer::Opened(Ok(link)) | Answer::Offered(Ok(OfferedEnds { own: link, .. })) => self.close_end(link),
            Answer::Pool(Ok((pool, _))) => self.say(&ToBroker::DropPool { link: about, pool }),
            Answer::Opened(Err(_)) | Answer::Offered(Err(_)) | Answer::Pool(Err(_)) => {}
        }
    }

    /// Gives up the worker's own end of a link.
    pub(crate) fn close_end(&mut self, link: Destination) {
        if self.ends.get(link).is_some() {
            self.say(&ToBroker::Close { link });
            self.depart(link, Gone::Closed);
        }
    }

    /// The other end of a link is gone. What it had sent before is taken in first, as far as it is known to be next.
    fn close(&mut self, link: Destination, why: Gone) {
        self.drain(link);
        self.depart(link, why);
        self.orphan_calls(link, |_| true);
    }

    /// A link was taken back: nothing that came over it is delivered from here on, not even an answer that waits for
    /// whoever asked.
    fn revoke(&mut self, link: Destination) {
        self.depart(link, Gone::Revoked);
        // It may have departed before, for a reason that leaves what had arrived.
        self.drop_items(link);
        self.drop_queued(link);
        self.orphan_calls(link, |_| true);
        self.departed.drop_pools(|other| other != link);
        let mut carried = Vec::new();
        for (_, outcome) in &mut self.outcomes {
            if let Outcome::Answered(answered) = outcome
                && answered.header.destination == link
            {
                carried.append(&mut answered.links);
                *outcome = Outcome::Failed(CallFailure::Gone(Gone::Revoked));
            }
        }
        self.close_all(carried);
        self.given.retain(|&given| given != link);
        self.say(&ToBroker::Released { link });
    }

    /// The broker has given a link to whom this worker gave it, and delivers nothing more over it here.
    fn note_given(&mut self, link: Destination) {
        self.depart(link, Gone::Moved);
        self.given.push(link);
        self.confirm_given();
    }

    /// Says of each link that was given away, once all that had come over it before was taken, that nothing more is.
    pub(crate) fn confirm_given(&mut self) {
        for link in std::mem::take(&mut self.given) {
            if self.queue.iter().any(|queued| queued.header.destination == link) {
                self.given.push(link);
            } else {
                self.say(&ToBroker::Released { link });
            }
        }
    }

    fn take_peer_pool(&mut self, link: Destination, pool: PoolId, shape: PoolShape, memory: Option<Passed>) {
        let Some(memory) = memory else { return self.breach(Destination::BROKER, "a pool without memory") };
        // The word may come after the link is gone.
        let Some(end) = self.ends.get_mut(link) else { return };
        let memory = ReadablePool::map(memory.into_fd(), pool, shape).map_err(|error| Text::new(&error.to_string()));
        end.lending.add_peer_pool(pool, memory);
    }
}
