//! One holder's end of one link, as a machine without a world.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::calls::{CallId, Calls, ChainId, Pending};
use crate::meter::Taken;
use crate::{
    Credit, DEADLINE_MAX, Denial, DescriptorClasses, Destination, Header, Kind, Meter, Name, Overdraft, Rights,
    RpcIndex, Shape, Time, Use, Verdict, decide, decode_whole,
};

/// How many nested calls one chain may have. A deeper call is refused by name, never hung.
pub const CALL_DEPTH_MAX: u8 = 16;

/// The route that one link runs at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Route {
    /// Over the broker, which checks every message.
    Relayed,
    /// Over a socket of the link's own, where the receiving end checks.
    Direct,
}

/// Everything a holder keeps about its end of one link. `C` is what it wants back with the outcome of a call.
///
/// # Grammar
/// Before a message is sent, [`call`](Self::call), [`oneway`](Self::oneway), [`release`](Self::release) or
/// [`answer`](Self::answer) turns it into a header, or says that there is no room. Whatever arrives goes into
/// [`handle`](Self::handle), which says what it is. When the application has taken a request, [`taken`](Self::taken)
/// says whether to send a credit. [`expire`](Self::expire) and [`close`](Self::close) end the calls that still wait.
#[derive(Clone, Debug, Hash)]
pub struct LinkEnd<C> {
    name: Destination,
    peer: Name,
    route: Route,
    /// What the peer may do; asked only on a direct route.
    peer_rights: Rights,
    peer_used: Use,
    outbound: Meter,
    inbound: Meter,
    taken: Taken,
    calls: Calls<C>,
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
    /// A buffer that was lent comes back.
    Release,
    /// Nothing for the application: there may be room again for what could not be sent before.
    Credit,
}

/// The peer broke the protocol of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Breach {
    /// It sent more than it may, or returned what it never got.
    #[error(transparent)]
    Overdraft(#[from] Overdraft),
    /// A credit that cannot be read.
    #[error("a credit that cannot be read")]
    Credit,
    /// A control word on a link.
    #[error("a control word on a link")]
    Control,
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

impl<C> LinkEnd<C> {
    /// The end that its holder names `name`, of a link to `peer`, who has `peer_rights` on it.
    #[must_use]
    pub fn new(name: Destination, peer: Name, route: Route, peer_rights: Rights) -> Self {
        Self {
            name,
            peer,
            route,
            peer_rights,
            peer_used: Use::default(),
            outbound: Meter::default(),
            inbound: Meter::default(),
            taken: Taken::default(),
            calls: Calls::new(),
        }
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

    /// The route the link runs.
    #[must_use]
    pub const fn route(&self) -> Route {
        self.route
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
        if let Err(full) = self.outbound.send(Kind::Call, shape) {
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
        self.outbound.send(Kind::Oneway, shape)?;
        Ok(Header { chain, ..self.header(Kind::Oneway, rpc, shape) })
    }

    /// The header of a message that gives a buffer back.
    ///
    /// # Errors
    /// [`Overdraft`] if there is no room for it yet.
    pub fn release(&mut self, shape: Shape) -> Result<Header, Overdraft> {
        self.outbound.send(Kind::Release, shape)?;
        Ok(self.header(Kind::Release, RpcIndex::default(), shape))
    }

    /// The header of the answer to a call: a reply, or an error. There is always room for one without descriptors.
    ///
    /// # Errors
    /// [`Overdraft::Descriptors`] if the peer has too many descriptors unread: give an error without any instead.
    pub fn answer(&mut self, call: &Header, failed: bool, shape: Shape) -> Result<Header, Overdraft> {
        let kind = if failed { Kind::Error } else { Kind::Reply };
        self.outbound.send(kind, shape)?;
        // The call was admitted by `handle`, and each is answered once, so the account cannot be overdrawn here.
        let _ = self.inbound.answer();
        Ok(Header { call: call.call, chain: call.chain, depth: call.depth, ..self.header(kind, call.rpc, shape) })
    }

    /// The header of a credit, by which the peer has more room from now on; in this end's own account, too.
    #[must_use]
    pub fn credit(&mut self, credit: Credit, shape: Shape) -> Header {
        // Totals of what `handle` admitted, so the account cannot be overdrawn here.
        let _ = self.inbound.credit(credit);
        self.header(Kind::Credit, RpcIndex::default(), shape)
    }

    /// Says what a message that arrived on this link is, and keeps the account.
    ///
    /// # Errors
    /// [`Breach`]: the peer does not keep the protocol. On a relayed link that cannot happen, since the broker checks.
    pub fn handle(
        &mut self,
        header: &Header,
        payload: &[u8],
        classes: DescriptorClasses,
        now: Time,
    ) -> Result<Arrival<C>, Breach> {
        match header.kind {
            Kind::Control => Err(Breach::Control),
            Kind::Credit => {
                let credit: Credit = decode_whole(payload).map_err(|_| Breach::Credit)?;
                self.outbound.credit(credit)?;
                Ok(Arrival::Credit)
            }
            Kind::Reply | Kind::Error => {
                self.outbound.answer()?;
                self.inbound.send(header.kind, header.shape())?;
                Ok(self.calls.finish(header.call).map_or(Arrival::Late, Arrival::Outcome))
            }
            Kind::Release => {
                self.inbound.send(header.kind, header.shape())?;
                Ok(Arrival::Release)
            }
            Kind::Call | Kind::Oneway => {
                self.inbound.send(header.kind, header.shape())?;
                Ok(self.judge(header, classes, now).map_or(Arrival::Request, Arrival::Denied))
            }
        }
    }

    /// On a direct route nobody has checked the message yet.
    fn judge(&mut self, header: &Header, classes: DescriptorClasses, now: Time) -> Option<Denial> {
        if self.route == Route::Relayed {
            return None;
        }
        match decide(&self.peer_rights, &self.peer_used, header, classes, now) {
            Verdict::Deny(denial) => Some(denial),
            Verdict::Allow => {
                self.peer_used.note(&self.peer_rights, header);
                None
            }
        }
    }

    /// Notes that the application has taken a request or a returned buffer, or that an answer was received; gives the credit to send, when one is due.
    pub fn taken(&mut self, header: &Header) -> Option<Credit> {
        self.taken.take(header.kind, header.shape())
    }

    /// Takes back what was counted for a message that could not be sent after all. A call that was to be answered by it
    /// counts as answered: send an error without descriptors under the same header.
    pub fn unsend(&mut self, header: &Header) -> Option<Pending<C>> {
        self.outbound.unsend(header.kind, header.shape());
        if header.kind == Kind::Call { self.calls.finish(header.call) } else { None }
    }

    /// Takes out one call whose deadline has passed. Call until `None`.
    pub fn expire(&mut self, now: Time) -> Option<Pending<C>> {
        self.calls.expire(now)
    }

    /// Takes out one call, which nobody will wait for any more; its answer, when it comes, is late.
    pub fn forget(&mut self, call: CallId) -> Option<Pending<C>> {
        self.calls.finish(call)
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
            payload: shape.payload,
            ..Header::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CALLS_IN_FLIGHT, Message, RpcSet};

    const NONE: DescriptorClasses = DescriptorClasses::empty();

    fn pair(route: Route, rights: Rights) -> (LinkEnd<char>, LinkEnd<char>) {
        let name = Destination { index: 1, generation: 1 };
        let end = |peer: &str| LinkEnd::new(name, Name::new(peer).unwrap(), route, rights.clone());
        (end("b"), end("a"))
    }

    fn frame(now: u64) -> CallFrame {
        CallFrame { now: Time(now), deadline: Time(now + 1_000_000), chain: ChainId::new(1, 1), depth: 0 }
    }

    #[test]
    fn answers_find_their_calls_in_any_order() {
        let (mut a, mut b) = pair(Route::Relayed, Rights::default());
        let first = a.call(RpcIndex(0), Shape::default(), frame(0), '1').unwrap();
        let second = a.call(RpcIndex(0), Shape::default(), frame(0), '2').unwrap();
        for call in [&first, &second] {
            assert_eq!(b.handle(call, &[], NONE, Time(0)), Ok(Arrival::Request));
        }
        for (call, mark) in [(&second, '2'), (&first, '1')] {
            let reply = b.answer(call, false, Shape::default()).unwrap();
            let Ok(Arrival::Outcome(pending)) = a.handle(&reply, &[], NONE, Time(0)) else { panic!() };
            assert_eq!(pending.context, mark);
        }
        let again = b.answer(&first, false, Shape::default()).unwrap();
        assert_eq!(a.handle(&again, &[], NONE, Time(0)), Err(Breach::Overdraft(Overdraft::Answer)));
    }

    #[test]
    fn a_late_answer_is_no_breach_and_frees_its_place() {
        let (mut a, mut b) = pair(Route::Relayed, Rights::default());
        let calls: Vec<_> =
            (0..CALLS_IN_FLIGHT).map(|_| a.call(RpcIndex(0), Shape::default(), frame(0), 'x').unwrap()).collect();
        b.handle(&calls[0], &[], NONE, Time(0)).unwrap();
        assert_eq!(a.next_deadline(), Some(Time(1_000_000)));
        while a.expire(Time(1_000_000)).is_some() {}
        assert_eq!(a.next_deadline(), None);
        assert!(a.call(RpcIndex(0), Shape::default(), frame(0), 'x').is_err(), "the peer still owes the answers");
        let late = b.answer(&calls[0], true, Shape::default()).unwrap();
        assert_eq!(a.handle(&late, &[], NONE, Time(2)), Ok(Arrival::Late));
        assert!(a.call(RpcIndex(0), Shape::default(), frame(0), 'x').is_ok());
    }

    #[test]
    fn what_is_taken_makes_room_at_both_ends() {
        let (mut a, mut b) = pair(Route::Relayed, Rights::default());
        let shape = Shape { payload: 60_000, descriptors: 0 };
        for _ in 0..1000 {
            let header = a.oneway(RpcIndex(0), shape, ChainId::default()).expect("the window was opened again");
            assert_eq!(b.handle(&header, &[], NONE, Time(0)), Ok(Arrival::Request));
            if let Some(credit) = b.taken(&header) {
                let mut payload = Message::<()>::new();
                payload.append(&credit).unwrap();
                let header = b.credit(credit, Shape { payload: payload.payload_len(), descriptors: 0 });
                assert_eq!(a.handle(&header, payload.payload(), NONE, Time(0)), Ok(Arrival::Credit));
            }
        }
    }

    #[test]
    fn what_could_not_be_sent_costs_nothing() {
        let (mut a, _) = pair(Route::Relayed, Rights::default());
        for _ in 0..1000 {
            let call = a.call(RpcIndex(0), Shape::default(), frame(0), 'x').unwrap();
            assert_eq!(a.unsend(&call).map(|pending| pending.context), Some('x'));
            let oneway = a.oneway(RpcIndex(0), Shape::default(), ChainId::default()).unwrap();
            assert_eq!(a.unsend(&oneway), None);
        }
    }

    #[test]
    fn only_a_direct_end_judges() {
        let rights = Rights { uses: Some(1), ..Rights::methods(RpcSet::first(1)) };
        for (route, second) in [(Route::Relayed, Arrival::Request), (Route::Direct, Arrival::Denied(Denial::Exhausted))]
        {
            let (mut a, mut b) = pair(route, rights.clone());
            let mut send = || a.oneway(RpcIndex(0), Shape::default(), ChainId::default()).unwrap();
            assert_eq!(b.handle(&send(), &[], NONE, Time(0)), Ok(Arrival::Request));
            assert_eq!(b.handle(&send(), &[], NONE, Time(0)), Ok(second));
        }
    }
}
