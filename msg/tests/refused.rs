//! What is no contract is refused where it stands, with what to write instead.
//!
//! Only this crate's own words are compared, so that no other compiler's words matter. Written anew by
//! `TRYBUILD=overwrite cargo test -p cloison-msg --test refused`.

#[test]
fn what_is_no_contract_is_told_what_to_write_instead() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
