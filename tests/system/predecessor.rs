//! What the only public predecessor dies of, and what happens here instead. Each case has an attacker in it that is built
//! without the worker crate; on direct links it is one of the two peers.

use std::time::Duration;

use cloison_broker::msg::{
    CallFailure, DescriptorClasses, Destination, Gone, Header, Kind, Name, RpcIndex, WINDOW_MESSAGES,
};
use cloison_broker::router::Violation;
use cloison_broker::{Ask, Death, Grant, Model, WorkerSpec};

use crate::case::{Case, alone, both, module};
use crate::host::{AMPLE, Host, anything_goes, message};
use crate::raw::{Loot, RawLink, RawOutcome, RawStep, Via, message_packet, packet};
use crate::watch::{Holdings, Witness, peak_memory, settles_at};
use crate::words::{ADD, BACK, DESCRIPTOR, ECHO, NAP, NOTE, Outcome, PEER, Step, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "predecessor",
        vec![
            both("a_worker_dies_with_calls_pending", a_worker_dies_with_calls_pending),
            both("a_message_to_nowhere_evicts_its_sender", a_message_to_nowhere_evicts_its_sender),
            alone(both("forwarded_descriptors_do_not_stay", forwarded_descriptors_do_not_stay)),
            alone(both("a_boast_of_gigabytes_allocates_nothing", a_boast_of_gigabytes_allocates_nothing)),
            both("who_does_not_read_costs_only_its_senders", who_does_not_read_costs_only_its_senders),
            both("a_call_back_is_served", a_call_back_is_served),
            both("no_number_reaches_a_stranger", no_number_reaches_a_stranger),
            both("answers_in_any_order_find_their_calls", answers_in_any_order_find_their_calls),
        ],
    )
}

/// The attacker's links, as it knows them.
fn links(attacker: &crate::host::Attacker) -> Vec<RawLink> {
    match attacker.tell(&RawStep::Links) {
        RawOutcome::Links(links) => links,
        other => panic!("{other:?}"),
    }
}

/// By which socket the attacker reaches the link at this place.
fn via(links: &[RawLink], at: usize) -> Via {
    if links[at].is_direct { Via::Direct(at) } else { Via::Control }
}

fn link_to(links: &[RawLink], peer: &str) -> usize {
    links.iter().rposition(|link| link.peer == peer && !link.is_closed).unwrap()
}

fn send(via: Via, packet: Vec<u8>) -> RawStep {
    RawStep::Send { via, packet, loot: Vec::new(), times: 1 }
}

fn evicted(death: &Death) -> &Violation {
    match death {
        Death::Evicted(violation) => violation,
        other => panic!("it died otherwise: {other}"),
    }
}

/// That two workers with a link between them did not notice anything.
struct Bystanders {
    a: crate::host::Puppet,
    link: usize,
    witnesses: [Witness; 2],
}

impl Bystanders {
    fn new(host: &Host) -> Self {
        host.spawn("by");
        host.spawn("stander");
        let a = host.puppet("by");
        let link = a.open("stander");
        Self { link, witnesses: [host.witness("by"), host.witness("stander")], a }
    }

    /// The link they had is still the link they have.
    fn are_well(&self) {
        assert_eq!(self.a.call(self.link, ECHO, encoded("well")), Ok(encoded("well")));
        assert!(self.witnesses.iter().all(|witness| !witness.is_gone()));
    }
}

fn a_worker_dies_with_calls_pending(model: Model) {
    let mut host = Host::with(model, &["a", "raw"]);
    let bystanders = Bystanders::new(&host);
    let (a, raw) = (host.puppet("a"), host.attacker("raw"));
    let link = a.open("raw");
    raw.tell(&RawStep::Reverse(1000));
    let payloads = (0..5u8).map(|i| encoded(&[i])).collect();
    let of_a = a.start(&Step::Call { link, rpc: ECHO.0, payloads, within: AMPLE });
    let own = host.broker.open("raw", &PEER).unwrap();
    let of_host: Vec<_> = (0..3).map(|_| own.start(ECHO, message(b""), AMPLE)).collect();
    // Once this call is held, so are those that were sent before it on the same socket.
    let marker = host.broker.open("raw", &PEER).unwrap();
    let _ = marker.start(ECHO, message(b""), Duration::from_millis(200)).wait();

    let last = raw.try_tell(&RawStep::Exit).unwrap_err();
    let crashed = CallFailure::PeerRestarted(Gone::Crashed("exit code 0".into()));
    assert_eq!(last, crashed);
    for pending in of_host {
        assert_eq!(pending.wait().unwrap_err().why, crashed);
    }
    let expected = vec![Err(format!("{crashed:?}")); 5];
    assert_eq!(of_a.wait::<Outcome>().unwrap(), Outcome::Replies(expected));

    let (death, _) = host.death("raw");
    assert_eq!(death.to_string(), "exit code 0");
    host.started("raw");
    assert_eq!(a.tell(&Step::Gone(link)), Outcome::Gone(Some(format!("{:?}", Gone::Crashed("exit code 0".into())))));
    let again = a.open("raw");
    assert_eq!(a.call(again, ECHO, encoded("again")), Ok(encoded("again")));
    bystanders.are_well();
}

fn a_message_to_nowhere_evicts_its_sender(model: Model) {
    let mut host = Host::new(model, anything_goes);
    host.broker.spawn(WorkerSpec::own("raw").unwrap().restarts(100)).unwrap();
    let bystanders = Bystanders::new(&host);
    let nowhere = [(1, 2), (1, 0), (2, 1), (3, 7), (64, 1), (65_536, 1), (u32::MAX, 1), (u32::MAX, u32::MAX)];
    let kinds = [Kind::Oneway, Kind::Call, Kind::Reply, Kind::Credit, Kind::Release];
    for (i, (index, generation)) in nowhere.into_iter().enumerate() {
        let raw = host.attacker("raw");
        let to = Destination { index, generation };
        let packet = message_packet(to, kinds[i % kinds.len()], ECHO, &[]);
        let failure = raw.try_tell(&send(Via::Control, packet)).unwrap_err();
        let violation = Violation::Forged(to);
        assert_eq!(failure, CallFailure::PeerRestarted(Gone::Evicted(violation.to_string().into())));
        assert_eq!(*evicted(&host.death("raw").0), violation);
        host.restarted("raw");
        bystanders.are_well();
    }
}

/// Passing pipes is granted, and keeps a link relayed under either model.
fn pipes_may_pass(ask: &Ask<'_>) -> Option<Grant> {
    let mut grant = anything_goes(ask)?;
    grant.rights = grant.rights.passing(DescriptorClasses::PIPE);
    Some(grant)
}

fn forwarded_descriptors_do_not_stay(model: Model) {
    let mut host = Host::new(model, pipes_may_pass);
    for role in ["a", "b", "raw"] {
        host.spawn(role);
    }
    let (a, b, raw) = (host.puppet("a"), host.puppet("b"), host.attacker("raw"));
    let link = a.open("b");
    let RawOutcome::Opened(Ok(to_b)) = raw.tell(&RawStep::Open { role: "b".into(), interface: "peer".into() }) else {
        panic!("no link")
    };
    let name = links(&raw)[to_b].name;
    let before = Holdings::steady();

    for _ in 0..100 {
        let classes: DescriptorClasses = crate::words::decoded(&a.call(link, DESCRIPTOR, Vec::new()).unwrap());
        assert_eq!(classes, DescriptorClasses::PIPE);
    }
    let announcing = |count: u8, rpc: RpcIndex| {
        let header = Header { destination: name, descriptors: count, rpc, kind: Kind::Oneway, ..Header::default() };
        packet(&header, &[])
    };
    let loot = vec![Loot::Pipe; 3];
    let packet = announcing(3, DESCRIPTOR);
    for _ in 0..10 {
        let step = RawStep::Send { via: Via::Control, packet: packet.clone(), loot: loot.clone(), times: 10 };
        assert!(matches!(raw.tell(&step), RawOutcome::Sent(10, None)));
        assert_eq!(b.noted(), [0u32; 0], "b takes them meanwhile, so that the window opens again");
    }
    // Classes that nobody granted: denied, and closed.
    for loot in [Loot::Device, Loot::Control] {
        let step = RawStep::Send { via: Via::Control, packet: announcing(1, NOTE), loot: vec![loot], times: 20 };
        assert!(matches!(raw.tell(&step), RawOutcome::Sent(20, None)));
        assert_eq!(b.noted(), [0u32; 0]);
    }
    settles_at(&before);

    // More than announced, fewer, too many for any message: each evicts, and leaves nothing either.
    for (announced, carried) in [(1, 3), (3, 1), (0, 1), (16, 40)] {
        let (packet, loot) = (announcing(announced, DESCRIPTOR), vec![Loot::Pipe; carried]);
        let raw = host.attacker("raw");
        let RawOutcome::Opened(Ok(_)) = raw.tell(&RawStep::Open { role: "b".into(), interface: "peer".into() }) else {
            panic!("no link")
        };
        let failure = raw.try_tell(&RawStep::Send { via: Via::Control, packet, loot, times: 1 }).unwrap_err();
        assert!(matches!(failure, CallFailure::PeerRestarted(Gone::Evicted(_))), "{failure:?}");
        evicted(&host.death("raw").0);
        host.restarted("raw");
        settles_at(&before);
    }
}

fn a_boast_of_gigabytes_allocates_nothing(model: Model) {
    let mut host = Host::with(model, &["raw", "a"]);
    let bystanders = Bystanders::new(&host);
    let before = peak_memory();
    for payload in [u32::MAX, u32::MAX - 47, 1 << 30, 65_489] {
        let raw = host.attacker("raw");
        let name = links(&raw)[0].name;
        let mut packet = message_packet(name, Kind::Oneway, ECHO, &[]);
        packet[12..16].copy_from_slice(&payload.to_le_bytes());
        let failure = raw.try_tell(&send(Via::Control, packet)).unwrap_err();
        assert!(matches!(failure, CallFailure::PeerRestarted(Gone::Evicted(_))), "{failure:?}");
        assert!(matches!(evicted(&host.death("raw").0), Violation::Header(_)));
        host.restarted("raw");
    }
    // The same on a link between workers: on a direct one, the peer cuts the link and both live on.
    let (a, raw) = (host.puppet("a"), host.attacker("raw"));
    let link = a.open("raw");
    let links = links(&raw);
    let at = link_to(&links, "a");
    assert_eq!(links[at].is_direct, model == Model::Orchestrator);
    let mut packet = message_packet(links[at].name, Kind::Oneway, NOTE, &[]);
    packet[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let told = raw.try_tell(&send(via(&links, at), packet));
    match model {
        Model::Broker => assert!(matches!(told, Err(CallFailure::PeerRestarted(Gone::Evicted(_)))), "{told:?}"),
        Model::Orchestrator => {
            assert!(matches!(told, Ok(RawOutcome::Sent(1, None))), "{told:?}");
            let failure = a.call(link, ECHO, encoded("cut?")).unwrap_err();
            assert!(failure.starts_with("Gone(CutOff("), "{failure}");
            assert!(matches!(raw.tell(&RawStep::Links), RawOutcome::Links(_)), "it was not evicted");
        }
    }
    bystanders.are_well();
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < 32 << 20, "the host grew by {grown} bytes");
}

fn who_does_not_read_costs_only_its_senders(model: Model) {
    let host = Host::with(model, &["a", "raw", "raw-2"]);
    let bystanders = Bystanders::new(&host);
    let (a, raw) = (host.puppet("a"), host.attacker("raw"));
    let (to_raw, to_frozen, to_by) = (a.open("raw"), a.open("raw-2"), a.open("by"));
    raw.tell(&RawStep::Deafen);
    host.witness("raw-2").stop();

    let lasting = Duration::from_millis(600);
    let trips = bystanders.a.start(&Step::RoundTrips { link: bystanders.link, lasting });
    for link in [to_raw, to_frozen] {
        let notes = Step::Notes { link, from: 0, count: 1000, bytes: 1000, within: Duration::from_millis(150) };
        let (sent, stop) = a.sent(&notes);
        assert_eq!((u64::from(sent), stop.as_deref()), (WINDOW_MESSAGES, Some("Overloaded")));
        let calls = a.calls(link, ECHO, vec![encoded("?")], Duration::from_millis(100));
        assert_eq!(calls, [Err("Overloaded".to_owned())]);
    }
    let Outcome::RoundTrips(trips) = trips.wait().unwrap() else { panic!("no round trips") };
    assert_eq!(trips.stopped_by, None);
    assert!(trips.count() >= 50, "{trips:?}");
    assert!(trips.slowest < Duration::from_millis(500), "{trips:?}");
    // Its senders themselves are well, too: only what they send there has no room.
    assert_eq!(a.call(to_by, ECHO, encoded("well")), Ok(encoded("well")));
    bystanders.are_well();
}

fn a_call_back_is_served(model: Model) {
    let host = Host::with(model, &["a", "b", "raw"]);
    let (a, raw) = (host.puppet("a"), host.attacker("raw"));
    let link = a.open("b");
    for depth in [0u8, 1, 5] {
        let call = [encoded(&depth), encoded("back")].concat();
        assert_eq!(a.call(link, BACK, call), Ok(encoded("back")), "{depth}");
    }
    // Deeper than any chain may be: refused by name, not hung.
    let failure = a.call(link, BACK, [encoded(&40u8), encoded("back")].concat()).unwrap_err();
    assert!(failure.starts_with("Failed(WouldDeadlock("), "{failure}");
    // A caller that makes up its chain and its depth is served like any other, or refused; nobody waits.
    let RawOutcome::Opened(Ok(at)) = raw.tell(&RawStep::Open { role: "b".into(), interface: "peer".into() }) else {
        panic!("no link")
    };
    let links = links(&raw);
    for depth in [0, 16, 17, 255] {
        let mut packet = message_packet(links[at].name, Kind::Call, NAP, &encoded(&1u64));
        packet[36] = depth;
        assert!(matches!(raw.tell(&send(via(&links, at), packet)), RawOutcome::Sent(1, None)));
    }
    assert_eq!(a.call(link, ADD, [encoded(&2u32), encoded(&3u32)].concat()), Ok(encoded(&5u32)));
}

fn no_number_reaches_a_stranger(model: Model) {
    // The attacker may reach nobody but its host; a and b have each other, and their host.
    let policy = |ask: &Ask<'_>| {
        let stranger = |name: &Name| name.as_str() == "raw";
        let with_host = ask.from.as_str() == "host" || ask.to.as_str() == "host";
        ((!stranger(ask.from) && !stranger(ask.to)) || with_host).then(|| anything_goes(ask)).flatten()
    };
    let mut host = Host::new(model, policy);
    for role in ["a", "b"] {
        host.spawn(role);
    }
    host.broker.spawn(WorkerSpec::own("raw").unwrap().restarts(100)).unwrap();
    let (a, b) = (host.puppet("a"), host.puppet("b"));
    let link = a.open("b");
    assert_eq!(a.notes(link, 1, 2), (2, None));
    let own = host.attacker("raw");
    assert_eq!(links(&own).len(), 1, "its host's, and no other");
    let ask = RawStep::Open { role: "b".into(), interface: "peer".into() };
    assert!(matches!(own.tell(&ask), RawOutcome::Opened(Err(why)) if why == "NotFound"));
    for index in 3..10 {
        let raw = host.attacker("raw");
        let packet = message_packet(Destination { index, generation: 1 }, Kind::Oneway, NOTE, &encoded(&666u32));
        assert!(raw.try_tell(&send(Via::Control, packet)).is_err());
        assert!(matches!(evicted(&host.death("raw").0), Violation::Forged(_)));
        host.restarted("raw");
    }
    assert_eq!(a.notes(link, 3, 2), (2, None));
    assert_eq!(a.call(link, ECHO, encoded("taken")), Ok(encoded("taken")));
    assert_eq!((a.noted(), b.noted()), (vec![], vec![1, 2, 3, 4]));
}

fn answers_in_any_order_find_their_calls(model: Model) {
    let host = Host::with(model, &["a", "raw"]);
    let (a, raw) = (host.puppet("a"), host.attacker("raw"));
    let link = a.open("raw");
    for count in [2, 32] {
        raw.tell(&RawStep::Reverse(count));
        let payloads: Vec<_> = (0..count).map(|i| encoded(&[u8::try_from(i).unwrap(); 3])).collect();
        let answers = a.calls(link, ECHO, payloads.clone(), AMPLE);
        assert_eq!(answers, payloads.into_iter().map(Ok).collect::<Vec<_>>());
    }
    // The host's own calls, too.
    let own = host.broker.open("raw", &PEER).unwrap();
    raw.tell(&RawStep::Reverse(2));
    let [first, second] = [b"first", b"other"].map(|text| own.start(ECHO, message(text), AMPLE));
    let payload = |call: cloison_broker::PendingCall| {
        let mut answer = call.wait().unwrap();
        answer.reader().recv::<[u8; 5]>().unwrap()
    };
    assert_eq!([payload(first), payload(second)], [*b"first", *b"other"]);
}
