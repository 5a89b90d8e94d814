//! The three interfaces, and the values that only travel between processes.
//!
//! | interface | who calls whom | method | arguments | reply |
//! |---|---|---|---|---|
//! | [`DEMUX`] | host → demux | `open` | the file's length, the [`Family`](super::Family), the descriptor | [`Media`](super::Media) |
//! | | | `select` | [`Selection`] | the tracks that cannot be played, as a list of [`Refused`] |
//! | | | `seek` | [`SeekTo`] | where that was |
//! | | | `step` | | [`StepReply`] |
//! | [`DECODER`] | demux → audio, video | `open` | [`Setup`] | |
//! | | | `packet` | [`PacketHead`], then the data or the buffer it lies in | |
//! | | | `finish` | | |
//! | [`SINK`] | audio, video → host | `picture` | [`Picture`](super::Picture), the buffer it lies in | oneway |
//! | | | `samples` | [`Samples`](super::Samples) | oneway |
//! | | | `end` | the [`Selection`]'s round | oneway |
//!
//! `hang`, of the first two, makes a worker stop answering; only a host that was asked to try that grants it to itself.

use cloison_broker::ipc::BufferRef;
use cloison_broker::msg::Interface;
use serde::{Deserialize, Serialize};

use super::{Nanos, Parameters, Stepped};

/// What the host asks of the demuxer.
pub const DEMUX: Interface = Interface::new("demux", &["open", "select", "seek", "step", "hang"]);

/// What the demuxer asks of a decoder.
pub const DECODER: Interface = Interface::new("decoder", &["open", "packet", "finish", "hang"]);

/// What a decoder delivers to the host.
pub const SINK: Interface = Interface::new("sink", &["picture", "samples", "end"]);

/// The methods of [`DEMUX`].
pub mod demux {
    use cloison_broker::msg::RpcIndex;

    pub const OPEN: RpcIndex = super::DEMUX.method("open");
    pub const SELECT: RpcIndex = super::DEMUX.method("select");
    pub const SEEK: RpcIndex = super::DEMUX.method("seek");
    pub const STEP: RpcIndex = super::DEMUX.method("step");
    pub const HANG: RpcIndex = super::DEMUX.method("hang");
}

/// The methods of [`DECODER`].
pub mod decoder {
    use cloison_broker::msg::RpcIndex;

    pub const OPEN: RpcIndex = super::DECODER.method("open");
    pub const PACKET: RpcIndex = super::DECODER.method("packet");
    pub const FINISH: RpcIndex = super::DECODER.method("finish");
    pub const HANG: RpcIndex = super::DECODER.method("hang");
}

/// The methods of [`SINK`].
pub mod sink {
    use cloison_broker::msg::RpcIndex;

    pub const PICTURE: RpcIndex = super::SINK.method("picture");
    pub const SAMPLES: RpcIndex = super::SINK.method("samples");
    pub const END: RpcIndex = super::SINK.method("end");
}

/// Which tracks are played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The host's number for this attempt to play, by which it knows the last word of a decoder.
    pub round: u32,
    /// The tracks.
    pub tracks: Vec<u32>,
}

/// A track whose decoder could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The track.
    pub track: u32,
    /// Why.
    pub mishap: Mishap,
}

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeekTo {
    /// The key picture at or before this time.
    KeyBefore(Nanos),
    /// The first key picture after this time.
    KeyAfter(Nanos),
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReply {
    /// What was read.
    pub step: Step,
    /// What was heard meanwhile of packets that earlier steps handed on.
    pub troubles: Vec<Trouble>,
}

/// How one step of the demuxer ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// A packet was read and handed on to its decoder.
    Packet(Stepped),
    /// There are no more packets, and all are decoded. If the file should have gone on, this says how it ended.
    End(Option<String>),
}

/// A packet that its decoder did not decode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Its track.
    pub track: u32,
    /// When it would have been played, in ticks.
    pub pts: i64,
    /// What happened.
    pub mishap: Mishap,
}

/// What happened to a packet, or to a decoder that was to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mishap {
    /// The decoder cannot make sense of it.
    Undecodable(String),
    /// The decoder did not answer in time, or could not deliver what it decoded.
    Silence,
    /// The decoder is gone.
    Gone,
}

/// What a decoder is to decode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The [`Selection`]'s round.
    pub round: u32,
    /// What the decoder must know.
    pub parameters: Parameters,
}

/// A [`Packet`](super::Packet) without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketHead {
    /// When what it decodes to is shown or heard, in ticks.
    pub pts: i64,
    /// Whether `pts` only says when the packet is decoded, for the container does not say when that is shown.
    pub is_decode_time: bool,
    /// For how long, in ticks.
    pub duration: u64,
    /// Samples a channel to leave out at the start.
    pub trim_start: u32,
    /// Samples a channel to leave out at the end.
    pub trim_end: u32,
    /// The buffer that holds the data; if there is none, the data follow.
    pub lent: Option<BufferRef>,
}
