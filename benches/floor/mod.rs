//! What the machine itself can do, measured in the same run as everything that is compared with it.
//!
//! Absolute figures mean little on a shared machine; ratios to a floor measured in the same minute on the same cores
//! mean something. So every bench here is a table of [`Row`]s, each measured in turn, many times over, on one core and
//! on two, and each printed beside its ratio to the row it is measured against.
//!
//! ```ignore
//! mod floor;
//!
//! fn main() {
//!     floor::serve_if_child(&[]); // this process may be the far end of a row
//!     let rows = [floor::RAW_PAIR, floor::RAW_RELAY, Row { name: "typed call", against: Some("raw pair"), start }];
//!     floor::measure("64-byte round trip", &rows).print();
//! }
//! ```
//!
//! To add a row, write a `start` function: it is given the [`Placement`], starts what the row needs, pinned accordingly,
//! and returns a [`Running`] row. Far ends are this same executable started again ([`Peer`]): nothing is forked.

mod peer;
mod placement;
mod raw;
mod row;
mod stats;
mod table;

pub use peer::{Far, Peer, serve_if_child};
pub use placement::{Placement, pin};
pub use raw::{RAW_PAIR, RAW_RELAY};
pub use row::{Row, Running};
pub use table::measure;
