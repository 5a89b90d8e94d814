//! Everything that a worker holds: its sockets, its ends of links, what has arrived and what is awaited.

mod end;
mod post;
mod waiting;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use cloison_ipc::Passed;
use cloison_msg::control::RequestId;
use cloison_msg::{Caller, ChainId, Destination, Ends, Gone, Message, Name, Time, WINDOW_MESSAGES};
use slab::Slab;

use crate::buffers::{Buffers, Payload};
use crate::cancel::Serving;
use crate::circle::{Numbers, Wait};
use crate::clock::{NEVER, now};
use crate::crew::Crew;
use crate::departed::Departed;
use crate::error::Disconnect;
use crate::noting::Diary;
use crate::objects::Objects;
use crate::streams::Inflow;
use crate::trace::Tracer;
use crate::wire::Wire;
use crate::words::{Question, Welcome};

pub(crate) use end::End;
use post::Traffic;
pub(crate) use waiting::{Answered, Frame, Outcome, Queued};

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
}
