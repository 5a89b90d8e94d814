//! Sequences of operations against the router, by workers that keep no rule at all.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cloison_proof::target::router(bytes));
