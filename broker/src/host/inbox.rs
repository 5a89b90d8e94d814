//! Where everything that concerns the host comes in, in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cloison_msg::{CallError, Destination, Gone, Name};
use tokio::sync::mpsc;

use super::object::Object;
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
const CROWD_ITEMS: usize = 512;

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
    letters: mpsc::UnboundedReceiver<Letter>,
    unread: Arc<AtomicUsize>,
    commands: Commands,
}

/// What lies in an inbox.
#[derive(Debug)]
pub(crate) enum Letter {
    Item(Item),
    /// Nothing leads to it any more. It may do anything when it is dropped, so that is left to whoever reads the inbox.
    Ended(Box<dyn Object>),
}

/// Puts letters into an inbox.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    letters: mpsc::UnboundedSender<Letter>,
    unread: Arc<AtomicUsize>,
}

/// Puts letters into an inbox as long as the broker lives; to be kept by whoever may outlive it.
#[derive(Clone, Debug)]
pub(crate) struct LateMailbox {
    letters: mpsc::WeakUnboundedSender<Letter>,
    unread: Arc<AtomicUsize>,
}

impl Inbox {
    pub(crate) fn new(commands: Commands) -> (Mailbox, Self) {
        let (give, take) = mpsc::unbounded_channel();
        let unread = Arc::new(AtomicUsize::new(0));
        (Mailbox { letters: give, unread: unread.clone() }, Self { letters: take, unread, commands })
    }

    /// The next item; `None` once the broker has ended.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            let letter = self.letters.recv().await?;
            if let Some(item) = self.deliver(letter) {
                return Some(item);
            }
        }
    }

    /// The next item, waiting no longer than `within`; `None` if there was none.
    pub fn next_within(&mut self, within: Duration) -> Option<Item> {
        let until = Instant::now().checked_add(within);
        loop {
            let left = until.map_or(within, |until| until.saturating_duration_since(Instant::now()));
            let letter = match self.letters.try_recv() {
                Ok(letter) => letter,
                Err(_) => wait_for(self.letters.recv(), Some(left)).flatten()?,
            };
            if let Some(item) = self.deliver(letter) {
                return Some(item);
            }
        }
    }

    /// What is left of a letter that is read now: nothing of what came over a link that was taken back meanwhile.
    fn deliver(&self, letter: Letter) -> Option<Item> {
        self.note();
        let Letter::Item(item) = letter else { return None };
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
        self.letters.close();
        while self.letters.try_recv().is_ok() {
            self.note();
        }
    }
}

impl Mailbox {
    /// A host that dropped its inbox wants to hear nothing.
    pub(crate) fn put(&self, item: Item) {
        // What it was is dropped.
        drop(self.post(Letter::Item(item)));
    }

    /// Comes back if nobody will read it.
    fn post(&self, letter: Letter) -> Option<Letter> {
        self.unread.fetch_add(1, Ordering::Relaxed);
        let refused = self.letters.send(letter).err()?;
        self.unread.fetch_sub(1, Ordering::Relaxed);
        Some(refused.0)
    }

    pub(crate) fn late(&self) -> LateMailbox {
        LateMailbox { letters: self.letters.downgrade(), unread: self.unread.clone() }
    }

    /// Whether so much is unread that nobody should cause more.
    pub(crate) fn is_crowded(&self) -> bool {
        self.unread.load(Ordering::Relaxed) >= CROWD_ITEMS
    }
}

impl LateMailbox {
    /// Has an object dropped by whoever reads the inbox; it comes back if nobody will.
    pub(crate) fn put_ended(&self, object: Box<dyn Object>) -> Option<Box<dyn Object>> {
        let Some(letters) = self.letters.upgrade() else { return Some(object) };
        match (Mailbox { letters, unread: self.unread.clone() }).post(Letter::Ended(object))? {
            Letter::Ended(object) => Some(object),
            Letter::Item(_) => None,
        }
    }
}
