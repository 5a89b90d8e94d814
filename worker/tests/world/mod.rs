//! A broker that is just enough for workers that are threads: it welcomes, grants, relays, makes pools, hands links on and
//! changes their routes, and believes everything it is told.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use cloison_ipc::{Passed, ProcessIpc, create_pool};
use cloison_msg::control::{OfferedEnds, PROTOCOL_VERSION, PoolId, RequestId, ToBroker, ToWorker};
use cloison_msg::{
    Account, Balance, CallId, Credit, Destination, Gone, Header, Kind, LinkRef, Message, Messages, Name, PACKET_MAX,
    Receipt, Refusal, Rights, Route, RpcSet, Transfer, decode_whole,
};
use cloison_worker::Worker;

pub mod raw;
pub mod routes;

/// How long a test waits for a word, however busy the machine is.
const HEARD_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// One broker and its workers.
pub struct World {
    state: Arc<Mutex<State>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    ports: Vec<Port>,
    links: Vec<LinkState>,
    waiting: Vec<(usize, RequestId, Name, Name)>,
    route: Option<Route>,
    rights: BTreeMap<(String, String), Rights>,
    pools_made: PoolId,
    /// What was said that the broker only notes.
    heard: Vec<ToBroker>,
    /// Who asked for pools and objects, and how, while the broker makes none.
    withheld: Option<Vec<(usize, ToBroker)>>,
}

struct Port {
    role: Name,
    ipc: Arc<ProcessIpc>,
    greeted: bool,
    links: u32,
}

struct LinkState {
    interface: Name,
    /// Port and name there, of the two holders.
    ends: [(usize, Destination); 2],
    /// What the broker keeps of a direct link.
    pair: Option<(ProcessIpc, ProcessIpc)>,
    open: bool,
    route: Route,
    settled: [bool; 2],
    /// Who wants to give its end away.
    rest: [bool; 2],
    /// What was relayed from each end.
    sent: [Account; 2],
    /// The last call from each end.
    calls: [CallId; 2],
    /// How many holders each end had before.
    moves: [u16; 2],
}

impl World {
    /// A world all of whose links run this route.
    pub fn new(route: Route) -> Self {
        let state = State { route: Some(route), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), threads: Vec::new() }
    }

    /// From now on `from` has these rights, and not all of them, on links to `to`.
    pub fn allow(&self, from: &str, to: &str, rights: Rights) {
        self.state().rights.insert((from.to_owned(), to.to_owned()), rights);
    }

    /// The control socket of a new worker.
    pub fn port(&mut self, role: &str) -> ProcessIpc {
        let (here, there) = ProcessIpc::pair().unwrap();
        let ipc = Arc::new(here);
        let mut state = self.state();
        let port = state.ports.len();
        state.ports.push(Port { role: Name::new(role).unwrap(), ipc: Arc::clone(&ipc), greeted: false, links: 0 });
        drop(state);
        let state = Arc::clone(&self.state);
        self.threads.push(thread::spawn(move || attend(&state, port, &ipc)));
        there
    }

    /// A worker in a thread of its own.
    pub fn worker<T: Send + 'static>(
        &mut self,
        role: &str,
        main: impl FnOnce(&Worker) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let control = self.port(role);
        thread::spawn(move || main(&Worker::over(control).unwrap()))
    }

    /// A worker on this thread.
    pub fn here(&mut self, role: &str) -> Worker {
        Worker::over(self.port(role)).unwrap()
    }

    /// Ends all links of `role` as if it had died.
    pub fn bury(&self, role: &str, why: &Gone) {
        let mut state = self.state();
        let port = state.ports.iter().position(|port| port.role.as_str() == role).unwrap();
        state.close_links_of(port, why);
    }

    /// From now on whoever asks for a pool or an object waits; the broker notes it.
    pub fn withhold(&self) {
        self.state().withheld.get_or_insert_default();
    }

    /// Whoever waits for a pool or an object gets it.
    pub fn relent(&self) {
        let mut state = self.state();
        for (port, word) in state.withheld.take().into_iter().flatten() {
            state.take_word(port, word);
        }
    }

    /// Takes every link back from both its holders.
    pub fn revoke_all(&self) {
        let mut state = self.state();
        for link in 0..state.links.len() {
            state.close_link(link, &[0, 1], &Gone::Revoked);
        }
    }

    /// Sends a word to `role`.
    pub fn say(&self, role: &str, word: &ToWorker) {
        let state = self.state();
        let port = state.ports.iter().position(|port| port.role.as_str() == role).unwrap();
        state.say(port, word, &[]);
    }

    /// The first of the words that the broker only notes for which `pick` finds something; waits for it.
    pub fn heard<T>(&self, mut pick: impl FnMut(&ToBroker) -> Option<T>) -> T {
        let start = std::time::Instant::now();
        while start.elapsed() < HEARD_WITHIN {
            if let Some(found) = self.state().heard.iter().find_map(&mut pick) {
                return found;
            }
            thread::yield_now();
        }
        panic!("the broker did not hear it within {HEARD_WITHIN:?}")
    }

    /// How many of the words that the broker only notes there are.
    pub fn heard_count(&self) -> usize {
        self.state().heard.len()
    }

    /// The batches of records that workers have sent.
    pub fn traced(&self) -> Vec<Vec<u8>> {
        let batch = |word: &ToBroker| match word {
            ToBroker::Traced { records } => Some(records.0.clone()),
            _ => None,
        };
        self.state().heard.iter().filter_map(batch).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Every worker is told to end.
impl Drop for World {
    fn drop(&mut self) {
        for port in &self.state.lock().unwrap().ports {
            port.ipc.shutdown().unwrap();
        }
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn attend(state: &Mutex<State>, port: usize, ipc: &ProcessIpc) {
    let mut packet = vec![0; PACKET_MAX];
    loop {
        let mut passed = Vec::new();
        let Ok(len) = ipc.recv(&mut packet, &mut passed) else { break };
        let mut state = state.lock().unwrap();
        for message in Messages::new(&packet[..len]) {
            let (start, header) = message.unwrap();
            let message = &packet[start..start + header.message_len()];
            state.take(port, &header, message, std::mem::take(&mut passed));
        }
    }
    let mut state = state.lock().unwrap();
    state.close_links_of(port, &Gone::Crashed("signal 9".into()));
}

impl Port {
    /// A name for one more link.
    fn name(&mut self) -> Destination {
        self.links += 1;
        Destination { index: self.links, generation: 1 }
    }
}

impl State {
    fn take(&mut self, port: usize, header: &Header, message: &[u8], passed: Vec<Passed>) {
        if header.kind == Kind::Control {
            return self.take_word(port, decode_whole(&message[cloison_msg::HEADER_LEN..]).unwrap());
        }
        let Some((link, side)) = self.find(port, header.destination) else { return };
        let (to, name) = self.links[link].ends[1 - side];
        let is_answer = matches!(header.kind, Kind::Reply | Kind::Error);
        if is_answer && header.call.holder() < u64::from(self.links[link].moves[1 - side]) {
            // Nobody waits for it: the caller has given its end away.
            return;
        }
        let mut message = message.to_vec();
        self.count(link, side, header, &message);
        for (at, carried) in LinkRef::decode_all(&message[header.links_at()..]).unwrap().iter().enumerate() {
            let name = self.hand_on(port, to, carried);
            LinkRef::rename(&mut message[header.links_at()..], at, name);
        }
        let header = Header { destination: name, ..*header };
        message[..cloison_msg::HEADER_LEN].copy_from_slice(&header.encode());
        let fds: Vec<BorrowedFd<'_>> = passed.iter().map(AsFd::as_fd).collect();
        let _ = self.ports[to].ipc.send(&message, &fds);
    }

    fn take_word(&mut self, port: usize, word: ToBroker) {
        if let Some(withheld) = &mut self.withheld
            && matches!(word, ToBroker::Offer { .. } | ToBroker::MakePool { .. })
        {
            withheld.push((port, word.clone()));
            return self.heard.push(word);
        }
        match word {
            ToBroker::Hello { version } => {
                assert_eq!(version, PROTOCOL_VERSION);
                self.ports[port].greeted = true;
                let (role, origin) = (self.ports[port].role.clone(), u32::try_from(port).unwrap() + 1);
                self.say(port, &ToWorker::Welcome { version, role, origin }, &[]);
                for (from, request, role, interface) in std::mem::take(&mut self.waiting) {
                    self.open(from, request, role, interface);
                }
            }
            ToBroker::Open { request, role, interface } => self.open(port, request, role, interface),
            ToBroker::Offer { request, interface } => {
                let given =
                    self.introduce([port, port], Route::Relayed, &Rights::default().delegable(), &interface, None);
                let own = self.links.last().unwrap().ends[1].1;
                self.say(port, &ToWorker::Offered { request, ends: Ok(OfferedEnds { own, given }) }, &[]);
            }
            ToBroker::MakePool { request, link, shape } => {
                let Some((link, side)) = self.find(port, link) else {
                    let pool = Err(Refusal::PeerGone(Gone::Closed));
                    return self.say(port, &ToWorker::Pool { request, pool }, &[]);
                };
                let made = create_pool(shape).unwrap();
                self.pools_made += 1;
                let (pool, (peer, name)) = (self.pools_made, self.links[link].ends[1 - side]);
                self.say(peer, &ToWorker::PeerPool { link: name, pool, shape }, &[made.read_only]);
                self.say(port, &ToWorker::Pool { request, pool: Ok(pool) }, &[made.writable]);
            }
            ToBroker::DropPool { link, pool } => {
                if let Some((link, side)) = self.find(port, link) {
                    let (peer, name) = self.links[link].ends[1 - side];
                    self.say(peer, &ToWorker::PoolDropped { link: name, pool }, &[]);
                }
                self.heard.push(word);
            }
            ToBroker::Close { link } => {
                if let Some((link, side)) = self.find(port, link) {
                    self.close_link(link, &[1 - side], &Gone::Closed);
                }
            }
            ToBroker::Accuse { link, ref what } => {
                if let Some((link, _)) = self.find(port, link) {
                    self.close_link(link, &[0, 1], &Gone::CutOff(what.clone()));
                }
                self.heard.push(word);
            }
            ToBroker::Left { link, calls } => self.take_left(port, link, calls),
            ToBroker::Settled { link } => self.take_settled(port, link),
            ToBroker::Rest { link } => self.take_rest(port, link),
            ToBroker::Counted { .. } | ToBroker::Released { .. } | ToBroker::Traced { .. } => self.heard.push(word),
        }
    }

    fn open(&mut self, from: usize, request: RequestId, role: Name, interface: Name) {
        if role.as_str() == "nobody" {
            return self.say(from, &ToWorker::Opened { request, link: Err(Refusal::NotFound) }, &[]);
        }
        let Some(to) = self.ports.iter().position(|port| port.role == role && port.greeted) else {
            return self.waiting.push((from, request, role, interface));
        };
        let link = self.introduce([from, to], self.route.unwrap(), &self.rights(from, to), &interface, None);
        self.say(from, &ToWorker::Opened { request, link: Ok(link) }, &[]);
    }

    /// Makes a link between two, of whom the first has these rights; its name for it. The second calls the link so of which
    /// this is a copy.
    fn introduce(
        &mut self,
        ports: [usize; 2],
        route: Route,
        rights: &Rights,
        interface: &Name,
        original: Option<Destination>,
    ) -> Destination {
        let ends = ports.map(|port| (port, self.ports[port].name()));
        let pair = (route == Route::Direct).then(|| ProcessIpc::pair().unwrap());
        let all = [rights.clone(), self.rights(ports[1], ports[0])];
        // The other side first: it must know the link before a message comes over it.
        for side in [1, 0] {
            let (port, link) = ends[side];
            let peer = self.ports[ports[1 - side]].role.clone();
            let (rights, peer_rights) = (all[side].clone(), all[1 - side].clone());
            let socket = pair.as_ref().map(|(a, b)| [a, b][side].try_clone().unwrap().into());
            let (interface, balance) = (interface.clone(), Balance::default());
            let copy_of = original.filter(|_| side == 1);
            let word = ToWorker::Granted { link, peer, interface, rights, peer_rights, route, balance, copy_of };
            self.say(port, &word, socket.as_slice());
        }
        let (sent, calls) = ([Account::default(); 2], [CallId::NONE; 2]);
        let (settled, rest, moves) = ([true; 2], [false; 2], [0; 2]);
        let interface = interface.clone();
        self.links.push(LinkState { interface, ends, pair, open: true, route, settled, rest, sent, calls, moves });
        ends[0].1
    }

    fn rights(&self, from: usize, to: usize) -> Rights {
        let key = (self.ports[from].role.to_string(), self.ports[to].role.to_string());
        let all = Rights::methods(RpcSet::ALL).lending().delegable();
        self.rights.get(&key).cloned().unwrap_or(match self.route {
            Some(Route::Relayed) => all.passing(cloison_msg::DescriptorClasses::PIPE),
            _ => all,
        })
    }

    fn find(&self, port: usize, name: Destination) -> Option<(usize, usize)> {
        self.links
            .iter()
            .enumerate()
            .filter(|(_, link)| link.open)
            .find_map(|(at, link)| link.ends.iter().position(|&end| end == (port, name)).map(|side| (at, side)))
    }

    fn close_links_of(&mut self, port: usize, why: &Gone) {
        for link in 0..self.links.len() {
            if let Some(side) = self.links[link].ends.iter().position(|&(holder, _)| holder == port) {
                self.close_link(link, &[1 - side], why);
            }
        }
    }

    fn close_link(&mut self, link: usize, sides: &[usize], why: &Gone) {
        if !std::mem::take(&mut self.links[link].open) {
            return;
        }
        if let Some((a, _)) = &self.links[link].pair {
            a.shutdown().unwrap();
        }
        for &side in sides {
            let (port, name) = self.links[link].ends[side];
            self.say(port, &ToWorker::Closed { link: name, why: why.clone() }, &[]);
        }
    }

    fn say(&self, port: usize, word: &ToWorker, descriptors: &[OwnedFd]) {
        let mut message = Message::<()>::new();
        message.append(word).unwrap();
        let header = Header {
            kind: Kind::Control,
            payload: message.payload_len(),
            descriptors: u8::try_from(descriptors.len()).unwrap(),
            ..Header::default()
        };
        let fds: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let _ = self.ports[port].ipc.send(message.packet(&header), &fds);
    }
}

/// Runs each body once over each route.
#[macro_export]
macro_rules! over_both_routes {
    ($($body:ident),* $(,)?) => {
        mod relayed {
            $(#[test] fn $body() { super::$body(cloison_msg::Route::Relayed); })*
        }
        mod direct {
            $(#[test] fn $body() { super::$body(cloison_msg::Route::Direct); })*
        }
    };
}
