//! Contracts in a worker: calling by them, and serving them.

mod bind;
mod carrier;
mod per_link;
mod service;
mod stages;

pub use carrier::Started;
pub use per_link::PerLink;
pub use stages::Stages;
