//! Pictures by pool: over relayed and direct links, and to the host.

use std::time::Duration;

use cloison_broker::msg::control::{PoolShape, ToBroker};
use cloison_broker::msg::{
    CallFailure, DescriptorClasses, Destination, Gone, Header, Kind, Rights, RpcIndex, WINDOW_MESSAGES,
};
use cloison_broker::router::{POOL_BYTES_PER_WORKER, POOLS_PER_LINK, Violation};
use cloison_broker::{Ask, BorrowError, Borrowed, CALL_DEADLINE, Death, Grant, HOST, Incoming, Model};
use cloison_ipc::{BUFFERS_MAX, BufferRef};
use rustix::process::Signal;

use crate::case::{Case, alone, both, module, once};
use crate::host::{AMPLE, Attacker, Host, Puppet, anything_goes, saying};
use crate::raw::{Loot, RawLink, RawOutcome, RawStep, Via, message_packet, packet, word_packet};
use crate::watch::{Holdings, eventually, settles_at};
use crate::words::{ECHO, NOTE, Outcome, PICTURE, Picture, Step, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "pools",
        vec![
            both("pictures_go_round_between_workers", pictures_go_round_between_workers),
            once("pictures_go_round_to_the_host", pictures_go_round_to_the_host),
            both("a_wait_for_a_buffer_ends_with_what_it_was_for", a_wait_for_a_buffer_ends_with_what_it_was_for),
            both("buffers_of_the_dead_come_back", buffers_of_the_dead_come_back),
            both("pictures_outlive_their_producer", pictures_outlive_their_producer),
            both("what_was_never_lent_cuts_the_link", what_was_never_lent_cuts_the_link),
            both("what_is_returned_twice_cuts_the_link", what_is_returned_twice_cuts_the_link),
            once("what_was_never_lent_to_the_host_evicts", what_was_never_lent_to_the_host_evicts),
            once("pools_are_limited_by_name", pools_are_limited_by_name),
            alone(both("a_change_of_size_leaves_nothing_of_the_old", a_change_of_size_leaves_nothing_of_the_old)),
            once("buffers_come_back_however_long_that_takes", buffers_come_back_however_long_that_takes),
            once("large_pools_slow_nobody_else", large_pools_slow_nobody_else),
            both("memory_comes_from_the_broker_alone", memory_comes_from_the_broker_alone),
        ],
    )
}

const SHAPE: PoolShape = PoolShape { buffer_size: 5000, count: 4 };
const BRIEF: Duration = Duration::from_millis(60);

fn pool(puppet: &Puppet, link: usize, shape: PoolShape) -> usize {
    try_pool(puppet, link, shape).unwrap()
}

fn try_pool(puppet: &Puppet, link: usize, shape: PoolShape) -> Result<usize, String> {
    match puppet.tell(&Step::MakePool { link, shape }) {
        Outcome::Got(made) => made,
        other => panic!("{other:?}"),
    }
}

fn lend(puppet: &Puppet, pool: usize, fill: u8, count: u32, within: Duration) -> (u32, Option<String>) {
    puppet.sent(&Step::Lend { pool, fill, count, within })
}

fn lent(puppet: &Puppet, pool: usize) -> u16 {
    match puppet.tell(&Step::Lent(pool)) {
        Outcome::Lent(count) => count,
        other => panic!("{other:?}"),
    }
}

fn kept(puppet: &Puppet) -> Vec<u8> {
    match puppet.tell(&Step::Kept) {
        Outcome::Kept(pictures) => pictures
            .into_iter()
            .map(|(first, last)| {
                assert_eq!(first, last);
                first
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

/// What the consumer keeps once it has been shown so many.
fn shown(puppet: &Puppet, count: usize) -> Vec<u8> {
    eventually("the pictures arrive", || Some(kept(puppet)).filter(|kept| kept.len() == count))
}

fn pictures_go_round_between_workers(model: Model) {
    let host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let link = a.open("b");
    let pool = pool(&a, link, SHAPE);
    assert_eq!(lend(&a, pool, 0, 1000, AMPLE), (1000, None));
    eventually("all come back", || (lent(&a, pool) == 0).then_some(()));

    b.tell(&Step::Keep(true));
    let (count, stop) = lend(&a, pool, 10, 6, BRIEF);
    assert_eq!((count, stop), (4, Some(format!("AllLent({BRIEF:?})"))));
    assert_eq!(shown(&b, 4), [10, 11, 12, 13]);
    assert_eq!(lent(&a, pool), 4);
    b.tell(&Step::GiveBack(2));
    assert_eq!(lend(&a, pool, 20, 2, AMPLE), (2, None));
    assert_eq!(shown(&b, 4), [12, 13, 20, 21]);
    // The producer waits as long as it takes, and goes on when the consumer does.
    let waiting = a.start(&Step::Lend { pool, fill: 30, count: 1, within: AMPLE });
    std::thread::sleep(BRIEF);
    b.tell(&Step::GiveBack(4));
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Sent(1, None));
    assert_eq!(shown(&b, 1), [30]);
    assert_eq!(a.call(link, ECHO, encoded("fine")), Ok(encoded("fine")));
}

/// The next picture that comes to the host.
fn picture(host: &mut Host) -> Result<Borrowed, BorrowError> {
    borrow(&mut host.message())
}

fn borrow(message: &mut Incoming) -> Result<Borrowed, BorrowError> {
    assert_eq!(message.rpc(), PICTURE);
    let picture: Picture = message.reader().recv().unwrap();
    message.borrow(picture.buffer)
}

fn bytes_of(picture: &Borrowed) -> Vec<u8> {
    let mut bytes = vec![0; picture.len()];
    picture.copy_to(&mut bytes).unwrap();
    bytes
}

fn pictures_go_round_to_the_host() {
    let mut host = Host::with(Model::Orchestrator, &["a"]);
    let a = host.puppet("a");
    let link = a.open(HOST);
    let pool = pool(&a, link, SHAPE);
    let lending = a.start(&Step::Lend { pool, fill: 0, count: 1000, within: AMPLE });
    for i in 0..1000u32 {
        let picture = picture(&mut host).unwrap();
        assert_eq!(bytes_of(&picture), vec![i.to_le_bytes()[0]; 5000]);
    }
    assert_eq!(lending.wait::<Outcome>().unwrap(), Outcome::Sent(1000, None));
    eventually("all come back", || (lent(&a, pool) == 0).then_some(()));

    assert_eq!(lend(&a, pool, 40, 6, BRIEF), (4, Some(format!("AllLent({BRIEF:?})"))));
    let mut held: Vec<_> = (0..4).map(|_| picture(&mut host).unwrap()).collect();
    drop(held.remove(0));
    assert_eq!(lend(&a, pool, 50, 1, AMPLE), (1, None));
    held.push(picture(&mut host).unwrap());
    assert_eq!(held.iter().map(|picture| bytes_of(picture)[4999]).collect::<Vec<_>>(), [41, 42, 43, 50]);
    // Held in another thread as well as in this one.
    std::thread::scope(|scope| {
        scope.spawn(move || held.clear());
    });
    eventually("all come back", || (lent(&a, pool) == 0).then_some(()));
}

fn buffers_of_the_dead_come_back(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let link = a.open("b");
    let first = pool(&a, link, SHAPE);
    b.tell(&Step::Keep(true));
    assert_eq!(lend(&a, first, 1, 4, AMPLE), (4, None));
    assert_eq!(shown(&b, 4).len(), 4);
    // One who waits for a buffer hears of the consumer's death, and does not wait on.
    let waiting = a.start(&Step::Lend { pool: first, fill: 9, count: 1, within: AMPLE });
    std::thread::sleep(BRIEF);
    assert!(host.broker.kill("b", "a test"));
    let gone = format!("Gone({:?})", Gone::Crashed("killed by the host: a test".into()));
    assert_eq!(waiting.wait::<Outcome>().unwrap(), Outcome::Sent(0, Some(gone)));
    assert_eq!(lent(&a, first), 0);
    host.death("b");
    host.restarted("b");
    a.tell(&Step::DropPool(first));
    for round in 0..2 * POOLS_PER_LINK {
        let link = a.open("b");
        let again = pool(&a, link, SHAPE);
        assert_eq!(lend(&a, again, 1, 20, AMPLE), (20, None), "{round}");
        a.tell(&Step::Close(link));
        assert!(lend(&a, again, 1, 1, BRIEF).1.unwrap().starts_with("Gone("));
        a.tell(&Step::DropPool(again));
    }
}

/// Else the worker would serve nobody until its wait is over.
fn a_wait_for_a_buffer_ends_with_what_it_was_for(model: Model) {
    let mut host = Host::with(model, &["a"]);
    let a = host.puppet("a");
    let link = a.open(HOST);
    let pool = pool(&a, link, PoolShape { count: 1, ..SHAPE });
    let lending = a.start(&Step::Lend { pool, fill: 0, count: 2, within: 10 * AMPLE });
    let held = picture(&mut host).unwrap();
    drop(lending);
    assert_eq!(lent(&a, pool), 1);
    drop(held);
    assert_eq!(lend(&a, pool, 1, 1, AMPLE), (1, None));
}

fn pictures_outlive_their_producer(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let (to_b, to_host) = (a.open("b"), a.open(HOST));
    let (for_b, for_host) = (pool(&a, to_b, SHAPE), pool(&a, to_host, SHAPE));
    b.tell(&Step::Keep(true));
    assert_eq!(lend(&a, for_b, 60, 2, AMPLE), (2, None));
    assert_eq!(lend(&a, for_host, 70, 3, AMPLE), (3, None));
    assert_eq!(shown(&b, 2), [60, 61]);
    let own = picture(&mut host).unwrap();
    host.broker.kill("a", "a test");
    // One was taken before the death, and two had only been sent.
    let others = [picture(&mut host).unwrap(), picture(&mut host).unwrap()];
    host.restarted("a");
    assert_eq!(kept(&b), [60, 61]);
    assert_eq!(bytes_of(&own), vec![70; 5000]);
    assert_eq!(others.map(|picture| bytes_of(&picture)[0]), [71, 72]);
    b.tell(&Step::GiveBack(2));
    drop(own);
    let link = b.open("a");
    assert_eq!(b.call(link, ECHO, encoded("fine")), Ok(encoded("fine")));
}

/// The attacker's links, as it knows them.
fn links(raw: &Attacker) -> Vec<RawLink> {
    match raw.tell(&RawStep::Links) {
        RawOutcome::Links(links) => links,
        other => panic!("{other:?}"),
    }
}

/// Sends a packet over the attacker's link at this place.
fn send(raw: &Attacker, links: &[RawLink], at: usize, packet: Vec<u8>) -> Result<RawOutcome, CallFailure> {
    let via = if links[at].is_direct { Via::Direct(at) } else { Via::Control };
    raw.try_tell(&RawStep::Send { via, packet, loot: vec![], times: 1 })
}

fn open(raw: &Attacker, role: &str) -> usize {
    match raw.tell(&RawStep::Open { role: role.into(), interface: "peer".into() }) {
        RawOutcome::Opened(Ok(at)) => at,
        other => panic!("{other:?}"),
    }
}

/// The attacker is told why its link at this place is gone, and lives on.
fn cut_off(raw: &Attacker, at: usize) -> String {
    let name = links(raw)[at].name;
    eventually("the link is cut", || links(raw)[at].is_closed.then_some(()));
    let RawOutcome::Words(words) = raw.tell(&RawStep::Words) else { panic!("no words") };
    let about = format!("Closed {{ link: {name:?}, why: CutOff(");
    words.into_iter().find_map(|word| Some(word.strip_prefix(&about)?.to_owned())).expect("it was cut off")
}

fn made_up(pool: u32, index: u16, len: u32) -> Vec<u8> {
    encoded(&Picture { buffer: BufferRef { pool, index, len } })
}

fn what_was_never_lent_cuts_the_link(model: Model) {
    let host = Host::with(model, &["a", "b", "raw"]);
    let (a, b, raw) = (host.puppet("a"), host.puppet("b"), host.attacker("raw"));
    let bystanding = a.open("b");
    b.tell(&Step::Keep(true));
    let cases = [
        (made_up(99, 0, 10), "pool 99"),
        (made_up(1, 4, 10), "buffer 4 was lent from a pool of 4"),
        (made_up(1, u16::MAX, 10), "buffer 65535"),
        (made_up(1, 0, 5001), "5001 bytes of a buffer of 5000"),
        (made_up(1, 0, u32::MAX), "4294967295 bytes"),
    ];
    for (reference, said) in cases {
        let at = open(&raw, "b");
        assert!(matches!(raw.tell(&RawStep::MakePool { link: at, shape: SHAPE }), RawOutcome::Pool(Ok(1))));
        let links = links(&raw);
        let packet = message_packet(links[at].name, Kind::Oneway, PICTURE, &reference);
        assert!(matches!(send(&raw, &links, at, packet), Ok(RawOutcome::Sent(1, None))));
        let why = cut_off(&raw, at);
        assert!(why.contains(said), "{why}");
    }
    // Lent twice without having come back.
    let at = open(&raw, "b");
    assert!(matches!(raw.tell(&RawStep::MakePool { link: at, shape: SHAPE }), RawOutcome::Pool(Ok(1))));
    let links = links(&raw);
    for _ in 0..2 {
        let packet = message_packet(links[at].name, Kind::Oneway, PICTURE, &made_up(1, 2, 5000));
        assert!(matches!(send(&raw, &links, at, packet), Ok(RawOutcome::Sent(1, None))));
    }
    assert!(cut_off(&raw, at).contains("buffer 2 was lent twice"));
    // The one that was sound is still held, and nobody else has noticed anything.
    assert_eq!(kept(&b), [0]);
    assert_eq!(a.call(bystanding, ECHO, encoded("well")), Ok(encoded("well")));
}

fn what_is_returned_twice_cuts_the_link(model: Model) {
    let host = Host::with(model, &["a", "b", "raw"]);
    let (a, raw) = (host.puppet("a"), host.attacker("raw"));
    let bystanding = a.open("b");
    let returns: [(&[(u32, u16)], &str); 5] = [
        (&[(1, 0), (1, 0)], "buffer 0 was returned, but is not lent"),
        (&[(1, 3)], "buffer 3 was returned, but is not lent"),
        (&[(1, 4)], "buffer 4 was returned to a pool of 4"),
        (&[(7, 0)], "pool 7"),
        (&[], "a return that cannot be read"),
    ];
    for (returned, said) in returns {
        let link = a.open("raw");
        let pool = pool(&a, link, SHAPE);
        assert_eq!(lend(&a, pool, 1, 2, AMPLE), (2, None));
        let links = links(&raw);
        let at = links.len() - 1;
        let mut payloads: Vec<_> = returned.iter().map(encoded).collect();
        if payloads.is_empty() {
            payloads.push(vec![0xff; 7]);
        }
        for payload in payloads {
            let packet = message_packet(links[at].name, Kind::Release, RpcIndex(0), &payload);
            assert!(matches!(send(&raw, &links, at, packet), Ok(RawOutcome::Sent(1, None))));
        }
        let why = cut_off(&raw, at);
        assert!(why.contains(said), "{why}");
        assert!(matches!(a.tell(&Step::Gone(link)), Outcome::Gone(Some(why)) if why.starts_with("CutOff(")));
        assert_eq!(lent(&a, pool), 0, "all are back");
        a.tell(&Step::DropPool(pool));
    }
    assert_eq!(a.call(bystanding, ECHO, encoded("well")), Ok(encoded("well")));
}

fn what_was_never_lent_to_the_host_evicts() {
    let mut host = Host::with(Model::Broker, &["a", "b", "raw"]);
    let a = host.puppet("a");
    let bystanding = a.open("b");
    let cases = [made_up(99, 0, 10), made_up(1, 4, 10), made_up(1, 0, 5001), made_up(1, 2, 5000)];
    for (i, reference) in cases.into_iter().enumerate() {
        let raw = host.attacker("raw");
        let at = open(&raw, HOST);
        assert!(matches!(raw.tell(&RawStep::MakePool { link: at, shape: SHAPE }), RawOutcome::Pool(Ok(1))));
        let links = links(&raw);
        let packet = message_packet(links[at].name, Kind::Oneway, PICTURE, &reference);
        let times = if i == 3 { 2 } else { 1 };
        let sent = raw.start(&RawStep::Send { via: Via::Control, packet, loot: vec![], times });
        let sound = (i == 3).then(|| picture(&mut host).unwrap());
        let error = picture(&mut host).unwrap_err();
        assert_eq!(matches!(error, BorrowError::NoSuchPool(99)), i == 0, "{error}");
        drop(sent);
        let (death, _) = host.death("raw");
        assert!(
            matches!(&death, Death::Evicted(Violation::Buffer(why)) if *why == error.to_string().into()),
            "{death:?}"
        );
        host.restarted("raw");
        assert_eq!(sound.map(|picture| bytes_of(&picture)), (i == 3).then(|| vec![0; 5000]));
        assert_eq!(a.call(bystanding, ECHO, encoded("well")), Ok(encoded("well")));
    }
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

fn maps_of_pools() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| line.contains("cloison-pool")).count()
}

fn a_change_of_size_leaves_nothing_of_the_old(model: Model) {
    let mut host = Host::with(model, &["a", "b"]);
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let (to_b, to_host) = (a.open("b"), a.open(HOST));
    let before = Holdings::steady();
    b.tell(&Step::Keep(true));
    let mut last: Option<(usize, usize, Borrowed)> = None;
    for round in 0..30u32 {
        let shape = PoolShape { buffer_size: 5000 + 4096 * round, count: 3 };
        let (for_b, for_host) = (pool(&a, to_b, shape), pool(&a, to_host, shape));
        assert_eq!(lend(&a, for_b, 1, 1, AMPLE), (1, None));
        assert_eq!(lend(&a, for_host, 1, 1, AMPLE), (1, None));
        let picture = picture(&mut host).unwrap();
        assert_eq!(picture.len(), shape.buffer_size as usize);
        // The old pools are dropped while a picture of each is still held somewhere.
        if let Some((old_b, old_host, old_picture)) = last.replace((for_b, for_host, picture)) {
            a.tell(&Step::DropPool(old_b));
            a.tell(&Step::DropPool(old_host));
            drop(old_picture);
            shown(&b, 2);
            b.tell(&Step::GiveBack(1));
        }
        assert!(maps_of_pools() <= 3, "{}", maps_of_pools());
    }
    let (old_b, old_host, picture) = last.unwrap();
    a.tell(&Step::DropPool(old_b));
    a.tell(&Step::DropPool(old_host));
    drop(picture);
    b.tell(&Step::GiveBack(1));
    eventually("nothing is mapped", || (maps_of_pools() == 0).then_some(()));
    settles_at(&before);
}

fn memory_comes_from_the_broker_alone(model: Model) {
    let mut host = Host::with(model, &["a", "raw"]);
    let (a, raw) = (host.puppet("a"), host.attacker("raw"));
    // The writable memory that it was given, passed on as a descriptor: a class that nobody granted.
    let at = open(&raw, "a");
    assert!(matches!(raw.tell(&RawStep::MakePool { link: at, shape: SHAPE }), RawOutcome::Pool(Ok(1))));
    let links = links(&raw);
    let header = Header { destination: links[at].name, descriptors: 1, rpc: NOTE, ..Header::default() };
    let via = if links[at].is_direct { Via::Direct(at) } else { Via::Control };
    let passed = raw.tell(&RawStep::Send { via, packet: packet(&header, &[]), loot: vec![Loot::Pool(0)], times: 1 });
    match model {
        Model::Broker => assert!(matches!(passed, RawOutcome::Sent(1, None)), "{passed:?}"),
        // The kernel refuses it where it can; elsewhere the receiver cuts the link.
        Model::Orchestrator => assert!(matches!(passed, RawOutcome::Sent(..)), "{passed:?}"),
    }
    assert_eq!(a.noted(), [0u32; 0]);
    // A word that only the broker may say, said on a link. Nobody takes it for the broker's.
    let own = host.attacker("raw");
    let at = open(&own, "a");
    let links = self::links(&own);
    let mut word = message_packet(links[at].name, Kind::Oneway, NOTE, &encoded(&(1u8, DescriptorClasses::PIPE)));
    word[10] = Kind::Control as u8;
    let said = send(&own, &links, at, word.clone());
    assert!(matches!(said, Err(CallFailure::PeerRestarted(Gone::Evicted(_)))) || links[at].is_direct, "{said:?}");
    match model {
        Model::Broker => {
            assert!(matches!(host.death("raw").0, Death::Evicted(Violation::Header(_))));
        }
        Model::Orchestrator => {
            cut_off(&own, at);
            // The same, dressed up as a word to the broker itself, over a link's own socket.
            let at = open(&own, "a");
            let links = self::links(&own);
            word[0..8].fill(0);
            assert!(matches!(send(&own, &links, at, word), Ok(RawOutcome::Sent(1, None))));
            cut_off(&own, at);
        }
    }
    assert!(matches!(a.tell(&Step::Noted), Outcome::Noted(noted) if noted.is_empty()));
}

fn buffers_come_back_however_long_that_takes() {
    let mut host = Host::with(Model::Broker, &["a"]);
    let a = host.puppet("a");
    let link = a.open(HOST);
    let pool = pool(&a, link, SHAPE);
    assert_eq!(lend(&a, pool, 1, 4, AMPLE), (4, None));
    let mut messages: Vec<_> = (0..4).map(|_| host.message()).collect();
    let back = messages[0].link();
    let pictures: Vec<_> = messages.iter_mut().map(borrow).collect();
    drop(messages);
    // The worker stands still for longer than any call waits, and the link is full before the buffers are given back.
    let witness = host.witness("a");
    witness.stop();
    for number in 0..u32::try_from(WINDOW_MESSAGES).unwrap() {
        back.oneway(NOTE, saying(&number)).unwrap();
    }
    drop(pictures);
    let full = back.start(ECHO, saying(&"no room"), Duration::from_millis(10)).wait().unwrap_err();
    assert_eq!(full.why, CallFailure::Overloaded);
    std::thread::sleep(CALL_DEADLINE + Duration::from_millis(200));
    witness.signal(Signal::CONT);
    eventually("all are back", || (lent(&a, pool) == 0).then_some(()));
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
