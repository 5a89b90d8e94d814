//! Where everything that concerns the host comes in, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cloison_msg::{CallError, Destination, Gone, Name};
use tokio::sync::mpsc;

use super::{Incoming, Question};
use crate::driver::{Command, Commands};
use crate::supervisor::WorkerEvent;
use crate::wait::wait_for;

/// A mark of the host's for a call whose outcome comes to the inbox.
pub type Ticket = u64;

/// Something that concerns the host. Drive a loop with it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Item {
    /// A call or oneway came.
    Message(Incoming),
    /// A call that was [`post`](super::HostLink::post)ed has its outcome.
    Outcome(Ticket, Result<Incoming, CallError>),
    /// A link of the host's has ended; nothing more comes over it.
    LinkGone {
        /// The host's name for it.
        link: Destination,
        /// The role that was at the other end.
        peer: Name,
        /// Why.
        why: Gone,
    },
    /// The policy leaves it to the host whether a link is given.
    Question(Question),
    /// A worker started, ended, starts again, or is given up.
    Worker(WorkerEvent),
}

/// How many unread items make an inbox crowded: until half of them are read, nobody opens a link to the host. So workers
/// that open one link after the other put no more here than this, and what the windows of their present links hold.
const CROWD_ITEMS: usize = 256;

/// Where everything that concerns the host comes in, in order. What workers can put here is bounded by their links'
/// windows, and gives its place back when the item is dropped. A host that wants none of it may drop its inbox: calls to the
/// host are then answered with an error.
///
/// ```no_run
/// # use cloison_broker::{Inbox, Item, WorkerEvent};
/// # async fn hear(mut inbox: Inbox) {
/// while let Some(item) = inbox.next().await {
///     match item {
///         Item::Message(message) => println!("{} sent method {}", message.peer(), message.rpc().0),
///         Item::Worker(WorkerEvent::Died { role, death, last_words, .. }) => println!("{role}: {death}; {last_words:?}"),
///         Item::Worker(WorkerEvent::GivenUp { role, .. }) => println!("{role} died too often"),
///         Item::LinkGone { peer, why, .. } => println!("no link to {peer} any more: {why}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Inbox {
    items: mpsc::UnboundedReceiver<Item>,
    unread: Arc<AtomicUsize>,
    commands: Commands,
}

/// Puts items into an inbox.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    items: mpsc::UnboundedSender<Item>,
    unread: Arc<AtomicUsize>,
}

impl Inbox {
    pub(crate) fn new(commands: Commands) -> (Mailbox, Self) {
        let (give, take) = mpsc::unbounded_channel();
        let unread = Arc::new(AtomicUsize::new(0));
        (Mailbox { items: give, unread: unread.clone() }, Self { items: take, unread, commands })
    }

    /// The next item; `None` once the broker has ended.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            let item = self.items.recv().await?;
            if let Some(item) = self.deliver(item) {
                return Some(item);
            }
        }
    }

    /// The next item, waiting no longer than `within`; `None` if there was none.
    pub fn next_within(&mut self, within: Duration) -> Option<Item> {
        let until = Instant::now().checked_add(within);
        loop {
            let left = until.map_or(within, |until| until.saturating_duration_since(Instant::now()));
            let item = match self.items.try_recv() {
                Ok(item) => item,
                Err(_) => wait_for(self.items.recv(), Some(left)).flatten()?,
            };
            if let Some(item) = self.deliver(item) {
                return Some(item);
            }
        }
    }

    /// What is left of an item that is read now: nothing of what came over a link that was taken back meanwhile.
    fn deliver(&self, item: Item) -> Option<Item> {
        self.note();
        match item {
            Item::Message(message) if message.is_revoked() => None,
            Item::Message(mut message) => message.take().then_some(Item::Message(message)),
            Item::Outcome(ticket, outcome) => Some(Item::Outcome(ticket, outcome.and_then(Incoming::deliver))),
            item => Some(item),
        }
    }

    fn note(&self) {
        if self.unread.fetch_sub(1, Ordering::Relaxed) == CROWD_ITEMS / 2 {
            self.commands.give(Command::CaughtUp);
        }
    }
}

/// Nobody will read what is left, so it does not count.
impl Drop for Inbox {
    fn drop(&mut self) {
        self.items.close();
        while self.items.try_recv().is_ok() {
            self.note();
        }
    }
}

impl Mailbox {
    /// A host that dropped its inbox wants to hear nothing.
    pub(crate) fn put(&self, item: Item) {
        self.unread.fetch_add(1, Ordering::Relaxed);
        if self.items.send(item).is_err() {
            self.unread.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether so much is unread that nobody should cause more.
    pub(crate) fn is_crowded(&self) -> bool {
        self.unread.load(Ordering::Relaxed) >= CROWD_ITEMS
    }
}
