//! How the broker of the tests changes routes and hands links on.

use std::thread;

use super::{
    Account, Balance, CallId, Credit, Destination, Header, Kind, LinkRef, Message, OwnedFd, ProcessIpc, Receipt, Route,
    State, ToWorker, Transfer, World, decode_whole,
};

impl World {
    /// Tells both holders of the link between two roles to go on by this route.
    pub fn reroute(&self, a: &str, b: &str, route: Route) {
        let mut state = self.state();
        let link = state.between(a, b);
        state.reroute(link, route);
    }

    /// How many links there are between two roles that nobody has closed.
    pub fn open_links(&self, a: &str, b: &str) -> usize {
        let state = self.state();
        let role = |port: usize| state.ports[port].role.as_str();
        let is_it = |ends: [(usize, Destination); 2]| [(a, b), (b, a)].contains(&(role(ends[0].0), role(ends[1].0)));
        state.links.iter().filter(|link| link.open && is_it(link.ends)).count()
    }

    /// Whether both have.
    pub fn is_settled(&self, a: &str, b: &str) -> bool {
        let state = self.state();
        state.links[state.between(a, b)].settled == [true; 2]
    }

    /// Waits until both have.
    pub fn settled(&self, a: &str, b: &str) {
        loop {
            let state = self.state();
            let link = state.between(a, b);
            if state.links[link].settled == [true; 2] {
                return;
            }
            drop(state);
            thread::yield_now();
        }
    }
}

impl State {
    fn between(&self, a: &str, b: &str) -> usize {
        let role = |port: usize| self.ports[port].role.as_str();
        let is_it = |[x, y]: [(usize, Destination); 2]| [(a, b), (b, a)].contains(&(role(x.0), role(y.0)));
        self.links.iter().position(|link| link.open && is_it(link.ends)).unwrap()
    }

    fn reroute(&mut self, link: usize, route: Route) {
        let state = &mut self.links[link];
        assert_eq!((state.settled, state.route == route), ([true; 2], false), "only a stable link changes its route");
        (state.settled, state.route) = ([false; 2], route);
        if route == Route::Direct {
            state.pair = Some(ProcessIpc::pair().unwrap());
        }
        let state = &self.links[link];
        for (side, &(port, link)) in state.ends.iter().enumerate() {
            let pair = state.pair.as_ref().filter(|_| route == Route::Direct);
            let socket: Option<OwnedFd> = pair.map(|(a, b)| [a, b][side].try_clone().unwrap().into());
            self.say(port, &ToWorker::Reroute { link, route }, socket.as_slice());
        }
    }

    /// Nothing more comes by one half of the socket, wherever its descriptors are.
    pub(super) fn take_left(&mut self, port: usize, link: Destination, calls: CallId) {
        let Some((link, side)) = self.find(port, link) else { return };
        let state = &mut self.links[link];
        let (a, b) = state.pair.as_ref().unwrap();
        rustix::net::shutdown([a, b][side], rustix::net::Shutdown::Write).unwrap();
        state.calls[side] = state.calls[side].max(calls);
    }

    pub(super) fn take_settled(&mut self, port: usize, name: Destination) {
        let Some((link, side)) = self.find(port, name) else { return };
        let state = &mut self.links[link];
        assert!(!state.settled[side], "said once");
        state.settled[side] = true;
        if state.settled == [true; 2] {
            if state.route == Route::Relayed {
                state.pair = None;
            }
            self.give_rest(link);
        }
    }

    pub(super) fn take_rest(&mut self, port: usize, link: Destination) {
        let Some((link, side)) = self.find(port, link) else { return };
        self.links[link].rest[side] = true;
        self.give_rest(link);
    }

    fn give_rest(&mut self, link: usize) {
        let state = &self.links[link];
        if state.settled != [true; 2] || state.rest == [false; 2] {
            return;
        }
        if state.route == Route::Direct {
            return self.reroute(link, Route::Relayed);
        }
        for side in [0, 1].into_iter().filter(|&side| state.rest[side]) {
            let (port, link) = state.ends[side];
            self.say(port, &ToWorker::AtRest { link }, &[]);
        }
    }

    pub(super) fn count(&mut self, link: usize, side: usize, header: &Header, message: &[u8]) {
        let state = &mut self.links[link];
        state.sent[side].sent = state.sent[side].sent.plus(Credit::of(header.kind, header.shape()));
        match header.kind {
            Kind::Call => state.calls[side] = header.call,
            Kind::Credit => {
                let receipt: Receipt = decode_whole(&message[cloison_msg::HEADER_LEN..]).unwrap();
                if receipt.route == Route::Relayed {
                    state.sent[1 - side].taken = receipt.taken;
                }
            }
            _ => {}
        }
    }

    /// A link that travels from one worker to another: its name there.
    pub(super) fn hand_on(&mut self, from: usize, to: usize, carried: &LinkRef) -> Destination {
        let (link, side) = self.find(from, carried.link).unwrap();
        let (peer, original) = self.links[link].ends[1 - side];
        match carried.transfer {
            Transfer::Copy => {
                let interface = self.links[link].interface.clone();
                self.introduce([to, peer], Route::Relayed, &carried.rights, &interface, Some(original))
            }
            Transfer::Move => self.move_end(link, side, to, carried),
        }
    }

    fn move_end(&mut self, link: usize, side: usize, to: usize, carried: &LinkRef) -> Destination {
        let name = self.ports[to].name();
        let interface = self.links[link].interface.clone();
        let state = &mut self.links[link];
        assert_eq!((state.settled, state.route), ([true; 2], Route::Relayed), "only a link at rest moves");
        let (peer, peer_name) = state.ends[1 - side];
        let (former, former_name) = state.ends[side];
        let refund = Receipt { route: Route::Relayed, taken: state.sent[1 - side].sent };
        let is_news = state.sent[1 - side].taken != refund.taken;
        state.sent[1 - side] = Account { sent: refund.taken, taken: refund.taken };
        state.moves[side] += 1;
        (state.ends[side], state.rest[side]) = ((to, name), false);
        let (own, balance) = (
            state.calls[1 - side],
            Balance {
                sent: state.sent[side],
                received: refund.taken,
                moves: state.moves[side],
                peer_moves: state.moves[1 - side],
            },
        );
        state.calls[side] = CallId::first_of(state.moves[side]);
        if is_news {
            self.say_credit(peer, peer_name, refund);
        }
        self.say(former, &ToWorker::Closed { link: former_name, why: cloison_msg::Gone::Moved }, &[]);
        self.say(peer, &ToWorker::Moved { link: peer_name, peer: self.ports[to].role.clone(), own }, &[]);
        let (rights, peer_rights) = (carried.rights.clone(), self.rights(peer, to));
        let (peer, route) = (self.ports[peer].role.clone(), Route::Relayed);
        let copy_of = None;
        let word = ToWorker::Granted { link: name, peer, interface, rights, peer_rights, route, balance, copy_of };
        self.say(to, &word, &[]);
        name
    }

    fn say_credit(&self, port: usize, destination: Destination, receipt: Receipt) {
        let mut message = Message::<()>::new();
        message.append(&receipt).unwrap();
        let header = Header { destination, kind: Kind::Credit, payload: message.payload_len(), ..Header::default() };
        let _ = self.ports[port].ipc.send(message.packet(&header), &[]);
    }
}
