//! Contracts in a worker: calling by them, and serving them.

mod bind;
mod carrier;
mod per_link;
mod service;

pub use carrier::Started;
pub use per_link::PerLink;
