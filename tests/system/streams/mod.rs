//! Streams: between confined processes, and with the host, in either direction and both.

mod ending;
mod flowing;
mod reader;
mod scene;
mod source;

use std::process::ExitCode;

use crate::case::{Case, module};
use reader::{ReaderServer, Through};
use source::{Numbers, SourceServer};

pub fn cases() -> Vec<Case> {
    module("streams", vec![flowing::cases(), ending::cases()])
}

/// The whole life of a worker.
pub fn main(role: &str) -> ExitCode {
    if role.starts_with("source") {
        return cloison_worker::run(|worker| worker.serve(SourceServer::new(Numbers::default())));
    }
    cloison_worker::run(|worker| worker.serve(ReaderServer::new(Through::new(worker))))
}
