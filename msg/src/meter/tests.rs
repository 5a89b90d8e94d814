use proptest::prelude::*;

use super::*;

const fn bytes(payload: u32) -> Shape {
    Shape { payload, descriptors: 0, links: 0 }
}

const fn credit(messages: u64, bytes: u64, descriptors: u64) -> Credit {
    Credit { messages, bytes, descriptors }
}

const fn receipt(messages: u64, bytes: u64, descriptors: u64) -> Receipt {
    Receipt { route: Route::Relayed, taken: credit(messages, bytes, descriptors) }
}

/// Takes one message and asks once.
fn take(taken: &mut Taken, kind: Kind, shape: Shape) -> Option<Receipt> {
    taken.take(Route::Relayed, kind, shape);
    taken.due(false)
}

#[test]
fn a_full_window_refuses_and_a_credit_opens_it() {
    let mut meter = Meter::default();
    for _ in 0..WINDOW_MESSAGES {
        meter.send(Route::Relayed, Kind::Oneway, bytes(8)).unwrap();
    }
    assert_eq!(meter.send(Route::Relayed, Kind::Oneway, bytes(8)), Err(Overdraft::Messages));
    assert_eq!(meter.send(Route::Relayed, Kind::Reply, bytes(8)), Ok(()), "answers need no credit");
    assert_eq!(meter.credit(receipt(WINDOW_MESSAGES + 1, 8, 0)), Err(Overdraft::Credit));
    meter.credit(receipt(1, 8, 0)).unwrap();
    assert_eq!(meter.credit(receipt(1, 8, 0)), Err(Overdraft::Credit), "no credit without news");
    assert_eq!(
        meter.send(Route::Relayed, Kind::Oneway, bytes(u32::try_from(WINDOW_BYTES).unwrap())),
        Err(Overdraft::Bytes)
    );
    meter.send(Route::Relayed, Kind::Oneway, bytes(8)).unwrap();
}

#[test]
fn every_call_under_way_can_be_given_up_when_the_window_is_full() {
    let mut meter = Meter::default();
    for _ in 0..WINDOW_MESSAGES {
        meter.send(Route::Relayed, Kind::Call, bytes(8)).unwrap();
    }
    for _ in 0..CALLS_IN_FLIGHT {
        meter.send(Route::Relayed, Kind::Cancel, bytes(0)).unwrap();
    }
    assert_eq!(meter.send(Route::Relayed, Kind::Cancel, bytes(0)), Err(Overdraft::Messages));
    meter.credit(receipt(32, 256, 0)).unwrap();
    assert_eq!(meter.send(Route::Relayed, Kind::Oneway, bytes(8)), Err(Overdraft::Messages));
    meter.credit(receipt(33, 264, 0)).unwrap();
    meter.send(Route::Relayed, Kind::Oneway, bytes(8)).unwrap();
}

#[test]
fn descriptors_have_a_window_of_their_own() {
    let mut meter = Meter::default();
    let carrying = |descriptors| Shape { payload: 4, descriptors, links: 0 };
    meter.send(Route::Relayed, Kind::Oneway, carrying(16)).unwrap();
    meter.send(Route::Relayed, Kind::Reply, carrying(15)).unwrap();
    for kind in [Kind::Call, Kind::Oneway, Kind::Reply, Kind::Error] {
        assert_eq!(meter.send(Route::Relayed, kind, carrying(2)), Err(Overdraft::Descriptors), "{kind:?}");
    }
    meter.send(Route::Relayed, Kind::Oneway, carrying(0)).unwrap();
    // The answer is taken first: it gives its descriptors back, and nothing else.
    meter.credit(receipt(0, 0, 15)).unwrap();
    assert_eq!(meter.credit(receipt(0, 0, 15)), Err(Overdraft::Credit), "no credit without news");
    assert_eq!(meter.credit(receipt(0, 1, 15)), Err(Overdraft::Credit), "bytes come with messages");
    assert_eq!(meter.credit(receipt(0, 0, 14)), Err(Overdraft::Credit), "totals do not shrink");
    assert_eq!(meter.credit(receipt(2, 8, 32)), Err(Overdraft::Credit), "more than was sent");
    meter.send(Route::Relayed, Kind::Call, carrying(16)).unwrap();
    meter.credit(receipt(3, 12, 47)).unwrap();
}

#[test]
fn descriptors_are_announced_at_once() {
    let mut taken = Taken::default();
    assert_eq!(take(&mut taken, Kind::Oneway, bytes(3)), None);
    assert_eq!(take(&mut taken, Kind::Reply, bytes(3)), None);
    let carrying = Shape { payload: 3, descriptors: 1, links: 0 };
    assert_eq!(take(&mut taken, Kind::Reply, carrying), Some(receipt(1, 3, 1)));
}

#[test]
fn answers_match_calls() {
    let mut meter = Meter::default();
    assert_eq!(meter.answer(), Err(Overdraft::Answer));
    for _ in 0..CALLS_IN_FLIGHT {
        meter.open().unwrap();
    }
    assert_eq!(meter.open(), Err(Overdraft::Calls));
    meter.answer().unwrap();
    meter.open().unwrap();
}

#[test]
fn both_routes_share_one_window() {
    let mut meter = Meter::default();
    for route in [Route::Relayed, Route::Direct] {
        for _ in 0..WINDOW_MESSAGES / 2 {
            meter.send(route, Kind::Oneway, bytes(8)).unwrap();
        }
    }
    assert_eq!(meter.send(Route::Direct, Kind::Oneway, bytes(8)), Err(Overdraft::Messages));
    assert_eq!(
        meter.credit(receipt(WINDOW_MESSAGES / 2 + 1, 264, 0)),
        Err(Overdraft::Credit),
        "each route has its own account"
    );
    meter.credit(receipt(1, 8, 0)).unwrap();
    meter.send(Route::Direct, Kind::Oneway, bytes(8)).unwrap();
}

#[test]
fn answers_that_carry_links_have_a_place_in_the_window() {
    let mut meter = Meter::default();
    let carrying = Shape { payload: 4, descriptors: 0, links: 1 };
    for _ in 0..WINDOW_MESSAGES {
        meter.send(Route::Relayed, Kind::Reply, carrying).unwrap();
    }
    assert_eq!(meter.send(Route::Relayed, Kind::Reply, carrying), Err(Overdraft::Messages));
    meter.send(Route::Relayed, Kind::Reply, bytes(4)).unwrap();
}

proptest! {
    /// Whatever is sent and taken, by whichever route and in whatever order, an honest pair never overdraws and never
    /// stalls for ever.
    #[test]
    fn honest_pairs_never_overdraw(
        steps in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), 0u32..65_000, 0u8..=16), 1..400),
    ) {
        let (mut sender, mut receiver, mut taken) = (Meter::default(), Meter::default(), Taken::default());
        let mut queue = std::collections::VecDeque::new();
        for (send, direct, answer, payload, descriptors) in steps {
            let (route, descriptors) = if direct { (Route::Direct, 0) } else { (Route::Relayed, descriptors) };
            let kind = if answer { Kind::Reply } else { Kind::Oneway };
            let shape = Shape { payload, descriptors, links: 0 };
            if send && sender.send(route, kind, shape).is_ok() {
                prop_assert_eq!(receiver.send(route, kind, shape), Ok(()));
                queue.push_back((route, kind, shape));
            } else if let Some((route, kind, shape)) = queue.pop_front() {
                taken.take(route, kind, shape);
                while let Some(receipt) = taken.due(false) {
                    prop_assert_eq!(receiver.credit(receipt), Ok(()));
                    prop_assert_eq!(sender.credit(receipt), Ok(()));
                }
            }
        }
        while let Some((route, kind, shape)) = queue.pop_front() {
            taken.take(route, kind, shape);
            while let Some(receipt) = taken.due(false) {
                sender.credit(receipt).unwrap();
            }
        }
        let full = Shape { payload: 60_000, descriptors: 16, links: 0 };
        prop_assert_eq!(sender.send(Route::Relayed, Kind::Oneway, full), Ok(()));
    }
}
