//! The fuzzer's targets on stable, for a while: random inputs, and inputs that were made from good ones.

use cloison_msg::control::{PROTOCOL_VERSION, ToBroker};
use cloison_msg::{Destination, Header, LinkRef, Message, Rights, RpcSet, Transfer};
use cloison_proof::random::Random;
use cloison_proof::target;

/// How many inputs each target gets.
const INPUTS: &str = "CLOISON_FUZZ_INPUTS";

fn inputs() -> usize {
    std::env::var(INPUTS).ok().and_then(|inputs| inputs.parse().ok()).unwrap_or(5_000)
}

fn bytes(random: &mut Random, most: usize) -> Vec<u8> {
    (0..random.below(most)).map(|_| random.draw().to_le_bytes()[0]).collect()
}

#[test]
fn the_router_survives_whatever_hostile_workers_do() {
    let mut random = Random(1);
    for _ in 0..inputs() {
        target::router(&bytes(&mut random, 1500));
    }
}

#[test]
fn whatever_is_read_is_written_the_same() {
    let mut random = Random(2);
    let mut word = Message::<()>::new();
    word.append(&ToBroker::Hello { version: PROTOCOL_VERSION }).unwrap();
    let link = LinkRef {
        link: Destination { index: 1, generation: 1 },
        transfer: Transfer::Copy,
        rights: Rights::methods(RpcSet::ALL),
    };
    let header = Header { destination: Destination { index: 1, generation: 1 }, ..Header::default() };
    let seeds = [header.encode().to_vec(), link.encode().to_vec(), word.payload().to_vec()];
    for seed in &seeds {
        target::wire(seed);
    }
    for _ in 0..inputs() {
        target::wire(&bytes(&mut random, 200));
        let mut seed = seeds[random.below(seeds.len())].clone();
        for _ in 0..1 + random.below(4) {
            let at = random.below(seed.len());
            seed[at] ^= 1 << random.below(8);
        }
        target::wire(&seed);
    }
}
