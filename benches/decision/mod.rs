//! The one decision, by itself.

use std::hint::black_box;
use std::time::Instant;

use cloison_broker::msg::{
    CallId, DescriptorClasses, Destination, Header, Kind, Rights, RpcIndex, RpcSet, Time, Use, Verdict, decide,
};

/// How many decisions are timed together.
const DECISIONS: u32 = 1_000_000;

/// How many times they are; the median counts.
const ROUNDS: usize = 21;

/// Measures [`decide`] and prints what one takes.
pub fn print() {
    let rounds = if std::env::args().any(|arg| arg == "--bench") { ROUNDS } else { 1 };
    let plain = Rights::methods(RpcSet::first(8));
    let guarded = plain.clone().passing(DescriptorClasses::READ_ONLY_FILE).for_uses(u32::MAX).until(Time(u64::MAX));
    println!("\none decision");
    for (name, rights) in [("plain rights", plain), ("descriptors, uses, expiry", guarded)] {
        let mut took: Vec<f64> = (0..rounds).map(|_| round(&rights)).collect();
        took.sort_by(f64::total_cmp);
        println!("{name:28} │ {:>6.2} ns", took[took.len() / 2]);
    }
}

/// Nanoseconds a decision, in one round.
fn round(rights: &Rights) -> f64 {
    let header = Header {
        destination: Destination { index: 3, generation: 1 },
        rpc: RpcIndex(5),
        kind: Kind::Call,
        call: CallId(1),
        payload: 64,
        remaining: 1000,
        ..Header::default()
    };
    let mut used = Use::default();
    let start = Instant::now();
    for now in 0..u64::from(DECISIONS) {
        let verdict = decide(black_box(rights), &used, black_box(&header), DescriptorClasses::empty(), Time(now));
        assert_eq!(verdict, Verdict::Allow);
        used.note(rights, &header);
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(DECISIONS)
}
