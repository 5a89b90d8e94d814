//! Noise from a hostile worker: bytes and descriptors that chance chose, straight onto its socket. Whatever it says, only it is
//! evicted, the others go on, and nothing is left of it.
//!
//! `CLOISON_NOISE=5000 cargo test --test system -- noise::` says more of it, `CLOISON_SEED=7` something else.

use std::time::Duration;

use cloison_broker::msg::control::ToBroker;
use cloison_broker::msg::{
    CallFailure, CallId, ChainId, Destination, Header, Kind, LinkRef, Name, Rights, RpcIndex, RpcSet, Transfer,
};
use cloison_broker::{Ask, Grant, Model};

use crate::case::{Case, alone, both, module};
use crate::host::{Attacker, Host, Random, anything_goes};
use crate::raw::{Loot, RawOutcome, RawStep, Via, packet, word_packet};
use crate::watch::{Holdings, settles_at};
use crate::words::{ECHO, encoded};

pub fn cases() -> Vec<Case> {
    module("noise", vec![alone(both("chance_evicts_nobody_but_its_author", chance_evicts_nobody_but_its_author))])
}

/// How many packets are sent, unless `CLOISON_NOISE` says otherwise.
const PACKETS: u64 = 150;

/// After how many packets the others are asked whether they are well.
const LOOK_EVERY: u64 = 10;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().expect("a number"))
}

/// The attacker may have one thing of `a`'s, and may hand that on.
fn policy(ask: &Ask<'_>) -> Option<Grant> {
    let grant = anything_goes(ask)?;
    let one = Rights::methods(RpcSet::NONE.with(ECHO)).delegable();
    Some(if ask.from.as_str() == "raw" { Grant { rights: one, ..Grant::default() } } else { grant })
}

fn chance_evicts_nobody_but_its_author(model: Model) {
    let mut chance = Random(setting("CLOISON_SEED", 1));
    let mut host = Host::new(model, policy);
    for role in ["a", "b"] {
        host.spawn(role);
    }
    let a = host.puppet("a");
    let link = a.open("b");
    let before = Holdings::steady();
    host.spawn("raw");
    let mut evictions = 0;
    let (mut raw, mut names) = attach(&mut host, &mut evictions);
    for number in 0..setting("CLOISON_NOISE", PACKETS) {
        let step = RawStep::Send {
            via: Via::Control,
            packet: noise(&mut chance, &names),
            loot: loot(&mut chance),
            times: u32::try_from(1 + chance.below(3)).expect("a few"),
        };
        // What it does next shows whether it is still there.
        let outcome = raw.try_tell(&step).and_then(|_| raw.try_tell(&RawStep::Links));
        if let Err(why) = outcome {
            mourn(&mut host, &why, &mut evictions);
            (raw, names) = attach(&mut host, &mut evictions);
        }
        if number % LOOK_EVERY == 0 {
            let words = encoded(&format!("number {number}"));
            assert_eq!(a.call(link, ECHO, words.clone()), Ok(words), "after {number} packets");
        }
    }
    assert!(evictions > 0, "noise that breaks no rule is none");
    for role in ["a", "b"] {
        let workers = host.broker.workers();
        assert_eq!(workers.iter().find(|worker| worker.role.as_str() == role).map(|worker| worker.restarts), Some(0));
    }
    host.broker.stop("raw");
    while host.inbox.next_within(Duration::from_millis(50)).is_some() {}
    settles_at(&before);
}

/// Waits for the successor of an attacker that was evicted. Else it has only closed its link to the host, given that away, or
/// answered the host with noise.
fn mourn(host: &mut Host, why: &CallFailure, evictions: &mut u32) {
    if matches!(why, CallFailure::PeerRestarted(_)) {
        *evictions += 1;
        host.restarted("raw");
        host.broker.progress("raw");
    }
}

/// The attacker, with a link to `a`, and what it calls its links. What it had said before may be held against it only now.
fn attach(host: &mut Host, evictions: &mut u32) -> (Attacker, Vec<Destination>) {
    loop {
        let raw = host.attacker("raw");
        drop(raw.try_tell(&RawStep::Open { role: "a".into(), interface: "peer".into() }));
        match raw.try_tell(&RawStep::Links) {
            Ok(RawOutcome::Links(links)) => return (raw, links.iter().map(|link| link.name).collect()),
            Ok(other) => panic!("{other:?}"),
            Err(why) => mourn(host, &why, evictions),
        }
    }
}

fn loot(chance: &mut Random) -> Vec<Loot> {
    let count = if chance.below(3) == 0 { chance.below(4) } else { 0 };
    (0..count).map(|_| [Loot::Pipe, Loot::Device, Loot::Control][index(chance, 3)]).collect()
}

fn index(chance: &mut Random, limit: u64) -> usize {
    usize::try_from(chance.below(limit)).expect("below a small number")
}

fn bytes(chance: &mut Random, most: u64) -> Vec<u8> {
    let count = chance.below(most);
    (0..count).map(|_| chance.below(256).to_le_bytes()[0]).collect()
}

/// One packet: bytes that are nothing, messages that nearly are something, or words with one bit turned.
fn noise(chance: &mut Random, names: &[Destination]) -> Vec<u8> {
    let mut packet = match chance.below(4) {
        0 => bytes(chance, 200),
        1 => word_packet(&word(chance, names)),
        2 => [near_message(chance, names), near_message(chance, names)].concat(),
        _ => near_message(chance, names),
    };
    if packet.is_empty() {
        packet.push(0);
    }
    if chance.below(3) == 0 {
        let at = index(chance, packet.len() as u64);
        packet[at] ^= 1 << chance.below(8);
    }
    packet
}

fn name(chance: &mut Random, names: &[Destination]) -> Destination {
    if !names.is_empty() && chance.below(4) > 0 {
        return names[index(chance, names.len() as u64)];
    }
    let (index, generation) = (chance.below(5), chance.below(3));
    Destination { index: u32::try_from(index).expect("small"), generation: u32::try_from(generation).expect("small") }
}

fn near_message(chance: &mut Random, names: &[Destination]) -> Vec<u8> {
    let kinds = [
        Kind::Call,
        Kind::Oneway,
        Kind::Reply,
        Kind::Error,
        Kind::Credit,
        Kind::Release,
        Kind::Switch,
        Kind::Cancel,
        Kind::Probe,
    ];
    let kind = kinds[index(chance, 9)];
    let payload = if matches!(kind, Kind::Switch | Kind::Cancel) { Vec::new() } else { bytes(chance, 64) };
    let is_call = matches!(kind, Kind::Call | Kind::Reply | Kind::Error | Kind::Cancel | Kind::Probe);
    let links = if matches!(kind, Kind::Call | Kind::Oneway) { chance.below(3) } else { 0 };
    let header = Header {
        destination: name(chance, names),
        rpc: RpcIndex(u16::try_from(chance.below(66)).expect("small")),
        kind,
        payload: u32::try_from(payload.len()).expect("short"),
        descriptors: u8::try_from(chance.below(2)).expect("small"),
        links: u8::try_from(links).expect("small"),
        call: CallId(if is_call { 1 + chance.below(9) } else { 0 }),
        chain: ChainId(chance.below(4)),
        remaining: if kind == Kind::Call { 1_000_000 } else { 0 },
        ..Header::default()
    };
    let mut message = packet(&header, &payload);
    for _ in 0..links {
        let transfer = if chance.below(2) == 0 { Transfer::Copy } else { Transfer::Move };
        message.extend(LinkRef { link: name(chance, names), transfer, rights: Rights::default() }.encode());
    }
    message
}

fn word(chance: &mut Random, names: &[Destination]) -> ToBroker {
    let link = name(chance, names);
    match chance.below(9) {
        0 => ToBroker::Hello { version: u16::try_from(chance.below(3)).expect("small") },
        1 => ToBroker::Open { request: 1, role: role(chance), interface: Name::new("peer").expect("a name") },
        2 => ToBroker::Close { link },
        3 => ToBroker::Accuse { link, what: "noise".into() },
        4 => ToBroker::Left { link, calls: CallId(chance.below(u64::MAX)) },
        5 => ToBroker::Settled { link },
        6 => ToBroker::Rest { link },
        7 => ToBroker::Offer { request: 2, interface: Name::new("peer").expect("a name") },
        _ => ToBroker::Released { link },
    }
}

fn role(chance: &mut Random) -> Name {
    Name::new(["a", "b", "host", "nobody"][index(chance, 4)]).expect("a name")
}
