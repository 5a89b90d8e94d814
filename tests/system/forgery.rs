//! A hostile worker that tries everything it was not given. Nothing reaches anyone, and the audit log names it.

use std::time::Duration;

use cloison_broker::msg::control::ToBroker;
use cloison_broker::msg::{
    CallFailure, Credit, Destination, Kind, LinkRef, Overdraft, Receipt, Rights, RightsFlags, Route, RpcIndex, RpcSet,
    Transfer,
};
use cloison_broker::router::Violation;
use cloison_broker::{Ask, Death, Grant, HOST, Model, WorkerSpec};

use crate::audit;
use crate::case::{Case, both, module};
use crate::host::{Attacker, Host, Puppet, anything_goes};
use crate::raw::{RawLink, RawOutcome, RawStep, Via, carrying_packet, message_packet, word_packet};
use crate::watch::eventually;
use crate::words::{ADD, ECHO, NOTE, PEER, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "forgery",
        vec![
            both("no_destination_reaches_anyone", no_destination_reaches_anyone),
            both("no_method_and_no_kind_reaches_anyone", no_method_and_no_kind_reaches_anyone),
            both("no_item_and_no_demand_reaches_anyone", no_item_and_no_demand_reaches_anyone),
            both("no_link_is_handed_on_that_is_not_ones_own", no_link_is_handed_on_that_is_not_ones_own),
            both("lies_about_routes_harm_only_the_liar", lies_about_routes_harm_only_the_liar),
            both("a_link_in_mid_switch_does_not_move", a_link_in_mid_switch_does_not_move),
        ],
    )
}

/// An attacker that may call one method of `a`, and send it nothing else; `a` and `b` have each other.
struct Scene {
    host: Host,
    role: String,
    a: Puppet,
    b: Puppet,
    a_to_b: usize,
    model: Model,
}

impl Scene {
    /// The role is the case's own, so that the audit log can be asked about it.
    fn new(model: Model, name: &str) -> Self {
        let policy = |ask: &Ask<'_>| {
            let grant = anything_goes(ask)?;
            match (ask.from.as_str(), ask.to.as_str()) {
                (from, "a") if from.starts_with("raw") => {
                    let rights = Rights { flags: RightsFlags::CALL, ..Rights::methods(RpcSet::NONE.with(ECHO)) };
                    Some(Grant { rights, back: Rights::methods(PEER.all()) })
                }
                (from, to) if from.starts_with("raw") && to != HOST => None,
                _ => Some(grant),
            }
        };
        let host = Host::new(model, policy);
        let role = format!("raw-{name}-{}", if model == Model::Broker { "r" } else { "d" });
        for role in ["a", "b"] {
            host.spawn(role);
        }
        host.broker.spawn(WorkerSpec::own(&role).unwrap().restarts(100)).unwrap();
        let (a, b) = (host.puppet("a"), host.puppet("b"));
        let a_to_b = a.open("b");
        Self { host, role, a, b, a_to_b, model }
    }

    /// The attacker with a link to `a`: its links, and the place of that one.
    fn armed(&self) -> (Attacker, Vec<RawLink>, usize) {
        let raw = self.host.attacker(&self.role);
        let RawOutcome::Opened(Ok(at)) = raw.tell(&RawStep::Open { role: "a".into(), interface: "peer".into() }) else {
            panic!("no link")
        };
        let RawOutcome::Links(links) = raw.tell(&RawStep::Links) else { panic!("no links") };
        assert_eq!(links[at].is_direct, self.model == Model::Orchestrator);
        (raw, links, at)
    }

    /// It was evicted for this, and is started again.
    fn evicted(&mut self) -> Violation {
        let role = self.role.clone();
        let (death, _) = self.host.death(&role);
        self.host.restarted(&role);
        match death {
            Death::Evicted(violation) => violation,
            other => panic!("{other}"),
        }
    }

    /// Nobody was served anything but `expected` messages, and all are well.
    fn nothing_came(&self, expected: u64) {
        assert_eq!(self.a.call(self.a_to_b, ECHO, encoded("well")), Ok(encoded("well")));
        assert_eq!((self.a.served(), self.a.noted(), self.b.noted()), (expected, vec![], vec![]));
    }
}

fn via(links: &[RawLink], at: usize) -> Via {
    if links[at].is_direct { Via::Direct(at) } else { Via::Control }
}

fn send(via: Via, packet: Vec<u8>) -> RawStep {
    RawStep::Send { via, packet, loot: vec![], times: 1 }
}

fn no_destination_reaches_anyone(model: Model) {
    let mut scene = Scene::new(model, "dest");
    let made_up = [(1, 2), (1, 0), (2, 7), (3, 1), (4, 1), (5, u32::MAX), (65, 1), (1 << 20, 1), (u32::MAX, u32::MAX)];
    let kinds = [
        Kind::Oneway,
        Kind::Call,
        Kind::Reply,
        Kind::Error,
        Kind::Credit,
        Kind::Release,
        Kind::Switch,
        Kind::Cancel,
        Kind::Probe,
    ];
    for (i, (index, generation)) in made_up.into_iter().enumerate() {
        let (raw, ..) = scene.armed();
        let to = Destination { index, generation };
        let receipt = encoded(&Receipt { route: Route::Relayed, taken: Credit { messages: 1, ..Credit::default() } });
        let kind = kinds[i % kinds.len()];
        let payload = if kind == Kind::Credit { &receipt[..] } else { &[] };
        assert!(raw.try_tell(&send(Via::Control, message_packet(to, kind, NOTE, payload))).is_err());
        assert_eq!(scene.evicted(), Violation::Forged(to));
        let lines = audit::about(&scene.role);
        let why = format!("a message to {to}, which was never granted");
        let said = lines.iter().filter(|line| line.contains("worker evicted") && line.contains(&why));
        assert_eq!(said.count(), 1, "{lines:#?}");
        scene.nothing_came(0);
    }
    // On a direct link's socket, another name is nothing: the link is the socket.
    if model == Model::Orchestrator {
        let (raw, links, at) = scene.armed();
        let other = Destination { index: 9, generation: 3 };
        raw.tell(&send(via(&links, at), message_packet(other, Kind::Oneway, NOTE, &encoded(&1u32))));
        scene.nothing_came(0);
    }
}

/// Waits until the attacker has been answered so often.
fn heard(raw: &Attacker, count: u64) {
    eventually("it was answered", || match raw.tell(&RawStep::Heard) {
        RawOutcome::Heard(heard) => (heard >= count).then_some(()),
        other => panic!("{other:?}"),
    });
}

fn no_method_and_no_kind_reaches_anyone(model: Model) {
    let mut scene = Scene::new(model, "rpc");
    let (raw, links, at) = scene.armed();
    let name = links[at].name;
    // Every index there is a right for, and the borders of the rest; as calls, each of which is answered with a denial.
    // Which contract is served, whoever may use any method of it may ask; the runtime answers that by itself.
    let all = (0..=300).chain([u16::MAX / 2, u16::MAX - 1, u16::MAX]).map(RpcIndex);
    let all = all.filter(|&rpc| rpc != ECHO && rpc != RpcIndex::BIND);
    let all: Vec<RpcIndex> = all.collect();
    let mut answers = 0;
    for chunk in all.chunks(16) {
        let packet: Vec<u8> =
            chunk.iter().flat_map(|&rpc| message_packet(name, Kind::Call, rpc, &encoded(&7u32))).collect();
        raw.tell(&send(via(&links, at), packet));
        answers += chunk.len() as u64;
        heard(&raw, answers);
    }
    scene.nothing_came(0);
    // The one it was granted, but by a kind of message that it was not; and that one, which is served.
    for rpc in [ECHO, NOTE, ADD] {
        let packet = [
            message_packet(name, Kind::Oneway, rpc, &encoded(&7u32)),
            message_packet(name, Kind::Call, ECHO, &encoded("granted")),
        ];
        raw.tell(&send(via(&links, at), packet.concat()));
        answers += 1;
        heard(&raw, answers);
    }
    scene.nothing_came(3);
    let lines = audit::about(&scene.role);
    let denied = |rpc: u16| {
        let said = format!("method={rpc} ");
        lines.iter().any(|line| line.contains("message denied") && format!("{line} ").contains(&said))
    };
    match model {
        // As many as are logged one by one.
        Model::Broker => assert!((0..30).filter(|&rpc| rpc != ECHO.0).all(denied), "{lines:#?}"),
        Model::Orchestrator => assert!(!lines.iter().any(|line| line.contains("message denied")), "{lines:#?}"),
    }
    // What is no kind at all, or no message that is due.
    let kinds: [(u8, &[u8]); 9] =
        [(0, &[]), (9, &[]), (255, &[]), (2, &[]), (3, &[]), (5, &[]), (6, &[1, 1]), (7, &[]), (8, &[])];
    let refused = kinds.into_iter().chain([(11, &[][..]), (12, &[]), (13, &[])]);
    for (kind, payload) in refused {
        let (raw, links, at) = scene.armed();
        let mut packet = message_packet(links[at].name, Kind::Oneway, NOTE, payload);
        packet[10] = kind;
        if [2, 3, 11, 12].contains(&kind) {
            packet[16] = 1;
        }
        let told = raw.try_tell(&send(via(&links, at), packet));
        if model == Model::Broker && kind != 6 {
            assert!(matches!(told, Err(CallFailure::Gone(_) | CallFailure::PeerRestarted(_))), "kind {kind}: {told:?}");
            let violation = scene.evicted();
            let lines = audit::about(&scene.role);
            assert!(lines.iter().any(|line| line.contains(&violation.to_string())), "{violation}: {lines:#?}");
        }
        scene.nothing_came(3);
    }
    // What was not logged one by one was counted, and told when the worker ended.
    if model == Model::Broker {
        let total = format!("what=\"denials\" total={}", all.len() + 3);
        let lines = audit::about(&scene.role);
        assert_eq!(lines.iter().filter(|line| line.contains(&total)).count(), 1, "{total}: {lines:#?}");
    }
}

/// Items of calls that were never made, without the right to streams; and demands for what never came.
fn no_item_and_no_demand_reaches_anyone(model: Model) {
    let mut scene = Scene::new(model, "item");
    let (raw, links, at) = scene.armed();
    let forged = |kind: u8, rpc, streams, payload: &[u8]| {
        let mut packet = message_packet(links[at].name, Kind::Oneway, rpc, payload);
        (packet[10], packet[16], packet[38]) = (kind, 77, streams);
        send(via(&links, at), packet)
    };
    for rpc in [ECHO, NOTE] {
        for streams in [1, 2] {
            raw.tell(&forged(11, rpc, streams, &encoded(&7u32)));
        }
        raw.tell(&forged(11, rpc, 1 | 4, &[]));
    }
    scene.nothing_came(0);
    let told = raw.try_tell(&forged(12, ECHO, 1, &[1, 1]));
    if model == Model::Broker {
        assert!(matches!(told, Err(CallFailure::Gone(_) | CallFailure::PeerRestarted(_))), "{told:?}");
        assert_eq!(scene.evicted(), Violation::Overdraft(Overdraft::Credit));
    }
    scene.nothing_came(0);
}

fn no_link_is_handed_on_that_is_not_ones_own(model: Model) {
    let mut scene = Scene::new(model, "carry");
    let carried = |link, transfer| LinkRef { link, transfer, rights: Rights::methods(RpcSet::ALL).delegable() };
    for transfer in [Transfer::Copy, Transfer::Move] {
        for (index, generation) in [(9, 1), (1, 9), (u32::MAX, 1)] {
            let (raw, links, at) = scene.armed();
            let link = Destination { index, generation };
            let packet = carrying_packet(links[at].name, Kind::Call, ECHO, &[carried(link, transfer)]);
            let step = match model {
                Model::Broker => send(Via::Control, packet),
                // An excursion: the word that says so goes first.
                Model::Orchestrator => {
                    raw.tell(&send(Via::Direct(at), message_packet(links[at].name, Kind::Switch, RpcIndex(0), &[])));
                    send(Via::Control, packet)
                }
            };
            assert!(raw.try_tell(&step).is_err());
            assert_eq!(scene.evicted(), Violation::Forged(link));
            scene.nothing_came(0);
        }
        // Its own, which it may not hand on.
        let (raw, links, at) = scene.armed();
        let to_host = links.iter().position(|link| link.peer == HOST).unwrap();
        let packet = carrying_packet(links[to_host].name, Kind::Oneway, NOTE, &[carried(links[at].name, transfer)]);
        raw.tell(&send(Via::Control, packet));
        eventually("the audit says so", || {
            audit::about(&scene.role)
                .iter()
                .any(|line| line.contains("may not be handed on") || line.contains("denied"))
                .then_some(())
        });
        assert!(scene.host.broker.explain(HOST, "a").iter().all(|view| view.given_by.is_none()));
    }
    // On the socket of a direct link nothing carries a link: the peer cuts it.
    if model == Model::Orchestrator {
        let (raw, links, at) = scene.armed();
        let packet = carrying_packet(links[at].name, Kind::Call, ECHO, &[carried(links[at].name, Transfer::Copy)]);
        raw.tell(&send(Via::Direct(at), packet));
        eventually("the link is cut", || match raw.tell(&RawStep::Links) {
            RawOutcome::Links(links) => links[at].is_closed.then_some(()),
            other => panic!("{other:?}"),
        });
        scene.nothing_came(0);
    }
}

fn lies_about_routes_harm_only_the_liar(model: Model) {
    let mut scene = Scene::new(model, "routes");
    let taken = |messages| Credit { messages, bytes: 9, descriptors: 0 };
    let receipt = |route, messages| encoded(&Receipt { route, taken: taken(messages) });
    type Lie = fn(Destination) -> Vec<u8>;
    let words: [Lie; 4] = [
        |link| word_packet(&ToBroker::Settled { link }),
        |link| word_packet(&ToBroker::Left { link, calls: cloison_broker::msg::CallId(1 << 40) }),
        |link| word_packet(&ToBroker::Left { link: Destination { index: 7, ..link }, calls: Default::default() }),
        |link| word_packet(&ToBroker::Rest { link: Destination { index: 7, ..link } }),
    ];
    for lie in words {
        let (raw, links, at) = scene.armed();
        assert!(raw.try_tell(&send(Via::Control, lie(links[at].name))).is_err());
        let violation = scene.evicted();
        assert!(matches!(violation, Violation::Switch | Violation::Forged(_)), "{violation}");
        scene.nothing_came(0);
    }
    // Confirmations of what was never asked, as often as one likes, change nothing.
    let (raw, links, at) = scene.armed();
    let packet = word_packet(&ToBroker::Released { link: links[at].name }).repeat(100);
    raw.tell(&send(Via::Control, packet));
    // Receipts for what never came, by either route.
    let lies = [receipt(Route::Relayed, 5), receipt(Route::Direct, 5)];
    for lie in lies {
        let (raw, links, at) = scene.armed();
        let packet = message_packet(links[at].name, Kind::Credit, RpcIndex(0), &lie);
        let told = raw.try_tell(&send(Via::Control, packet));
        assert!(told.is_err(), "{told:?}");
        assert!(matches!(scene.evicted(), Violation::Overdraft(_)));
        scene.nothing_came(0);
    }
    // Switches without end; on the socket of a direct link, after which it says nothing; an end without a word.
    let (raw, links, at) = scene.armed();
    let switch = message_packet(links[at].name, Kind::Switch, RpcIndex(0), &[]);
    assert!(raw.try_tell(&send(Via::Control, switch.repeat(200))).is_err());
    scene.evicted();
    scene.nothing_came(0);
    if model == Model::Orchestrator {
        for lie in [send(Via::Direct(0), switch.repeat(200)), send(Via::Direct(0), switch.clone()), RawStep::Shut(0)] {
            let (raw, links, at) = scene.armed();
            let lie = match lie {
                RawStep::Send { packet, loot, times, .. } => {
                    let mut packet = packet;
                    for message in packet.chunks_mut(switch.len()) {
                        message[..8].copy_from_slice(
                            &[links[at].name.index.to_le_bytes(), links[at].name.generation.to_le_bytes()].concat(),
                        );
                    }
                    RawStep::Send { via: Via::Direct(at), packet, loot, times }
                }
                _ => RawStep::Shut(at),
            };
            raw.tell(&lie);
            scene.nothing_came(0);
            // It can be moved to the other route, or is cut off: within its time, and nobody else notices.
            scene.host.broker.set_model(Model::Broker).wait();
            scene.nothing_came(0);
            scene.host.broker.set_model(Model::Orchestrator).wait();
            scene.nothing_came(0);
        }
    }
}

/// A move is for links at rest; whoever moves one all the same has it closed, and harms nobody.
fn a_link_in_mid_switch_does_not_move(model: Model) {
    let scene = Scene::new(model, "mid");
    let (raw, links, at) = scene.armed();
    raw.tell(&RawStep::Cooperate(false));
    let other = if model == Model::Broker { Model::Orchestrator } else { Model::Broker };
    let change = scene.host.broker.set_model(other);
    std::thread::sleep(Duration::from_millis(20));
    let to_host = links.iter().position(|link| link.peer == HOST).unwrap();
    let rights = Rights::methods(RpcSet::ALL);
    let carried = LinkRef { link: links[at].name, transfer: Transfer::Move, rights };
    raw.tell(&send(Via::Control, carrying_packet(links[to_host].name, Kind::Oneway, NOTE, &[carried])));
    // The link has ended, and with it what was waited for.
    change.wait();
    assert!(scene.host.broker.explain(&scene.role, "a").is_empty());
    scene.nothing_came(0);
    assert!(matches!(raw.tell(&RawStep::Links), RawOutcome::Links(_)), "it was not evicted for that");
}
