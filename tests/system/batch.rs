//! Small messages that share packets.

use std::time::Duration;

use cloison_broker::msg::Kind;
use cloison_broker::{Death, Model};

use crate::case::{Case, both, module, once, thrice};
use crate::host::{Host, Puppet, anything_goes};
use crate::raw::{RawOutcome, RawStep, Via, message_packet};
use crate::watch::eventually;
use crate::words::{ECHO, NOTE, Outcome, Step, encoded};

/// As many as one window has room for, so that nobody waits for credit.
const BATCH: u32 = 60;

pub fn cases() -> Vec<Case> {
    module(
        "batch",
        vec![
            both("a_batch_arrives_in_one_packet", a_batch_arrives_in_one_packet),
            thrice("what_shares_packets_stays_in_order", what_shares_packets_stays_in_order),
            thrice("calls_may_share_packets_too", calls_may_share_packets_too),
            both("what_waits_in_a_batch_leaves_when_its_worker_waits", what_waits_leaves_when_its_worker_waits),
            once("what_stood_before_rubbish_is_delivered", what_stood_before_rubbish_is_delivered),
            both("a_oneway_reaches_every_link_to_a_role", a_oneway_reaches_every_link_to_a_role),
        ],
    )
}

fn pair(model: Model, other: &str) -> (Host, Puppet, usize) {
    let host = Host::new(model, anything_goes);
    for role in ["a", other] {
        host.spawn(role);
    }
    let a = host.puppet("a");
    let link = a.open(other);
    (host, a, link)
}

fn batch(link: usize, step: Step) -> Step {
    Step::Batch(link, Box::new(step))
}

fn notes(link: usize, from: u32, count: u32) -> Step {
    Step::Notes { link, from, count, bytes: 0, within: Duration::from_secs(20) }
}

/// From the sender to the receiver, and through the broker too.
fn a_batch_arrives_in_one_packet(model: Model) {
    let (host, a, link) = pair(model, "raw");
    let raw = host.attacker("raw");
    let packets = |heard| {
        let told = |step| match raw.tell(&step) {
            RawOutcome::Heard(count) => count,
            other => panic!("{other:?}"),
        };
        eventually("all have come", || (told(RawStep::Heard) == heard).then_some(()));
        told(RawStep::Packets)
    };
    assert_eq!(a.sent(&batch(link, notes(link, 0, BATCH))), (BATCH, None));
    assert_eq!(packets(u64::from(BATCH)), 1);
    // Outside a batch each message has its own.
    assert_eq!(a.sent(&notes(link, BATCH, 4)), (4, None));
    assert_eq!(packets(u64::from(BATCH) + 4), 5);
}

fn what_shares_packets_stays_in_order(model: Model) {
    const ROUNDS: u32 = 20;
    let (host, a, link) = pair(model, "b");
    for round in 0..ROUNDS {
        let step = notes(link, 100 * round, 90);
        // More than a window, and now and then one by one.
        assert_eq!(a.sent(&if round % 4 == 3 { step } else { batch(link, step) }), (90, None));
        assert_eq!(a.sent(&notes(link, 100 * round + 90, 10)), (10, None));
    }
    let all: Vec<u32> = (0..100 * ROUNDS).collect();
    let b = host.puppet("b");
    eventually("all have come", || (b.noted().len() >= all.len()).then_some(()));
    assert_eq!(b.noted(), all);
}

fn calls_may_share_packets_too(model: Model) {
    let (_host, a, link) = pair(model, "b");
    let payloads: Vec<Vec<u8>> = (0..100u32).map(|number| encoded(&number.to_le_bytes().to_vec())).collect();
    let within = Duration::from_secs(20);
    let Outcome::Replies(replies) =
        a.tell(&batch(link, Step::Call { link, rpc: ECHO.0, payloads: payloads.clone(), within }))
    else {
        panic!("no replies")
    };
    assert_eq!(replies, payloads.into_iter().map(Ok).collect::<Vec<_>>());
}

/// A batch in a batch, and a wait in the midst of it, for the answer to a call that comes behind what was gathered.
fn what_waits_leaves_when_its_worker_waits(model: Model) {
    let (host, a, link) = pair(model, "b");
    let called = Step::Call { link, rpc: NOTE.0, payloads: vec![encoded(&7u32)], within: Duration::from_secs(20) };
    let inner = batch(link, notes(link, 0, 3));
    assert_eq!(a.sent(&batch(link, inner)), (3, None));
    assert_eq!(a.tell(&batch(link, called)), Outcome::Replies(vec![Ok(vec![])]));
    assert_eq!(host.puppet("b").noted(), [0, 1, 2, 7]);
}

/// Each link is charged: one that has no room, since its peer does not read, costs the others nothing.
fn a_oneway_reaches_every_link_to_a_role(model: Model) {
    let (host, a, link) = pair(model, "b");
    let b = host.puppet("b");
    assert_eq!(b.open("a"), 0, "two links between the two, whoever asked");
    for number in 0..200 {
        assert_eq!(a.tell(&Step::NoteAll("b".to_owned(), number)), Outcome::Served(0));
    }
    eventually("all have come, by both", || (b.noted().len() >= 400).then_some(()));
    let mut noted = b.noted();
    noted.sort_unstable();
    assert_eq!(noted, (0..200).flat_map(|number| [number, number]).collect::<Vec<_>>());
    a.tell(&Step::Close(link));
    assert_eq!(a.tell(&Step::NoteAll("b".to_owned(), 200)), Outcome::Served(0));
    assert_eq!(a.tell(&Step::NoteAll("nobody".to_owned(), 201)), Outcome::Served(0));
    eventually("it comes by the link that is left", || (b.noted().len() == 401).then_some(()));
}

/// A message that was checked reaches its receiver before the word that its sender was evicted for what stood behind it.
fn what_stood_before_rubbish_is_delivered() {
    let (mut host, _a, _link) = pair(Model::Broker, "raw");
    host.spawn("b");
    let (raw, b) = (host.attacker("raw"), host.puppet("b"));
    let open = RawStep::Open { role: "b".into(), interface: "peer".into() };
    let RawOutcome::Opened(Ok(at)) = raw.tell(&open) else { panic!("no link") };
    let RawOutcome::Links(links) = raw.tell(&RawStep::Links) else { panic!("no links") };
    let mut packet = message_packet(links[at].name, Kind::Oneway, NOTE, &encoded(&7u32));
    packet.extend([255; 48]);
    let step = RawStep::Send { via: Via::Control, packet, loot: vec![], times: 1 };
    assert!(raw.try_tell(&step).is_err());
    assert!(matches!(host.death("raw").0, Death::Evicted(_)));
    eventually("it has come", || (b.noted() == [7]).then_some(()));
}
