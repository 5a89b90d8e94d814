//! Attackers that send without measure: at their peers, at the host, through a socket that they were handed.

use std::time::Duration;

use cloison_broker::msg::control::ToBroker;
use cloison_broker::msg::{CallFailure, DescriptorClasses, Gone, Header, Kind, Name, WINDOW_MESSAGES};
use cloison_broker::router::Violation;
use cloison_broker::{Ask, Death, Model};

use crate::case::{Case, alone, both, module, once};
use crate::host::{AMPLE, Host, anything_goes};
use crate::raw::{Loot, RawOutcome, RawStep, Via, message_packet, word_packet};
use crate::watch::peak_memory;
use crate::words::{ECHO, NOTE, Outcome, Step, encoded};

pub fn cases() -> Vec<Case> {
    module(
        "floods",
        vec![
            both("who_floods_is_evicted", who_floods_is_evicted),
            both("a_stolen_socket_dies_with_its_owner", a_stolen_socket_dies_with_its_owner),
            alone(once("who_asks_and_never_reads_is_evicted", who_asks_and_never_reads_is_evicted)),
        ],
    )
}

fn who_floods_is_evicted(model: Model) {
    let mut host = Host::with(model, &["a", "raw"]);
    let a = host.puppet("a");
    let link = a.open("raw");
    let raw = host.attacker("raw");
    let RawOutcome::Links(links) = raw.tell(&RawStep::Links) else { panic!("no links") };
    let to_host = links.iter().find(|link| link.peer == "host").unwrap().name;
    let to_a = links.iter().position(|link| link.peer == "a").unwrap();
    // At a worker, while that one waits for an answer which never comes. On a direct link, it is the worker that finds
    // it too much.
    raw.tell(&RawStep::Reverse(1000));
    let waiting = a.start(&Step::Call { link, rpc: ECHO.0, payloads: vec![vec![0]], within: AMPLE });
    let via = if links[to_a].is_direct { Via::Direct(to_a) } else { Via::Control };
    let packet = message_packet(links[to_a].name, Kind::Oneway, NOTE, &encoded(&1u32));
    let flood = raw.try_tell(&RawStep::Send { via, packet, loot: vec![], times: 100_000 });
    let Outcome::Replies(replies) = waiting.wait().unwrap() else { panic!("no replies") };
    let failed = replies[0].as_ref().unwrap_err();
    match model {
        Model::Broker => {
            assert!(matches!(flood, Err(CallFailure::PeerRestarted(Gone::Evicted(_)))), "{flood:?}");
            assert!(matches!(host.death("raw").0, Death::Evicted(Violation::Overdraft(_))));
            assert!(failed.starts_with("PeerRestarted(Evicted("), "{failed}");
            host.restarted("raw");
        }
        Model::Orchestrator => {
            assert!(matches!(flood, Ok(RawOutcome::Sent(..))), "{flood:?}");
            assert!(failed.starts_with("Gone(CutOff("), "{failed}");
            assert!(matches!(raw.tell(&RawStep::Links), RawOutcome::Links(_)), "it was not evicted");
        }
    }
    // At the host, over the broker in either model.
    let raw = host.attacker("raw");
    let packet = message_packet(to_host, Kind::Oneway, NOTE, &encoded(&1u32));
    let flood = raw.try_tell(&RawStep::Send { via: Via::Control, packet, loot: vec![], times: 100_000 });
    assert!(matches!(flood, Err(CallFailure::PeerRestarted(Gone::Evicted(_)))), "{flood:?}");
    assert!(matches!(host.death("raw").0, Death::Evicted(_)));
    assert!(a.noted().len() as u64 <= WINDOW_MESSAGES);
}

/// The attacker's own socket, handed to an accomplice who goes on writing to it when its owner is dead.
fn a_stolen_socket_dies_with_its_owner(model: Model) {
    let sockets_may_pass = |ask: &Ask<'_>| {
        let mut grant = anything_goes(ask)?;
        if ask.from.as_str() == "raw" {
            grant.rights = grant.rights.passing(DescriptorClasses::SOCKET);
        }
        Some(grant)
    };
    let mut host = Host::new(model, sockets_may_pass);
    for role in ["a", "b", "raw", "raw-2"] {
        host.spawn(role);
    }
    let (a, raw, accomplice) = (host.puppet("a"), host.attacker("raw"), host.attacker("raw-2"));
    let link = a.open("b");
    let open = RawStep::Open { role: "raw-2".into(), interface: "peer".into() };
    let RawOutcome::Opened(Ok(at)) = raw.tell(&open) else { panic!("no link") };
    let RawOutcome::Links(links) = raw.tell(&RawStep::Links) else { panic!("no links") };
    let header = Header { destination: links[at].name, descriptors: 1, rpc: NOTE, ..Header::default() };
    let packet = crate::raw::packet(&header, &[]);
    let handed = raw.tell(&RawStep::Send { via: Via::Control, packet, loot: vec![Loot::Control], times: 1 });
    assert!(matches!(handed, RawOutcome::Sent(1, None)));

    let name = |name: &str| Name::new(name).unwrap();
    let packet = word_packet(&ToBroker::Open { request: 9, role: name("nobody"), interface: name("peer") });
    let flood = RawStep::Send { via: Via::Stolen(0), packet, loot: vec![], times: u32::MAX };
    let flooding = accomplice.start(&flood);
    std::thread::sleep(Duration::from_millis(50));
    let witness = host.witness("raw");
    assert!(host.broker.kill("raw", "it is time"));
    host.death("raw");
    host.restarted("raw");
    assert!(witness.is_gone());
    // The accomplice is told that the socket is of no more use, and the broker is at nobody's mercy.
    let flooded = flooding.wait::<RawOutcome>().unwrap();
    assert!(matches!(flooded, RawOutcome::Sent(1.., Some(_))), "{flooded:?}");
    assert_eq!(a.call(link, ECHO, encoded("well")), Ok(encoded("well")));
    assert!(matches!(host.attacker("raw").tell(&RawStep::Links), RawOutcome::Links(_)));
}

fn who_asks_and_never_reads_is_evicted() {
    let mut host = Host::with(Model::Broker, &["raw", "a", "b"]);
    let (a, raw) = (host.puppet("a"), host.attacker("raw"));
    let link = a.open("b");
    let before = peak_memory();
    let name = |name: &str| Name::new(name).unwrap();
    let packet = word_packet(&ToBroker::Open { request: 9, role: name("nobody"), interface: name("peer") });
    let trips = a.start(&Step::RoundTrips { link, lasting: Duration::from_secs(2) });
    let flood = raw.start(&RawStep::Send { via: Via::Control, packet, loot: vec![], times: u32::MAX });
    let Outcome::RoundTrips(trips) = trips.wait().unwrap() else { panic!("no round trips") };
    assert_eq!(trips.stopped_by, None);
    assert!(trips.count() > 50, "{trips:?}");
    let (death, _) = host.death("raw");
    assert!(matches!(death, Death::Evicted(Violation::Backlog(_))), "{death:?}");
    assert!(flood.wait::<RawOutcome>().is_err());
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < 256 << 20, "the host grew by {grown} bytes");
}
