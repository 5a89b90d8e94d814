//! What a thread of the crew does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use cloison_msg::contract::{Dispatch, Flows, Server, serving};
use cloison_msg::{Failure, Reader};

use super::carrier::ThreadLink;
use super::job::{Asked, Done, Job, Mail, What, Word};
use crate::trace::Tracer;

/// Where a thread hears what to do, and says what it did.
pub(super) struct Desk {
    pub(super) thread: usize,
    pub(super) inbox: Receiver<Job>,
    pub(super) mail: Arc<Mail>,
}

impl Desk {
    fn say(&self, what: What) {
        self.mail.post(Word { thread: self.thread, what });
    }
}

/// Makes a server, and serves with it until there is nobody to serve for. What panics is told, and ends the thread.
pub(super) fn work<M: Dispatch<ThreadLink>>(desk: &Desk, make: &impl Fn() -> Server<M>, tracer: &Tracer) {
    let served = catch_unwind(AssertUnwindSafe(|| {
        let server = make();
        desk.say(What::Ready);
        while let Ok(job) = desk.inbox.recv() {
            desk.say(What::Done(serve(&server, job, tracer)));
        }
    }));
    if let Err(panic) = served {
        desk.say(What::Panicked(panic));
    }
}

fn serve<M: Dispatch<ThreadLink>>(server: &Server<M>, job: Job, tracer: &Tracer) -> Done {
    let Job { number, payload, passed, mut reply, call } = job;
    let span = tracer.begin_on_thread(call.frame.chain, call.mark());
    let result = if call.begin() {
        let mut reader = Reader::new(payload.as_slice(), passed).with_links(Vec::new());
        let rpc = call.header.rpc;
        let answer = || server.answer(rpc, &mut reader, &mut reply, &mut Flows::new(None));
        serving::serve(Rc::new(Asked(Arc::clone(&call))), answer)
    } else {
        Err(Failure::Cancelled)
    };
    tracer.end_on_thread(span);
    Done { number, payload, reply, result, span }
}
