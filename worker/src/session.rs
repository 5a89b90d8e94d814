//! Everything that a worker holds: its sockets, its ends of links, what has arrived and what is awaited.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use cloison_ipc::Passed;
use cloison_msg::control::{RequestId, ToBroker};
use cloison_msg::{
    CallFailure, Caller, ChainId, Destination, Ends, Gone, Header, Kind, LinkEnd, Message, Name, Rights, Route, Time,
    Via, WINDOW_MESSAGES,
};
use rustix::event::PollFlags;
use serde::Serialize;
use slab::Slab;

use crate::buffers::{Buffers, Payload};
use crate::cancel::{Serving, Underway};
use crate::carry::Rest;
use crate::circle::{Numbers, Wait};
use crate::clock::{NEVER, now};
use crate::crew::Crew;
use crate::departed::Departed;
use crate::error::Disconnect;
use crate::lending::Lending;
use crate::noting::Diary;
use crate::objects::Objects;
use crate::streams::Inflow;
use crate::trace::Tracer;
use crate::wire::{Posted, Wire};
use crate::words::{Question, Welcome};

/// Most places of requests that are kept for later: one link's window.
#[expect(clippy::cast_possible_truncation, reason = "a window is a small number")]
const REQUESTS_KEPT: usize = WINDOW_MESSAGES as usize;

/// Everything that a worker holds. No method of it runs code of the worker's author.
pub(crate) struct Session {
    pub(crate) control: Wire,
    pub(crate) ends: Ends<End>,
    pub(crate) departed: Departed,
    /// Links that were given away, as long as something that came over them waits to be served. The broker bounds them.
    pub(crate) given: Vec<Destination>,
    /// What the links lead to that this worker has made to itself.
    pub(crate) objects: Objects,
    /// Requests that nobody has taken yet, in the order in which they arrived. The links' windows bound it.
    pub(crate) queue: VecDeque<Box<Queued>>,
    /// Places for more of them, which were in use before.
    #[expect(clippy::vec_box, reason = "a request is moved often between here and its service, and is large")]
    idle_requests: Vec<Box<Queued>>,
    /// Items that have arrived, and nobody has taken yet.
    pub(crate) inflows: Vec<Inflow>,
    /// What became of the calls that are in flight.
    pub(crate) outcomes: Slab<Outcome>,
    /// What the broker was asked.
    pub(crate) questions: Vec<Question>,
    /// How many questions there were so far.
    pub(crate) asked: RequestId,
    /// The requests that are being served: the last, and those that wait for calls by which it came about.
    pub(crate) serving: Vec<Serving>,
    /// The threads that serve, and what they have.
    pub(crate) crew: Crew,
    /// What waits for the answers to which calls, the innermost last.
    pub(crate) waits: Vec<Wait>,
    /// How many there were so far.
    pub(crate) waits_made: u32,
    pub(crate) numbers: Numbers,
    /// How many answers came to calls that nobody waited for any more.
    pub(crate) late: u64,
    /// How many answers were made that nobody could hear any more.
    pub(crate) unheard: u64,
    /// How many packets have arrived.
    pub(crate) arrived: u64,
    pub(crate) buffers: Buffers,
    pub(crate) disconnect: Option<Disconnect>,
    /// The socket on which more is probably queued already, so that looking at once is better than polling first.
    pub(crate) eager: Option<Destination>,
    /// How often in a row packets were taken from one socket without a look at the others.
    pub(crate) unasked: u8,
    /// When all of them were looked at last.
    pub(crate) polled_at: Time,
    /// The links whose messages share packets at the moment, once for each [`Batch`](crate::Batch).
    pub(crate) batched: Vec<Destination>,
    /// The broker's first word.
    pub(crate) welcome: Option<Welcome>,
    /// The descriptors of the packet that is being received.
    pub(crate) passed: Vec<Passed>,
    chains: u32,
    /// When the clock was last read: at the start of each operation, and whenever the sockets were looked at.
    pub(crate) time: Time,
    /// What was sent over direct links.
    pub(crate) sent: Traffic,
    pub(crate) diary: Diary,
    pub(crate) tracer: Arc<Tracer>,
    /// Messages to build in, whose memory has grown already: as many as ever were in use at once.
    spares: Vec<Message<OwnedFd>>,
}

/// The worker's end of one link.
pub(crate) struct End {
    /// The machine. Its calls are numbered by their place among [`Session::outcomes`].
    pub(crate) link: LinkEnd<usize>,
    pub(crate) peer: Rc<Name>,
    /// What the link was granted for.
    pub(crate) interface: Name,
    /// Whether the peer is the host, whose requests begin chains of their own.
    pub(crate) is_host: bool,
    pub(crate) rights: Rights,
    /// The link's own socket, as long as either direction may use it. Which does, [`LinkEnd`] knows.
    pub(crate) wire: Option<Wire>,
    pub(crate) rest: Rest,
    pub(crate) lending: Lending,
}

/// A request that has arrived.
pub(crate) struct Queued {
    pub(crate) header: Header,
    /// By which way it came; `None` if its link had been given away.
    pub(crate) via: Option<Via>,
    pub(crate) peer: Rc<Name>,
    pub(crate) payload: Payload,
    pub(crate) passed: Vec<Passed>,
    /// The links that it carried, by this worker's names.
    pub(crate) links: Vec<Destination>,
    /// When it came.
    pub(crate) since: Time,
    /// When the caller gives up; [`NEVER`] for a oneway.
    pub(crate) deadline: Time,
}

/// What became of a call.
pub(crate) enum Outcome {
    /// Nothing yet.
    Awaited(Underway),
    /// Whoever made it has heard.
    Told,
    /// It was answered.
    Answered(Answered),
    /// It never will be.
    Failed(CallFailure),
}

/// The answer to a call.
pub(crate) struct Answered {
    pub(crate) header: Header,
    pub(crate) payload: Payload,
    pub(crate) passed: Vec<Passed>,
    /// The links that it carried, by this worker's names.
    pub(crate) links: Vec<Destination>,
}

/// The request that is being served: what calls made meanwhile inherit from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) chain: ChainId,
    pub(crate) depth: u8,
    pub(crate) deadline: Time,
}

/// Messages and their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Session {
    pub(crate) fn new(control: Wire) -> Self {
        Self {
            control,
            ends: Ends::new(),
            departed: Departed::default(),
            given: Vec::new(),
            objects: Objects::default(),
            queue: VecDeque::new(),
            idle_requests: Vec::new(),
            inflows: Vec::new(),
            outcomes: Slab::new(),
            questions: Vec::new(),
            asked: 0,
            serving: Vec::new(),
            crew: Crew::default(),
            waits: Vec::new(),
            waits_made: 0,
            numbers: Numbers::default(),
            late: 0,
            unheard: 0,
            arrived: 0,
            buffers: Buffers::default(),
            disconnect: None,
            eager: None,
            unasked: 0,
            polled_at: Time(0),
            batched: Vec::new(),
            welcome: None,
            passed: Vec::new(),
            chains: 0,
            time: now(),
            sent: Traffic::default(),
            diary: Diary::default(),
            tracer: Arc::default(),
            spares: Vec::new(),
        }
    }

    /// Reads the clock.
    pub(crate) fn tick(&mut self) -> Time {
        self.time = now();
        self.time
    }

    /// A chain that nobody else makes.
    pub(crate) fn mint_chain(&mut self) -> ChainId {
        // No chain is 0, which stands for none.
        self.chains = self.chains.wrapping_add(1).max(1);
        ChainId::new(self.welcome.as_ref().map_or(0, |welcome| welcome.origin), self.chains)
    }

    /// Where calls made at this moment stand: below the request that is being served, or on their own.
    pub(crate) fn frame_of_call(&mut self) -> Frame {
        match self.serving.last() {
            Some(&Serving { frame, .. }) => Frame { depth: frame.depth.saturating_add(1), ..frame },
            None => Frame { chain: self.mint_chain(), depth: 0, deadline: NEVER },
        }
    }

    /// An empty message to build in.
    pub(crate) fn spare_message(&mut self) -> Message<OwnedFd> {
        self.spares.pop().unwrap_or_default()
    }

    /// Takes back what [`spare_message`](Self::spare_message) gave.
    pub(crate) fn return_message(&mut self, mut message: Message<OwnedFd>) {
        message.clear();
        self.spares.push(message);
    }

    /// Puts a request at the end of the queue.
    pub(crate) fn push_request(&mut self, request: Queued) {
        let place = match self.idle_requests.pop() {
            Some(mut place) => {
                *place = request;
                place
            }
            None => Box::new(request),
        };
        self.queue.push_back(place);
    }

    /// Takes back the place of a request that is done with.
    pub(crate) fn return_request(&mut self, mut place: Box<Queued>) {
        if self.idle_requests.len() < REQUESTS_KEPT {
            place.passed.clear();
            self.idle_requests.push(place);
        }
    }

    /// A message of the runtime's own, which consists of one short value.
    pub(crate) fn message_of(&mut self, value: &impl Serialize) -> Message<OwnedFd> {
        let mut message = self.spare_message();
        message.append(value).expect("what the runtime itself says is short");
        message
    }

    /// Sends a message by the way that its link takes at this moment, and clears it.
    ///
    /// # Errors
    /// The system's, if it refuses this very message.
    pub(crate) fn post(&mut self, header: &Header, message: &mut Message<OwnedFd>) -> io::Result<Posted> {
        if header.links > 0 {
            return self.post_carrying(header, message);
        }
        self.post_by(self.outbound(header.destination), header, message)
    }

    /// Sends a message by this route, and clears it.
    ///
    /// # Errors
    /// The system's, if it refuses this very message.
    pub(crate) fn post_by(
        &mut self,
        route: Route,
        header: &Header,
        message: &mut Message<OwnedFd>,
    ) -> io::Result<Posted> {
        let now = self.time;
        let shares = self.batched.contains(&header.destination);
        let wire = self.wire_by(route, header.destination);
        let posted = if shares { wire.gather(header, message, now)? } else { wire.post(header, message, now)? };
        self.note_posted(route, header, posted);
        Ok(posted)
    }

    /// Sends a message of the runtime's own by the way that its link takes at this moment.
    pub(crate) fn post_own(&mut self, header: &Header, message: Message<OwnedFd>) {
        self.post_own_by(self.outbound(header.destination), header, message);
    }

    /// Sends a message of the runtime's own by this route.
    pub(crate) fn post_own_by(&mut self, route: Route, header: &Header, mut message: Message<OwnedFd>) {
        let now = self.time;
        let posted = self.wire_by(route, header.destination).insist(header, &mut message, now);
        self.note_posted(route, header, posted);
        self.return_message(message);
    }

    fn outbound(&self, name: Destination) -> Route {
        self.ends.get(name).map_or(Route::Relayed, |end| end.link.outbound())
    }

    fn wire_by(&mut self, route: Route, name: Destination) -> &mut Wire {
        match (route, self.ends.get_mut(name).and_then(|end| end.wire.as_mut())) {
            (Route::Direct, Some(wire)) => wire,
            _ => &mut self.control,
        }
    }

    fn note_posted(&mut self, route: Route, header: &Header, posted: Posted) {
        if posted == Posted::Lost {
            if self.control.is_deaf() {
                self.end(Disconnect::Ended);
            }
        } else if route == Route::Direct {
            self.sent.messages += 1;
            self.sent.bytes += header.message_len() as u64;
        }
    }

    /// Says something to the broker itself.
    pub(crate) fn say(&mut self, word: &ToBroker) {
        let message = self.message_of(word);
        let header = Header { kind: Kind::Control, payload: message.payload_len(), ..Header::default() };
        self.post_own(&header, message);
    }

    /// The control socket is of no more use: everything that was awaited has failed.
    pub(crate) fn end(&mut self, why: Disconnect) {
        if self.disconnect.is_some() {
            return;
        }
        self.disconnect = Some(why);
        let names: Vec<Destination> = self.ends.iter().map(|(name, _)| name).collect();
        for name in names {
            self.depart(name, Gone::BrokerEnded);
            self.orphan_calls(name, |_| true);
        }
    }

    /// Takes a link's end out: its calls have failed, its buffers are back, and it is remembered why.
    pub(crate) fn depart(&mut self, name: Destination, why: Gone) {
        let Some(mut end) = self.ends.remove(name) else { return };
        for pending in end.link.close() {
            self.settle(pending.context, Outcome::Failed(why.clone().into()));
        }
        self.end_feeds(name, &why);
        self.objects.note_gone();
        let peer_pools = end.lending.depart();
        // What was taken back must not be delivered any more. What a peer said before it died or left still counts.
        let is_taken_back = matches!(why, Gone::Revoked | Gone::CutOff(_));
        self.departed.push(name, end.peer, why, peer_pools);
        if is_taken_back {
            self.drop_items(name);
            self.drop_queued(name);
        }
    }

    /// Gives up the requests of one link that nobody has taken yet, and all that they carry; those that a thread has and has
    /// not begun are not begun.
    pub(crate) fn drop_queued(&mut self, name: Destination) {
        self.crew.take_back(name);
        let (buffers, mut links, mut calls) = (&mut self.buffers, Vec::new(), Vec::new());
        self.queue.retain_mut(|queued| {
            let stays = queued.header.destination != name;
            if !stays {
                buffers.release(std::mem::replace(&mut queued.payload, Payload::empty()));
                links.append(&mut queued.links);
                calls.push(queued.header.call);
            }
            stays
        });
        for call in calls {
            self.close_inflow(name, call, Caller::Peer);
        }
        self.close_all(links);
    }

    /// A call has its outcome, which waits for whoever made the call.
    pub(crate) fn settle(&mut self, slot: usize, outcome: Outcome) {
        if let Some(place) = self.outcomes.get_mut(slot) {
            *place = outcome;
        }
    }

    /// Why the link of that name is no longer there.
    pub(crate) fn why_gone(&self, name: Destination) -> Gone {
        match self.disconnect {
            Some(_) => Gone::BrokerEnded,
            None => self.departed.why(name),
        }
    }

    /// Who is, or was last, at the other end of the link of that name.
    pub(crate) fn peer_of(&self, name: Destination) -> Option<&Rc<Name>> {
        self.ends.get(name).map(|end| &end.peer).or_else(|| self.departed.peer(name))
    }

    /// The socket of that name: a direct link's own, or the control socket under the broker's name.
    pub(crate) fn wire(&self, name: Destination) -> Option<&Wire> {
        match name {
            Destination::BROKER => Some(&self.control),
            link => self.ends.get(link)?.wire.as_ref(),
        }
    }

    /// The socket of that name, to be used.
    pub(crate) fn wire_mut(&mut self, name: Destination) -> Option<&mut Wire> {
        match name {
            Destination::BROKER => Some(&mut self.control),
            link => self.ends.get_mut(link)?.wire.as_mut(),
        }
    }

    /// Whether anything that was accepted for sending by either route of this link has not left yet.
    pub(crate) fn has_unsent_to(&self, name: Destination) -> bool {
        self.control.waiting() > 0 || self.ends.get(name).is_some_and(|end| end.waiting() > 0)
    }

    /// Whether anything at all that was accepted for sending has not left yet.
    pub(crate) fn has_unsent(&self) -> bool {
        self.control.waiting() > 0 || self.ends.iter().any(|(_, end)| end.waiting() > 0)
    }
}

impl End {
    /// Whether the link's own socket is to be read: what is there early waits in the kernel.
    pub(crate) fn reads(&self) -> bool {
        self.link.inbound() == Route::Direct && self.wire.as_ref().is_some_and(|wire| !wire.has_ended())
    }

    /// What to wait for on the link's own socket.
    pub(crate) fn interest(&self) -> PollFlags {
        self.wire.as_ref().map_or(PollFlags::empty(), |wire| wire.interest(self.reads()))
    }

    /// How many packets wait for the link's own socket.
    pub(crate) fn waiting(&self) -> usize {
        self.wire.as_ref().map_or(0, Wire::waiting)
    }
}
