//! Telling the host which message is being handled, in case the worker dies of it.

use cloison_msg::{Header, Work};
use cloison_sandbox::Notepad;

use crate::session::Session;

/// What this worker is busy with, and where it notes that: a few stores for each message, and no system call.
#[derive(Debug)]
pub(crate) struct Diary {
    pad: Option<Notepad>,
    work: Work,
    /// Whether an answer stands on the pad.
    shows_answer: bool,
    /// Whether the pad still shows what is done with.
    lags: bool,
}

impl Default for Diary {
    fn default() -> Self {
        Self { pad: Notepad::of_this_process(), work: Work::default(), shows_answer: false, lags: false }
    }
}

impl Diary {
    fn note(&mut self, work: Work) {
        self.work = work;
        self.show();
    }

    /// Notes it only when that matters.
    fn note_later(&mut self, work: Work) {
        self.work = work;
        self.lags = true;
    }

    fn show(&mut self) {
        self.lags = false;
        let Some(pad) = self.pad else { return };
        pad.write(0, &Work::note(self.work.request.as_ref()));
        let has_answer = self.work.answer.is_some();
        if has_answer || self.shows_answer {
            pad.write(Work::ANSWER, &Work::note(self.work.answer.as_ref()));
            self.shows_answer = has_answer;
        }
    }
}

impl Session {
    /// The service gets this request now. Returns what the worker was busy with before.
    pub(crate) fn note_request(&mut self, request: &Header) -> Work {
        let before = self.diary.work;
        self.diary.note(Work { request: Some(*request), answer: None });
        before
    }

    /// The service has done with a request, and goes on with what it was busy with before. If that was nothing and there is
    /// another request, that one is noted next.
    pub(crate) fn note_return(&mut self, before: Work) {
        if before == Work::default() && !self.queue.is_empty() {
            self.diary.note_later(before);
        } else {
            self.diary.note(before);
        }
        self.note_crew();
    }

    /// From now on something happens that is not part of serving a request.
    pub(crate) fn note_pause(&mut self) {
        if self.diary.lags {
            self.diary.show();
        }
    }

    /// What the worker is busy with if it serves on threads: the one request that is on any. If there are several, nobody
    /// could tell of which it died.
    pub(crate) fn note_crew(&mut self) {
        if !self.crew.is_empty() && self.serving.is_empty() {
            self.diary.note(Work { request: self.crew.only_request(), answer: None });
        }
    }

    /// The worker's own code gets this answer now.
    pub(crate) fn note_answer(&mut self, answer: &Header) {
        self.diary.note(Work { answer: Some(*answer), ..self.diary.work });
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::rc::Rc;

    use cloison_ipc::ProcessIpc;
    use cloison_msg::control::{PROTOCOL_VERSION, ToWorker};
    use cloison_msg::{ChainId, Header, Kind, Message, Name, Time};

    use crate::buffers::Payload;
    use crate::clock::NEVER;
    use crate::session::Queued;
    use crate::worker::Awaited;
    use crate::{Request, Worker};

    fn worker() -> (Worker, ProcessIpc) {
        let (own, broker) = ProcessIpc::pair().unwrap();
        let mut message = Message::<()>::new();
        let role = Name::new("worker").unwrap();
        message.append(&ToWorker::Welcome { version: PROTOCOL_VERSION, role, origin: 1 }).unwrap();
        let header = Header { kind: Kind::Control, payload: message.payload_len(), ..Header::default() };
        broker.send(message.packet(&header), &[]).unwrap();
        (Worker::over(own).unwrap(), broker)
    }

    fn request(chain: ChainId) -> Queued {
        let header = Header { kind: Kind::Oneway, chain, ..Header::default() };
        let (peer, payload) = (Rc::new(Name::new("peer").unwrap()), Payload::empty());
        let (passed, links) = (Vec::new(), Vec::new());
        Queued { header, via: None, peer, payload, passed, links, since: Time(0), deadline: NEVER }
    }

    /// Nobody serves the second request as long as the worker's own code runs.
    #[test]
    fn what_was_served_meanwhile_is_not_blamed_for_what_comes_after() {
        let (worker, _broker) = worker();
        worker.provide(|_: &Worker, _: &mut Request<'_>, _: &mut Message<OwnedFd>| Ok(()));
        let chain = ChainId::new(1, 7);
        worker.session().push_request(request(chain));
        worker.session().push_request(request(ChainId::new(1, 8)));
        let mut looks = 0;
        let found = worker.wait_for(NEVER, Awaited::Room(chain), |session| {
            looks += 1;
            (session.queue.len() == 1).then_some(())
        });
        assert_eq!((found, looks), (Ok(()), 2));
        assert!(!worker.session().diary.lags, "the pad shows a request that is done with");
    }
}
