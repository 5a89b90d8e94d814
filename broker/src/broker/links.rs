//! What a host does about the links of others: sees them, lets them take another route, takes them back.

use std::fmt;
use std::sync::Arc;

use cloison_msg::{Name, Route};
use tokio::sync::oneshot;

use super::{Broker, Change};
use crate::driver::{Command, Commands};
use crate::policy::{Model, Policy};
use crate::router::{LinkId, LinkView};
use crate::wait::wait;

impl Broker {
    /// Builds links by another model from now on, those that there are included: each changes its route as soon as both
    /// its holders do their part, while they go on using it. Nothing is lost, doubled or reordered on any link. The change
    /// is complete when no link is on its way from one route to the other.
    ///
    /// A holder that does not do its part within [`SWITCH_WITHIN`](crate::SWITCH_WITHIN) is evicted. Which links stay
    /// relayed all the same, and why, says [`LinkView::why_relayed`].
    pub fn set_model(&self, model: Model) -> Change {
        let (done, change) = Change::begin();
        self.commands.give(Command::SetModel { model, done });
        change
    }

    /// Decides by another policy from now on, also about the links that there are: a link for which the new one gives less
    /// goes on with less, one for which it gives nothing is revoked with all that came of it, and the others go on
    /// undisturbed. Nothing grows: who is to have more asks again. The change is complete when nothing more is delivered
    /// over what the new policy does not grant.
    pub fn set_policy(&self, policy: impl Policy + 'static) -> Change {
        let (done, change) = Change::begin();
        self.commands.give(Command::SetPolicy { policy: Arc::new(policy), done });
        change
    }

    /// Who holds which links between two roles, from whom, with which rights, on which route and why; whoever of the two
    /// asked. Print one with `{}`, for people.
    #[must_use]
    pub fn explain(&self, from: &str, to: &str) -> Vec<LinkView> {
        let (Ok(from), Ok(to)) = (Name::new(from), Name::new(to)) else { return Vec::new() };
        let is_between = |view: &LinkView| (view.from == from && view.to == to) || (view.from == to && view.to == from);
        self.links().into_iter().filter(is_between).collect()
    }

    /// All links that there are, as [`explain`](Self::explain) shows them.
    #[must_use]
    pub fn links(&self) -> Vec<LinkView> {
        look(&self.commands, None)
    }

    /// A handle on one link, whoever holds its ends: to change its route, to take it back.
    #[must_use]
    pub fn link(&self, id: LinkId) -> LinkHandle {
        LinkHandle { id, commands: self.commands.clone() }
    }
}

fn look(commands: &Commands, link: Option<LinkId>) -> Vec<LinkView> {
    let (done, views) = oneshot::channel();
    commands.give(Command::Explain { link, done });
    wait(views).unwrap_or_default()
}

/// A handle on one link, whoever holds its ends. It outlives the link; then it does nothing.
#[derive(Clone)]
pub struct LinkHandle {
    id: LinkId,
    commands: Commands,
}

impl LinkHandle {
    /// Which link.
    #[must_use]
    pub const fn id(&self) -> LinkId {
        self.id
    }

    /// The link as it is at this moment; `None` once it has ended.
    #[must_use]
    pub fn view(&self) -> Option<LinkView> {
        look(&self.commands, Some(self.id)).pop()
    }

    /// Lets the link run by this route whatever the model says, or again as the model says (`None`). Rights that only the
    /// broker can enforce keep it relayed all the same; [`view`](Self::view) says so. Complete when the link is not on its
    /// way from one route to the other any more, or has ended.
    pub fn set_route(&self, route: Option<Route>) -> Change {
        let (done, change) = Change::begin();
        self.commands.give(Command::SetRoute { link: self.id, route, done });
        change
    }

    /// Takes the link back from both holders, and all links that were derived from it, wherever they have gone. Calls that
    /// wait on them fail with [`Gone::Revoked`](cloison_msg::Gone::Revoked). When the change is complete, nothing more is
    /// delivered over any of them: not what is unread, nor what was queued on a direct link's socket.
    pub fn revoke(&self) -> Change {
        let (done, change) = Change::begin();
        self.commands.give(Command::Revoke { link: self.id, done: Arc::new(done) });
        change
    }
}

impl fmt::Debug for LinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LinkHandle").field(&self.id).finish()
    }
}
