//! How a world begins, and what is to happen in it.

use cloison_broker::{Grant, Model};
use cloison_msg::{Interface, Name, PAYLOAD_MAX, Rights, RpcSet, Transfer};

use super::Fault;

/// What everybody in the world speaks.
pub const INTERFACE: Interface = Interface::new("work", &["zero", "one", "two"]);

/// A payload of which two fill a window, so that the third has to wait for a credit.
#[expect(clippy::cast_possible_truncation, reason = "a payload's length fits its field in the header")]
pub const LARGE: u32 = PAYLOAD_MAX as u32;

/// A world's beginning. Everything in it happens in some order; the explorer tries all.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How links are built at first.
    pub model: Model,
    /// The links, by the places of who asks and who is asked among [`agendas`](Self::agendas).
    pub links: Vec<[usize; 2]>,
    /// What each worker's application does, in this order; there are as many workers.
    pub agendas: Vec<Vec<Act>>,
    /// What the host does: several lists, each in its order.
    pub host: Vec<Vec<HostAct>>,
    /// How many workers may die, at any moment.
    pub crashes: u8,
    /// How many may stand still for ever, at any moment.
    pub freezes: u8,
    /// How many packets one direction of a link's own socket holds.
    pub room: usize,
    /// What everybody may do.
    pub rights: Rights,
    /// Whether messages may be denied, and links end because of that.
    pub denies: bool,
    /// A rule that is broken on purpose.
    pub fault: Option<Fault>,
}

/// What an application does. Links are named by the order in which its worker got them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Sends a message that nobody answers.
    Oneway {
        /// By which link.
        link: usize,
        /// Length of its payload.
        size: u32,
    },
    /// Makes a call.
    Call {
        /// By which link.
        link: usize,
        /// Length of its payload.
        size: u32,
    },
    /// Sends a message of any kind, perhaps without the right to it.
    Say {
        /// By which link.
        link: usize,
        /// Whether it is a call.
        is_call: bool,
        /// The method.
        rpc: u16,
        /// How many descriptors, all of them pipes.
        descriptors: u8,
    },
    /// Sends a oneway that carries a link.
    Carry {
        /// By which link.
        by: usize,
        /// Which one it carries.
        link: usize,
        /// What becomes of the sender's own.
        transfer: Transfer,
        /// Which methods the receiver may use, of those that the sender may.
        methods: RpcSet,
    },
    /// Gives up the first of its calls that waits, if one does.
    Cancel {
        /// By which link it was made.
        link: usize,
    },
    /// Makes a call that is fed, and that is given an item before its answer.
    Stream {
        /// By which link.
        link: usize,
    },
    /// Feeds the last call, if it goes on.
    Item {
        /// By which link.
        link: usize,
    },
    /// Closes a link.
    Close {
        /// Which.
        link: usize,
    },
}

impl Act {
    /// By which link it happens.
    #[must_use]
    pub const fn link(self) -> usize {
        match self {
            Self::Oneway { link, .. }
            | Self::Call { link, .. }
            | Self::Say { link, .. }
            | Self::Cancel { link }
            | Self::Stream { link }
            | Self::Item { link }
            | Self::Close { link } => link,
            Self::Carry { by, .. } => by,
        }
    }
}

/// What the host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostAct {
    /// Builds links by another model.
    Model(Model),
    /// Takes a link back, and all that came of it. By the order in which links were made.
    Revoke(usize),
}

impl Setup {
    /// Two workers with a link from the first to the second.
    #[must_use]
    pub fn two(model: Model, agendas: [Vec<Act>; 2]) -> Self {
        Self {
            model,
            links: vec![[0, 1]],
            agendas: agendas.into(),
            host: Vec::new(),
            crashes: 0,
            freezes: 0,
            room: 1,
            rights: Rights::methods(INTERFACE.all()).delegable(),
            denies: false,
            fault: None,
        }
    }

    /// The same, and the host does this in its own time.
    #[must_use]
    pub fn host(mut self, acts: impl Into<Vec<HostAct>>) -> Self {
        self.host.push(acts.into());
        self
    }

    /// The same, and so many workers may die.
    #[must_use]
    pub fn crashes(mut self, crashes: u8) -> Self {
        self.crashes = crashes;
        self
    }

    /// The same, and so many workers may stand still for ever.
    #[must_use]
    pub fn freezes(mut self, freezes: u8) -> Self {
        self.freezes = freezes;
        self
    }

    /// The same, with a rule that is broken.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    pub(super) fn grant(&self) -> Grant {
        Grant { rights: self.rights.clone(), back: self.rights.clone() }
    }
}

/// The role of the worker at this place.
#[must_use]
pub fn role(worker: usize) -> Name {
    Name::new(&format!("worker-{}", name(worker))).expect("a name")
}

/// What people call the worker at this place.
pub(super) fn name(worker: usize) -> char {
    char::from(b'a' + u8::try_from(worker).unwrap_or(25))
}
