//! Maps of shared memory: the only module with `unsafe` in it.
//!
//! Its interface is safe by itself, whatever the rest of the crate does with it:
//!
//! - [`WritableMemory`] is the only writable map of its file in the whole system, because the kernel says so
//!   (`F_SEAL_FUTURE_WRITE`). So its parts may be shown as `&mut [u8]`, each to one holder at a time.
//! - [`ReadableMemory`] may change under its reader at any instant. It is never shown, only copied out.
#![allow(unsafe_code, reason = "mapping memory and reading what another process writes cannot be said otherwise")]

mod map;
mod readable;
mod writable;

#[cfg(test)]
mod tests;

pub use map::{MapError, SEALS_REQUIRED};
pub use readable::ReadableMemory;
pub use writable::{Part, WritableMemory};
