//! Rows for the layer that carries packets and pictures, without anything that interprets or checks them.

mod packets;
mod pictures;

use crate::floor::{Far, Row};

pub use packets::PACKET_PAIR;
pub use pictures::PICTURES;

/// What the far ends of these rows are called.
pub const FAR_ENDS: [Far; 2] = [packets::ECHO, pictures::CONSUMER];

/// The hand-over is to cost no more than a packet each way.
const FLOOR: Row = crate::floor::RAW_PAIR;
