//! A decision that the policy leaves to the host.

use cloison_msg::{Key, Name};

use crate::driver::{Command, Commands};
use crate::policy::Grant;

/// Somebody asks for a link about which the policy [defers](crate::Decision::Defer). Who asks waits for the answer, as long
/// as its own deadline lets it; nobody else does. Dropped unanswered, it refuses.
#[derive(Debug)]
#[must_use = "dropped, it refuses"]
pub struct Question {
    question: Key,
    from: Name,
    to: Name,
    interface: Name,
    commands: Commands,
    answer: Option<Grant>,
}

impl Question {
    pub(crate) const fn new(question: Key, from: Name, to: Name, interface: Name, commands: Commands) -> Self {
        Self { question, from, to, interface, commands, answer: None }
    }

    /// The role that asks.
    #[must_use]
    pub const fn from(&self) -> &Name {
        &self.from
    }

    /// The role that it means to call.
    #[must_use]
    pub const fn to(&self) -> &Name {
        &self.to
    }

    /// The interface that it means to use.
    #[must_use]
    pub const fn interface(&self) -> &Name {
        &self.interface
    }

    /// Gives the link, if its asker still waits for it.
    pub fn grant(mut self, grant: Grant) {
        self.answer = Some(grant);
    }

    /// Refuses: for its asker, what it asked for does not exist.
    pub fn refuse(self) {}
}

impl Drop for Question {
    fn drop(&mut self) {
        self.commands.give(Command::Decide { question: self.question, grant: self.answer.take() });
    }
}
