//! What workers see does not depend on the route.

use cloison_proof::script::Script;

/// How many scripts are run; many more are to be had for the asking.
const SCRIPTS: &str = "CLOISON_SCRIPTS";

#[test]
fn both_models_and_every_way_between_them_look_the_same() {
    let count = std::env::var(SCRIPTS).ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let first = std::env::var("CLOISON_FIRST_SCRIPT").ok().and_then(|first| first.parse().ok()).unwrap_or(0);
    for seed in first..first + count {
        Script::of(seed).compare(seed).unwrap_or_else(|difference| panic!("script {seed}: {difference}"));
    }
    println!("{count} scripts, each in 4 ways");
}
