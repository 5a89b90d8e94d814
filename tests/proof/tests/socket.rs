//! The fuzzer's target for a worker's sockets on stable, for a while. Alone in its process, whose descriptors it counts.

use cloison_proof::random::Random;
use cloison_proof::target::broker_socket;

/// How many inputs it gets.
const INPUTS: &str = "CLOISON_FUZZ_INPUTS";

#[test]
fn the_broker_survives_whatever_comes_by_a_hostile_workers_sockets() {
    let inputs = std::env::var(INPUTS).ok().and_then(|inputs| inputs.parse().ok()).unwrap_or(1_000);
    let mut random = Random(3);
    for _ in 0..inputs {
        let bytes: Vec<u8> = (0..random.below(1500)).map(|_| random.draw().to_le_bytes()[0]).collect();
        broker_socket(&bytes);
    }
}
