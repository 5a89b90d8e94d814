//! Raw bytes and descriptors from a hostile worker's sockets against the broker's driver, beside honest workers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cloison_proof::target::broker_socket(bytes));
