//! The same random script under both models: what each worker saw must be the same.

use std::time::Duration;

use cloison_broker::Model;

use crate::host::{Host, Puppet};
use crate::words::{ABSENT, ADD, BACK, ECHO, FAIL, NOTE, Step, VISIT, encoded};

const ROLES: [&str; 3] = ["a", "b", "c"];
const STEPS: usize = 60;
const SEEDS: std::ops::Range<u64> = 1..7;

pub fn scripts_see_the_same() {
    for seed in SEEDS {
        let [relayed, direct] = [Model::Broker, Model::Orchestrator].map(|model| Script::new(model, seed).run());
        for (i, (relayed, direct)) in relayed.iter().zip(&direct).enumerate() {
            assert_eq!(relayed, direct, "line {i} of the script with seed {seed}");
        }
        assert_eq!(relayed.len(), direct.len());
    }
}

struct Script {
    host: Host,
    puppets: Vec<Puppet>,
    /// Who holds which link (by its place there) to whom.
    links: Vec<(usize, usize, usize)>,
    random: u64,
    transcript: Vec<String>,
}

impl Script {
    fn new(model: Model, seed: u64) -> Self {
        let host = Host::with(model, &ROLES);
        let puppets = ROLES.map(|role| host.puppet(role)).into();
        Self { host, puppets, links: Vec::new(), random: seed, transcript: Vec::new() }
    }

    fn run(mut self) -> Vec<String> {
        for _ in 0..STEPS {
            let line = self.step();
            self.transcript.push(line);
        }
        for puppet in &self.puppets {
            let line = format!("{} noted {:?}", puppet.0.peer(), puppet.noted());
            self.transcript.push(line);
        }
        self.transcript
    }

    /// Below `limit`. The generator of Marsaglia with 64 bits.
    fn draw(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % limit as u64).unwrap()
    }

    fn step(&mut self) -> String {
        if self.links.is_empty() {
            return self.open();
        }
        let at = self.draw(self.links.len());
        let (holder, link, peer) = self.links[at];
        let puppet = self.puppets[holder].clone();
        let head = format!("{} over {link} to {}", ROLES[holder], ROLES[peer]);
        let tail = match self.draw(12) {
            0 | 1 => return self.open(),
            2 => {
                self.links.swap_remove(at);
                format!("closes: {:?}", puppet.tell(&Step::Close(link)))
            }
            3 => return self.kill(peer),
            4 => format!("gone? {:?}", puppet.tell(&Step::Gone(link))),
            5 | 6 => {
                let (from, count) = (u32::try_from(self.draw(1000)).unwrap(), u32::try_from(self.draw(90)).unwrap());
                let bytes = u32::try_from(self.draw(4000)).unwrap();
                let sent = puppet.sent(&Step::Notes { link, from, count, bytes, within: Duration::from_secs(20) });
                // A call after them on the same link: once it is answered, all of them were taken.
                format!("{count} notes: {sent:?} {:?}", puppet.call(link, ECHO, encoded("taken?")))
            }
            _ => {
                let (rpc, payload) = self.request();
                let count = 1 + self.draw(5);
                format!("{rpc:?}: {:?}", puppet.calls(link, rpc, vec![payload; count], Duration::from_secs(20)))
            }
        };
        format!("{head} {tail}")
    }

    fn open(&mut self) -> String {
        let (holder, peer) = (self.draw(3), self.draw(3));
        let opened = self.puppets[holder].try_open(ROLES[peer], "peer");
        if let Ok(link) = opened {
            self.links.push((holder, link, peer));
        }
        format!("{} opens {}: {opened:?}", ROLES[holder], ROLES[peer])
    }

    fn kill(&mut self, whom: usize) -> String {
        let role = ROLES[whom];
        assert!(self.host.broker.kill(role, "the script says so"));
        let (death, _) = self.host.death(role);
        self.host.restarted(role);
        self.puppets[whom] = self.host.puppet(role);
        // What it held is gone with it; what others hold to it stays on the list, dead as it is.
        self.links.retain(|&(holder, ..)| holder != whom);
        format!("{role} is killed: {death}")
    }

    fn request(&mut self) -> (cloison_broker::msg::RpcIndex, Vec<u8>) {
        let small = u32::try_from(self.draw(1000)).unwrap();
        match self.draw(8) {
            0 => (ADD, [encoded(&small), encoded(&7u32)].concat()),
            1 => (ADD, encoded(&small)),
            2 => (FAIL, vec![]),
            3 => (ABSENT, vec![1, 2, 3]),
            4 => (NOTE, encoded(&small)),
            5 => {
                let depth = u8::try_from(self.draw(6)).unwrap();
                (BACK, [encoded(&depth), encoded("there")].concat())
            }
            6 => {
                let path: Vec<_> = (0..self.draw(4)).map(|_| ROLES[self.draw(3)]).collect();
                (VISIT, encoded(&path))
            }
            _ => (ECHO, encoded(&vec![9u8; small as usize])),
        }
    }
}
