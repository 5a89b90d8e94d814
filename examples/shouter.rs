//! A worker that is a program of its own, to show how one begins: `shout` calls it.

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use cloison_worker::msg::{Failure, Message};
use cloison_worker::{Request, Worker};

fn shout(_: &Worker, request: &mut Request<'_>, reply: &mut Message<OwnedFd>) -> Result<(), Failure> {
    let text: &str = request.recv()?;
    reply.append(&text.to_uppercase())?;
    Ok(())
}

fn main() -> ExitCode {
    cloison_worker::run(|worker| worker.serve(shout))
}
