//! What the broker does.

use cloison_broker::router::{Body, Event, Forward, Freight, Output};
use cloison_msg::control::{ToBroker, ToWorker};
use cloison_msg::{Destination, Gone, Key, Kind, LinkRef, Time, decode_whole};

use super::worker::Life;
use super::{Fault, Heard, HostAct, Packet, Plug, World};

impl World {
    /// The broker handles one packet of a worker's.
    pub(super) fn relay(&mut self, at: usize) {
        let Some(packet) = self.workers[at].up.pop_front() else { return };
        if self.has(Fault::SwitchUnrested) && matches!(decode_whole(&packet.payload), Ok(ToBroker::Settled { .. })) {
            return;
        }
        let port = self.workers[at].port;
        let is_held = self.ledger.holds(port, packet.header.destination);
        let links: Vec<u8> = packet.links.iter().flat_map(LinkRef::encode).collect();
        let freight = Freight { payload: &packet.payload, links: &links };
        let mut plugs = vec![Plug::PIPE; usize::from(packet.header.descriptors)];
        let forward = self.router.handle_message(port, &packet.header, freight, &mut plugs, self.now);
        if self.has(Fault::MessageBeforeGrant) {
            self.forward(&packet, forward.clone());
            return self.obey();
        }
        self.obey();
        match forward {
            Some(_) => {
                self.ledger.pass(port, packet.header.destination, packet.header.chain.0);
                self.forward(&packet, forward);
            }
            None if is_held && packet.is_said() => {
                self.ledger.withhold(port, packet.header.destination, packet.header.chain.0);
            }
            None => {}
        }
        self.break_rest(at, &packet);
    }

    fn forward(&mut self, packet: &Packet, forward: Option<Forward>) {
        let Some(Forward { to, header, links }) = forward else { return };
        let mut packet = Packet { header, ..packet.clone() };
        for (carried, name) in packet.links.iter_mut().zip(links) {
            carried.link = name;
        }
        self.tell(to, Heard::Forwarded(packet));
    }

    fn tell(&mut self, to: Key, heard: Heard) {
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.port == to && worker.life == Life::Runs) {
            worker.down.push_back(heard);
        }
    }

    /// Does what the router says.
    pub(super) fn obey(&mut self) {
        while let Some(output) = self.router.poll() {
            match output {
                Output::Send { to, header, body, descriptors } => {
                    if let Body::Word(ToWorker::Granted { link, .. }) = &body {
                        self.ledger.hear(to, *link);
                    }
                    self.tell(to, Heard::Own(header, body, descriptors));
                }
                Output::Evict { port, violation } => self.evict(port, &violation.to_string()),
                Output::MakePair { link } => {
                    let pair = self.sockets.make(link);
                    self.router.handle_pair(link, Some(pair), self.now);
                }
                Output::Shut { .. } if self.has(Fault::NoShut) => {}
                Output::Shut { link, end } => self.sockets.shut(link, end),
                Output::Cut { .. } if self.has(Fault::NoCut) => {}
                Output::Unpair { link } => self.drop_pair(|world| world.sockets.unpair(link)),
                Output::Cut { link, empty } => self.drop_pair(|world| world.sockets.cut(link, empty)),
                Output::Revoked { ticket } => self.ledger.acknowledge(ticket),
                Output::Tell(event) => self.note(event),
                Output::Traced { .. } => {}
                Output::Ask { .. } | Output::MakePool(_) => {}
            }
        }
    }

    fn drop_pair(&mut self, drop: impl FnOnce(&mut Self) -> bool) {
        if !drop(self) {
            self.ledger.wrong("the broker drops a pair that it does not have");
        }
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Granted { link, .. } | Event::Copied { link, .. } => self.ledger.open(link),
            Event::Moved { link, by, .. } => {
                if let Some(giver) = (0..self.workers.len()).find(|&at| super::role(at) == by) {
                    self.ledger.moved(link, self.workers[giver].port);
                }
            }
            Event::Closed { link, why, .. } => self.ledger.end(link, why),
            Event::Denied { denial, .. } if !self.denies => {
                self.ledger.wrong(format!("an honest message was denied: {denial}"))
            }
            Event::Accused { by, of, what } => self.ledger.wrong(format!("{by} accuses {of}: {what}")),
            _ => {}
        }
    }

    fn evict(&mut self, port: Key, violation: &str) {
        let Some(at) = self.workers.iter().position(|worker| worker.port == port) else { return };
        if self.workers[at].life == Life::Runs {
            self.ledger.wrong(format!("an honest worker was evicted: {violation}"));
        }
        self.kill(at);
        self.workers[at].up.clear();
    }

    /// The broker hears of a death, after all that the dead one had said.
    pub(super) fn bury(&mut self, at: usize) {
        self.workers[at].life = Life::Buried;
        self.workers[at].up.clear();
        let port = self.workers[at].port;
        self.router.handle_death(port, &Gone::Crashed("killed".into()));
        self.obey();
    }

    pub(super) fn host_acts(&mut self, list: usize) {
        match self.host[list].pop_front() {
            Some(HostAct::Model(model)) => self.router.set_model(model, self.now),
            Some(HostAct::Revoke(link)) => self.revoke(link),
            None => {}
        }
        self.obey();
    }

    fn revoke(&mut self, link: usize) {
        let Some(link) = self.ledger.link(link) else { return };
        self.tickets += 1;
        let ticket = self.tickets;
        self.router.revoke(link, ticket, self.now);
        let mut outputs = Vec::new();
        // Which links it takes is known before any of them is acknowledged.
        while let Some(output) = self.router.poll() {
            match output {
                Output::Tell(event) => self.note(event),
                Output::Traced { .. } => {}
                output => outputs.push(output),
            }
        }
        self.ledger.note_ticket(ticket);
        if self.has(Fault::AcknowledgeEarly) {
            self.ledger.acknowledge(ticket);
        }
        for output in outputs {
            match output {
                Output::Send { to, header, body, descriptors } => self.tell(to, Heard::Own(header, body, descriptors)),
                Output::Shut { link, end } => self.sockets.shut(link, end),
                Output::Cut { link, empty } => self.drop_pair(|world| world.sockets.cut(link, empty)),
                Output::Revoked { ticket } => self.ledger.acknowledge(ticket),
                _ => {}
            }
        }
    }

    /// Whoever has not done its part by now is evicted.
    pub(super) fn pass_time(&mut self, until: Time) {
        self.now = until;
        self.router.handle_time(until);
        self.obey();
    }

    /// What a broker does that knows no rest.
    fn break_rest(&mut self, at: usize, packet: &Packet) {
        if self.has(Fault::SwitchUnrested)
            && let Some(name) = has_left(packet)
        {
            self.router.handle_word(self.workers[at].port, ToBroker::Settled { link: name }, self.now);
            self.obey();
        }
        if self.has(Fault::RestEarly)
            && let Ok(ToBroker::Rest { link }) = decode_whole(&packet.payload)
        {
            let word = Body::Word(ToWorker::AtRest { link });
            self.tell(self.workers[at].port, Heard::Own(cloison_msg::Header::default(), word, Vec::new()));
        }
    }
}

/// The link whose old route this is the last word on.
fn has_left(packet: &Packet) -> Option<Destination> {
    match decode_whole(&packet.payload) {
        Ok(ToBroker::Left { link, .. }) => Some(link),
        _ => (packet.header.kind == Kind::Switch).then_some(packet.header.destination),
    }
}
