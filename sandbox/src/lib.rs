//! Starts a confined child process and says truthfully which layers of confinement are in force. It is not a container
//! runtime, and it knows nothing of what host and child say to each other.

mod child;
mod enter;
mod filter;
mod handshake;
mod launcher;
mod layers;
mod outside;
mod profile;
mod report;
mod rules;
mod spawner;
mod stub;
mod sys;
mod user;
mod verdict;
mod violation;
mod watch;
mod wire;

pub use child::{Child, Ended, Exit, Signal, Usage};
pub use enter::{EnterError, MARKER, enter, enter_after, is_worker};
pub use filter::FilterError;
pub use launcher::{Launch, LaunchError, Launcher, Program};
pub use profile::{
    DECODER_CPU, DECODER_DESCRIPTORS, DECODER_MEMORY, DECODER_THREADS, DESCRIPTOR_FLOOR, Limits, MEMORY_FLOOR, Profile,
    ProfileError, Simulated,
};
pub use report::{Layer, Report, Standing, Tier};
pub use rules::{Effect, Rule, Test};
pub use violation::{VIOLATIONS_MAX, Violation, Violations};
