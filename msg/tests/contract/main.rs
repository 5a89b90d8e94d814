//! Contracts without a world: clients and servers over a carrier that is a function call.

#[path = "../loopback/mod.rs"]
mod loopback;

mod calling;
mod described;
mod kinds;
mod refusing;
mod short_names;
