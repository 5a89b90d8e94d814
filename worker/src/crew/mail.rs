//! What threads of the crew and the session say to each other.

use std::any::Any;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cloison_ipc::Passed;
use cloison_msg::trace::SpanId;
use cloison_msg::{CallFailure, Destination, Failure, Header, Message, Name, RpcIndex, Time};
use rustix::event::{EventfdFlags, eventfd};

use super::job::{Done, Job};
use crate::buffers::Payload;
use crate::error::OpenFailure;

/// What the session says to a thread.
pub(super) enum Order {
    /// This is to be served.
    Serve(Job),
    /// What the thread has asked for is over.
    Told(Told),
    /// The stream of that request is to be pulled, into these messages at most.
    Pull(u64, Vec<Message<OwnedFd>>),
    /// Nobody wants the stream of that request.
    Drop(u64),
}

/// How something ended that a thread has asked for. Each of these ends once.
pub(super) struct Told {
    pub(super) ask: u64,
    pub(super) outcome: Outcome,
}

pub(super) enum Outcome {
    /// A call was answered.
    Answered(Answer),
    /// A oneway was sent.
    Sent,
    /// A call, or a oneway, has failed.
    Failed(CallFailure),
    /// An item was fed.
    Fed(Payload),
    /// All items were.
    FedUp,
    /// A link was opened, or not.
    Opened(Result<Led, OpenFailure>),
}

/// The answer to a call of a thread's.
pub(super) struct Answer {
    pub(super) payload: Payload,
    pub(super) passed: Vec<Passed>,
    pub(super) links: Vec<Led>,
}

/// A link, by its name, and the role it leads to.
pub(super) type Led = (Destination, Name);

/// What a thread says.
pub(super) struct Word {
    pub(super) thread: usize,
    pub(super) what: What,
}

pub(super) enum What {
    /// Its server is made.
    Ready,
    /// A request was served.
    Done(Done),
    /// It makes a call, or sends a oneway.
    Call(u64, Call),
    /// It opens a link.
    Open(u64, Opening),
    /// It takes the next item that is fed to this call, until then.
    Take(u64, Header, Time),
    /// It wants no more of what is fed to that call.
    Refuse(Header),
    /// It has pulled a stream.
    Pulled(Pulled),
    /// It waits for any of what it has asked for.
    Wait(Vec<u64>),
    /// It waits for that no more, and never will.
    GiveUp(u64),
    /// The same, of a call that is left to its peer.
    Detach(u64),
    /// It needs that link no more.
    Close(Destination),
    /// Its method, or what made its server, panicked.
    Panicked(Box<dyn Any + Send>),
}

/// A call that a thread makes.
pub(super) struct Call {
    pub(super) link: Destination,
    pub(super) rpc: RpcIndex,
    pub(super) message: Message<OwnedFd>,
    pub(super) deadline: Time,
    /// Whether nobody is to answer.
    pub(super) is_oneway: bool,
    /// The request for which it is made, if it is made for any.
    pub(super) job: Option<u64>,
    /// Whether it is left to its peer as soon as it is sent.
    pub(super) is_detached: bool,
    /// The span that it is made in.
    pub(super) span: SpanId,
}

/// What has come of a stream that was pulled.
pub(super) struct Pulled {
    pub(super) number: u64,
    pub(super) items: Vec<Message<OwnedFd>>,
    /// Messages that were not needed.
    pub(super) unused: Vec<Message<OwnedFd>>,
    /// What its next item needs was in use.
    pub(super) is_stalled: bool,
    /// What it ends with, if that was all.
    pub(super) end: Option<(Result<(), Failure>, Message<OwnedFd>)>,
}

/// A link that a thread opens.
pub(super) struct Opening {
    pub(super) role: Name,
    pub(super) interface: Name,
    pub(super) deadline: Time,
    /// The request for which it is wanted, if it is for any.
    pub(super) job: Option<u64>,
    /// How long it may take, for the failure's text.
    pub(super) within: Duration,
}

/// The way from the threads to the session: a queue, and a descriptor that is readable when something was put into it.
#[derive(Debug)]
pub(super) struct Mail {
    words: Mutex<Vec<Word>>,
    bell: OwnedFd,
}

impl Mail {
    pub(super) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { words: Mutex::default(), bell })
    }

    pub(super) fn post(&self, word: Word) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.push(word);
        let is_first = words.len() == 1;
        drop(words);
        // Of those behind the first the session hears when it looks for that one.
        if is_first {
            // The only failure is that it is ringing already.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// The bell is heard: it rings for what comes from now on.
    pub(super) fn hear(&self) {
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }

    /// Takes everything out, into an empty `to`.
    pub(super) fn take(&self, to: &mut Vec<Word>) {
        std::mem::swap(to, &mut *self.words.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl AsFd for Mail {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Word").field("thread", &self.thread).finish_non_exhaustive()
    }
}
