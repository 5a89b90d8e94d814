//! Sequences of operations: whatever hostile workers send, only they are evicted, and nobody hears of a stranger.

use cloison_msg::control::{PoolShape, ToBroker};
use cloison_msg::{CallId, Destination, Header, Key, Kind, LinkRef, Name, RpcIndex, Transfer};
use proptest::prelude::*;

use super::rights;
use super::world::{Got, INTERFACE, World};
use crate::policy::Model;

/// What one worker does in one step.
#[derive(Clone, Debug)]
enum Step {
    Send { kind: u8, destination: (u32, u32), rpc: u16, payload: u16 },
    Open { role: u8 },
    MakePool { destination: (u32, u32), size: u32, count: u16 },
    DropPool { destination: (u32, u32), pool: u32 },
    Close { destination: (u32, u32) },
    Accuse { destination: (u32, u32) },
    Carry { destination: (u32, u32), links: Vec<((u32, u32), bool)> },
    Speak { destination: (u32, u32), word: u8 },
    Model { orchestrator: bool },
    Revoke { link: (u32, u32) },
    Hello,
    Die,
}

fn any_step() -> impl Strategy<Value = Step> {
    let name = || (0u32..6, 0u32..4);
    prop_oneof![
        8 => (1u8..10, name(), 0u16..5, 0u16..3000)
            .prop_map(|(kind, destination, rpc, payload)| Step::Send { kind, destination, rpc, payload }),
        6 => (0u8..5).prop_map(|role| Step::Open { role }),
        2 => (name(), any::<u32>(), any::<u16>())
            .prop_map(|(destination, size, count)| Step::MakePool { destination, size, count }),
        1 => (name(), 0u32..6).prop_map(|(destination, pool)| Step::DropPool { destination, pool }),
        2 => name().prop_map(|destination| Step::Close { destination }),
        1 => name().prop_map(|destination| Step::Accuse { destination }),
        4 => (name(), prop::collection::vec((name(), any::<bool>()), 1..4))
            .prop_map(|(destination, links)| Step::Carry { destination, links }),
        4 => (name(), 0u8..5).prop_map(|(destination, word)| Step::Speak { destination, word }),
        1 => any::<bool>().prop_map(|orchestrator| Step::Model { orchestrator }),
        1 => name().prop_map(|link| Step::Revoke { link }),
        1 => Just(Step::Hello),
        1 => Just(Step::Die),
    ]
}

fn role(number: u8) -> Name {
    Name::new(["a", "b", "c", "host", "nobody"][usize::from(number)]).unwrap()
}

fn take_step(world: &mut World, port: Key, step: &Step) {
    let named = |(index, generation): (u32, u32)| Destination { index, generation };
    match *step {
        Step::Send { kind, destination, rpc, payload } => {
            let kind = [
                Kind::Call,
                Kind::Reply,
                Kind::Error,
                Kind::Oneway,
                Kind::Credit,
                Kind::Release,
                Kind::Switch,
                Kind::Cancel,
                Kind::Probe,
            ][usize::from(kind) - 1];
            let call = CallId(u64::from(matches!(kind, Kind::Call | Kind::Reply | Kind::Error)));
            let header =
                Header { destination: named(destination), rpc: RpcIndex(rpc), kind, call, ..Header::default() };
            let payload = vec![0; usize::from(payload)];
            let header = Header { payload: u32::try_from(payload.len()).unwrap(), ..header };
            world.send(port, &header, &payload, Vec::new());
        }
        Step::Open { role: to } => {
            world.word(port, &ToBroker::Open { request: 1, role: role(to), interface: INTERFACE.name() });
        }
        Step::MakePool { destination, size, count } => {
            let shape = PoolShape { buffer_size: size, count };
            world.word(port, &ToBroker::MakePool { request: 1, link: named(destination), shape });
        }
        Step::DropPool { destination, pool } => {
            world.word(port, &ToBroker::DropPool { link: named(destination), pool })
        }
        Step::Close { destination } => world.word(port, &ToBroker::Close { link: named(destination) }),
        Step::Accuse { destination } => {
            world.word(port, &ToBroker::Accuse { link: named(destination), what: "x".into() });
        }
        Step::Carry { destination, ref links } => {
            let links: Vec<LinkRef> = links
                .iter()
                .map(|&(link, moves)| LinkRef {
                    link: named(link),
                    transfer: if moves { Transfer::Move } else { Transfer::Copy },
                    rights: rights(),
                })
                .collect();
            let header = Header { destination: named(destination), kind: Kind::Oneway, ..Header::default() };
            let header = Header { links: u8::try_from(links.len()).unwrap(), ..header };
            world.send_with(port, &header, &[], &links, &mut Vec::new());
        }
        Step::Speak { destination, word } => {
            let link = named(destination);
            let word = match word {
                0 => ToBroker::Left { link, calls: CallId(1) },
                1 => ToBroker::Settled { link },
                2 => ToBroker::Rest { link },
                3 => ToBroker::Offer { request: 2, interface: INTERFACE.name() },
                _ => ToBroker::Released { link },
            };
            world.word(port, &word);
        }
        Step::Model { orchestrator } => {
            let model = if orchestrator { Model::Orchestrator } else { Model::Broker };
            world.router.set_model(model, world.now);
            world.settle();
        }
        Step::Revoke { link: (index, generation) } => {
            world.router.revoke(Key { index, generation }, 1, world.now);
            world.settle();
        }
        Step::Hello => world.word(port, &ToBroker::Hello { version: 1 }),
        Step::Die => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn hostile_steps_hurt_only_whoever_takes_them(
        orchestrator in any::<bool>(),
        steps in prop::collection::vec((0usize..3, any_step()), 1..120),
    ) {
        let model = if orchestrator { Model::Orchestrator } else { Model::Broker };
        let mut world = World::new(model, rights().delegable());
        let mut ports = ["a", "b", "c"].map(|role| world.worker(role));
        for (who, step) in steps {
            let (before, actor) = (world.evicted.len(), ports[who]);
            take_step(&mut world, actor, &step);
            for (evicted, violation) in &world.evicted[before..] {
                prop_assert_eq!(*evicted, actor, "{:?} evicted for {}", evicted, violation);
            }
            let gone = world.evicted.len() > before || matches!(step, Step::Die);
            if gone {
                world.death(actor);
                let heard = world.take(actor);
                prop_assert!(!heard.iter().any(|got| matches!(got, Got::Message(header, _) if header.destination.index == 0)));
                ports[who] = world.worker(["a", "b", "c"][who]);
            }
        }
        for port in ports {
            world.death(port);
        }
        prop_assert_eq!(world.router.next_deadline(), None, "nothing is waited for any more");
        prop_assert!(world.pairs.is_empty(), "every direct link was cut when its ends were gone");
        prop_assert_eq!(world.router.links.len(), 0);
    }
}
