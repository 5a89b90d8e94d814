//! Attackers that keep the protocol to the letter and want to make something grow, or to be forgotten.

use std::time::Duration;

use cloison_broker::msg::control::{PoolShape, ToBroker};
use cloison_broker::msg::{Credit, Destination, Kind, Name, Receipt, Route, RpcIndex, WINDOW_MESSAGES};
use cloison_broker::router::Violation;
use cloison_broker::{Death, Item, Model};

use crate::case::{Case, alone, module, once};
use crate::host::{Attacker, Host};
use crate::raw::{Loot, RawOutcome, RawStep, Via, message_packet, word_packet};
use crate::watch::eventually;
use crate::words::{PEER, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "malice",
        vec![
            once("links_opened_and_closed_in_a_loop_do_not_fill_the_inbox", links_in_a_loop_do_not_fill_the_inbox),
            alone(once("pools_that_nobody_takes_do_not_use_up_descriptors", pools_in_a_loop_do_not_use_up_descriptors)),
            once("a_credit_smuggles_no_descriptor", a_credit_smuggles_no_descriptor),
        ],
    )
}

/// More links one after the other than may be unread in an inbox.
const LINKS: u32 = 2000;

/// What an inbox holds of one worker at most: what makes it crowded, and what its present links may still add.
#[expect(clippy::cast_possible_truncation, reason = "a window is a small number")]
const UNREAD_MAX: usize = 512 + WINDOW_MESSAGES as usize;

fn send(packet: Vec<u8>) -> RawStep {
    RawStep::Send { via: Via::Control, packet, loot: Vec::new(), times: 1 }
}

/// Sends these words in as few packets as take them.
fn say_all(attacker: &Attacker, words: impl Iterator<Item = ToBroker>) -> Vec<crate::host::Awaited> {
    let words: Vec<Vec<u8>> = words.map(|word| word_packet(&word)).collect();
    words.chunks(400).map(|chunk| attacker.start(&send(chunk.concat()))).collect()
}

fn the_link(attacker: &Attacker) -> Destination {
    match attacker.tell(&RawStep::Links) {
        RawOutcome::Links(links) => links[0].name,
        other => panic!("{other:?}"),
    }
}

fn died(host: &Host, role: &str) {
    let restarts = || host.broker.workers().iter().find(|worker| worker.role.as_str() == role).map(|w| w.restarts);
    eventually("it is evicted", || restarts().filter(|&restarts| restarts > 0));
}

fn links_in_a_loop_do_not_fill_the_inbox() {
    let mut host = Host::with(Model::Broker, &["raw"]);
    let attacker = host.attacker("raw");
    let own = the_link(&attacker);
    let role = Name::new("host").unwrap();
    let words = (1..=LINKS).flat_map(|generation| {
        let open = ToBroker::Open { request: generation, role: role.clone(), interface: PEER.name() };
        [open, ToBroker::Close { link: Destination { index: own.index + 1, generation } }]
    });
    let sending = say_all(&attacker, words);
    // The inbox is full at some time, so the next link is not there yet; to close it is to make up a name.
    died(&host, "raw");
    drop(sending);
    let mut unread = 0;
    while let Some(item) = host.inbox.next_within(Duration::from_millis(200)) {
        unread += usize::from(matches!(item, Item::LinkGone { .. } | Item::Message(_)));
    }
    assert!((100..=UNREAD_MAX).contains(&unread), "{unread} items");
    let again = host.attacker("raw");
    let opened = again.tell(&RawStep::Open { role: "host".to_owned(), interface: PEER.name().to_string() });
    assert!(matches!(opened, RawOutcome::Opened(Ok(_))), "once it is read there is room again: {opened:?}");
}

fn pools_in_a_loop_do_not_use_up_descriptors() {
    let mut host = Host::with(Model::Broker, &["raw"]);
    let attacker = host.attacker("raw");
    let link = the_link(&attacker);
    let shape = PoolShape { buffer_size: 1, count: 1 };
    let words = (1..=LINKS)
        .flat_map(|pool| [ToBroker::MakePool { request: pool, link, shape }, ToBroker::DropPool { link, pool }]);
    let packets: Vec<u8> = words.map(|word| word_packet(&word)).take(1100).flatten().collect();
    let sending = attacker.start(&RawStep::SendAndDeafen(packets));
    let (death, _) = host.death("raw");
    assert!(matches!(death, Death::Evicted(Violation::Backlog(_))), "{death}");
    drop(sending);
}

fn a_credit_smuggles_no_descriptor() {
    let mut host = Host::with(Model::Broker, &["a", "raw"]);
    let (a, attacker) = (host.puppet("a"), host.attacker("raw"));
    let link = a.open("raw");
    a.notes(link, 0, 8);
    let RawOutcome::Links(links) = attacker.tell(&RawStep::Links) else { panic!() };
    let to = links.iter().find(|link| link.peer == "a").unwrap().name;
    let taken = Credit { messages: 8, bytes: 64, ..Credit::default() };
    let credit = encoded(&Receipt { route: Route::Relayed, taken });
    let mut packet = message_packet(to, Kind::Credit, RpcIndex(0), &credit);
    packet[11] = 1;
    let _ = attacker.try_tell(&RawStep::Send { via: Via::Control, packet, loot: vec![Loot::Device], times: 1 });
    let (death, _) = host.death("raw");
    assert!(matches!(death, Death::Evicted(Violation::Header(_))), "{death}");
    assert_eq!(a.noted(), [0u32; 0], "the victim is alive and well");
}
