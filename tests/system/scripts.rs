//! The same random script under both models, and under a model that changes at random all the time: what each worker saw
//! must be the same.

use std::time::Duration;

use cloison_broker::msg::{DescriptorClasses, Rights, RpcSet};
use cloison_broker::{Ask, Grant, HOST, Model};

use crate::case::{Case, module, once};
use crate::host::{Flipper, Host, Puppet, Random, delegable};
use crate::words::{ABSENT, ADD, BACK, DESCRIPTOR, ECHO, FAIL, NOTE, PEER, Step, VISIT, encoded};

const ROLES: [&str; 3] = ["a", "b", "c"];
const STEPS: usize = 60;

/// How many scripts one case runs, unless [`SCRIPTS`] says otherwise.
const SEEDS: u64 = 5;

/// The environment variable that says how many scripts each case runs.
const SCRIPTS: &str = "CLOISON_SYSTEM_SCRIPTS";

/// Under what a script runs.
const REGIMES: [Regime; 3] = [Regime::Always(Model::Broker), Regime::Always(Model::Orchestrator), Regime::Switching];

#[derive(Clone, Copy, Debug)]
enum Regime {
    Always(Model),
    Switching,
}

pub fn cases() -> Vec<Case> {
    let several: [(&str, fn()); 4] = [
        ("see_the_same_1", || scripts_see_the_same(1)),
        ("see_the_same_2", || scripts_see_the_same(2)),
        ("see_the_same_3", || scripts_see_the_same(3)),
        ("see_the_same_4", || scripts_see_the_same(4)),
    ];
    module("scripts", several.into_iter().map(|(name, body)| once(name, body)).collect())
}

fn scripts_see_the_same(series: u64) {
    let count = std::env::var(SCRIPTS).ok().and_then(|count| count.parse().ok()).unwrap_or(SEEDS);
    for seed in (0..count).map(|at| series + 4 * at) {
        let [relayed, others @ ..] = REGIMES.map(|regime| Script::new(regime, seed).run());
        for (other, regime) in others.iter().zip(&REGIMES[1..]) {
            for (i, (relayed, other)) in relayed.iter().zip(other).enumerate() {
                assert_eq!(relayed, other, "line {i} of the script with seed {seed}, relayed and {regime:?}");
            }
            assert_eq!(relayed.len(), other.len());
        }
    }
}

/// Everybody may do everything with everybody, and hand it on; whoever reaches `c` may pass it pipes.
fn script_policy(ask: &Ask<'_>) -> Option<Grant> {
    let mut grant = delegable(ask)?;
    if ask.to.as_str() == "c" && ask.from.as_str() != HOST {
        grant.rights = grant.rights.passing(DescriptorClasses::PIPE);
    }
    Some(grant)
}

/// A worker's own names for its links depend on what was closed when, and mean nothing to anybody else.
fn without_names(line: &str) -> String {
    let mut parts = line.split("link ");
    let first = parts.next().unwrap_or_default().to_owned();
    let is_name = |c: char| c.is_ascii_digit() || c == '.';
    parts.fold(first, |line, part| line + "link " + part.trim_start_matches(is_name))
}

struct Script {
    _flipper: Option<Flipper>,
    host: Host,
    puppets: Vec<Puppet>,
    /// Who holds which link (by its place there) to whom.
    links: Vec<(usize, usize, usize)>,
    random: Random,
    transcript: Vec<String>,
}

impl Script {
    fn new(regime: Regime, seed: u64) -> Self {
        let model = if let Regime::Always(model) = regime { model } else { Model::Broker };
        let host = Host::new(model, script_policy);
        let puppets = ROLES.map(|role| {
            host.spawn(role);
            host.puppet(role)
        });
        let flipper = matches!(regime, Regime::Switching).then(|| Flipper::new(&host.broker));
        let (links, transcript) = (Vec::new(), Vec::new());
        // A few draws, since seeds that are near each other begin alike.
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            random.below(2);
        }
        Self { _flipper: flipper, host, puppets: puppets.into(), links, random, transcript }
    }

    fn run(mut self) -> Vec<String> {
        for _ in 0..STEPS {
            let line = self.step();
            self.transcript.push(without_names(&line));
        }
        for puppet in &self.puppets {
            let line = format!("{} noted {:?}", puppet.0.peer(), puppet.noted());
            self.transcript.push(line);
        }
        self.transcript
    }

    /// Below `limit`.
    fn draw(&mut self, limit: usize) -> usize {
        usize::try_from(self.random.below(limit as u64)).unwrap()
    }

    fn step(&mut self) -> String {
        if self.links.is_empty() {
            return self.open();
        }
        let at = self.draw(self.links.len());
        let (holder, link, peer) = self.links[at];
        let puppet = self.puppets[holder].clone();
        let head = format!("{} over {link} to {}", ROLES[holder], ROLES[peer]);
        let tail = match self.draw(17) {
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
                // Whoever floods itself waits for room that it alone could make, however long.
                let (count, bytes) = if holder == peer { (count % 16, bytes % 256) } else { (count, bytes) };
                let sent = puppet.sent(&Step::Notes { link, from, count, bytes, within: Duration::from_secs(20) });
                // A call after them on the same link: once it is answered, all of them were taken.
                format!("{count} notes: {sent:?} {:?}", puppet.call(link, ECHO, encoded("taken?")))
            }
            12 | 13 => return self.hand(at),
            14 => return self.revoke(holder, peer),
            15 => format!("a pipe: {:?}", puppet.call(link, DESCRIPTOR, vec![])),
            _ => {
                let (rpc, payload) = self.request();
                let drawn = 1 + self.draw(5);
                // Several visits at once open several links, and how many depends on who is served first.
                let count = if rpc == VISIT { 1 } else { drawn };
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

    /// Hands a link on to a third, as a copy or for good, with all rights or a few.
    fn hand(&mut self, at: usize) -> String {
        let (holder, link, peer) = self.links[at];
        let ways: Vec<_> = self.links.iter().copied().filter(|way| way.0 == holder && way.2 != peer).collect();
        if ways.is_empty() {
            return "nobody to hand it to".to_owned();
        }
        let (_, by, to) = ways[self.draw(ways.len())];
        let moves = self.draw(3) == 0;
        let all = Rights::methods(PEER.all()).delegable().passing(DescriptorClasses::PIPE);
        let rights = match self.draw(4) {
            0 => Rights::methods(RpcSet::NONE.with(ECHO).with(NOTE)),
            1 => all.for_uses(5),
            _ => all,
        };
        let handed = self.puppets[holder].hand(by, link, moves, rights);
        if handed.is_ok() {
            let place = self.puppets[to].adopt();
            self.links.push((to, place, peer));
        }
        format!("{} hands {link} to {} ({moves}): {handed:?}", ROLES[holder], ROLES[to])
    }

    /// The host takes back all links that one role asked of another, and what came of them.
    fn revoke(&self, from: usize, to: usize) -> String {
        let views = self.host.broker.explain(ROLES[from], ROLES[to]);
        let roots = views.iter().filter(|view| view.from.as_str() == ROLES[from] && view.to.as_str() == ROLES[to]);
        let count = roots.map(|view| self.host.broker.link(view.id).revoke().wait()).count();
        format!("{count} links from {} to {} are revoked", ROLES[from], ROLES[to])
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
