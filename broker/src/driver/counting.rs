//! Who waits until workers have said what they sent over direct links.

use std::collections::{BTreeMap, BTreeSet};

use cloison_msg::Key;
use tokio::sync::oneshot;

/// What was asked and not answered yet. A worker that answers what nobody asked it hastens nothing but its own answer.
#[derive(Debug, Default)]
pub(super) struct Counting {
    /// How many answers each worker owes.
    owed: BTreeMap<Key, u64>,
    waiting: Vec<Waiting>,
}

/// Somebody who waits.
#[derive(Debug)]
struct Waiting {
    /// How many answers each worker still gives until it has given the one that is waited for.
    until: BTreeMap<Key, u64>,
    done: oneshot::Sender<()>,
}

impl Counting {
    /// These workers were asked; `done` is dropped when all have answered. Who waits no more is forgotten.
    pub(super) fn ask(&mut self, asked: BTreeSet<Key>, done: oneshot::Sender<()>) {
        self.waiting.retain(|waiting| !waiting.done.is_closed());
        let until = asked.into_iter().map(|port| {
            let owed = self.owed.entry(port).or_default();
            *owed += 1;
            (port, *owed)
        });
        let waiting = Waiting { until: until.collect(), done };
        if !waiting.until.is_empty() {
            self.waiting.push(waiting);
        }
    }

    /// A worker has said what it sent.
    pub(super) fn note(&mut self, port: Key) {
        let Some(owed) = self.owed.get_mut(&port) else { return };
        *owed -= 1;
        if *owed == 0 {
            self.owed.remove(&port);
        }
        self.advance(port, |left| *left -= 1);
    }

    /// A worker is dead, and says nothing more.
    pub(super) fn forget(&mut self, port: Key) {
        if self.owed.remove(&port).is_some() {
            self.advance(port, |left| *left = 0);
        }
    }

    fn advance(&mut self, port: Key, change: impl Fn(&mut u64)) {
        for waiting in &mut self.waiting {
            if let Some(left) = waiting.until.get_mut(&port) {
                change(left);
                if *left == 0 {
                    waiting.until.remove(&port);
                }
            }
        }
        self.waiting.retain(|waiting| !waiting.until.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Key = Key { index: 1, generation: 1 };
    const B: Key = Key { index: 2, generation: 1 };

    fn ask(counting: &mut Counting, asked: &[Key]) -> oneshot::Receiver<()> {
        let (done, counted) = oneshot::channel();
        counting.ask(asked.iter().copied().collect(), done);
        counted
    }

    fn waits(counted: &mut oneshot::Receiver<()>) -> bool {
        counted.try_recv() == Err(oneshot::error::TryRecvError::Empty)
    }

    #[test]
    fn what_nobody_asked_for_is_no_answer_of_anybody_elses() {
        let mut counting = Counting::default();
        (0..9).for_each(|_| counting.note(A));
        let mut counted = ask(&mut counting, &[A, B]);
        (0..9).for_each(|_| counting.note(A));
        assert!(waits(&mut counted), "the other has not answered");
        counting.note(B);
        assert!(!waits(&mut counted));
    }

    #[test]
    fn an_answer_to_an_earlier_question_is_none_to_a_later_one() {
        let mut counting = Counting::default();
        let mut asked = [0, 1].map(|_| ask(&mut counting, &[A]));
        counting.note(A);
        assert_eq!(asked.each_mut().map(waits), [false, true]);
        counting.note(A);
        assert_eq!(asked.each_mut().map(waits), [false, false]);
    }

    #[test]
    fn nobody_waits_for_the_dead_nor_is_kept_for_nothing() {
        let mut counting = Counting::default();
        let mut counted = ask(&mut counting, &[A, B]);
        counting.note(B);
        counting.forget(A);
        assert!(!waits(&mut counted));
        (0..9).for_each(|_| drop(ask(&mut counting, &[A])));
        assert!(counting.waiting.len() <= 1, "who waits no more is forgotten");
        assert!(!waits(&mut ask(&mut counting, &[])));
    }
}
