//! The host's ear for forbidden calls: one thread per worker at the end of seccomp's user notification.
//!
//! A thread of its own, because the receiving call blocks whatever the descriptor's flags say. What it hears comes from
//! the kernel; the worker can not forge it. If the host is gone, the kernel answers ENOSYS in its place.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use rustix::event::PollFlags;
use rustix::process::{Signal, pidfd_send_signal};

use crate::child::wait_readable;
use crate::lesson::Learned;
use crate::note::Page;
use crate::rule::Rule;
use crate::stub::Stub;
use crate::sys::{self, Answer, Notification};
use crate::verdict::{self, Verdict};
use crate::violation::{Consequence, Violation, Violations};

/// The thread reads a file of `/proc` and little else.
const STACK: usize = 64 << 10;
/// Calls that are answered at once, per [`WINDOW`]; more than any library's search for features makes.
const BURST: u32 = 64;
/// The span over which [`BURST`] is counted.
const WINDOW: Duration = Duration::from_millis(100);
/// How long each answer beyond [`BURST`] is held back: a flood costs the worker its time, not the host.
const HOLD: Duration = Duration::from_millis(2);

/// What the host knows from listening.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    notes: Arc<Page>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    violations: Violations,
    learned: Learned,
    sentence: Option<Sentence>,
}

/// A thread that waits to be told to whom to listen.
pub(crate) struct Prepared {
    watch: Watch,
    sender: mpsc::Sender<Subject>,
}

impl Prepared {
    /// Listens to `subject` from now on.
    pub fn start(self, subject: Subject) -> io::Result<Watch> {
        self.sender.send(subject).map_err(|_| io::Error::other("the watching thread has ended"))?;
        Ok(self.watch)
    }
}

/// Why the host killed a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sentence {
    /// For this call.
    Forbidden(Box<Violation>),
    /// Because it asked for it: `abort()`.
    Abort,
}

/// What the watcher knows about the worker.
pub(crate) struct Subject {
    pub listener: OwnedFd,
    pub pidfd: OwnedFd,
    pub pid: u32,
    /// The worker's number in its own process namespace.
    pub own_pid: u32,
    /// The most threads that the worker may have, if the host is asked for each one.
    pub threads: Option<u32>,
    /// If the worker only learns: the rules of its profile. What they refuse stays refused.
    pub learning: Option<Vec<Rule>>,
    /// The stub, which may still be busy taking the old root away.
    pub stub: Stub,
}

impl Watch {
    /// Starts the thread while there is nothing to listen to yet: the host waits for the worker anyway. It ends if it is
    /// given nothing.
    pub fn prepare(notes: Arc<Page>) -> io::Result<Prepared> {
        let watch = Self { notes, heard: Arc::default() };
        let watching = watch.clone();
        let (sender, subjects) = mpsc::channel();
        let run = move || {
            if let Ok(subject) = subjects.recv() {
                Watcher { subject, watch: watching, pace: Pace::new(), granted: None }.run();
            }
        };
        std::thread::Builder::new().name("cloison-watch".to_owned()).stack_size(STACK).spawn(run)?;
        Ok(Prepared { watch, sender })
    }

    /// Why the worker was killed, if the watcher did it.
    pub fn sentence(&self) -> Option<Sentence> {
        self.lock().sentence.clone()
    }

    /// The violations so far.
    pub fn violations(&self) -> Violations {
        self.lock().violations.clone()
    }

    /// What a learning worker was seen to need.
    pub fn learned(&self) -> Learned {
        self.lock().learned.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watcher {
    subject: Subject,
    watch: Watch,
    pace: Pace,
    /// How many threads there were when the last one was granted.
    granted: Option<u32>,
}

impl Watcher {
    fn run(mut self) {
        self.subject.stub.settle(self.subject.pid);
        while let Ok(ready) = wait_readable(&[self.subject.listener.as_fd(), self.subject.pidfd.as_fd()], None) {
            // Readable: a call waits. Hung up: no thread is left that could make one, though its process may linger.
            if !ready[0].contains(PollFlags::IN) {
                return;
            }
            match sys::receive_notification(self.subject.listener.as_fd()) {
                Ok(notification) => self.handle(&notification),
                // The thread that made the call has ended meanwhile, or a signal came in between.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Interrupted) => {}
                Err(_) => return,
            }
        }
    }

    fn handle(&mut self, notification: &Notification) {
        let verdict = verdict::judge(notification.number, &notification.arguments, self.subject.own_pid);
        match verdict {
            Verdict::Kill => {
                if self.subject.learning.is_some() {
                    self.watch.lock().learned.add(notification, Consequence::Killed);
                }
                self.execute(Sentence::Forbidden(Box::new(self.violation(notification, Consequence::Killed))));
            }
            Verdict::Abort => self.execute(Sentence::Abort),
            Verdict::Thread => match self.subject.threads {
                Some(most) => self.answer(notification, self.thread_answer(most)),
                None => self.refuse(notification, Errno::EPERM),
            },
            Verdict::Fail(errno) => match &self.subject.learning {
                Some(rules) => {
                    let answer = verdict::lesson(rules, notification.number, &notification.arguments);
                    self.learn(notification, answer);
                }
                None => self.refuse(notification, errno),
            },
        }
    }

    /// The thread that made the call waits for the answer, so that it has not gone on to something else.
    fn violation(&self, notification: &Notification, consequence: Consequence) -> Violation {
        Violation { note: self.watch.notes.read(), ..Violation::new(notification, consequence) }
    }

    /// Notes a forbidden call, and has it fail.
    fn refuse(&mut self, notification: &Notification, errno: Errno) {
        let violation = self.violation(notification, Consequence::Failed(errno as i32));
        self.watch.lock().violations.add(violation);
        self.pace.hold();
        self.answer(notification, Answer::Fail(errno));
    }

    /// Notes a call of a learning worker; `refused` as its profile has it, or let through.
    fn learn(&mut self, notification: &Notification, refused: Option<Errno>) {
        let consequence = refused.map_or(Consequence::LetThrough, |errno| Consequence::Failed(errno as i32));
        self.watch.lock().learned.add(notification, consequence);
        let answer = refused.map_or(Answer::Continue, Answer::Fail);
        let _ = sys::answer_notification(self.subject.listener.as_fd(), notification.id, answer);
    }

    fn execute(&self, sentence: Sentence) {
        let mut heard = self.watch.lock();
        if let Sentence::Forbidden(violation) = &sentence {
            heard.violations.add(Violation::clone(violation));
        }
        heard.sentence.get_or_insert(sentence);
        drop(heard);
        // The only possible failure is that the worker has ended already.
        let _ = pidfd_send_signal(&self.subject.pidfd, Signal::KILL);
    }

    fn answer(&mut self, notification: &Notification, answer: Answer) {
        if matches!(answer, Answer::Continue) {
            self.granted = crate::outside::threads(self.subject.pid);
        }
        // The call may have been withdrawn meanwhile.
        let _ = sys::answer_notification(self.subject.listener.as_fd(), notification.id, answer);
    }

    /// One more thread, if there are not too many. The flags were checked by the filter and lie in a register, so that
    /// they are still the same when the call goes on.
    fn thread_answer(&self, most: u32) -> Answer {
        let deadline = Instant::now() + HOLD;
        loop {
            let now = crate::outside::threads(self.subject.pid);
            let settled = now != self.granted || Instant::now() >= deadline;
            match now {
                Some(count) if count >= most => return Answer::Fail(Errno::EAGAIN),
                // The thread granted last may not be there yet; without waiting for it, several could slip in at once.
                Some(_) if !settled => std::thread::yield_now(),
                Some(_) => return Answer::Continue,
                None => return Answer::Fail(Errno::EAGAIN),
            }
        }
    }
}

/// Slows a flood down.
struct Pace {
    since: Instant,
    count: u32,
}

impl Pace {
    fn new() -> Self {
        Self { since: Instant::now(), count: 0 }
    }

    fn hold(&mut self) {
        if self.since.elapsed() > WINDOW {
            *self = Self::new();
        }
        self.count += 1;
        if self.count > BURST {
            std::thread::sleep(HOLD);
        }
    }
}
