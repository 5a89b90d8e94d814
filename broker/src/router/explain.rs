//! Who holds what, from whom, with which rights, on which route: for people, and for tests.

use std::fmt;

use cloison_msg::{Descriptor, Entry, Key, Name, Rights, Route, Work};

use super::link::{Link, Side};
use super::{Router, WhyRelayed};

/// Which link. Minted by the broker, valid in its process until the link ends, and naming nothing for ever after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(crate) Key);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.index, self.0.generation)
    }
}

/// One link as the broker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkView {
    /// Which.
    pub id: LinkId,
    /// The role that holds the end of whoever asked.
    pub from: Name,
    /// The role at the other end.
    pub to: Name,
    /// What the policy was asked about, for this link or for the one it is derived from: who asked for which interface.
    pub asked_by: Name,
    /// The interface.
    pub interface: Name,
    /// What `from` may do.
    pub rights: Rights,
    /// What `to` may do, besides answering.
    pub back: Rights,
    /// Whose link it is a copy of, if the policy has not given it itself.
    pub given_by: Option<Name>,
    /// The link it is derived from, if that still exists.
    pub parent: Option<LinkId>,
    /// How many copies of it there are.
    pub copies: usize,
    /// The route that it runs, or is on its way to.
    pub route: Route,
    /// Whether it is on its way there.
    pub changing: bool,
    /// Why it is to be relayed, if it is.
    pub why_relayed: Option<WhyRelayed>,
}

impl<D: Descriptor> Router<D> {
    /// All links between two roles, whoever asked; those of everybody with everybody if both are left out.
    #[must_use]
    pub fn explain(&self, from: Option<&Name>, to: Option<&Name>) -> Vec<LinkView> {
        let views = self.links.iter().map(|(key, link)| self.view(key, link));
        let is_one = |wanted: Option<&Name>, role: &Name| wanted.is_none_or(|wanted| wanted == role);
        views.filter(|view| is_one(from, &view.from) && is_one(to, &view.to)).collect()
    }

    /// One link, as long as it is there.
    #[must_use]
    pub fn view_of(&self, link: LinkId) -> Option<LinkView> {
        self.links.get(link.0).map(|there| self.view(link.0, there))
    }

    /// What the worker at `port` says it is busy with, with what is known here about the links it names.
    #[must_use]
    pub fn describe(&self, port: Key, work: &Work) -> Option<String> {
        work.describe(|name| {
            let Entry::Open(end) = self.ports.get(port)?.meaning(name) else { return None };
            let link = self.links.get(end.link)?;
            let peer = if end.side == Side::Asker { &link.asked } else { &link.asker };
            Some(format!("{} ({})", self.role_name(peer.port), link.lineage.ask.interface))
        })
    }

    fn view(&self, key: Key, link: &Link) -> LinkView {
        let Link { asker, asked, lineage, way, .. } = link;
        LinkView {
            id: LinkId(key),
            from: self.role_name(asker.port),
            to: self.role_name(asked.port),
            asked_by: lineage.ask.from.clone(),
            interface: lineage.ask.interface.clone(),
            rights: asker.rights.clone(),
            back: asked.rights.clone(),
            given_by: lineage.giver.as_ref().map(|giver| giver.role.clone()),
            parent: lineage.parent.map(LinkId),
            copies: lineage.children.len(),
            route: way.route(),
            changing: Side::BOTH.iter().any(|&side| way.runs_direct(side) != (way.route() == Route::Direct)),
            why_relayed: self.why_relayed(link),
        }
    }
}

impl fmt::Display for LinkView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}: {} may use {} of {} ({})", self.id, self.from, self.interface, self.to, self.rights)?;
        if self.back != Rights::default() {
            write!(f, ", {} in turn ({})", self.to, self.back)?;
        }
        match &self.given_by {
            Some(giver) => write!(f, "; a copy from {giver}, first granted to {}", self.asked_by)?,
            None if self.asked_by != self.from => write!(f, "; moved here, first granted to {}", self.asked_by)?,
            None => write!(f, "; granted by the policy")?,
        }
        let route = if self.route == Route::Direct { "direct" } else { "relayed" };
        write!(f, "; {}{route}", if self.changing { "becoming " } else { "" })?;
        self.why_relayed.map_or(Ok(()), |why| write!(f, ", since {why}"))
    }
}
