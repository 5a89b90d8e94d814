//! One holder's end of one link, as a machine without a world.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::calls::{CallId, Calls, ChainId, Pending};
use crate::meter::{Account, Receipt, Taken};

pub use self::streams::{Caller, Drawn, Room, STREAM_BYTES, STREAM_ITEMS};
use crate::{
    Credit, DEADLINE_MAX, Denial, Destination, Header, Kind, Meter, Name, Overdraft, Rights, Route, RpcIndex, Shape,
    Time, Use,
};

/// How many nested calls one chain may have. A deeper call is refused by name, never hung.
pub const CALL_DEPTH_MAX: u8 = 16;

/// Everything a holder keeps about its end of one link. `C` is what it wants back with the outcome of a call.
///
/// # Grammar
/// Before a message is sent, [`call`](Self::call), [`oneway`](Self::oneway), [`release`](Self::release) or
/// [`answer`](Self::answer) turns it into a header, or says that there is no room; [`passage`](Self::passage) says how it
/// leaves. Whatever arrives goes into [`handle`](Self::handle), which says what it is. When the application has taken a
/// request, [`taken`](Self::taken) notes it, and [`due`](Self::due) says whether to send a credit. [`expire`](Self::expire)
/// and [`close`](Self::close) end the calls that still wait.
///
/// # Routes
/// Each direction runs by one route at a time, and the two change independently. [`reroute`](Self::reroute) changes the
/// outbound one; the inbound one follows what the peer does. The direct socket is to be read while
/// [`inbound`](Self::inbound) is direct, and not otherwise: what is there early waits in the kernel. A relayed message that
/// [`may_outrun`](Self::may_outrun) others comes after whatever is left to read on the socket: read that first, until
/// [`inbound`](Self::inbound) changes or nothing is there. The socket's end goes into [`handle_end`](Self::handle_end).
/// [`take_settled`](Self::take_settled) says when a change is complete.
#[derive(Clone, Debug, Hash)]
pub struct LinkEnd<C> {
    name: Destination,
    peer: Name,
    outbound: Route,
    inbound: Route,
    socket: Socket,
    /// Whether a change of routes was announced and is not complete.
    switching: bool,
    /// What the peer may do; asked only about what comes by the direct route.
    peer_rights: Rights,
    peer_used: Use,
    sent: Meter,
    received: Meter,
    taken: Taken,
    calls: Calls<C>,
    streams: streams::OfEnd,
    /// How many holders the peer's end had before.
    peer_moves: u16,
    /// The last call that arrived.
    last_call: CallId,
    /// Calls up to this one came from a former holder of the peer's end, who gets no answers any more.
    orphans: CallId,
}

/// By which way a message arrived, as [`LinkEnd::via`] said when it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Via {
    /// The route.
    pub route: Route,
    /// From which of the holders that the peer's end had.
    peer_moves: u16,
}

/// What there is to be known about the link's own socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Socket {
    /// There is none.
    Absent,
    /// There is one, but the peer has not said yet that it uses it.
    Announced,
    /// The peer uses it.
    Open,
    /// Nothing more comes by it.
    Ended,
}

/// What a message that arrived is.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<C> {
    /// A call or a oneway, to be served.
    Request,
    /// A request to which the peer has no right. A call is to be answered with the denial, a oneway dropped.
    Denied(Denial),
    /// The outcome of a call that waited: a reply or an error.
    Outcome(Pending<C>),
    /// An answer that nobody waits for any more.
    Late,
    /// The peer waits no more for the answer to the call that the header names, if that is one that is unanswered. It takes
    /// its place in the window until it was [`taken`](LinkEnd::taken).
    Cancel,
    /// The peer asks whether the call that the header names waits for itself. It takes its place in the window likewise.
    Probe,
    /// A buffer that was lent comes back.
    Release,
    /// Nothing for the application: there may be room again for what could not be sent before.
    Credit,
    /// An item of a stream, or its end. Take it off the link at once, and into the stream's own queue.
    Item,
    /// An item of a stream that is over, or never was.
    Stray,
    /// Nothing for the application: there may be room for an item again, or no more are wanted.
    Demand,
    /// Nothing for the application: the peer goes on by the other route.
    Switched,
}

/// How a message leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// By this route.
    By(Route),
    /// Over the broker in the midst of a direct route: a [`switch`](LinkEnd::switch) on the socket, the message over the
    /// broker, and a switch behind it.
    Excursion,
}

/// The peer broke the protocol of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Breach {
    /// It sent more than it may, or returned what it never got.
    #[error(transparent)]
    Overdraft(#[from] Overdraft),
    /// A credit that cannot be read.
    #[error("a credit that cannot be read, or that passed the broker by")]
    Credit,
    /// A control word on a link.
    #[error("a control word on a link")]
    Control,
    /// A call whose id does not follow on the last one's.
    #[error("a call whose id does not follow on the last one's")]
    Call,
    /// A switch to the route it came by, or to one that there is not.
    #[error("a switch to a route that there is not")]
    Switch,
    /// An item behind the end of its stream, or beyond its credit.
    #[error("an item behind the end of its stream, or beyond its credit")]
    Item,
    /// A demand that cannot be read, or of what was never sent.
    #[error("a demand that cannot be read, or of what was never sent")]
    Demand,
}

/// Where a call stands in time and in its chain.
#[derive(Clone, Copy, Debug)]
pub struct CallFrame {
    /// When it is made.
    pub now: Time,
    /// When it ends in any case; at most [`DEADLINE_MAX`] from now.
    pub deadline: Time,
    /// The chain it belongs to.
    pub chain: ChainId,
    /// How many calls led to it.
    pub depth: u8,
}

/// How the accounts of an end stand that had another holder before. All zero for a new link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Balance {
    /// What was sent from this end, over the broker.
    pub sent: Account,
    /// What was sent to this end, over the broker, all of which its former holder has taken.
    pub received: Credit,
    /// How many holders this end had before.
    pub moves: u16,
    /// How many the peer's end had.
    pub peer_moves: u16,
}

impl<C> LinkEnd<C> {
    /// The end that its holder names `name`, of a link to `peer`, who has `peer_rights` on it. If it is direct, it has its
    /// socket already.
    #[must_use]
    pub fn new(name: Destination, peer: Name, route: Route, peer_rights: Rights) -> Self {
        Self {
            name,
            peer,
            outbound: route,
            inbound: route,
            socket: if route == Route::Direct { Socket::Open } else { Socket::Absent },
            switching: false,
            peer_rights,
            peer_used: Use::default(),
            sent: Meter::default(),
            received: Meter::default(),
            taken: Taken::default(),
            calls: Calls::new(),
            streams: streams::OfEnd::default(),
            peer_moves: 0,
            last_call: CallId::NONE,
            orphans: CallId::NONE,
        }
    }

    /// The same, with accounts that stand like this already.
    #[must_use]
    pub fn resume(mut self, balance: Balance) -> Self {
        let received = Account { sent: balance.received, taken: balance.received };
        self.sent = Meter::resume(balance.sent);
        self.received = Meter::resume(received);
        self.taken = Taken::resume(balance.received);
        self.calls = Calls::after(CallId::first_of(balance.moves));
        self.peer_moves = balance.peer_moves;
        self
    }

    /// The holder's name for the link.
    #[must_use]
    pub const fn name(&self) -> Destination {
        self.name
    }

    /// The role at the other end.
    #[must_use]
    pub const fn peer(&self) -> &Name {
        &self.peer
    }

    /// What the peer may do.
    #[must_use]
    pub const fn peer_rights(&self) -> &Rights {
        &self.peer_rights
    }

    /// The peer may do only this from now on.
    pub fn set_peer_rights(&mut self, rights: Rights) {
        self.peer_rights = rights;
    }

    /// The route by which messages leave.
    #[must_use]
    pub const fn outbound(&self) -> Route {
        self.outbound
    }

    /// The route by which the next message of the peer's comes.
    #[must_use]
    pub const fn inbound(&self) -> Route {
        self.inbound
    }

    /// The last call that was made from this end.
    #[must_use]
    pub const fn last_made(&self) -> CallId {
        self.calls.last()
    }

    /// The header of a call, which from now on waits for its outcome.
    ///
    /// # Errors
    /// [`Overdraft`] if there is no room for it yet; the context comes back.
    pub fn call(
        &mut self,
        rpc: RpcIndex,
        shape: Shape,
        frame: CallFrame,
        context: C,
    ) -> Result<Header, (Overdraft, C)> {
        if let Err(full) = self.sent.open() {
            return Err((full, context));
        }
        if let Err(full) = self.count(Kind::Call, shape) {
            let _ = self.sent.answer();
            return Err((full, context));
        }
        let left = frame.deadline.since(frame.now).clamp(Duration::from_micros(1), DEADLINE_MAX);
        let deadline = frame.now.after(left);
        let call = self.calls.start(rpc, frame.now, deadline, context);
        let remaining = u32::try_from(left.as_micros()).expect("DEADLINE_MAX fits");
        let header = self.header(Kind::Call, rpc, shape);
        Ok(Header { call, remaining, chain: frame.chain, depth: frame.depth, ..header })
    }

    /// The header of a message that nobody answers.
    ///
    /// # Errors
    /// [`Overdraft`] if there is no room for it yet.
    pub fn oneway(&mut self, rpc: RpcIndex, shape: Shape, chain: ChainId) -> Result<Header, Overdraft> {
        self.count(Kind::Oneway, shape)?;
        Ok(Header { chain, ..self.header(Kind::Oneway, rpc, shape) })
    }

    /// The header of a message that gives a buffer back.
    ///
    /// # Errors
    /// [`Overdraft`] if there is no room for it yet.
    pub fn release(&mut self, shape: Shape) -> Result<Header, Overdraft> {
        self.count(Kind::Release, shape)?;
        Ok(self.header(Kind::Release, RpcIndex::default(), shape))
    }

    /// The header of the answer to a call: a reply, or an error. There is always room for one without descriptors and
    /// links.
    ///
    /// # Errors
    /// [`Overdraft::Answer`] if its caller has given the link away since: nobody waits for it. Any other if the peer has too
    /// much unread: give an error without descriptors and links instead.
    pub fn answer(&mut self, call: &Header, failed: bool, shape: Shape) -> Result<Header, Overdraft> {
        if call.call <= self.orphans {
            return Err(Overdraft::Answer);
        }
        let kind = if failed { Kind::Error } else { Kind::Reply };
        self.count(kind, shape)?;
        self.streams.close(call.call, Caller::Peer);
        // The call was admitted by `handle`, and each is answered once, so the account cannot be overdrawn here.
        let _ = self.received.answer();
        Ok(Header { call: call.call, chain: call.chain, depth: call.depth, ..self.header(kind, call.rpc, shape) })
    }

    /// The header of a credit, by which the peer has more room from now on; in this end's own account, too. And the route
    /// it goes by: what the broker has counted, it must hear of.
    #[must_use]
    pub fn credit(&mut self, receipt: Receipt, shape: Shape) -> (Header, Route) {
        // Totals of what `handle` admitted, so the account cannot be overdrawn here.
        let _ = self.received.credit(receipt);
        let route = if receipt.route == Route::Direct { self.outbound } else { Route::Relayed };
        (self.header(Kind::Credit, RpcIndex::default(), shape), route)
    }

    /// Counts a message that is to leave, and the switch behind it if it leaves by an excursion.
    fn count(&mut self, kind: Kind, shape: Shape) -> Result<(), Overdraft> {
        if self.outbound == Route::Relayed || shape.links == 0 {
            return self.sent.send(self.outbound, kind, shape);
        }
        self.sent.send(Route::Relayed, kind, shape)?;
        self.sent
            .send(Route::Relayed, Kind::Switch, Shape::default())
            .inspect_err(|_| self.sent.unsend(Route::Relayed, kind, shape))
    }

    /// Takes back what was counted for a message that could not be sent after all. A call that was to be answered by it
    /// counts as answered: send an error without descriptors under the same header.
    pub fn unsend(&mut self, header: &Header) -> Option<Pending<C>> {
        match self.passage(header) {
            Passage::By(route) => self.sent.unsend(route, header.kind, header.shape()),
            Passage::Excursion => {
                self.sent.unsend(Route::Relayed, header.kind, header.shape());
                self.sent.unsend(Route::Relayed, Kind::Switch, Shape::default());
            }
        }
        if header.kind != Kind::Call {
            return None;
        }
        let _ = self.sent.answer();
        self.streams.close(header.call, Caller::Own);
        self.calls.unmake(header.call)
    }

    /// Takes out one call whose deadline has passed. Call until `None`.
    pub fn expire(&mut self, now: Time) -> Option<Pending<C>> {
        self.calls.expire(now).inspect(|pending| self.streams.close(pending.call, Caller::Own))
    }

    /// The earliest deadline of a call that waits.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.calls.next_deadline()
    }

    /// Ends every call that waits: each gets its one outcome from whoever closes the link.
    pub fn close(&mut self) -> impl Iterator<Item = Pending<C>> {
        self.calls.drain()
    }

    fn header(&self, kind: Kind, rpc: RpcIndex, shape: Shape) -> Header {
        Header {
            destination: self.name,
            rpc,
            kind,
            descriptors: shape.descriptors,
            links: shape.links,
            payload: shape.payload,
            ..Header::default()
        }
    }
}

mod about;
mod arriving;
mod routes;
mod streams;

#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;
