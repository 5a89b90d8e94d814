//! What arrives, and what of it was taken.

use super::{Arrival, Breach, Caller, LinkEnd, Socket, Via};
use crate::meter::Receipt;
use crate::{Denial, DescriptorClasses, Header, Kind, Route, Shape, Time, Verdict, decide, decode_whole};

impl<C> LinkEnd<C> {
    /// Says what a message that arrived by `via` is, and keeps the account.
    ///
    /// # Errors
    /// [`Breach`]: the peer does not keep the protocol. On a link that was never direct that cannot happen, since the
    /// broker checks.
    pub fn handle(
        &mut self,
        via: Route,
        header: &Header,
        payload: &[u8],
        classes: DescriptorClasses,
        now: Time,
    ) -> Result<Arrival<C>, Breach> {
        match header.kind {
            Kind::Control => Err(Breach::Control),
            Kind::Switch => self.handle_switch(via).map(|()| Arrival::Switched),
            Kind::Credit => {
                let receipt: Receipt = decode_whole(payload).map_err(|_| Breach::Credit)?;
                // What the broker has counted, it must hear of: else this end would send what the broker takes for too much.
                if via == Route::Direct && receipt.route == Route::Relayed {
                    return Err(Breach::Credit);
                }
                self.sent.credit(receipt)?;
                Ok(Arrival::Credit)
            }
            Kind::Reply | Kind::Error => {
                self.sent.answer()?;
                self.received.send(via, header.kind, header.shape())?;
                self.streams.close(header.call, Caller::Own);
                Ok(self.calls.finish(header.call).map_or(Arrival::Late, Arrival::Outcome))
            }
            Kind::Release => {
                self.received.send(via, header.kind, header.shape())?;
                Ok(Arrival::Release)
            }
            Kind::Cancel => {
                self.received.send(via, header.kind, header.shape())?;
                self.streams.cancel(header.call);
                Ok(self.judge(via, header, classes, now).map_or(Arrival::Cancel, Arrival::Denied))
            }
            Kind::Probe => {
                self.received.send(via, header.kind, header.shape())?;
                Ok(self.judge(via, header, classes, now).map_or(Arrival::Probe, Arrival::Denied))
            }
            Kind::Item => {
                self.received.send(via, header.kind, header.shape())?;
                if let Some(denial) = self.judge(via, header, classes, now) {
                    return Ok(Arrival::Denied(denial));
                }
                Ok(if self.streams.receive(header)? { Arrival::Item } else { Arrival::Stray })
            }
            Kind::Demand => {
                let drawn = decode_whole(payload).map_err(|_| Breach::Demand)?;
                self.streams.demand(header, drawn)?;
                Ok(Arrival::Demand)
            }
            Kind::Call | Kind::Oneway => {
                self.received.send(via, header.kind, header.shape())?;
                if header.kind == Kind::Call {
                    self.received.open()?;
                    if !header.call.follows(self.last_call, self.peer_moves) {
                        return Err(Breach::Call);
                    }
                    self.last_call = header.call;
                }
                let denial = self.judge(via, header, classes, now);
                if denial.is_none() {
                    self.streams.open(header, Caller::Peer);
                }
                Ok(denial.map_or(Arrival::Request, Arrival::Denied))
            }
        }
    }

    fn handle_switch(&mut self, via: Route) -> Result<(), Breach> {
        match (via, self.socket) {
            (Route::Direct, _) if self.inbound == Route::Direct => self.inbound = Route::Relayed,
            (Route::Relayed, Socket::Announced) => {
                self.socket = Socket::Open;
                self.inbound = Route::Direct;
            }
            (Route::Relayed, Socket::Open | Socket::Ended) if self.inbound == Route::Relayed => {
                // The end of an excursion has its place in the window, and is taken at once.
                self.received.send(via, Kind::Switch, Shape::default())?;
                self.taken.take(via, Kind::Switch, Shape::default());
                self.inbound = Route::Direct;
            }
            _ => return Err(Breach::Switch),
        }
        Ok(())
    }

    /// What came by the direct route nobody has checked yet.
    fn judge(&mut self, via: Route, header: &Header, classes: DescriptorClasses, now: Time) -> Option<Denial> {
        if via == Route::Relayed {
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

    /// Notes that the application has taken a request or a returned buffer that came by `via`, or that an answer was
    /// received.
    pub fn taken(&mut self, via: Via, header: &Header) {
        // A former holder's account of what came by the socket is closed; the broker's goes on.
        if via.route == Route::Relayed || via.peer_moves == self.peer_moves {
            self.taken.take(via.route, header.kind, header.shape());
        }
    }

    /// The credit to send now, if one is due. Ask after `taken`, `handle` and `handle_end`, until there is none.
    pub fn due(&mut self) -> Option<Receipt> {
        // Only the peer can check what came by the socket, and the broker lets a few such receipts pass at the end.
        let hold = self.outbound == Route::Relayed && matches!(self.socket, Socket::Announced | Socket::Open);
        self.taken.due(hold)
    }
}
