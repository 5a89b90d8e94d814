//! The stages as workers: each in a process of its own, which is confined before it has read one byte of the file.
//!
//! Nothing here knows whether messages pass the broker or take a socket of their own.

mod audio;
mod decoders;
mod demux;
mod packets;
mod video;

use std::hint::spin_loop;
use std::time::Duration;

use cloison_broker::msg::{CallError, Failure};
use cloison_worker::{OpenError, PoolError, Request, Role, ServeError};

/// The demuxer's role.
pub const DEMUX: &str = "demux";
/// The audio decoder's role.
pub const AUDIO: &str = "audio";
/// The video decoder's role.
pub const VIDEO: &str = "video";

/// What this executable can be besides the host.
pub const ROLES: [Role<'static, ServeError>; 3] = [(DEMUX, demux::main), (AUDIO, audio::main), (VIDEO, video::main)];

/// What a [`Failure::Remote`]'s code means.
pub mod code {
    /// The file, or what it holds at this place, cannot be played.
    pub const MEDIA: u32 = 1;
    /// The call makes no sense at this moment.
    pub const OUT_OF_TURN: u32 = 2;
    /// What was decoded could not be delivered.
    pub const UNDELIVERED: u32 = 3;
}

fn media(error: impl ToString) -> Failure {
    Failure::remote(code::MEDIA, error.to_string())
}

fn out_of_turn(what: &str) -> Failure {
    Failure::remote(code::OUT_OF_TURN, what)
}

/// Why what was decoded did not reach the host. Everything else is its own kind of failure.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Acquire(#[from] cloison_worker::AcquireError),
    #[error(transparent)]
    Append(#[from] cloison_broker::msg::AppendError),
    #[error(transparent)]
    Call(#[from] CallError),
}

impl From<Undelivered> for Failure {
    fn from(error: Undelivered) -> Self {
        Self::remote(code::UNDELIVERED, error.to_string())
    }
}

/// Never answers again, as a worker that was taken over might: asleep, or using all the time it can get.
fn hang(request: &mut Request<'_>) -> Result<(), Failure> {
    const NAP: Duration = Duration::from_secs(3600);
    let busy: bool = request.recv()?;
    request.finish()?;
    loop {
        if busy { spin_loop() } else { std::thread::sleep(NAP) }
    }
}
