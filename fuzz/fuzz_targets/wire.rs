//! Raw bytes against everything that reads bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cloison_proof::target::wire(bytes));
