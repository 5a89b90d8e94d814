//! The router: a state machine with no sockets, no clock, no processes and no randomness in it.
//!
//! `handle_*` in, [`Router::poll`] out; time is an argument, descriptors are a type parameter. It cannot fail: whatever
//! a worker sends, the worst that follows is the eviction of *that worker*, which comes out as [`Output::Evict`].
//!
//! One message takes one path through it: [`Router::handle_message`] looks up the sender's name for the link, counts,
//! asks [`decide`](cloison_msg::decide), and gives the header as the receiver is to see it. Whoever drives the router
//! sends the same payload on behind that header; the router never copies one.

mod carrying;
mod due;
mod ending;
mod explain;
mod lineage;
mod link;
mod offering;
mod opening;
mod output;
mod pools;
mod port;
mod relay;
mod replacing;
mod routes;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use cloison_msg::control::ToWorker;
use cloison_msg::{Descriptor, Gone, Key, Name, Table, Time};

use crate::policy::{HOST, Model, Policy};
pub use due::RELEASE_WITHIN;
use due::{Due, Revocation};
pub use explain::{LinkId, LinkView};
use link::Link;
pub use link::{
    COPIES_DEEP, COPIES_PER_WORKER, DESCRIPTOR_LINKS_PER_WORKER, GIVEN_PER_WORKER, LINKS_BY_OTHERS, LINKS_PER_PAIR,
    LINKS_PER_WORKER, OFFERS_PER_PAIR,
};
pub use opening::OPENS_WAITING;
use opening::Question;
pub use output::{Body, Event, Forward, Output, PoolTicket, Violation};
pub use pools::{POOL_BYTES_EVER, POOL_BYTES_PER_WORKER, POOLS_PER_LINK};
use port::Port;
pub use port::Traffic;
pub use relay::Freight;
pub use routes::{SWITCH_WITHIN, WhyRelayed};

/// The router of one broker. `D` is a descriptor: owned in production, a plain mark in tests.
#[derive(Clone)]
pub struct Router<D> {
    policy: Arc<dyn Policy>,
    model: Model,
    ports: Table<Port>,
    links: Table<Link>,
    /// Every role that was ever declared, and who plays it.
    roles: BTreeMap<Name, Role>,
    host: Key,
    /// Links about which the host is being asked.
    questions: Table<Question>,
    revocations: Vec<Revocation>,
    /// What is to be confirmed, and until when.
    due: BTreeSet<(Time, Due)>,
    outputs: VecDeque<Output<D>>,
}

/// Who plays a role.
#[derive(Clone, Debug, Hash)]
enum Role {
    /// Nobody yet, or nobody at the moment.
    Awaited,
    /// The worker at this port.
    Played(Key),
    /// Nobody, and nobody will.
    Ended(Gone),
}

impl<D: Descriptor> Router<D> {
    /// A router that knows only the host.
    #[must_use]
    pub fn new(policy: Arc<dyn Policy>, model: Model) -> Self {
        let mut ports = Table::new();
        let host_role = Name::new(HOST).expect("a constant that is a name");
        let host = ports.insert(Port::host(host_role.clone()));
        let roles = BTreeMap::from([(host_role, Role::Played(host))]);
        Self {
            policy,
            model,
            ports,
            links: Table::new(),
            roles,
            host,
            questions: Table::new(),
            revocations: Vec::new(),
            due: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The host's own port.
    #[must_use]
    pub const fn host(&self) -> Key {
        self.host
    }

    /// Makes a role known: from now on a link to it can be asked for, and is waited for until a worker plays it.
    pub fn declare(&mut self, role: Name) {
        self.roles.entry(role).or_insert(Role::Awaited);
    }

    /// A worker was started and is about to say hello: gives it a port.
    pub fn handle_start(&mut self, role: Name) -> Key {
        let port = self.ports.insert(Port::worker(role.clone()));
        self.roles.insert(role, Role::Played(port));
        port
    }

    /// The worker at `port` is not started again when it dies, or is after all. Its peers are told by that what it died of.
    pub fn handle_last_life(&mut self, port: Key, is_last: bool) {
        if let Some(port) = self.ports.get_mut(port) {
            port.is_last = is_last;
        }
    }

    /// A worker is dead, and all that it had sent was handled. Its links end; its role is awaited again.
    pub fn handle_death(&mut self, port: Key, why: &Gone) {
        self.close_links_of(port, why);
        self.forget_questions(|question| question.is_of(port));
        self.release_all_of(port);
        let Some(dead) = self.ports.remove(port) else { return };
        if let Some(role) = self.roles.get_mut(dead.role())
            && matches!(role, Role::Played(player) if *player == port)
        {
            *role = Role::Awaited;
        }
    }

    /// Nobody will play this role again: whoever waits for it is told.
    pub fn handle_retirement(&mut self, role: &Name, why: Gone) {
        self.roles.insert(role.clone(), Role::Ended(why));
        self.settle_opens(role);
    }

    /// A role that had ended may be played again.
    pub fn handle_return(&mut self, role: &Name) {
        if let Some(role @ Role::Ended(_)) = self.roles.get_mut(role) {
            *role = Role::Awaited;
        }
    }

    /// So much waits for the port that nobody may cause more by opening links to it, or it has caught up again: then
    /// whoever waited for it is connected. Windows bound what waits on a link, but not on one after the other.
    pub fn handle_crowd(&mut self, port: Key, crowded: bool) {
        let Some(crowd) = self.ports.get_mut(port).filter(|port| port.is_crowded() != crowded) else { return };
        crowd.set_crowded(crowded);
        if !crowded {
            let role = crowd.role().clone();
            self.settle_opens(&role);
        }
    }

    /// What is to be done next. Call until `None` after every `handle_*`.
    pub fn poll(&mut self) -> Option<Output<D>> {
        self.outputs.pop_front()
    }

    /// Whether [`poll`](Self::poll) would say something.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// What the worker at `port` has sent through the broker.
    #[must_use]
    pub fn traffic(&self, port: Key) -> Option<Traffic> {
        self.ports.get(port).map(Port::traffic)
    }

    /// The role played at `port`.
    #[must_use]
    pub fn role_at(&self, port: Key) -> Option<&Name> {
        self.ports.get(port).map(Port::role)
    }

    /// Asks every worker that holds a direct link what it sent over those. They answer in the order in which they are asked.
    pub fn count_direct(&mut self) -> BTreeSet<Key> {
        let direct = self.links.iter().filter(|(_, link)| link.way.has_pair());
        let holders: BTreeSet<Key> = direct.flat_map(|(_, link)| [link.asker.port, link.asked.port]).collect();
        for &port in &holders {
            self.say(port, ToWorker::Count, Vec::new());
        }
        holders
    }

    /// Something at `port` broke the protocol: the worker's links end now, and it is to be killed.
    pub fn evict(&mut self, port: Key, violation: Violation) {
        let Some(culprit) = self.ports.get_mut(port) else { return };
        if !culprit.condemn() {
            return;
        }
        let role = culprit.role().clone();
        self.close_links_of(port, &Gone::Evicted(violation.to_string().into()));
        self.outputs.push_back(Output::Evict { port, violation: violation.clone() });
        self.tell(Event::Evicted { role, violation });
    }

    fn say(&mut self, to: Key, word: ToWorker, descriptors: Vec<D>) {
        self.outputs.push_back(output::word(to, word, descriptors));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Tell(event));
    }
}

/// Everything but the policy, which is no state.
impl<D: Hash> Hash for Router<D> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { policy: _, model, ports, links, roles, host, questions, revocations, due, outputs } = self;
        (model, ports, links, roles, host).hash(state);
        (questions, revocations, due, outputs).hash(state);
    }
}

impl<D> fmt::Debug for Router<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ports, links) = (self.ports.len(), self.links.len());
        f.debug_struct("Router")
            .field("model", &self.model)
            .field("ports", &ports)
            .field("links", &links)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
