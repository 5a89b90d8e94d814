//! Pages to learn from. Each program in them is a host with workers of its own, real processes behind a real sandbox, and is
//! run by this crate's tests.
//!
//! | page | what it is about |
//! |---|---|
//! | [`calls`] | contracts, and every way to call by one |
//! | [`failures`] | what can become of a call, and what to do then |
//! | [`versions`] | how a contract changes while its two sides are not changed together |
//!
//! The tables of what to use when, and of what each error asks for, are in [`contract`](crate::msg::contract). `examples/calls`
//! in the repository has larger programs, and `examples/player` the largest.

#[doc = include_str!("guide/calls.md")]
pub mod calls {}

#[doc = include_str!("guide/failures.md")]
pub mod failures {}

#[doc = include_str!("guide/versions.md")]
pub mod versions {}
