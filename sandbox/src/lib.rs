//! Starts a confined child process and says truthfully which layers of confinement are in force. It is not a container
//! runtime, and it knows nothing of what host and child say to each other.
//!
//! A child that parses what a stranger made may compute, start a few threads and talk on one channel; it can not open a
//! file, make a socket, see or signal another process. An ordinary user can confine children so; no privilege, no set-uid
//! helper and no daemon is needed.
//!
//! ```standalone_crate
//! use std::{io::{Read, Write}, os::unix::net::UnixStream};
//! use cloison_sandbox::{Launch, Launcher};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     if cloison_sandbox::is_worker().is_some() {
//!         let mut channel = UnixStream::from(cloison_sandbox::enter()?); // confined from here on
//!         let refused = std::fs::read("/etc/passwd").is_err();
//!         return Ok(channel.write_all(&[u8::from(refused)])?);
//!     }
//!     let (mut ours, theirs) = UnixStream::pair()?;
//!     let child = Launcher::new()?.launch(Launch::own("decoder"), theirs.into())?;
//!     println!("{:#}", child.report());
//!     let mut answer = [0];
//!     ours.read_exact(&mut answer)?;
//!     assert_eq!(answer, [1]);
//!     Ok(())
//! }
//! ```
//!
//! | you want | use |
//! |---|---|
//! | to start a child | [`Launcher::launch`] with a [`Launch`] |
//! | to say what a child may do | [`Profile`]; [`Profile::explain`] prints it |
//! | to open a little more to it | [`Profile::readable`], [`Profile::rule`], …; [`Profile::widenings`] lists what is open |
//! | to decode with the graphics processor | [`Profile::hardware`], a weaker kind of child |
//! | to bound it as a whole | [`Launcher::in_group`], where a control group was delegated |
//! | to know what is in force | [`Child::report`], a [`Report`] of [`Layer`]s |
//! | to refuse less | [`Launch::least`], [`Profile::demand`], [`Profile::demand_verified`] |
//! | to know what this system gives | [`Launcher::probe`] |
//! | to know how a child ended | [`Child::wait`], an [`Exit`] that names a forbidden call |
//! | to hear of refused calls | [`Child::violations`] |
//! | to find out what a child needs | [`Profile::learning`], then [`Child::learned`] prints the rules to add |
//! | to know what a child was busy with when it made a forbidden call, or died | [`Notepad`] in the child, [`Child::note`] |
//! | to be the child | [`is_worker`], then [`enter`] or [`enter_after`] |
//!
//! The order of the layers, what each of them stops, and what is not promised stand in the book of the house, DESIGN.md.

mod cause;
mod child;
mod decode;
mod dispatch;
mod enter;
mod filter;
mod group;
mod handshake;
mod launcher;
mod layers;
mod lesson;
mod note;
mod outside;
mod profile;
mod report;
mod rule;
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
pub use lesson::{LESSONS_MAX, Learned, Lesson};
pub use note::{NOTE_WORDS, Note, Notepad};
pub use profile::{
    DECODER_CPU, DECODER_DESCRIPTORS, DECODER_MEMORY, DECODER_RESIDENT, DECODER_THREADS, DESCRIPTOR_FLOOR, Limits,
    MEMORY_FLOOR, Profile, ProfileError, RESIDENT_FLOOR, Simulated,
};
pub use report::{Layer, Report, Standing, Tier};
pub use rule::{Effect, Rule, Test};
pub use violation::{Consequence, VIOLATIONS_MAX, Violation, Violations};
