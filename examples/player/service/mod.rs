//! The contracts, served with the stages: what a worker serves, and `--in-process` too.
//!
//! Nothing here knows in which process it runs, or by which way it is called. What differs stands behind [`Home`]: how a link
//! to an object is made, and where decoded bytes are put so that only their name must travel.

mod decoder;
mod demuxer;
mod home;

pub use decoder::DecoderStage;
pub use demuxer::DemuxerStage;
pub use home::{Home, LENT_MAX, Lender, Lent};

use std::hint::spin_loop;
use std::time::Duration;

/// Never returns, as a stage that was taken over might not: asleep, or using all the time it can get.
fn hang(busy: bool) -> ! {
    const NAP: Duration = Duration::from_secs(3600);
    loop {
        if busy { spin_loop() } else { std::thread::sleep(NAP) }
    }
}

#[cfg(test)]
mod tests;
