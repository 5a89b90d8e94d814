//! Who may talk to whom.

use cloison_msg::{Contract, Interface, Name, Rights};

pub use cloison_msg::HOST;

/// What a policy is asked: may one role use an interface of another?
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The role that asks.
    pub from: &'a Name,
    /// The role that it means to call.
    pub to: &'a Name,
    /// The interface that it means to use.
    pub interface: &'a Name,
}

/// What a policy gives: the rights of the two ends of a link. The default gives nothing to either.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grant {
    /// What the asker may do.
    pub rights: Rights,
    /// What the other side may do, besides answering.
    pub back: Rights,
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The link is given, with these rights.
    Grant(Grant),
    /// It does not exist for the asker.
    Refuse,
    /// Somebody has to be asked, the host's user perhaps: [`Item::Question`](crate::Item::Question) comes into the inbox. Who
    /// asked waits for the answer, and nobody else.
    Defer,
}

impl From<Option<Grant>> for Decision {
    fn from(grant: Option<Grant>) -> Self {
        grant.map_or(Self::Refuse, Self::Grant)
    }
}

/// Decides who is given which link. What it does not grant does not exist for the asker.
///
/// A closure that gives a [`Decision`] or an `Option<Grant>` is a policy, and so is [`Rules`]:
///
/// ```
/// # use cloison_broker::{Ask, Grant, Policy};
/// # use cloison_broker::msg::{Rights, RpcSet};
/// let anyone_may_log = |ask: &Ask<'_>| {
///     (ask.to.as_str() == "log").then(|| Grant { rights: Rights::methods(RpcSet::first(1)), ..Grant::default() })
/// };
/// fn takes(_: impl Policy) {}
/// takes(anyone_may_log);
/// ```
pub trait Policy: Send + Sync {
    /// What becomes of a wish for a link. Called on the broker's own thread: it must not block, but may
    /// [`Defer`](Decision::Defer). Asked again about links that there are when it takes another policy's place: then
    /// `Defer` refuses.
    fn decide(&self, ask: &Ask<'_>) -> Decision;
}

impl<F, D> Policy for F
where
    F: Fn(&Ask<'_>) -> D + Send + Sync,
    D: Into<Decision>,
{
    fn decide(&self, ask: &Ask<'_>) -> Decision {
        self(ask).into()
    }
}

/// A policy that is a table. What no rule allows is not there.
///
/// ```
/// # use cloison_broker::{HOST, Rules};
/// # use cloison_broker::msg::{Interface, Rights};
/// const VIDEO: Interface = Interface::new("video", &["open", "packet", "flush"]);
/// const SCREEN: Interface = Interface::new("screen", &["picture"]);
///
/// let policy = Rules::new()
///     .allow("demux", "video", &VIDEO)
///     .allow_with("video", HOST, &SCREEN, Rights::methods(SCREEN.all()).lending());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    from: Name,
    to: Name,
    interface: Name,
    decision: Decision,
}

impl Rules {
    /// A table that allows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `from` may use every method of `interface` of `to`, without descriptors and without buffers.
    ///
    /// # Panics
    /// If a role is no [`Name`]: rules are written by the host's author, and seen to work.
    #[must_use]
    pub fn allow(self, from: &str, to: &str, interface: &Interface) -> Self {
        self.allow_with(from, to, interface, Rights::methods(interface.all()))
    }

    /// `from` may use all that `contract` says of `to`: its methods, the descriptors that they take and give, the buffers
    /// that they are lent, and those that it lends.
    ///
    /// # Panics
    /// If a role is no [`Name`].
    #[must_use]
    pub fn allow_contract(self, from: &str, to: &str, contract: &Contract) -> Self {
        self.allow_grant(from, to, contract, Grant { rights: contract.rights(), back: contract.answer_rights() })
    }

    /// `from` may use `interface` of `to` with exactly these rights.
    ///
    /// # Panics
    /// If a role is no [`Name`].
    #[must_use]
    pub fn allow_with(self, from: &str, to: &str, interface: &Interface, rights: Rights) -> Self {
        self.allow_grant(from, to, interface, Grant { rights, back: Rights::default() })
    }

    /// `from` may use `interface` of `to` with the rights of this grant, and `to` has those that it gives back: such as
    /// [`Contract::answer_rights`].
    ///
    /// # Panics
    /// If a role is no [`Name`].
    #[must_use]
    pub fn allow_grant(self, from: &str, to: &str, interface: &Interface, grant: Grant) -> Self {
        self.rule(from, to, interface, Decision::Grant(grant))
    }

    /// The host is asked each time that `from` wishes for `interface` of `to`.
    ///
    /// # Panics
    /// If a role is no [`Name`].
    #[must_use]
    pub fn ask(self, from: &str, to: &str, interface: &Interface) -> Self {
        self.rule(from, to, interface, Decision::Defer)
    }

    fn rule(mut self, from: &str, to: &str, interface: &Interface, decision: Decision) -> Self {
        let role = |role: &str| Name::new(role).unwrap_or_else(|error| panic!("the role {role:?}: {error}"));
        self.rules.push(Rule { from: role(from), to: role(to), interface: interface.name(), decision });
        self
    }
}

impl Policy for Rules {
    fn decide(&self, ask: &Ask<'_>) -> Decision {
        let fits = |rule: &&Rule| rule.from == *ask.from && rule.to == *ask.to && rule.interface == *ask.interface;
        self.rules.iter().find(fits).map_or(Decision::Refuse, |rule| rule.decision.clone())
    }
}

/// How links are built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Model {
    /// Every message passes the broker and is checked there.
    #[default]
    Broker,
    /// Workers talk directly, over sockets the broker handed out; the receiving runtime checks.
    Orchestrator,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_rule_allows_is_not_there() {
        const VIDEO: Interface = Interface::new("video", &["open"]);
        let policy = Rules::new().allow("demux", "video", &VIDEO);
        let name = |name: &str| Name::new(name).unwrap();
        let ask = |from: &str, to: &str, interface: &str| {
            let (from, to, interface) = (name(from), name(to), name(interface));
            policy.decide(&Ask { from: &from, to: &to, interface: &interface }) != Decision::Refuse
        };
        assert!(ask("demux", "video", "video"));
        assert!(!ask("video", "demux", "video"));
        assert!(!ask("demux", "video", "audio"));
        assert!(!ask("demux", "host", "video"));
    }
}
