//! What really happened, kept by nobody in the world: it sees everything at once, and says what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use cloison_msg::{Destination, Gone, Key};

/// What must never happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wrong(pub String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One end of one link, in the hands of one holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Hold {
    link: Key,
    side: usize,
    /// The number of the last message that arrived.
    arrived: u64,
    /// The last that is for this holder, if the end has moved on.
    until: Option<u64>,
}

/// The books of all links.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Ledger {
    /// In the order in which they were made.
    order: Vec<Key>,
    books: BTreeMap<Key, Book>,
    /// What each holder's name for a link means.
    names: BTreeMap<(Key, Destination), Hold>,
    /// Holders that heard of a link, about which the broker has not said yet which it is.
    heard: Vec<(Key, Destination)>,
    pub(super) wrong: Option<Wrong>,
}

/// What happened on one link. Messages of each side are numbered from 1, answers among them.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Book {
    holders: [Option<(Key, Destination)>; 2],
    /// The number of the last message that was made.
    sent: [u64; 2],
    /// The number of the last that left its worker.
    left: [u64; 2],
    /// The number of the last that the broker passed on.
    passed: [u64; 2],
    /// Those that the broker did not pass on.
    withheld: [BTreeSet<u64>; 2],
    end: Option<Gone>,
    /// Revoked under this ticket.
    ticket: Option<u64>,
    /// Whether the host was told that nothing more is delivered.
    is_acknowledged: bool,
}

impl Ledger {
    pub(super) fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.get_or_insert_with(|| Wrong(what.into()));
    }

    /// A worker hears of a link, or hears it again under another holder.
    pub(super) fn hear(&mut self, port: Key, name: Destination) {
        self.heard.push((port, name));
    }

    /// Two workers have heard of a new link: first the asked, then the asker.
    pub(super) fn open(&mut self, link: Key) {
        self.order.push(link);
        self.books.insert(link, Book::default());
        for (side, (port, name)) in [1, 0].into_iter().zip(std::mem::take(&mut self.heard)) {
            self.name(link, side, port, name);
        }
    }

    /// One end has another holder, who has just heard of it. What the broker passed on before is the former one's.
    pub(super) fn moved(&mut self, link: Key, by: Key) {
        let Some(book) = self.books.get(&link) else { return };
        let side = usize::from(book.holders[1].is_some_and(|(port, _)| port == by));
        // What came by the socket before, which the broker did not see, has all arrived: the link is at rest.
        let arrived = book.holders[side].and_then(|held| self.names.get(&held)).map_or(0, |former| former.arrived);
        let passed = book.passed[1 - side].max(arrived);
        if let Some(former) = book.holders[side].and_then(|held| self.names.get_mut(&held)) {
            former.until = Some(passed);
        }
        for (port, name) in std::mem::take(&mut self.heard) {
            self.name(link, side, port, name);
            if let Some(hold) = self.names.get_mut(&(port, name)) {
                hold.arrived = passed;
            }
        }
    }

    fn name(&mut self, link: Key, side: usize, port: Key, name: Destination) {
        self.names.insert((port, name), Hold { link, side, arrived: 0, until: None });
        if let Some(book) = self.books.get_mut(&link) {
            book.holders[side] = Some((port, name));
        }
    }

    pub(super) fn end(&mut self, link: Key, why: Gone) {
        if let Some(book) = self.books.get_mut(&link) {
            book.end = Some(why);
        }
    }

    /// Links that have just ended were revoked under this ticket.
    pub(super) fn note_ticket(&mut self, ticket: u64) {
        for book in self.books.values_mut().filter(|book| book.end == Some(Gone::Revoked) && book.ticket.is_none()) {
            book.ticket = Some(ticket);
        }
    }

    pub(super) fn acknowledge(&mut self, ticket: u64) {
        for book in self.books.values_mut().filter(|book| book.ticket == Some(ticket)) {
            book.is_acknowledged = true;
        }
    }

    /// The link that was made at this place in the order.
    pub(super) fn link(&self, at: usize) -> Option<Key> {
        self.order.get(at).copied()
    }

    /// Whether every revocation was acknowledged.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.books.values().all(|book| book.ticket.is_none() || book.is_acknowledged)
    }

    /// Whether the worker at this port is the present holder of what it calls by this name, which has not ended.
    pub(super) fn holds(&self, port: Key, name: Destination) -> bool {
        self.book(port, name).is_some_and(|(book, side)| book.end.is_none() && book.holders[side] == Some((port, name)))
    }

    fn book(&self, port: Key, name: Destination) -> Option<(&Book, usize)> {
        let place = self.names.get(&(port, name))?;
        Some((self.books.get(&place.link)?, place.side))
    }

    fn book_mut(&mut self, port: Key, name: Destination) -> Option<(&mut Book, usize)> {
        let place = self.names.get(&(port, name))?;
        Some((self.books.get_mut(&place.link)?, place.side))
    }

    /// A worker has something to say on a link: its number.
    pub(super) fn send(&mut self, port: Key, name: Destination) -> u64 {
        let Some((book, side)) = self.book_mut(port, name) else { return 0 };
        book.sent[side] += 1;
        book.sent[side]
    }

    /// A message has left its worker.
    pub(super) fn leave(&mut self, port: Key, name: Destination, number: u64) {
        if let Some((book, side)) = self.book_mut(port, name) {
            book.left[side] = book.left[side].max(number);
        }
    }

    /// The broker has passed a message on.
    pub(super) fn pass(&mut self, port: Key, name: Destination, number: u64) {
        if let Some((book, side)) = self.book_mut(port, name) {
            book.passed[side] = book.passed[side].max(number);
        }
    }

    /// The broker did not pass a message on.
    pub(super) fn withhold(&mut self, port: Key, name: Destination, number: u64) {
        self.pass(port, name, number);
        if let Some((book, side)) = self.book_mut(port, name) {
            book.withheld[side].insert(number);
        }
    }

    /// A message has arrived at a worker: the next one of the other side's, or something is wrong.
    pub(super) fn arrive(&mut self, port: Key, name: Destination, number: u64) {
        let Some(hold) = self.names.get_mut(&(port, name)) else {
            return self.wrong("a message arrived on a link of which its receiver had not heard");
        };
        let due = self.books.get(&hold.link).map_or(0, |book| book.due(hold));
        hold.arrived = number;
        if number != due {
            self.wrong(format!("message {number} of a link arrived when {due} was due"));
        } else if hold.until.is_some_and(|until| number > until) {
            self.wrong("a message arrived at the former holder of a link");
        }
    }

    /// What is missing when nothing more happens: `listens` says of those who live whether they still wait for what comes by
    /// that name.
    pub(super) fn missing(&self, listens: impl Fn(Key, Destination) -> Option<bool>) -> Option<String> {
        self.names.iter().find_map(|((port, name), hold)| {
            let listens = listens(*port, *name)?;
            let book = self.books.get(&hold.link)?;
            let sender = 1 - hold.side;
            let last = match &book.end {
                Some(Gone::Revoked) => return None,
                _ if hold.until.is_some() => hold.until?,
                _ if !listens => return None,
                None => book.sent[sender],
                // A survivor hears all that had left.
                Some(Gone::Crashed(_) | Gone::Closed) => book.left[sender],
                Some(_) => return None,
            };
            let due = book.due(hold);
            (due <= last).then(|| format!("messages {due} to {last} of a link never arrived"))
        })
    }

    /// An application gets a message, or the outcome of its call.
    pub(super) fn deliver(&mut self, port: Key, name: Destination) {
        if self.book(port, name).is_some_and(|(book, _)| book.is_acknowledged) {
            self.wrong("a message was delivered after the host was told that nothing more is delivered");
        }
    }
}

impl Book {
    /// The number of the message that a holder gets next.
    fn due(&self, hold: &Hold) -> u64 {
        let mut due = hold.arrived + 1;
        while self.withheld[1 - hold.side].contains(&due) {
            due += 1;
        }
        due
    }
}
