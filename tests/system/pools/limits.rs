//! How much may be asked for, and what large pools cost others.

use std::time::Duration;

use cloison_broker::msg::control::{PoolShape, ToBroker};
use cloison_broker::msg::{CallFailure, Destination, Gone, Rights};
use cloison_broker::router::{POOL_BYTES_PER_WORKER, POOLS_PER_LINK, Violation};
use cloison_broker::{Ask, CALL_DEADLINE, Death, Grant, HOST, Model};
use cloison_ipc::BUFFERS_MAX;

use super::steps::{SHAPE, links, open, pool, try_pool};
use crate::case::{Case, once};
use crate::host::{Host, anything_goes};
use crate::raw::{RawOutcome, RawStep, Via, word_packet};
use crate::watch::eventually;
use crate::words::{Outcome, Step};

pub fn cases() -> Vec<Case> {
    [
        once("pools_are_limited_by_name", pools_are_limited_by_name),
        once("large_pools_slow_nobody_else", large_pools_slow_nobody_else),
    ]
    .concat()
}

fn pools_are_limited_by_name() {
    let no_lending = |ask: &Ask<'_>| {
        let mut grant = anything_goes(ask)?;
        if ask.to.as_str() == "c" {
            grant = Grant { rights: Rights::methods(grant.rights.methods), ..grant };
        }
        Some(grant)
    };
    let mut host = Host::new(Model::Broker, no_lending);
    for role in ["a", "b", "c", "raw"] {
        host.spawn(role);
    }
    let a = host.puppet("a");
    let link = a.open("b");
    let refused = |buffer_size: u32, count: u16| try_pool(&a, link, PoolShape { buffer_size, count }).unwrap_err();
    for shape in [(u32::MAX, 64), (u32::MAX, 1), (1 << 30, 1), (9 << 20, 60)] {
        let why = refused(shape.0, shape.1);
        assert!(why.contains("limit reached") && why.contains(&POOL_BYTES_PER_WORKER.to_string()), "{why}");
    }
    let why = refused(1, BUFFERS_MAX + 1);
    assert!(why.contains("limit reached") && why.contains("65 buffers are more than the 64"), "{why}");
    for shape in [(0, 1), (1, 0), (0, 0)] {
        let why = refused(shape.0, shape.1);
        assert!(why.contains("at least one buffer of at least one byte"), "{why}");
    }
    let pools: Vec<_> = (0..POOLS_PER_LINK).map(|_| pool(&a, link, SHAPE)).collect();
    let why = refused(1, 1);
    assert!(why.contains("limit reached: a link has at most 4 pools"), "{why}");
    a.tell(&Step::DropPool(pools[0]));
    eventually("there is room for another", || try_pool(&a, link, SHAPE).ok());
    // All pools of a worker together, over whatever links.
    let other = a.open("b");
    let half = PoolShape { buffer_size: 128 << 20, count: 2 };
    let big = pool(&a, other, half);
    let why = try_pool(&a, other, half).unwrap_err();
    assert!(why.contains("limit reached"), "{why}");
    a.tell(&Step::DropPool(big));
    eventually("the bytes are given back", || try_pool(&a, other, half).ok());
    // Without the right to lend.
    let unlent = a.open("c");
    assert!(try_pool(&a, unlent, SHAPE).unwrap_err().contains("not among the rights granted"));
    // Over links that are not there, and pools of somebody else's.
    let words = [
        ToBroker::MakePool { request: 1, link: Destination { index: 40, generation: 1 }, shape: SHAPE },
        ToBroker::DropPool { link: Destination { index: 40, generation: 1 }, pool: 1 },
        ToBroker::DropPool { link: Destination { index: 1, generation: 1 }, pool: 1 },
    ];
    for word in words {
        let raw = host.attacker("raw");
        let step = RawStep::Send { via: Via::Control, packet: word_packet(&word), loot: vec![], times: 1 };
        assert!(matches!(raw.try_tell(&step), Err(CallFailure::PeerRestarted(Gone::Evicted(_)))));
        let (death, _) = host.death("raw");
        assert!(matches!(death, Death::Evicted(Violation::Forged(_) | Violation::Pool)), "{death:?}");
        host.restarted("raw");
    }
}

fn large_pools_slow_nobody_else() {
    let host = Host::with(Model::Broker, &["a", "b", "raw"]);
    let (a, raw) = (host.puppet("a"), host.attacker("raw"));
    let link = a.open("b");
    let at = open(&raw, HOST);
    let name = links(&raw)[at].name;
    let large = PoolShape { buffer_size: 256 << 20, count: 2 };
    let trips = a.start(&Step::RoundTrips { link, lasting: Duration::from_secs(3) });
    for pool in 1..3 {
        let made = raw.tell(&RawStep::MakePool { link: at, shape: large });
        assert!(matches!(made, RawOutcome::Pool(Ok(made)) if made == pool));
        raw.tell(&RawStep::UsePool { pool, shape: large });
        let word = word_packet(&ToBroker::DropPool { link: name, pool });
        raw.tell(&RawStep::Send { via: Via::Control, packet: word, loot: vec![], times: 1 });
    }
    let Outcome::RoundTrips(trips) = trips.wait().unwrap() else { panic!("no round trips") };
    assert_eq!(trips.stopped_by, None);
    // What the router does not do for such a pool is counted in page faults where pools are mapped; here it is enough that
    // nobody who calls meanwhile comes near a deadline.
    assert!(trips.slowest < CALL_DEADLINE / 2, "{:?} of {}", trips.slowest, trips.count());
}
