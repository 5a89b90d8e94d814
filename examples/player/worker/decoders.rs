//! The demuxer's side of the decoders: it hands packets on, several at a time, and hears what became of them.

use std::collections::VecDeque;
use std::time::Duration;

use cloison_broker::msg::{CallError, CallFailure, Failure, Message, Refusal};
use cloison_worker::{Link, OpenFailure, PendingCall, Worker};

use super::packets::{PacketSender, SendError};
use super::{AUDIO, VIDEO, code};
use crate::protocol::{DECODER, Kind, Mishap, Packet, Setup, Trouble, decoder};

/// How long a decoder may take to answer. Software decodes the largest pictures in less than half a second.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How many packets one decoder may have at once: enough that it never waits for the demuxer, few enough that little is
/// done twice after a crash.
const IN_FLIGHT: usize = 4;

/// One decoder, as the demuxer sees it.
pub struct Decoder {
    track: u32,
    link: Link,
    sender: PacketSender,
    pending: VecDeque<(i64, PendingCall)>,
    /// Whether there is nobody there any more; the host is told once, and selects again when there is.
    lost: bool,
}

impl Decoder {
    /// Opens the decoder of a track, over a new link.
    pub fn open(worker: &Worker, track: u32, setup: &Setup) -> Result<Self, Mishap> {
        let role = if setup.parameters.kind() == Kind::Audio { AUDIO } else { VIDEO };
        let link = worker.open_within(role, &DECODER, ANSWER_WITHIN).map_err(|error| match error.why {
            OpenFailure::Refused(Refusal::PeerGone(_)) | OpenFailure::Deadline(_) => Mishap::Gone,
            _ => Mishap::Undecodable(error.to_string()),
        })?;
        let sender = PacketSender::default();
        Self { track, link, sender, pending: VecDeque::new(), lost: false }.reopen(setup)
    }

    /// Opens it anew, over the link that there is.
    pub fn reopen(mut self, setup: &Setup) -> Result<Self, Mishap> {
        self.forget();
        let mut message = Message::new();
        message.append(setup).map_err(|error| Mishap::Undecodable(error.to_string()))?;
        let opened = self.link.call_within(decoder::OPEN, &mut message, ANSWER_WITHIN);
        opened.map_err(|error| judge(&error)).map(|_| self)
    }

    /// Whether there is still somebody there.
    pub fn is_there(&self) -> bool {
        !self.lost && self.link.gone().is_none()
    }

    /// Ends the link.
    pub fn close(self) {
        self.link.close();
    }

    /// The track that it decodes.
    pub fn track(&self) -> u32 {
        self.track
    }

    /// Hands on a packet. When the decoder has enough, waits until it is done with the first of them.
    pub fn take(&mut self, packet: &Packet, troubles: &mut Vec<Trouble>) {
        while self.pending.len() >= IN_FLIGHT || self.is_first_done() {
            self.settle_first(troubles);
        }
        if self.lost {
            return;
        }
        match self.sender.start(&self.link, packet) {
            Ok(call) => self.pending.push_back((packet.pts, call)),
            Err(error) => {
                let mishap = self.mishap(error);
                troubles.push(Trouble { track: self.track, pts: packet.pts, mishap });
            }
        }
    }

    /// Waits until the decoder is done with all packets and has said its last word to the host.
    pub fn finish(&mut self, troubles: &mut Vec<Trouble>) {
        while !self.pending.is_empty() {
            self.settle_first(troubles);
        }
        if self.lost {
            return;
        }
        if let Err(error) = self.link.call_within(decoder::FINISH, &mut Message::new(), ANSWER_WITHIN) {
            let mishap = self.mishap(error.into());
            troubles.push(Trouble { track: self.track, pts: i64::MAX, mishap });
        }
    }

    /// Forgets what is on its way. The decoder takes it all the same, since it may lend a buffer.
    pub fn forget(&mut self) {
        for (_, call) in self.pending.drain(..) {
            call.detach();
        }
    }

    fn is_first_done(&self) -> bool {
        self.pending.front().is_some_and(|(_, call)| call.is_done())
    }

    fn settle_first(&mut self, troubles: &mut Vec<Trouble>) {
        let Some((pts, call)) = self.pending.pop_front() else { return };
        if let Err(error) = call.wait() {
            let mishap = self.mishap(error.into());
            troubles.push(Trouble { track: self.track, pts, mishap });
        }
    }

    fn mishap(&mut self, error: SendError) -> Mishap {
        let mishap = match &error {
            SendError::Call(call) => judge(call),
            SendError::Acquire(cloison_worker::AcquireError::AllLent(_)) => Mishap::Silence,
            SendError::Acquire(_) => Mishap::Gone,
            SendError::Pool(_) if self.link.gone().is_some() => Mishap::Gone,
            SendError::Pool(_) | SendError::Append(_) => Mishap::Undecodable(error.to_string()),
        };
        self.lost |= matches!(mishap, Mishap::Silence | Mishap::Gone);
        mishap
    }
}

/// What the outcome of a call says of the decoder; in the decoder's own words, where there are any.
fn judge(error: &CallError) -> Mishap {
    match &error.why {
        CallFailure::Deadline | CallFailure::Overloaded | CallFailure::Cancelled => Mishap::Silence,
        CallFailure::Gone(_) | CallFailure::PeerRestarted(_) => Mishap::Gone,
        // The packet is not to blame, so it must not be given up: a successor delivers what comes of it.
        CallFailure::Failed(Failure::Remote { code: code::UNDELIVERED, .. }) => Mishap::Silence,
        CallFailure::Failed(Failure::Remote { text, .. }) => Mishap::Undecodable(text.to_string()),
        CallFailure::Failed(_) | CallFailure::Unsendable(_) | CallFailure::Unreadable(_) => {
            Mishap::Undecodable(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use cloison_broker::msg::Name;

    use super::*;

    fn judged(why: CallFailure) -> Mishap {
        let peer = Name::new(VIDEO).expect("a name");
        judge(&CallError { peer, rpc: decoder::PACKET, after: ANSWER_WITHIN, why })
    }

    #[test]
    fn only_what_cannot_be_decoded_is_given_up() {
        let remote = |code| CallFailure::Failed(Failure::remote(code, "why"));
        assert_eq!(judged(remote(code::MEDIA)), Mishap::Undecodable("why".to_owned()));
        assert_eq!(judged(remote(code::UNDELIVERED)), Mishap::Silence);
        assert_eq!(judged(CallFailure::Deadline), Mishap::Silence);
    }
}
