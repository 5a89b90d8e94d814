//! What requests give that are answered by streams: pulled whenever there is credit.

use std::os::fd::OwnedFd;
use std::time::Duration;

use cloison_msg::contract::{Output, Packet, Produced};
use cloison_msg::{Caller, Failure, Header, Message, Room};

use super::ItemSent;
use crate::cancel::Serving;
use crate::session::{Frame, Session};
use crate::worker::Awaited;
use crate::{Link, Worker};

/// How long one stream is pulled before the sockets and the other streams are looked at.
pub(crate) const TURN_MAX: Duration = Duration::from_millis(1);

/// A call whose answer is a stream.
pub(crate) struct Producer {
    pub(crate) call: Header,
    pub(crate) chain: Frame,
    pub(crate) output: Output<Link>,
    /// An item for which the link has no room yet.
    pub(crate) held: Option<Message<OwnedFd>>,
    /// What its next item needs was in use when so much had arrived.
    pub(crate) stalled: Option<u64>,
}

/// What is to be done about a stream now.
pub(crate) enum Turn {
    /// Its next items are to be made.
    Pull(Producer),
    /// Nobody waits for it any more.
    Drop(Producer),
    /// Its reader wants no more.
    Refused(Producer),
}

impl Worker {
    /// The first stream for which something can be done, of the chain that is being served, of that which is awaited, or of
    /// any if nothing is being served.
    pub(crate) fn next_turn(&self, session: &mut Session, awaited: Awaited) -> Option<Turn> {
        let mut producers = self.producers();
        if producers.is_empty() {
            return None;
        }
        let served = session.serving.last().map(|serving| serving.frame.chain);
        let at = producers.iter_mut().position(|producer| {
            let chain = Some(producer.chain.chain);
            (matches!(awaited, Awaited::Work) || chain == awaited.chain() || chain == served)
                && is_ready(session, producer)
        })?;
        let producer = producers.remove(at);
        Some(match room(session, &producer.call) {
            Room::Over => Turn::Drop(producer),
            Room::Unwanted => Turn::Refused(producer),
            Room::Free | Room::Full => Turn::Pull(producer),
        })
    }

    pub(crate) fn take_turn(&self, turn: Turn) {
        match turn {
            Turn::Pull(producer) => self.pull(producer),
            Turn::Drop(producer) => self.end_stream(producer, None),
            Turn::Refused(producer) => {
                self.end_stream(producer, Some((Err(Failure::Cancelled), Message::new())));
            }
        }
        // As behind a request that was served while something else waits.
        self.session().pause();
    }

    /// Makes items as long as there is room for them, for a short time.
    fn pull(&self, mut producer: Producer) {
        let until = self.tick().after(TURN_MAX);
        // While it lives, what is sent over the link shares packets. The last of them leaves at the end of the turn.
        let mut batch = None;
        loop {
            let (mut message, produced) = self.produce(&mut producer);
            match produced {
                Produced::End(result) => return self.end_stream(producer, Some((result, message))),
                Produced::NotYet => {
                    let mut session = self.session();
                    session.return_message(message);
                    producer.stalled = Some(session.arrived);
                    return self.producers().push(producer);
                }
                Produced::Item(Packet::Shared) if batch.is_none() => {
                    batch = Some(self.link(producer.call.destination).batch());
                }
                Produced::Item(_) => {}
            }
            let mut session = self.session();
            let (link, call) = (producer.call.destination, producer.call.call);
            match session.try_item(link, call, Caller::Peer, &mut message) {
                Some(ItemSent::Failed(why)) => {
                    drop(session);
                    return self.end_stream(producer, Some((Err(Failure::Unanswerable(why)), message)));
                }
                Some(ItemSent::Sent | ItemSent::Unwanted) => session.return_message(message),
                None => producer.held = Some(message),
            }
            let is_late = session.time >= until;
            if producer.held.is_some()
                || is_late
                || room(&session, &producer.call) != Room::Free
                || session.is_dry(&producer.call)
            {
                // Behind the others.
                self.producers().push(producer);
                if is_late {
                    session.pump_at_once();
                }
                return;
            }
        }
    }

    /// Has the next item made, or the reply, as part of its call.
    fn produce(&self, producer: &mut Producer) -> (Message<OwnedFd>, Produced) {
        let mut session = self.session();
        let deadline = session.time.after(producer.call.time_left());
        let frame = Frame { deadline, ..producer.chain };
        session.serving.push(Serving { frame, header: producer.call, cancelled: false });
        let (mut message, before) = (session.spare_message(), session.note_request(&producer.call));
        drop(session);
        let produced = (producer.output)(&mut message);
        let mut session = self.session();
        session.serving.pop();
        session.note_return(before);
        session.tick();
        (message, produced)
    }

    /// The call is answered, unless nobody waits for that. What made its items may do anything when it is dropped, so nothing
    /// is borrowed then.
    fn end_stream(&self, producer: Producer, answer: Option<(Result<(), Failure>, Message<OwnedFd>)>) {
        let Producer { call, output, held, .. } = producer;
        drop(output);
        let mut session = self.session();
        if let Some((result, mut message)) = answer {
            session.answer(&call, result, &mut message);
            session.return_message(message);
        }
        held.into_iter().for_each(|held| session.return_message(held));
        session.close_inflow(call.destination, call.call, Caller::Peer);
    }
}

/// Whether something can be done about it. An item that waits for room is sent if it can be.
fn is_ready(session: &mut Session, producer: &mut Producer) -> bool {
    let call = &producer.call;
    match room(session, call) {
        Room::Over | Room::Unwanted => return true,
        Room::Full => return false,
        Room::Free if producer.stalled == Some(session.arrived) => return false,
        // What is made of something that is fed would wait for that, and hold up everybody.
        Room::Free if producer.held.is_none() && session.is_dry(call) => return false,
        Room::Free => {}
    }
    let Some(mut held) = producer.held.take() else { return true };
    if session.try_item(call.destination, call.call, Caller::Peer, &mut held).is_none() {
        producer.held = Some(held);
        return false;
    }
    session.return_message(held);
    room(session, &producer.call) == Room::Free && !session.is_dry(&producer.call)
}

pub(crate) fn room(session: &Session, call: &Header) -> Room {
    session.ends.get(call.destination).map_or(Room::Over, |end| end.link.room(call.call, Caller::Peer))
}
