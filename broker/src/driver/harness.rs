//! The driver without processes, for whoever tests it: no part of what this crate promises.
//!
//! Whoever holds a socket plays a worker, and the driver does nothing but in a method of the harness, each of which returns when
//! there is nothing more to do: what follows from one thing is over before the next one happens, and the same input has the
//! same outcome.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use cloison_ipc::ProcessIpc;
use cloison_msg::{Gone, Interface, Key, Name, Refusal};
use rustix::time::Timespec;
use tokio::sync::{mpsc, oneshot};

use super::{Command, Commands, Driver};
use crate::broker::StartError;
use crate::host::{CALL_DEADLINE, HostLink, Inbox, Item, Objects};
use crate::policy::{Model, Policy};
use crate::router::{LinkId, LinkView, Router, Violation};
use crate::supervisor::{Notices, Order, Roster, WorkerSpec};
use crate::wait::wait;

/// How long the driver waits for something to happen while somebody else is at work.
const MEANWHILE: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// A broker's driver, and the sockets of whoever plays its workers.
pub struct Harness {
    driver: Driver,
    commands: Commands,
    roster: Arc<Roster>,
    inbox: Inbox,
    objects: Objects,
    seats: BTreeMap<Name, Seated>,
}

/// A worker, as its supervisor would know it.
struct Seated {
    /// `None` when it is dead.
    port: Option<Key>,
    orders: mpsc::UnboundedReceiver<Order>,
}

impl Harness {
    /// A driver without workers.
    ///
    /// # Errors
    /// [`StartError::System`], if the system gives no descriptors.
    pub fn new(policy: impl Policy + 'static, model: Model) -> Result<Self, StartError> {
        let commands = Commands::new()?;
        let (mailbox, inbox) = Inbox::new(commands.clone());
        let objects = Objects::new(commands.clone(), &mailbox);
        let roster = Arc::new(Roster::default());
        let router = Router::new(Arc::new(policy), model);
        let driver = Driver::new(router, mailbox, Notices::new(roster.clone()), commands.clone())?;
        Ok(Self { driver, commands, roster, inbox, objects, seats: BTreeMap::new() })
    }

    /// Whoever holds the socket plays `role` from now on, which nobody may play already.
    ///
    /// # Errors
    /// If the system gives no descriptors.
    ///
    /// # Panics
    /// If `role` is no [`Name`], or is played.
    pub fn seat(&mut self, role: &str) -> io::Result<ProcessIpc> {
        let spec = WorkerSpec::program(role, "/").expect("a name");
        let role = spec.role.clone();
        if !self.seats.contains_key(&role) {
            let orders = self.roster.enlist(&spec).expect("nobody was taken on but here");
            self.seats.insert(role.clone(), Seated { port: None, orders });
        }
        let (ipc, theirs) = ProcessIpc::pair()?;
        let (port, mut seated) = oneshot::channel();
        self.order([Command::Declare { role: role.clone() }, Command::Seat { role: role.clone(), pid: 0, ipc, port }]);
        let port = seated.try_recv().map_err(io::Error::other)?;
        let before = self.seats.get_mut(&role).and_then(|seated| seated.port.replace(port));
        assert_eq!(before, None, "{role} is played already");
        Ok(theirs)
    }

    /// Lets the driver do all that there is to do now.
    pub fn settle(&mut self) {
        let (mut events, mut commands) = (Vec::with_capacity(64), Vec::new());
        while self.driver.come_round(&mut events, &mut commands, Some(&Timespec::default())) {}
    }

    fn order(&mut self, commands: impl IntoIterator<Item = Command>) {
        commands.into_iter().for_each(|command| self.commands.give(command));
        self.settle();
    }

    /// Lets somebody who waits for the broker work, with the driver on a thread of its own.
    pub fn during<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (driver, done) = (&mut self.driver, AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut events, mut commands) = (Vec::with_capacity(64), Vec::new());
                while !done.load(Ordering::Relaxed) {
                    driver.come_round(&mut events, &mut commands, Some(&MEANWHILE));
                }
            });
            // Also if it panics: a thread of this scope would be waited for.
            let _done = OnDrop(&done);
            work()
        })
    }

    /// Why the worker that plays `role` is to be killed, if it is.
    pub fn evicted(&mut self, role: &str) -> Option<Violation> {
        let seated = self.seats.get_mut(role)?;
        std::iter::from_fn(|| seated.orders.try_recv().ok()).find_map(|order| match order {
            Order::Evict(violation) => Some(violation),
            _ => None,
        })
    }

    /// The worker that plays `role` is dead. The role may be played again.
    pub fn bury(&mut self, role: &str) {
        if let Some(port) = self.seats.get_mut(role).and_then(|seated| seated.port.take()) {
            self.order([Command::Died { port, why: Gone::Crashed("killed".into()) }]);
        }
    }

    /// Builds links by another model. Nobody waits until it is so.
    pub fn set_model(&mut self, model: Model) {
        self.order([Command::SetModel { model, done: oneshot::channel().0 }]);
    }

    /// Takes a link back. Nobody waits until it is so.
    pub fn revoke(&mut self, link: LinkId) {
        self.order([Command::Revoke { link, done: Arc::new(oneshot::channel().0) }]);
    }

    /// All links.
    pub fn explain(&mut self) -> Vec<LinkView> {
        let (done, mut views) = oneshot::channel();
        self.order([Command::Explain { link: None, done }]);
        views.try_recv().unwrap_or_default()
    }

    /// A link of the host's to whoever plays `role`.
    ///
    /// # Errors
    /// [`Refusal`].
    ///
    /// # Panics
    /// If `role` is no [`Name`].
    pub fn open(&mut self, role: &str, interface: &Interface) -> Result<HostLink, Refusal> {
        let (role, commands) = (Name::new(role).expect("a name"), self.commands.clone());
        let name = interface.name();
        self.during(|| wait(commands.open(role, name, CALL_DEADLINE)))
    }

    /// What makes objects of the host's: to be used while the driver works, in [`during`](Self::during).
    #[must_use]
    pub fn objects(&self) -> Objects {
        self.objects.clone()
    }

    /// What concerns the host, and was not taken yet.
    pub fn heard(&mut self) -> Option<Item> {
        self.inbox.next_within(std::time::Duration::ZERO)
    }
}

/// Sets the mark when it is dropped.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
