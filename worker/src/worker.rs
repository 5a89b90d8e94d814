//! The worker's own handle, and how it waits.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use cloison_ipc::ProcessIpc;
use cloison_msg::contract::serving::Served;
use cloison_msg::control::{PROTOCOL_VERSION, ToBroker};
use cloison_msg::{ChainId, Destination, Header, Interface, Name, Time};

use crate::Link;
use crate::circle::Wait;
use crate::error::{Disconnect, OpenError, OpenFailure, StartError};
use crate::serve::Service;
use crate::session::Session;
use crate::streams::Producer;
use crate::wanted::Unmet;
use crate::wire::Wire;
use crate::words::Answer;

/// How long a call, a oneway or a question to the broker takes at most, unless its caller says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// How long the broker has to say welcome. It does so at once; this is for a host that was stopped in a debugger.
const WELCOME_WITHIN: Duration = Duration::from_secs(30);

/// How long the end of a worker is put off for messages that have not left yet.
const FAREWELL: Duration = Duration::from_secs(1);

/// One confined process, as its own code sees it: its connection to the broker, and all that goes through it.
///
/// A handle: clones are the same worker. It stays on the thread on which it was made.
#[derive(Clone)]
pub struct Worker(Rc<Core>);

/// What all handles of one worker share.
pub(crate) struct Core {
    role: Name,
    session: RefCell<Session>,
    service: RefCell<Option<Rc<dyn Service>>>,
    /// The calls that are answered by streams.
    producers: RefCell<Vec<Producer>>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Awaited {
    /// Anything at all.
    Anything,
    /// A request; meanwhile streams are pulled.
    Work,
    /// Room for a call of this chain.
    Room(ChainId),
    /// The answer to a call.
    Answer(Wait),
}

impl Awaited {
    pub(crate) const fn chain(self) -> Option<ChainId> {
        match self {
            Self::Anything | Self::Work => None,
            Self::Room(chain) | Self::Answer(Wait { chain, .. }) => Some(chain),
        }
    }

    const fn answer_on(self) -> Option<Destination> {
        match self {
            Self::Answer(Wait { link, .. }) => Some(link),
            Self::Anything | Self::Work | Self::Room(_) => None,
        }
    }
}

/// Why waiting ended without what was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    Deadline,
    Disconnected(Disconnect),
}

impl Worker {
    /// A worker over a control socket, once it has said hello and been welcomed. For tests, and for a worker that is a
    /// thread of its host and therefore confined by nothing; [`run`](crate::run) is for all others.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn over(control: ProcessIpc) -> Result<Self, StartError> {
        let mut session = Session::new(Wire::control(control));
        session.say(&ToBroker::Hello { version: PROTOCOL_VERSION });
        let deadline = session.time.after(WELCOME_WITHIN);
        let welcome = loop {
            if let Some(welcome) = session.welcome.clone() {
                break welcome;
            }
            if let Some(why) = session.disconnect {
                return Err(why.into());
            }
            if session.time >= deadline {
                return Err(StartError::Silence(WELCOME_WITHIN));
            }
            session.pump(deadline, None);
        };
        if welcome.version != PROTOCOL_VERSION {
            return Err(StartError::Version { broker: welcome.version, worker: PROTOCOL_VERSION });
        }
        let (session, service) = (RefCell::new(session), RefCell::new(None));
        let producers = RefCell::default();
        Ok(Self(Rc::new(Core { role: welcome.role, session, service, producers })))
    }

    /// The role that the broker gave this worker.
    #[must_use]
    pub fn role(&self) -> &Name {
        &self.0.role
    }

    /// Opens a link to whoever plays `role`, to be used by `interface`; waits for at most [`DEFAULT_DEADLINE`].
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Panics
    /// If the interface's name is no [`Name`].
    pub fn open(&self, role: &str, interface: &Interface) -> Result<Link, OpenError> {
        self.open_within(role, interface, DEFAULT_DEADLINE)
    }

    /// Opens a link as [`open`](Self::open) does, and waits for it for at most `within`: a role that nobody plays yet is
    /// waited for.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// # Panics
    /// If the interface's name is no [`Name`].
    pub fn open_within(&self, role: &str, interface: &Interface, within: Duration) -> Result<Link, OpenError> {
        let failed = |why| OpenError { role: role.to_owned(), interface: interface.name(), why };
        let name = Name::new(role).map_err(|error| failed(error.into()))?;
        self.ask_for_link(name, interface.name(), within).map_err(failed)
    }

    /// Whether the broker has ended, or told this worker to end.
    #[must_use]
    pub fn disconnected(&self) -> Option<Disconnect> {
        self.session().disconnect.clone()
    }

    /// The link by which the request came that is being served, or that the stream answers which is being pulled: for an object
    /// to which several links lead, and that lends something to whoever asks. `None` where nothing is being served.
    #[must_use]
    pub fn link_served(&self) -> Option<Link> {
        let name = self.session().serving.last()?.header.destination;
        Some(self.link(name))
    }

    /// How many answers came to calls that nobody waited for any more: they were given up, or their deadlines had passed.
    #[must_use]
    pub fn late_answers(&self) -> u64 {
        self.session().late
    }

    /// How many answers this worker made that nobody could hear any more: the link was gone, or its peer was another.
    #[must_use]
    pub fn unheard_answers(&self) -> u64 {
        self.session().unheard
    }

    fn ask_for_link(&self, role: Name, interface: Name, within: Duration) -> Result<Link, OpenFailure> {
        let deadline = self.tick().after(within);
        let question = |request| ToBroker::Open { request, role, interface };
        match self.ask_broker(Destination::BROKER, deadline, question) {
            Ok(Answer::Opened(Ok(name))) => Ok(self.link(name)),
            Ok(Answer::Opened(Err(refusal))) => Err(refusal.into()),
            Ok(Answer::Pool(_) | Answer::Offered(_)) | Err(Unmet::Deadline) => Err(OpenFailure::Deadline(within)),
            Err(Unmet::GivenUp) => Err(OpenFailure::Cancelled),
            Err(Unmet::Disconnected(why)) => Err(why.into()),
        }
    }

    /// The handle on the link of that name, which may be gone already.
    pub(crate) fn link(&self, name: Destination) -> Link {
        let session = self.session();
        let peer = session.peer_of(name).map(Rc::clone);
        drop(session);
        Link::new(self, name, peer.unwrap_or_else(|| Rc::new(self.role().clone())))
    }

    /// Pumps the sockets until `look` finds something. Meanwhile requests of the chain that is being served, and of that
    /// of the call that is `awaited`, are served.
    pub(crate) fn wait_for<T>(
        &self,
        deadline: Time,
        awaited: Awaited,
        look: impl FnMut(&mut Session) -> Option<T>,
    ) -> Result<T, Interrupted> {
        let Awaited::Answer(wait) = awaited else { return self.wait_until(deadline, awaited, look) };
        self.session().begin_wait(wait);
        let outcome = self.wait_until(deadline, awaited, look);
        self.session().waits.pop();
        outcome
    }

    fn wait_until<T>(
        &self,
        deadline: Time,
        awaited: Awaited,
        mut look: impl FnMut(&mut Session) -> Option<T>,
    ) -> Result<T, Interrupted> {
        let (mut last_look, mut had_turn) = (false, false);
        loop {
            let mut session = self.session();
            session.tend_crew();
            if let Some(found) = look(&mut session) {
                return Ok(found);
            }
            session.pause();
            if session.has_ended_objects() {
                drop(session);
                self.drop_ended_objects();
                continue;
            }
            if let Some(why) = &session.disconnect {
                return Err(Interrupted::Disconnected(why.clone()));
            }
            if last_look {
                return Err(Interrupted::Deadline);
            }
            if session.time >= deadline && (had_turn || !matches!(awaited, Awaited::Work)) {
                session.pump_at_once();
                last_look = true;
                continue;
            }
            let has_service = self.has_any_service(&session);
            if let Some(queued) = session.take_nested(awaited.chain(), has_service) {
                drop(session);
                self.serve_nested(queued);
            } else if let Some(turn) = self.next_turn(&mut session, awaited) {
                had_turn = true;
                drop(session);
                self.take_turn(turn);
            } else if session.time >= deadline {
                had_turn = true;
            } else {
                let until = session.look_for_circle(deadline).min(session.errands_due());
                session.pump(until, awaited.answer_on());
            }
        }
    }

    /// Waits, for a short time only, until everything that was accepted for sending has left.
    pub(crate) fn say_farewell(&self) {
        let deadline = self.tick().after(FAREWELL);
        self.session().flush_trace();
        let _ = self.wait_for(deadline, Awaited::Anything, |session| (!session.has_unsent()).then_some(()));
    }

    /// Has what this process does in `tracing` told to the host.
    pub(crate) fn trace(&self) {
        let tracer = self.session().tracer.clone();
        tracer.install();
    }

    /// Whether the two are handles of one worker.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Reads the clock.
    pub(crate) fn tick(&self) -> Time {
        self.session().tick()
    }

    /// Everything the worker holds. Never kept while code of the worker's author runs.
    pub(crate) fn session(&self) -> RefMut<'_, Session> {
        self.0.session()
    }

    /// Whether nobody waits for the answer to this call, which is being served.
    pub(crate) fn has_been_cancelled(&self, call: &Header) -> bool {
        self.0.has_been_cancelled(call)
    }

    /// What a contract's implementation asks about the call that it serves.
    pub(crate) fn as_served(&self) -> Rc<dyn Served> {
        let core: Rc<Core> = Rc::clone(&self.0);
        core
    }

    /// Never kept while code of the worker's author runs, either.
    pub(crate) fn producers(&self) -> RefMut<'_, Vec<Producer>> {
        self.0.producers.borrow_mut()
    }

    pub(crate) fn service(&self) -> Option<Rc<dyn Service>> {
        self.0.service.borrow().clone()
    }

    /// Whether there is anything to serve a request with, of whichever link.
    pub(crate) fn has_any_service(&self, session: &Session) -> bool {
        self.0.service.borrow().is_some() || !session.objects.is_empty()
    }

    /// Puts another service in place, or none; returns the one before.
    pub(crate) fn replace_service(&self, service: Option<Rc<dyn Service>>) -> Option<Rc<dyn Service>> {
        self.0.service.replace(service)
    }
}

impl Core {
    pub(crate) fn session(&self) -> RefMut<'_, Session> {
        self.session.borrow_mut()
    }
}

/// What it has recorded of itself last is told, also when its author's code panics.
impl Drop for Core {
    fn drop(&mut self) {
        self.session.get_mut().flush_trace();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Worker").field(self.role()).finish()
    }
}
