//! Links that travel in messages.

use std::io;
use std::os::fd::OwnedFd;

use cloison_msg::control::ToBroker;
use cloison_msg::{
    CallFailure, Denial, Destination, Failure, Gone, Header, LINKS_MAX, LinkRef, Message, Passage, RightsFlags, Route,
    Text, Transfer,
};
use smallvec::SmallVec;

use crate::session::Session;
use crate::wire::{Posted, Wire};

/// Whether a link may be given away: it must be relayed, and stay so until it has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nobody wants to give it away.
    No,
    /// The broker was asked.
    Asked,
    /// The broker has said that it is.
    Given,
}

/// The links that a message gives away.
type Moves = SmallVec<[Destination; LINKS_MAX]>;

impl Session {
    /// Whether a message can leave as far as the links that it carries are concerned; `None` if not yet.
    pub(crate) fn prepare_links(
        &mut self,
        by: Destination,
        message: &Message<OwnedFd>,
    ) -> Option<Result<(), CallFailure>> {
        if message.links().is_empty() {
            return Some(Ok(()));
        }
        if let Err(why) = self.check_links(by, message.links()) {
            return Some(Err(why));
        }
        (self.bring_to_rest(message) && self.has_way(by)).then_some(Ok(()))
    }

    /// Why a message that was not sent in time was not.
    pub(crate) fn why_late(&self, message: &Message<OwnedFd>) -> CallFailure {
        let is_at_rest = |link| self.ends.get(link).is_none_or(|end| end.rest == Rest::Given);
        if moves(message).into_iter().all(is_at_rest) {
            CallFailure::Overloaded
        } else {
            CallFailure::Failed(Failure::Denied(Denial::Moving))
        }
    }

    /// What the broker would deny is not sent: with it would go the links that the message gives away.
    fn check_links(&self, by: Destination, links: &[LinkRef]) -> Result<(), CallFailure> {
        for (at, LinkRef { link, transfer, .. }) in links.iter().enumerate() {
            let unsendable = |what: &str| Err(CallFailure::Unsendable(Text::new(&format!("{link}, {what}"))));
            let is_move = *transfer == Transfer::Move;
            let Some(end) = self.ends.get(*link) else {
                return unsendable(&format!("which the message carries, is not open: {}", self.why_gone(*link)));
            };
            if !end.rights.flags.contains(RightsFlags::DELEGATE) {
                return Err(CallFailure::Failed(Failure::Denied(Denial::Delegation)));
            }
            if is_move && end.lending.has_pools() {
                return Err(CallFailure::Failed(Failure::Denied(Denial::Moving)));
            }
            if is_move && *link == by {
                return unsendable("by which the message goes, cannot be given away by it");
            }
            let again = |other: &LinkRef| other.link == *link && (is_move || other.transfer == Transfer::Move);
            if links[..at].iter().any(again) {
                return unsendable("which the message gives away, stands in it twice");
            }
        }
        Ok(())
    }

    /// Whether every link that the message gives away is at rest; asks for it.
    fn bring_to_rest(&mut self, message: &Message<OwnedFd>) -> bool {
        let mut are_at_rest = true;
        for link in moves(message) {
            let Some(end) = self.ends.get_mut(link) else { continue };
            are_at_rest &= end.rest == Rest::Given;
            if end.rest == Rest::No {
                end.rest = Rest::Asked;
                self.say(&ToBroker::Rest { link });
            }
        }
        are_at_rest
    }

    /// The broker has said that a link is at rest.
    pub(crate) fn note_rest(&mut self, link: Destination) {
        if let Some(end) = self.ends.get_mut(link) {
            end.rest = Rest::Given;
        }
    }

    /// Whether a message with links can leave now. Where it makes an excursion, the word that says so must be the next on
    /// the socket, and leave before the message does.
    fn has_way(&mut self, by: Destination) -> bool {
        let now = self.time;
        let Some(end) = self.ends.get_mut(by) else { return true };
        match (end.link.outbound(), &mut end.wire) {
            (Route::Direct, Some(wire)) => wire.has_room(now),
            _ => true,
        }
    }

    /// Sends a message with links, and clears it. Those that it gives away are gone then.
    ///
    /// # Errors
    /// The system's, if it refuses this very message.
    pub(crate) fn post_carrying(&mut self, header: &Header, message: &mut Message<OwnedFd>) -> io::Result<Posted> {
        let given = moves(message);
        let passage = self.ends.get(header.destination).map(|end| end.link.passage(header));
        let posted = match passage {
            Some(Passage::Excursion) => self.post_excursion(header, message)?,
            Some(Passage::By(_)) | None => self.post_by(Route::Relayed, header, message)?,
        };
        if posted != Posted::Lost {
            for link in given {
                self.depart(link, Gone::Moved);
            }
        }
        Ok(posted)
    }

    /// Says on the socket that the next word is relayed, and behind that word that the socket goes on.
    fn post_excursion(&mut self, header: &Header, message: &mut Message<OwnedFd>) -> io::Result<Posted> {
        let now = self.time;
        let Some(end) = self.ends.get_mut(header.destination) else { return Ok(Posted::Lost) };
        let switch = end.link.switch();
        if end.wire.as_mut().map_or(Ok(Posted::Lost), |wire: &mut Wire| wire.post_now(&switch, now))? == Posted::Lost {
            return Ok(Posted::Lost);
        }
        let posted = self.control.insist(header, message, now);
        let empty = self.spare_message();
        self.post_own_by(Route::Relayed, &switch, empty);
        Ok(posted)
    }

    /// Gives up links that came with something that nobody has taken.
    pub(crate) fn close_all(&mut self, links: impl IntoIterator<Item = Destination>) {
        for link in links {
            self.close_end(link);
        }
    }

    /// Gives up the links that a message would have given away which cannot be sent, and which nobody gets back.
    pub(crate) fn close_moves(&mut self, message: &Message<OwnedFd>) {
        // Few messages carry links.
        if !message.links().is_empty() {
            self.close_all(moves(message));
        }
    }
}

fn moves(message: &Message<OwnedFd>) -> Moves {
    message.links().iter().filter(|carried| carried.transfer == Transfer::Move).map(|carried| carried.link).collect()
}
