//! Names of buffers that are made up, and memory that is.

use cloison_broker::msg::{CallFailure, DescriptorClasses, Gone, Header, Kind, RpcIndex};
use cloison_broker::router::Violation;
use cloison_broker::{BorrowError, Death, HOST, Model};
use cloison_ipc::BufferRef;

use super::steps::{SHAPE, bytes_of, kept, lend, lent, links, open, picture, pool};
use crate::case::{Case, both, once};
use crate::host::{AMPLE, Attacker, Host};
use crate::raw::{Loot, RawLink, RawOutcome, RawStep, Via, message_packet, packet};
use crate::watch::eventually;
use crate::words::{ECHO, NOTE, Outcome, PICTURE, Picture, Step, encoded};

pub fn cases() -> Vec<Case> {
    [
        both("what_was_never_lent_cuts_the_link", what_was_never_lent_cuts_the_link),
        both("what_is_returned_twice_cuts_the_link", what_is_returned_twice_cuts_the_link),
        once("what_was_never_lent_to_the_host_evicts", what_was_never_lent_to_the_host_evicts),
        both("memory_comes_from_the_broker_alone", memory_comes_from_the_broker_alone),
    ]
    .concat()
}

/// Sends a packet over the attacker's link at this place.
fn send(raw: &Attacker, links: &[RawLink], at: usize, packet: Vec<u8>) -> Result<RawOutcome, CallFailure> {
    let via = if links[at].is_direct { Via::Direct(at) } else { Via::Control };
    raw.try_tell(&RawStep::Send { via, packet, loot: vec![], times: 1 })
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
