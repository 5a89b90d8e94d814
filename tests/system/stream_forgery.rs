//! A hostile worker at the other end of the host's streams.

use cloison_broker::msg::contract::{Flow, Sink};
use cloison_broker::msg::{Destination, Kind, Streams};
use cloison_broker::router::Violation;
use cloison_broker::{Death, HostFlow, HostLink, Model, WorkerSpec};

use crate::case::{Case, both, module};
use crate::host::{AMPLE, Attacker, Host, anything_goes, message};
use crate::raw::{RawOutcome, RawStep, Via, message_packet};
use crate::watch::eventually;
use crate::words::{ECHO, PEER, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "stream_forgery",
        vec![
            both("more_than_the_credit_evicts", |model| evicts(model, beyond_the_credit)),
            both("what_comes_behind_the_end_evicts", |model| evicts(model, behind_the_end)),
            both("a_made_up_demand_evicts", |model| evicts(model, demanding_what_never_was)),
        ],
    )
}

type Breach = fn(&Attacker, &HostLink, Destination) -> Option<HostFlow>;

/// What only the two ends of a stream can see, the host's end sees, and nobody else comes to harm.
fn evicts(model: Model, breach: Breach) {
    let mut host = Host::new(model, anything_goes);
    host.broker.spawn(WorkerSpec::own("raw").unwrap().restarts(100)).unwrap();
    host.spawn("a");
    for _ in 0..3 {
        let raw = host.attacker("raw");
        let link = host.broker.open("raw", &PEER).unwrap();
        let RawOutcome::Links(links) = raw.tell(&RawStep::Links) else { panic!("no links") };
        let name = links.last().unwrap().name;
        // It answers nothing.
        raw.tell(&RawStep::Reverse(usize::MAX));
        let streaming = breach(&raw, &link, name);
        let (death, _) = host.death("raw");
        assert!(matches!(&death, Death::Evicted(Violation::Host(_))), "{death}");
        drop(streaming);
        host.restarted("raw");
        assert_eq!(host.puppet("a").served(), 0);
    }
}

/// Something of a stream of the host's first call over a link, or of the attacker's.
fn of_stream(to: Destination, kind: u8, streams: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = message_packet(to, Kind::Oneway, ECHO, payload);
    (packet[10], packet[16], packet[38]) = (kind, 1, streams);
    packet
}

const ITEM: u8 = 11;
const DEMAND: u8 = 12;
const FEED: u8 = 1;
const ITEMS: u8 = 2;
const END: u8 = 4;

fn times(packet: Vec<u8>, times: u32) -> RawStep {
    RawStep::Send { via: Via::Control, packet, loot: vec![], times }
}

/// The host takes none of the items.
fn beyond_the_credit(raw: &Attacker, link: &HostLink, name: Destination) -> Option<HostFlow> {
    let flow = link.stream(ECHO, message(&[]), AMPLE, Streams::ITEMS);
    // A window of the link is no larger than a stream's credit, and a credit of its own comes in between.
    for _ in 0..3 {
        let _ = raw.try_tell(&times(of_stream(name, ITEM, ITEMS, &encoded(&7u32)), 30));
    }
    Some(flow)
}

fn behind_the_end(raw: &Attacker, _: &HostLink, name: Destination) -> Option<HostFlow> {
    let mut call = message_packet(name, Kind::Call, ECHO, &encoded("x"));
    call[16..24].copy_from_slice(&1u64.to_le_bytes());
    call[38] = FEED;
    raw.tell(&times(call, 1));
    raw.tell(&times(of_stream(name, ITEM, FEED, &[7]), 2));
    raw.tell(&times(of_stream(name, ITEM, FEED | END, &[]), 1));
    let _ = raw.try_tell(&times(of_stream(name, ITEM, FEED, &[7]), 1));
    None
}

/// It was fed two.
fn demanding_what_never_was(raw: &Attacker, link: &HostLink, name: Destination) -> Option<HostFlow> {
    let mut flow = link.stream(ECHO, message(&[]), AMPLE, Streams::FEED);
    let mut sink = flow.sink();
    for _ in 0..2 {
        sink.push(|message| message.append(&7u32).map(|_| ())).unwrap();
    }
    eventually("both have come", || {
        let RawOutcome::Heard(heard) = raw.tell(&RawStep::Heard) else { panic!("nothing was heard") };
        (heard >= 3).then_some(())
    });
    let _ = raw.try_tell(&times(of_stream(name, DEMAND, FEED, &[3, 3]), 1));
    sink.finish();
    Some(flow)
}
